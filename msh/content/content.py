"""A profile's content: schemas, rules and names put together."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from zoneinfo import ZoneInfo

from msh.businessdays import BusinessDays
from msh.catalog import Catalog, StatusCode
from msh.content.body import Body, BodyNames, References, Splitting
from msh.content.building import build
from msh.content.rule import Broken, Facts, Rule
from msh.content.rules import UNIQUE_REFERENCES
from msh.content.rules.kinds import RESULTS
from msh.content.rules.references import references_of, reused
from msh.content.schema import Schemas
from msh.errors import MalformedMessage
from msh.failure import told
from msh.hours import TAIPEI
from msh.xml import STANDARD_SHAPE, Shape, parse, parse_again

_log = logging.getLogger("msh.receiver")


@dataclass(frozen=True)
class Content:
    """What the bodies of a profile hold, and what is wrong with one."""

    catalog: Catalog
    schemas: Schemas
    names: BodyNames = field(default_factory=BodyNames)
    rules: tuple[Rule, ...] = ()
    banks: Mapping[str, frozenset[str]] = field(default_factory=dict)
    currencies: Mapping[str, int] = field(default_factory=dict)
    zone: ZoneInfo = TAIPEI
    splitting: Splitting = field(default_factory=Splitting)

    @cached_property
    def _by_service(self) -> Mapping[str, tuple[Rule, ...]]:
        services = {service for rule in self.rules for service in rule.services}
        return {
            service: tuple(rule for rule in self.rules if service in rule.services)
            for service in services
        }

    def look_again(self, body: bytes) -> Body | None:
        """The body of a message that was read before, as checks look at it."""
        return Body(parse_again(body), len(body)) if body else None

    def look(self, body: bytes, shape: Shape = STANDARD_SHAPE) -> Body | None:
        """A message's body as checks look at it; None for a message without one."""
        if not body:
            return None
        try:
            return Body(parse(body, shape), len(body))
        except MalformedMessage:  # it was read once, so this is none that any schema allows
            return None

    def fault(self, service: str, body: Body | None) -> str | None:
        """Why ``body`` does not fit the schema of ``service``, or None: it fits."""
        if service not in self.schemas.services:
            return None
        if body is None:
            return "the body is missing"
        return self.schemas.fault(service, body.root, body.size)

    def broken(
        self, service: str, body: Body, moment: datetime, days: BusinessDays, bank: str = ""
    ) -> Iterator[Broken]:
        """Every rule that ``body``, which fits its schema, breaks; in the order of the rules.

        ``moment`` is when it was first received, ``bank`` the code of the bank that received it.
        A rule that fails is broken, since nobody knows what it would have said.
        """
        rules = self._by_service.get(service)
        if not rules:
            return
        local = moment.astimezone(self.zone)
        tables = self.names, self.catalog, self.banks, self.currencies
        facts = Facts(service, body, local, days, *tables, bank)
        for rule in rules:
            try:
                reason = rule.broken(facts)
            except Exception as error:  # a site's own rule may raise anything
                _log.error("rule %s failed for %s: %s", rule.name, service, told(error))
                reason = f"rule {rule.name} could not be applied"
            if reason is not None:
                yield Broken(rule, reason)

    def references(self, service: str, body: Body) -> References | None:
        """The references of ``body`` that must be new; None where it begins nothing."""
        rule = self._unique
        if (
            rule is None
            or service not in rule.services
            or body.text(self.names.message_kind) in RESULTS
        ):
            return None
        return references_of(body, self.names)

    def checked(self, service: str, code: StatusCode) -> bytes:
        """The body of a reply of ``service`` that tells nothing but ``code``.

        Empty where its schema asks for more than that, or there is none. SOAP software takes a
        reply without the body that its WSDL promises for a broken one.
        """
        if service not in self.schemas.services:
            return b""
        body = self._checked.get((service, code))
        if body is None:
            body = build(self, service, [(self.names.status, str(code))])
            if self.fault(service, self.look(body)):
                body = b""
            self._checked[service, code] = body
        return body

    @cached_property
    def _checked(self) -> dict[tuple[str, StatusCode], bytes]:
        return {}

    @property
    def reused(self) -> Broken:
        """That another message holds such a reference."""
        return Broken(self._unique or UNIQUE_REFERENCES, reused(self.names))

    @cached_property
    def _unique(self) -> Rule | None:
        return next((rule for rule in self.rules if rule.name == UNIQUE_REFERENCES.name), None)
