"""A profile's content: schemas, rules and names put together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from msh.businessdays import BusinessDays
from msh.catalog import Catalog
from msh.content.body import Body, BodyNames
from msh.content.rule import Broken, Facts, Rule
from msh.content.schema import Schemas
from msh.errors import MalformedMessage
from msh.xml import parse

#: Where the published hours are told (TDCC PSP 9.6).
TAIPEI = ZoneInfo("Asia/Taipei")


@dataclass(frozen=True)
class Content:
    """What the bodies of a profile hold, and what is wrong with one."""

    catalog: Catalog
    schemas: Schemas
    names: BodyNames = field(default_factory=BodyNames)
    rules: tuple[Rule, ...] = ()
    banks: Mapping[str, str] = field(default_factory=dict)
    zone: ZoneInfo = TAIPEI

    def look(self, body: bytes) -> Body | None:
        """A message's body as checks look at it; None for a message without one."""
        if not body:
            return None
        try:
            return Body(parse(body))
        except MalformedMessage:  # it was read once, so this is none that any schema allows
            return None

    def fault(self, service: str, body: Body | None) -> str | None:
        """Why ``body`` does not fit the schema of ``service``, or None: it fits."""
        if service not in self.schemas.services:
            return None
        if body is None:
            return "the body is missing"
        return self.schemas.fault(service, body.root)

    def broken(
        self, service: str, body: Body, moment: datetime, days: BusinessDays
    ) -> Iterator[Broken]:
        """Every rule that ``body``, which fits its schema, breaks; in the order of the rules.

        ``moment`` is when it was first received.
        """
        local = moment.astimezone(self.zone)
        facts = Facts(service, body, local, days, self.names, self.catalog, self.banks)
        for rule in self.rules:
            if service in rule.services:
                reason = rule.broken(facts)
                if reason is not None:
                    yield Broken(rule, reason)
