"""Batches: a request over the size limit, sent as several and followed as one (TDCC PSP 9.7.5, 5).

The parts are queued in one transaction, so that a process that is killed leaves all or none.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from msh.agreement import Agreement, Agreements
from msh.catalog import Meaning, StatusCode
from msh.clock import Clock
from msh.content import References
from msh.content.splitting import Part, split, whole_shape
from msh.drafting import Drafting
from msh.errors import CannotSplit, DeliveryError, NotOpen, UnknownMessage, UsageError
from msh.ids import new_message_id
from msh.message import Message, Outgoing
from msh.protocol.checks import require_content
from msh.protocol.delivery import State
from msh.protocol.digest import content_digest
from msh.receipt import Receipt
from msh.sender import Sender
from msh.store import BatchDraft, Delivery, PartDraft, Store, StoredBatch, StoredPart
from msh.transport.base import Transport

Result = TypeVar("Result")

#: A part's key is the batch's with its number, and a key has at most 200 characters.
LONGEST_KEY = 190
# More elements than any envelope has.
_AROUND = 64


class Fate(StrEnum):
    """What is known of a part."""

    OPEN = "open"
    DONE = "done"
    REFUSED = "refused"
    IN_DOUBT = "in doubt"
    RESOLVED = "resolved"
    NOT_EXECUTED = "not executed"
    NOT_SENT = "not sent"


# Of an answered one it is the answer that tells.
_FATES = {
    State.QUEUED: Fate.OPEN,
    State.SENDING: Fate.OPEN,
    State.WAITING: Fate.OPEN,
    State.OUTCOME_UNKNOWN: Fate.IN_DOUBT,
    State.REFUSED_IN_DOUBT: Fate.IN_DOUBT,
    State.IN_DOUBT: Fate.IN_DOUBT,
    State.RESOLVED: Fate.RESOLVED,
    State.NOT_EXECUTED: Fate.NOT_EXECUTED,
    State.NOT_SENT: Fate.NOT_SENT,
}


def fate_of(delivery: Delivery) -> Fate:
    """What is known of a delivery, in one word."""
    if delivery.state is State.ANSWERED:
        done = delivery.status is not None and delivery.status.meaning is Meaning.DONE
        return Fate.DONE if done else Fate.REFUSED
    return _FATES[delivery.state]


@dataclass(frozen=True, slots=True)
class BatchPart:
    """One part: its message, the groups of the whole that it holds (from 1), and its fate."""

    number: int
    message_id: str
    first: int
    last: int
    references: References
    fate: Fate
    status: StatusCode | None


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a batch stands. ``forgotten`` parts are so long settled that their ids are not kept."""

    parts: tuple[BatchPart, ...]
    forgotten: int = 0

    @property
    def counts(self) -> Mapping[Fate, int]:
        """How many parts have each fate that any has."""
        return Counter(part.fate for part in self.parts)

    @property
    def ended(self) -> bool:
        """Whether no part is under way."""
        return Fate.OPEN not in self.counts

    @property
    def done(self) -> bool:
        """Whether the other side has taken every part."""
        return set(self.counts) <= {Fate.DONE, Fate.RESOLVED}


