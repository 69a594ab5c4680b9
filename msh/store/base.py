"""The contract of a store: what both ways of a message make durable.

Every method is one transaction and is durable when it returns. The contract's test suite is
``msh.testing.contracts.store``; a third party's store can run it on its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from msh.content import References
from msh.message import Message
from msh.profile import RoleCodes
from msh.protocol.journal import Direction, Entry
from msh.store.batches import BatchStore
from msh.store.outcome_records import Result
from msh.store.outcomes import OutcomeStore
from msh.store.records import (
    Answer,
    Arrival,
    Attempt,
    Claim,
    Delivery,
    Draft,
    FirstAttempt,
    Outbound,
    Outbounds,
    Purged,
    Reception,
    StoredKey,
    StoredReply,
    Suspension,
    SuspensionKind,
    Work,
)

Notify = Callable[[Sequence[Entry]], None]


class Store(OutcomeStore, BatchStore, Protocol):
    """Where messages, attempts, replies and the journal are kept."""

    @property
    def shared(self) -> bool:
        """Whether other processes can work on the same data."""
        ...

    async def open(self, notify: Notify, party: str | None = None) -> None:
        """Connect, migrate, and from now on hand each durable journal entry to ``notify``.

        The first ``party`` that is given is the one whose messages the data holds: raises
        `StoreOfAnother` for another one. Without it, whoever looks may look.
        """
        ...

    def watch(self, changed: Callable[[], None]) -> None:
        """Call ``changed`` soon after another process has changed anything."""
        ...

    async def close(self) -> None:
        """Finish what was asked and let go of the database."""
        ...

    # inbound

    async def receive(
        self,
        message: Message,
        digest: bytes,
        wire: bytes,
        now: datetime,
        lease: timedelta,
        *,
        admit: bool = True,
        begin: bool = False,
        references: References | None = None,
        result: Result | None = None,
        repeat: bool = False,
    ) -> Arrival:
        """Store ``message`` if its (sender, MsgId) is new, in one atomic insert; else say what is
        known of the first copy. ``begin`` also raises the run number, for a handler that starts
        at once; without ``admit`` nothing is inserted. Nor is a message whose timestamp is not
        after that of one which `purge` has forgotten: it may be that one (`Forgotten`).

        Where the sender or the service is suspended, a new message is stored, no run begins, and
        the `New` says so. So it does where another message of this sender and service holds one
        of ``references``; else they are this message's, until it is answered with a code that
        refuses it, or its content is purged.

        A new message that tells a ``result`` is tied, in this transaction, to the delivery it is
        about: by its RefToMsgId if it has one, else by its references if they are those of one
        delivery only. That ends resending and every doubt. ``repeat`` is kept for its handler.
        """
        ...

    async def start(self, claim: Claim, now: datetime, lease: timedelta) -> Claim:
        """Raise the run number, before the handler starts. Raises `ClaimLost`."""
        ...

    async def extend(self, claim: Claim, now: datetime, lease: timedelta) -> None:
        """Keep the claim for another ``lease``. Raises `ClaimLost`."""
        ...

    async def answer(self, claim: Claim, answer: Answer, now: datetime) -> StoredReply:
        """Store the reply, the writes of its ``apply`` and its ``then`` as one.

        Raises `ClaimLost`, `ApplyFailed`, or `KeyReused` for one of ``then``; then nothing was
        written and the claim is as it was.
        """
        ...

    async def release(self, claim: Claim, due: datetime, now: datetime, reason: str) -> None:
        """Give the work up until ``due``. Raises `ClaimLost`."""
        ...

    async def park(self, claim: Claim, now: datetime) -> None:
        """Set the reception aside to be answered by id: no lease, no runs. Raises `ClaimLost`."""
        ...

    async def answer_parked(self, reception: int, answer: Answer, now: datetime) -> StoredReply:
        """Answer a parked reception; if it is answered already, that answer.

        Raises as `answer` does; `ClaimLost` means that it is not parked.
        """
        ...

    async def take_over(
        self, sender: str, now: datetime, lease: timedelta, limit: int
    ) -> Sequence[Work]:
        """Claim lapsed and released work of ``sender`` that is due, at most ``limit``."""
        ...

    async def keep_form(self, reception: int, key: str, wire: bytes, *, over: str = "") -> bytes:
        """Keep the protected form of a reply; returns the one that was first.

        A kept form whose key is ``over`` (retired) is replaced. Raises `UnknownMessage` where no
        reply is stored.
        """
        ...

    async def reply_of(self, reception: int) -> StoredReply | None:
        """The stored reply, or None while there is none."""
        ...

    # outbound

    async def enqueue(
        self,
        draft: Draft,
        now: datetime,
        *,
        first: FirstAttempt | None = None,
        admit: bool = True,
    ) -> tuple[Delivery, bool]:
        """Queue ``draft`` once per key, or per message id; the flag tells whether it is new.

        It is due at ``draft.due``, or ``now``. Without ``admit`` nothing is queued, and
        `UnknownMessage` raised for what was not queued before.

        With ``first`` a new delivery's first attempt begins in the same transaction, for a caller
        that lets bytes leave at once; its claim has token 1. Raises `KeyReused` if the key or the
        id names other content.
        """
        ...

    async def claim(
        self,
        receiver: str,
        now: datetime,
        lease: timedelta,
        limit: int,
        *,
        only: int | None = None,
    ) -> Outbounds:
        """Lease up to ``limit`` deliveries to ``receiver`` that are due (``only`` that one)."""
        ...

    async def begin(
        self,
        outbound: Outbound,
        wire: bytes,
        now: datetime,
        due: datetime,
        *,
        last: bool,
        lease: timedelta,
    ) -> None:
        """Store form, attempt, next due time and *may have arrived*; then bytes may leave.

        Once a copy may have arrived the form stays; until then ``wire`` replaces it. Raises
        `ClaimLost`.
        """
        ...

    async def record_failure(
        self,
        outbound: Outbound,
        now: datetime,
        *,
        outcome: str,
        detail: str,
        sent: bool,
        reconnected: bool,
    ) -> None:
        """End the attempt without an answer; unless ``sent``, clear its *may have arrived*.

        Raises `ClaimLost`, also if a reply or a result has ended the attempt meanwhile.
        """
        ...

    async def record_reply(
        self,
        sender: str,
        reply: Message,
        wire: bytes,
        codes: RoleCodes,
        now: datetime,
        *,
        reconnected: bool = False,
        late: bool = False,
    ) -> Delivery | None:
        """Record a verified, bound reply to the delivery it refers to, whoever holds the claim.

        None if there is no such delivery.
        """
        ...

    async def ignore_reply(self, sender: str, message_id: str, now: datetime, reason: str) -> None:
        """Journal a reply that is no answer (unbound, unprotected ...)."""
        ...

    async def hold(self, outbound: Outbound, due: datetime, now: datetime, reason: str) -> None:
        """Give a delivery back that cannot leave now; no attempt has begun. Raises `ClaimLost`.

        Its schedule is as it was, but nobody gets it before ``due``. The first time in a row, the
        journal says why.
        """
        ...

    async def give_up(self, outbound: Outbound, now: datetime) -> Delivery:
        """End a delivery whose schedule is over. Raises `ClaimLost`."""
        ...

    async def resend(self, sender: str, message_id: str, now: datetime) -> Delivery:
        """Begin a new series of attempts, now. Raises `UnknownMessage` or `UsageError`."""
        ...

    # working keys

    async def keys(self, peer: str | None = None) -> Sequence[StoredKey]:
        """The working keys of an agreement, or of all, oldest offer first."""
        ...

    async def offer_key(self, key: StoredKey, message_id: str) -> StoredKey:
        """Keep a new key as pending, once per (peer, id); returns what is kept.

        One that was made before another that the same side offered comes too late: it is returned
        as previous, and not kept.

        A pending key that it overtakes becomes previous. ``message_id`` names the offer in the
        journal; the moment is ``key.offered``.
        """
        ...

    async def activate_key(self, peer: str, key: str, message_id: str, now: datetime) -> bool:
        """Make a pending key the active one, and the active one previous.

        True if it is active now; an active key stays as it is, a previous or unknown one does not
        come back.
        """
        ...

    async def key_verified(self, peer: str, key: str, message_id: str, now: datetime) -> None:
        """A message verified under this key; the first time counts. A pending key is activated."""
        ...

    async def retire_key(self, peer: str, key: str, now: datetime) -> bool:
        """A key is known to others: it is compromised, whatever it was. It stays so.

        False if it was already, or is unknown. The journal has no message for it: its id is empty.
        """
        ...

    async def forget_keys(self, before: datetime) -> int:
        """Remove previous and compromised keys under whose successor a message first verified
        before ``before``; returns how many.
        """
        ...

    # suspension

    async def suspend(self, kind: SuspensionKind, name: str, now: datetime) -> bool:
        """Refuse new messages of a party, or for a service; False if they were already."""
        ...

    async def resume(self, kind: SuspensionKind, name: str, now: datetime) -> bool:
        """End a suspension; False if there was none."""
        ...

    async def suspensions(self) -> Sequence[Suspension]:
        """What is suspended, oldest first."""
        ...

    # reading

    async def delivery(self, delivery: int) -> Delivery | None:
        """One delivery, by the store's number."""
        ...

    async def request_wire(self, delivery: int) -> tuple[bytes, bytes | None] | None:
        """The body and the stored form of a delivery, while its content is kept.

        Once there is a form, which holds it, the body may be empty.
        """
        ...

    async def received_wire(self, reception: int) -> bytes | None:
        """The wire bytes of a request that was received, while its content is kept."""
        ...

    async def delivery_reply(self, delivery: int) -> bytes | None:
        """The reply's wire bytes, if there is one and its content is kept."""
        ...

    async def deliveries(
        self,
        *,
        message_id: str | None = None,
        state: str | None = None,
        since: datetime | None = None,
        limit: int = 1000,
    ) -> Sequence[Delivery]:
        """Deliveries, newest first."""
        ...

    async def receptions(
        self,
        *,
        message_id: str | None = None,
        state: str | None = None,
        since: datetime | None = None,
        limit: int = 1000,
    ) -> Sequence[Reception]:
        """Receptions, newest first."""
        ...

    async def attempts(self, delivery: int) -> Sequence[Attempt]:
        """Every attempt of a delivery, in order."""
        ...

    async def journal(
        self,
        *,
        message_id: str | None = None,
        direction: Direction | None = None,
        after: int = 0,
        limit: int = 1000,
    ) -> Sequence[Entry]:
        """Journal entries in order, those numbered over ``after``."""
        ...

    async def last_entry(self) -> int:
        """The number of the newest journal entry; 0 in an empty journal."""
        ...

    def purge(self, contents: datetime, ids: datetime, now: datetime) -> AsyncIterator[Purged]:
        """Remove contents settled before ``contents`` and ids settled before ``ids``, in steps.

        Never what is unanswered, still being delivered, in doubt or set aside. The id of a
        message that was received is kept until the timestamps of its copies, too, are before
        ``ids``. Lines that the journal got after the content went are removed when they are
        before ``contents``.
        """
        ...
