"""The values a store takes and gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from msh.catalog import StatusCode
from msh.content import References
from msh.protocol import delivery, keys, reception
from msh.store.outcome_records import Inquiry

Apply = Callable[[Any], object]

#: How the detail of an attempt begins to which something came back that is not authentic.
UNAUTHENTIC = "what came back is not the answer: not authentic"


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on a reception. ``token`` changes hands: an older one is lost."""

    reception: int
    token: int
    run: int


@dataclass(frozen=True, slots=True)
class StoredReply:
    """The reply of a reception: as stored, and the first protected form if one was kept."""

    reception: int
    status: StatusCode
    plain: bytes
    form: bytes | None = None
    key: str = ""


@dataclass(frozen=True, slots=True)
class New:
    """The message is new, stored, and yours; ``suspended`` or ``reused``: to be refused as that.

    ``reused``: another message holds one of its references.
    """

    claim: Claim
    suspended: bool = False
    reused: bool = False


@dataclass(frozen=True, slots=True)
class Resend:
    """The message was answered before."""

    reply: StoredReply


@dataclass(frozen=True, slots=True)
class InHand:
    """The first copy is being handled, or will be."""

    reception: int


@dataclass(frozen=True, slots=True)
class Conflict:
    """The id belongs to another message."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """Only the id and the status are left."""

    status: StatusCode


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nothing is stored, and nothing was inserted (``admit=False``)."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """No first copy is known, but there may have been one whose id was forgotten."""


Arrival = New | Resend | InHand | Conflict | Remembered | Unknown | Forgotten


@dataclass(frozen=True, slots=True)
class Work:
    """A reception taken over, to be handled by whoever got it.

    ``repeat``: it came because it was asked for again. ``rerun``: an operator asked for this run,
    and the stored reply stays.
    """

    claim: Claim
    wire: bytes
    received: datetime
    reused: bool = False
    repeat: bool = False
    rerun: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """A message to be sent, before timestamp and protection. ``digest`` is the content's.

    A result that names no message is tied to it by ``references``. ``about``: what it inquires.
    """

    message_id: str
    service: str
    sender: str
    receiver: str
    body: bytes
    digest: bytes
    key: str | None = None
    ref_to: str | None = None
    references: References | None = None
    about: Inquiry | None = None
    #: When it may first leave, if that is not at once.
    due: datetime | None = None


@dataclass(frozen=True, slots=True)
class FirstAttempt:
    """An attempt that begins as its message is queued: the form, and what follows it when."""

    wire: bytes
    due: datetime
    last: bool
    lease: timedelta


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply to be stored: status, wire bytes, and what commits together with them.

    ``form`` is the reply protected under ``key``, where that could be done beforehand.
    """

    status: StatusCode
    wire: bytes
    reason: str = ""
    refused: bool = False
    set_aside: bool = False
    apply: Apply | None = None
    then: tuple[Draft, ...] = ()
    form: bytes | None = None
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A delivery as stored. ``attempts`` counts all, ``tries`` those of the present series."""

    id: int
    message_id: str
    service: str
    sender: str
    receiver: str
    ref_to: str | None
    key: str | None
    state: delivery.State
    queued: datetime
    size: int
    due: datetime | None
    attempts: int
    tries: int
    copies: int
    series_began: datetime | None
    status: StatusCode | None
    settled: datetime | None
    resolved_by: str | None
    purged: bool


@dataclass(frozen=True, slots=True)
class Outbound:
    """A delivery that is yours to work on. ``wire`` is the stored form, None before the first;
    with a form, which holds it, ``body`` may be empty. While ``delivery.copies`` is 0, another
    form may take its place.
    """

    delivery: Delivery
    token: int
    body: bytes
    wire: bytes | None
    last: bool


@dataclass(frozen=True, slots=True)
class Outbounds:
    """What `Store.claim` gives: work, and when more falls due (None: nothing is waiting).

    ``next_due`` may be too early, so that the caller asks in vain, but never too late.
    """

    work: tuple[Outbound, ...]
    next_due: datetime | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a delivery. ``outcome`` is None while it is under way."""

    number: int
    began: datetime
    ended: datetime | None
    outcome: str | None
    detail: str
    reconnected: bool

    @property
    def unauthentic(self) -> bool:
        """Whether something came back that is not authentic: somebody did answer."""
        return self.detail.startswith(UNAUTHENTIC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reception:
    """A reception as stored. ``runs`` counts the handler's starts."""

    id: int
    message_id: str
    service: str
    sender: str
    receiver: str
    ref_to: str | None
    state: reception.State
    received: datetime
    size: int
    due: datetime | None
    lease: datetime | None
    owner: str
    runs: int
    replays: int
    status: StatusCode | None
    answered: datetime | None
    purged: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """A working key as stored: wrapped, never in the clear. ``ours``: this side offered it.

    ``check_value`` shows which key it is without telling it. ``offered`` is by our clock, ``made``
    (the same if None) by the clock of the side that offers. ``verified`` is when a message first
    verified under it.
    """

    peer: str
    id: str
    algorithm: str
    wrapped: bytes
    check_value: str
    ours: bool
    state: keys.State
    offered: datetime
    made: datetime | None = None
    activated: datetime | None = None
    verified: datetime | None = None


class SuspensionKind(StrEnum):
    """What can be suspended."""

    PARTY = "party"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class Suspension:
    """A party whose messages, or a service whose requests, are refused for now."""

    kind: SuspensionKind
    name: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Purged:
    """How many messages lost their content, and how many ids were forgotten."""

    contents: int
    ids: int
