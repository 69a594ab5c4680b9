"""What bodies hold: their schemas, and the rules that a schema cannot say."""

from msh.content.body import Body, BodyNames, References
from msh.content.content import Content
from msh.content.rule import Broken, Facts, Rule
from msh.content.schema import Schemas

__all__ = ["Body", "BodyNames", "Broken", "Content", "Facts", "References", "Rule", "Schemas"]