class Batch:
    """A request that went as several; ``created`` tells whether this call queued them."""

    def __init__(self, stored: StoredBatch, store: Store, sender: Sender, *, created: bool) -> None:
        self._stored = stored
        self._store = store
        self._sender = sender
        self.created = created
        #: Of the parts, in order.
        self.receipts: tuple[Receipt, ...] = tuple(
            sender.receipt_of(part.delivery) for part in stored.parts
        )

    @property
    def key(self) -> str:
        """The caller's key, or the one made in its place: `batch` finds it by that."""
        return self._stored.key

    @property
    def service(self) -> str:
        """The service of every part."""
        return self._stored.service

    @property
    def receiver(self) -> str:
        """To whom it goes."""
        return self._stored.receiver

    @property
    def count(self) -> int:
        """How many parts it was cut into."""
        return self._stored.count

    async def progress(self) -> Progress:
        """Where each part stands now. Raises `UnknownMessage` once all of them are forgotten."""
        stored = await self._store.batch(self._stored.sender, self.key)
        if stored is None:
            raise _unknown(self.key)
        return Progress(
            tuple(_part(part) for part in stored.parts), stored.count - len(stored.parts)
        )

    async def settled(self, timeout: float | None = None) -> Progress:
        """Wait until every part has ended, one way or the other.

        Raises `TimeoutError` after ``timeout`` seconds; the parts go on as before.
        """
        await self._all(Receipt.settled, timeout)
        return await self.progress()

    async def replies(
        self, timeout: float | None = None
    ) -> Sequence[Message | DeliveryError | UnknownMessage]:
        """Wait for the answer to every part, in order.

        A part that has none has the error there that its receipt's `reply` raises; one that was
        refused has the reply that says so. Raises `TimeoutError` as `settled` does.
        """
        return await self._all(_reply, timeout)

    async def outcomes(
        self, timeout: float | None = None
    ) -> Sequence[Message | DeliveryError | UnknownMessage]:
        """Wait for the result of every part, in order; errors stand in the place of those without.

        Raises `UsageError` for a service that has no result, or `TimeoutError`.
        """
        return await self._all(_outcome, timeout)

    async def _all(
        self, ask: Callable[[Receipt], Awaitable[Result]], timeout: float | None
    ) -> Sequence[Result]:
        asking = [ask(receipt) for receipt in self.receipts]
        if timeout is None:
            return await asyncio.gather(*asking)
        try:
            async with self._sender.within(timeout):
                return await asyncio.gather(*asking)
        except TimeoutError:
            raise TimeoutError(
                f"batch {self.key}: not every part has ended within {timeout:g} s; they are kept, "
                "and go on by their schedule while a handler runs"
            ) from None

    def __repr__(self) -> str:
        return f"<Batch {self.key}, {self.count} parts>"


async def _reply(receipt: Receipt) -> Message | DeliveryError | UnknownMessage:
    try:
        return await receipt.reply()
    except (DeliveryError, UnknownMessage) as error:
        return error


async def _outcome(receipt: Receipt) -> Message | DeliveryError | UnknownMessage:
    try:
        return await receipt.outcome()
    except (DeliveryError, UnknownMessage) as error:
        return error


def _part(part: StoredPart) -> BatchPart:
    delivery = part.delivery
    return BatchPart(
        part.number,
        delivery.message_id,
        part.first,
        part.last,
        part.references,
        fate_of(delivery),
        delivery.status,
    )


def _unknown(key: str) -> UnknownMessage:
    return UnknownMessage(f"{key}: no batch of that key was sent from this store")


