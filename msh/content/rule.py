"""A business rule: what a schema cannot say of a body, tied to a status code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property

from msh.businessdays import BusinessDays
from msh.catalog import Catalog, StatusCode
from msh.content.batch import Batch, Money, Side, Total, moneys_of, read_batch, sides_of
from msh.content.body import Body, BodyNames


@dataclass(frozen=True)
class Facts:
    """What a rule may look at: the service, the body, and the moment of its first receipt.

    ``moment`` is in the profile's time zone. A rule does no I/O and knows no clock. What more than
    one rule looks at is read from the body once.
    """

    service: str
    body: Body
    moment: datetime
    days: BusinessDays
    names: BodyNames
    catalog: Catalog
    #: SWIFT codes of banks, of eight characters, by bank code.
    banks: Mapping[str, frozenset[str]] = field(default_factory=dict)
    #: How many decimals a currency has (ISO 4217); empty: nothing is known of any.
    currencies: Mapping[str, int] = field(default_factory=dict)
    #: The bank code of whoever judges; empty if that is no bank, or it did not say.
    bank: str = ""

    @cached_property
    def today(self) -> date:
        """The day of ``moment``."""
        return self.moment.date()

    @cached_property
    def business_type(self) -> str:
        """The business type; empty for a body without one."""
        return self.body.text(self.names.business_type) or ""

    @cached_property
    def shape(self) -> str:
        """How debits and credits stand to each other: OOOI, OOMI or MOOI (TDCC PSP 9.5)."""
        return self.body.text(self.names.shape) or ""

    @cached_property
    def batch(self) -> Batch:
        """The groups of debits and credits, and what they should come to."""
        return read_batch(self.body, self.names)

    @cached_property
    def sides(self) -> Sequence[Side]:
        """Every account of the body, with what it is debited or credited."""
        return self.batch.sides or sides_of(self.body, self.names)

    @cached_property
    def moneys(self) -> Sequence[Side | Money | Total]:
        """Every amount of the body with its currency."""
        return list(self.batch.moneys) or moneys_of(self.body, self.names)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. ``broken`` returns why a body breaks it, without any value of it, or None.

    ``code`` is a bank's status code (TDCC PSP 9.2); what another role answers follows from its
    table in the profile. ``services`` are the requests it looks at. ``check`` names the check of
    that table whose code is answered, where that is another one than ``rule``: ``format`` or
    ``message_kind``.
    """

    name: str
    code: StatusCode
    services: frozenset[str]
    broken: Callable[[Facts], str | None]
    check: str = "rule"

    @property
    def text(self) -> str:
        """What the rule asks for: the first line of its function's docstring."""
        return (self.broken.__doc__ or self.name).strip().partition("\n")[0]


@dataclass(frozen=True, slots=True)
class Broken:
    """A rule that a body breaks, and why."""

    rule: Rule
    reason: str
