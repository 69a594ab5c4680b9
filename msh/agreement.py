"""What two parties agreed: services, endpoints, reliability, limits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from difflib import get_close_matches
from typing import Any

from msh.businessdays import USUAL, BusinessDays
from msh.content import Content
from msh.errors import NotAgreed, UsageError
from msh.hours import Hours
from msh.profile import Profile, Role, RoleCodes
from msh.protection import ANYWHERE, PLAIN, Mac, Plain, Protection, Source


@dataclass(frozen=True, slots=True)
class Reliability:
    """How a sender resends (TDCC PSP 9.7.5, 4). Attempts are 1 + ``resends``.

    The next attempt is due at this attempt's start + ``timeout`` + interval, where the interval
    is ``interval`` * ``factor`` ** (attempt - 1); with the defaults attempts start at 0, 90, 240
    and 510 s and the message is given up at 540 s. ``wait`` and ``stop`` take any tenacity
    strategy instead; they see the attempt's number and the time since the first attempt.
    """

    resends: int = 3
    interval: timedelta = timedelta(seconds=60)
    factor: float = 2
    timeout: timedelta = timedelta(seconds=30)
    wait: Any = None
    stop: Any = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What one agreement may use at once, so that one party stalls nobody else.

    Inbound, ``running`` handlers and ``waiting`` messages stored behind them; outbound,
    ``sending`` exchanges.
    """

    running: int = 32
    waiting: int = 256
    sending: int = 32


@dataclass(frozen=True, slots=True)
class Handling:
    """How this side answers.

    A failing handler runs at most ``runs`` times, ``retry_after`` apart; a lease of ``lease``
    says how long a killed process keeps its work; a repeat waits up to ``patience`` for the first
    copy, and past it is told 503 (``busy_reply``) or nothing.
    """

    runs: int = 3
    retry_after: timedelta = timedelta(seconds=5)
    lease: timedelta = timedelta(seconds=30)
    patience: timedelta = timedelta(seconds=20)
    busy_reply: bool = True


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """What ``own`` and ``peer`` agreed. ``sends`` and ``accepts`` name request services.

    Without ``checks_content`` bodies may hold any XML: no schema, no business rule, no hours of a
    business type.
    """

    own: str
    own_role: Role
    peer: str
    peer_role: Role
    profile: Profile
    endpoint: str | None = None
    sends: frozenset[str] = frozenset()
    accepts: frozenset[str] = frozenset()
    outbound: Reliability = Reliability()
    inbound: Reliability = Reliability()
    time_to_live: timedelta | None = timedelta(hours=1)
    clock_skew: timedelta = timedelta(minutes=5)
    ids_kept: timedelta = timedelta(days=400)
    limits: Limits = Limits()
    handling: Handling = Handling()
    max_bytes: int = 1_048_576
    protection: Protection = PLAIN
    source: Source = ANYWHERE
    checks_content: bool = True
    days: BusinessDays = USUAL
    #: When services are open; None: always.
    hours: Hours | None = None
    #: Whether a request that was given up in doubt is asked about by itself (PS830).
    inquire: bool = False
    #: The bank code of ``own``, if it is a bank and says so: debits must be its own (0131E).
    bank: str = ""

    @property
    def content(self) -> Content | None:
        """What bodies must hold, or None where nothing is said about it."""
        return self.profile.content if self.checks_content else None

    @property
    def name(self) -> str:
        """The agreement's name: the peer's party id."""
        return self.peer

    @property
    def protected(self) -> bool:
        """Whether messages carry a signature or a MAC."""
        return not isinstance(self.protection, Plain)

    def takes(self, service: str) -> bool:
        """Whether the peer may send requests of ``service``."""
        return service in self.accepts or self._exchanges(service)

    def gives(self, service: str) -> bool:
        """Whether requests of ``service`` may be sent to the peer."""
        return service in self.sends or self._exchanges(service)

    def _exchanges(self, service: str) -> bool:
        return isinstance(self.protection, Mac) and service in self.profile.key_exchange.requests

    @property
    def own_codes(self) -> RoleCodes:
        """The status codes this side answers with."""
        return self.profile.roles[self.own_role]

    @property
    def peer_codes(self) -> RoleCodes:
        """The status codes the peer answers with."""
        return self.profile.roles[self.peer_role]


@dataclass(frozen=True)
class Agreements:
    """All agreements of one party, found by the peer's id."""

    own: str
    by_peer: dict[str, Agreement] = field(default_factory=dict)

    @classmethod
    def of(cls, own: str, agreements: Iterable[Agreement]) -> Agreements:
        """The agreements of ``own``, of which no two may have the same peer."""
        by_peer: dict[str, Agreement] = {}
        for agreement in agreements:
            if agreement.own != own or agreement.peer in by_peer:
                raise ValueError(f"agreement with {agreement.peer}: not of {own}, or given twice")
            by_peer[agreement.peer] = agreement
        return cls(own, by_peer)

    def __iter__(self) -> Iterator[Agreement]:
        return iter(self.by_peer.values())

    def __getitem__(self, peer: str) -> Agreement:
        return self.by_peer[peer]

    def get(self, peer: str) -> Agreement | None:
        """The agreement with ``peer``, if there is one."""
        return self.by_peer.get(peer)

    def to_send(self, service: str, to: str | None) -> Agreement:
        """The agreement under which ``service`` may be sent (``to`` this party).

        Raises `NotAgreed` where there is none, or more than one and ``to`` is not given.
        """
        for name, text in (("service", service), ("to", "" if to is None else to)):
            if not isinstance(text, str):
                raise UsageError(f"{name} must be a text, not {type(text).__name__}")
        self._require_request(service)
        if to is not None:
            agreement = self.by_peer.get(to)
            if agreement is None:
                known = ", ".join(sorted(self.by_peer)) or "none"
                raise NotAgreed(f"no agreement with party {to!r}; there is one with: {known}")
            if not agreement.gives(service):
                allowed = ", ".join(sorted(agreement.sends)) or "none"
                raise NotAgreed(f"{service} may not be sent to {to}; allowed: {allowed}")
            return agreement
        fitting = [a for a in self.by_peer.values() if service in a.sends]
        if len(fitting) > 1:
            parties = ", ".join(sorted(a.peer for a in fitting))
            raise NotAgreed(f"{service} may be sent to {parties}; say which with `to`")
        if not fitting:
            raise NotAgreed(
                f"{service} may be sent to no party: no agreement has it in `sends` (there is one "
                f"with: {', '.join(sorted(self.by_peer)) or 'none'})"
            )
        return fitting[0]

    def _require_request(self, service: str) -> None:
        """What is not agreed may be no service at all, or a reply: that is another mistake."""
        if any(service in agreement.sends for agreement in self):
            return
        profiles = {agreement.profile.name: agreement.profile for agreement in self}
        for profile in profiles.values():
            if (row := profile.catalog.service(service)) is not None:
                if row.kind == "request":
                    return
                raise NotAgreed(
                    f"{service} is a reply, which is given by a handler and not sent; it answers "
                    f"{row.request}"
                )
        for profile in profiles.values():
            raise NotAgreed(no_service(service, profile))


def no_service(name: str, profile: Profile) -> str:
    """That ``profile`` has no such service, and which one may have been meant."""
    requests = [row.code for row in profile.catalog.services.values() if row.kind == "request"]
    near = get_close_matches(name.strip().upper(), requests, 2, 0.7)
    hint = f"did you mean {' or '.join(near)}?" if near else "see `msh codes services`"
    shown = name if len(name) <= 40 else f"{name[:40]}…"
    return f"{shown!r} is no service of {profile.name}; {hint}"