class Batching:
    """What `msh.MessageServiceHandler` offers for requests over the size limit."""

    agreements: Agreements
    store: Store
    _clock: Clock

    @property
    def sender(self) -> Sender:
        """The sending side."""
        raise NotImplementedError

    def _new_sender(self, transports: Mapping[str, Transport]) -> Sender:
        raise NotImplementedError

    async def _load_keys(self) -> None:
        raise NotImplementedError

    async def split(
        self, service: str, body: bytes | str, *, to: str | None = None
    ) -> Sequence[Part]:
        """Cut a request into parts that each fit into a message. Nothing is stored or sent.

        The largest protection of the agreement is counted. Raises `CannotSplit`, or as `send` does.
        """
        await self._load_keys()
        drafting = self._new_sender({}).drafting
        agreement = drafting.agreement(Outgoing(service, body, to or ""))
        # A large body takes a second or more: not on the event loop.
        whole = await asyncio.to_thread(drafting.whole, agreement, body)
        return await asyncio.to_thread(
            _cut, drafting, agreement, service, whole, "", self._clock.now()
        )

    async def send_split(
        self,
        service: str,
        body: bytes | str,
        *,
        to: str | None = None,
        key: str | None = None,
        when_open: bool = False,
    ) -> Batch:
        """Queue a request as several that each fit into a message: all are on disk, or none.

        Like `send` otherwise. ``key`` (1 to 190 characters) names the batch, and the keys and ids
        of the parts are derived from it: the same key and content give the same batch, other
        content raises `KeyReused`. A body that fits is a batch of one, the same message as `send`
        would make of it. Raises `CannotSplit`, which is a `MessageTooLarge`, or as `send` does.
        """
        sender, own = self.sender, self.agreements.own
        if key is not None and not (isinstance(key, str) and 1 <= len(key) <= LONGEST_KEY):
            raise UsageError(f"a batch's key must be a text of 1 to {LONGEST_KEY} characters")
        now = self._clock.now()
        key = key or new_message_id(own, now)
        drafting = sender.drafting
        agreement = drafting.agreement(Outgoing(service, body, to or "", key))
        whole = await asyncio.to_thread(drafting.whole, agreement, body)
        digest = content_digest(service, agreement.peer, None, whole)
        stored = await self.store.batch(own, key)
        if stored is not None:  # as it was cut then, whatever the limits are now
            stored.require(digest)
            return Batch(stored, self.store, sender, created=False)
        name = _message_ids(own, key, digest)
        parts = await asyncio.to_thread(
            _drafts, drafting, agreement, service, whole, key, name, now
        )
        if not when_open and parts[0].draft.due is not None:
            raise NotOpen(service, parts[0].draft.due)
        batch = BatchDraft(
            key=key,
            service=service,
            sender=own,
            receiver=agreement.peer,
            digest=digest,
            parts=tuple(parts),
        )
        try:
            stored, created = await self.store.enqueue_all(batch, now)
        finally:
            sender.wake(agreement.peer)  # in any case: it may be queued, whatever is known here
        return Batch(stored, self.store, sender, created=created)

    async def batch(self, key: str) -> Batch:
        """The batch of this key, also after a restart. Raises `UnknownMessage`."""
        sender = self.sender
        stored = await self.store.batch(self.agreements.own, key)
        if stored is None:
            raise _unknown(key)
        return Batch(stored, self.store, sender, created=False)


def _message_ids(own: str, key: str, digest: bytes) -> str:
    """What the message ids of the parts begin with: the same for the same key and content."""
    name = hashlib.sha256(b"%d:%b%b" % (len(digest), digest, key.encode())).hexdigest()
    return f"{own[:64]}-{name[:24]}"


def _numbered(name: str, number: int) -> str:
    return f"{name}-{number:05d}"


def _cut(
    drafting: Drafting, agreement: Agreement, service: str, whole: bytes, name: str, now: datetime
) -> Sequence[Part]:
    profile = agreement.profile
    if profile.content is None:
        raise CannotSplit(f"{service} cannot be split: profile {profile.name} describes no bodies")
    # What is wrong with the whole must not be hidden by parts that are right.
    require_content(agreement, service, whole, now, whole_shape(profile.shape))
    name = name or _message_ids(agreement.own, "", b"")
    room = drafting.room(agreement, service, _numbered(name, 1))
    elements = profile.shape.elements - _AROUND
    return split(service, whole, profile.content, room, elements=elements)


def _drafts(
    drafting: Drafting,
    agreement: Agreement,
    service: str,
    whole: bytes,
    key: str,
    name: str,
    now: datetime,
) -> Sequence[PartDraft]:
    """Each part as a message of its own, checked like any other.

    The first has the batch's key, so that a message of that key and the batch exclude each other.
    """
    drafts = []
    for part in _cut(drafting, agreement, service, whole, name, now):
        part_key = key if part.number == 1 else f"{key}#{part.number}"
        message_id = _numbered(name, part.number)
        outgoing = Outgoing(service, part.body, agreement.peer, part_key, message_id)
        draft = drafting.draft(outgoing)
        drafts.append(PartDraft(draft, part.first, part.last, part.references))
    return drafts
