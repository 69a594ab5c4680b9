"""A business rule: what a schema cannot say of a body, tied to a status code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from msh.businessdays import BusinessDays
from msh.catalog import Catalog, StatusCode
from msh.content.body import Body, BodyNames


@dataclass(frozen=True, slots=True)
class Facts:
    """What a rule may look at: the service, the body, and the moment of its first receipt.

    ``moment`` is in the profile's time zone. A rule does no I/O and knows no clock.
    """

    service: str
    body: Body
    moment: datetime
    days: BusinessDays
    names: BodyNames
    catalog: Catalog
    #: SWIFT codes of banks, by bank code.
    banks: Mapping[str, str]

    @property
    def today(self) -> date:
        """The day of ``moment``."""
        return self.moment.date()


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. ``broken`` returns why a body breaks it, without any value of it, or None.

    ``code`` is a bank's status code (TDCC PSP 9.2); what another role answers follows from its
    table in the profile. ``services`` are the requests it looks at.
    """

    name: str
    code: StatusCode
    services: frozenset[str]
    broken: Callable[[Facts], str | None]


@dataclass(frozen=True, slots=True)
class Broken:
    """A rule that a body breaks, and why."""

    rule: Rule
    reason: str
