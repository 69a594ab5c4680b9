"""The sending side: from a caller's `send` to the answer on disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from datetime import datetime, timedelta
from weakref import WeakValueDictionary

from msh.agreement import Agreement, Agreements
from msh.clock import Clock
from msh.courier import STORE_PAUSE, Courier
from msh.drafting import Drafting
from msh.envelope import Parsed, believed, parse
from msh.errors import (
    InDoubt,
    InvalidBody,
    NotAgreed,
    NotExecuted,
    NotOpen,
    Resolved,
    StoreClosed,
    StoreError,
    Undelivered,
    UnknownMessage,
)
from msh.message import Message, Outgoing
from msh.outcomes import Outcomes
from msh.protocol import delivery as deliveries
from msh.protocol.delivery import State
from msh.protocol.journal import Entry, Step
from msh.receipt import Receipt, Settlement
from msh.replying import unanswered
from msh.security import Security
from msh.store import Delivery, Draft, Store
from msh.transport.base import Transport

# A delivery also ends by a result, by what an inquiry has found out, or by an operator's word.
_ENDED_BY_OTHERS = frozenset({Step.RESOLVED, Step.NOT_EXECUTED, Step.SETTLED})


class Sender:
    """Delivers messages under agreements: one worker per agreement, none stalls another."""

    def __init__(
        self,
        agreements: Agreements,
        store: Store,
        transports: Mapping[str, Transport],
        security: Callable[[Agreement], Security],
        clock: Clock,
    ) -> None:
        self._agreements = agreements
        self._profiles = {a.profile.namespace: a.profile for a in agreements}
        self._store = store
        self._security = security
        self._clock = clock
        self._courier = Courier(agreements, store, transports, security, clock, self._settle)
        self.drafting = Drafting(agreements, security, clock)
        self.outcomes = Outcomes(agreements, store)
        self._looking: set[asyncio.Task[None]] = set()
        self._settlements: WeakValueDictionary[str, Settlement] = WeakValueDictionary()

    # queueing

    async def send(
        self,
        service: str,
        body: bytes | str | None,
        *,
        to: str | None = None,
        key: str | None = None,
        message_id: str | None = None,
        ref_to: str | None = None,
        when_open: bool = False,
    ) -> Receipt:
        """Queue a message; it is on disk when this returns.

        ``body`` is one XML element, or None for a message that is meant to have none. ``key`` is
        the caller's own name for the request (1 to 200 characters): the same key and content give
        the same message again, also from another process. Outside the hours of its service it is
        refused, or, ``when_open``, waits until they begin. Raises `UsageError` (`NotAgreed`,
        `InvalidBody`, `MessageTooLarge`, `NotOpen`, `KeyReused`) or `StoreError`; then nothing
        was queued.
        """
        outgoing = Outgoing(service, body, to or "", key, message_id, ref_to)
        try:
            draft = self.draft(outgoing)
        except (InvalidBody, NotOpen):
            known = await self._queued_before(outgoing)
            if known is None:
                raise
            return known
        return await self.queue(draft, when_open=when_open)

    async def _queued_before(self, outgoing: Outgoing) -> Receipt | None:
        """A caller may repeat itself on a later day, when the same would be refused as too late."""
        if outgoing.key is None and outgoing.message_id is None:
            return None
        draft = self.drafting.draft(outgoing, new=False)
        with suppress(UnknownMessage):
            delivery, _ = await self._store.enqueue(draft, self._clock.now(), admit=False)
            return self.receipt_of(delivery)
        return None

    async def queue(self, draft: Draft, *, when_open: bool = True) -> Receipt:
        """Queue what was checked. Raises `NotOpen`, `KeyReused` or `StoreError`."""
        # In place before anybody can work on the message, so that its end cannot be missed.
        settlement = self._settlement(draft.message_id)
        agreement, now = self._agreements[draft.receiver], self._clock.now()
        if draft.due is None or when_open:
            delivery, created = await self._courier.enqueue(agreement, draft, now)
        else:
            delivery, created = await self._queued_in_time(draft, draft.due, now)
        if not created:
            settlement = self._settlement(delivery.message_id)
            settlement.look_first = True
        return Receipt(delivery, settlement, self, created=created)

    async def _queued_in_time(
        self, draft: Draft, opens: datetime, now: datetime
    ) -> tuple[Delivery, bool]:
        """A caller may repeat itself at any hour: what was queued before is told, not refused."""
        try:
            return await self._store.enqueue(draft, now, admit=False)
        except UnknownMessage:
            raise NotOpen(draft.service, opens) from None

    def draft(self, outgoing: Outgoing) -> Draft:
        """Check what is to be sent; raises before anything is stored."""
        return self.drafting.draft(outgoing)

    async def compose(self, outgoing: Outgoing) -> bytes:
        """The exact bytes that would leave now; nothing is stored or sent."""
        draft = self.draft(outgoing)
        return await self._courier.form(self._agreements[draft.receiver], draft, draft.body)

    async def receipt(self, message_id: str) -> Receipt:
        """The receipt of a message queued earlier, also before a restart.

        Raises `UnknownMessage`.
        """
        for delivery in await self._store.deliveries(message_id=message_id):
            if delivery.sender == self._agreements.own:
                return self.receipt_of(delivery)
        raise UnknownMessage(f"{message_id}: no message of that id was sent from this store")

    async def resend(self, message_id: str) -> Receipt:
        """Begin a new series of attempts with the same bytes, for a message without an answer.

        (Where surely no copy has arrived, the bytes are new, and the id the same.) The other side
        recognises it by its id, so it cannot take effect twice there. Raises `UnknownMessage`, or
        `UsageError` for one that is answered, or under way.
        """
        delivery = await self._store.resend(self._agreements.own, message_id, self._clock.now())
        self.wake(delivery.receiver)
        return self.receipt_of(delivery)

    def receipt_of(self, delivery: Delivery) -> Receipt:
        """The receipt of a delivery that is stored already."""
        settlement = self._settlement(delivery.message_id)
        settlement.look_first = True
        return Receipt(delivery, settlement, self, created=False)

    def _settlement(self, message_id: str) -> Settlement:
        settlement = self._settlements.get(message_id)
        if settlement is None:
            settlement = self._settlements[message_id] = Settlement()
        return settlement

    # delivering

    @property
    def started(self) -> bool:
        """Whether what is queued is delivered by itself."""
        return self._courier.started

    def start(self) -> None:
        """Begin to deliver what is queued, for every agreement that has an endpoint."""
        self._courier.start()

    async def stop(self, grace: float) -> None:
        """Begin nothing new; let exchanges under way end, for at most ``grace`` seconds.

        What did not end by then is in doubt until its next attempt, as after a crash.
        """
        await self._courier.stop(grace)
        for looking in self._looking:
            looking.cancel()
        for settlement in list(self._settlements.values()):
            settlement.close()
        self.outcomes.close()

    async def deliver_only(self, receipt: Receipt) -> Delivery:
        """Deliver this one message, whatever else is queued, and wait for its end.

        For a sender that was not started. Raises `NotAgreed` or `StoreError`.
        """
        peer = (await receipt.delivery()).receiver
        agreement = self._agreements.get(peer)
        if agreement is None or agreement.endpoint is None:
            raise NotAgreed(
                f"{receipt.message_id} cannot be delivered: there is no agreement with {peer} any "
                "more, or it has no endpoint"
            )
        return await self._courier.deliver_only(agreement, receipt.delivery)

    def wake(self, peer: str) -> None:
        """There may be work for ``peer``."""
        self._courier.wake(peer)

    async def exchange_again(self, agreement: Agreement, delivery: Delivery, wire: bytes) -> None:
        """Send ``wire``, the stored form of an ended delivery, once more; record the reply.

        What was recorded before stands. Raises `TransportError` or `StoreError`.
        """
        ends = self._clock.now() + agreement.outbound.timeout
        reply, answer, _ = await self._courier.exchange(agreement, delivery, wire, ends)
        now = self._clock.now()
        recorded = await self._store.record_reply(
            agreement.own, reply, answer, agreement.peer_codes, now, late=True
        )
        if recorded is not None:
            self._settle(recorded, None)

    # what becomes of it

    async def late(self, parsed: Parsed) -> bool:
        """Take a reply that nobody awaits here; durable when this returns.

        False if it is no answer to a message sent from here.
        """
        agreement = self._agreements.get(parsed.message.sender)
        if agreement is None:
            return False
        verified = await self._security(agreement).verify(parsed)
        reply, now = verified.message, self._clock.now()
        for delivery in await self._store.deliveries(message_id=reply.ref_to or ""):
            if delivery.sender != agreement.own:
                continue
            form = await self._form_of(delivery) if agreement.protected else None
            reason = unanswered(agreement, delivery, verified, form)
            if reason is not None:
                await self._store.ignore_reply(agreement.own, delivery.message_id, now, reason)
                return False
            recorded = await self._store.record_reply(
                agreement.own,
                reply,
                believed(parsed, reply),
                agreement.peer_codes,
                now,
                late=True,
            )
            if recorded is not None:
                self._settle(recorded, None)  # it may be another one than the reply that stands
            return recorded is not None
        return False

    async def _form_of(self, delivery: Delivery) -> Parsed | None:
        stored = await self._store.request_wire(delivery.id)
        return parse(stored[1], self._profiles) if stored and stored[1] else None

    def within(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """A block that ends with `TimeoutError` after so many seconds."""
        return self._clock.timeout(self._clock.now() + timedelta(seconds=seconds))

    async def look_up(self, delivery: Delivery) -> Delivery:
        """The delivery as stored now."""
        with _stopped(delivery.message_id):
            found = await self._store.delivery(delivery.id)
        if found is None:
            raise UnknownMessage(f"{delivery.message_id}: its id is no longer kept")
        return found

    async def reply_to(self, delivery: Delivery) -> Message:
        """The stored reply of an ended delivery, or the error that says what is known of it."""
        state, status, name = delivery.state, delivery.status, delivery.message_id
        if state is State.NOT_SENT:
            raise Undelivered(name, "surely not sent: no attempt reached the other side")
        if state is State.OUTCOME_UNKNOWN:
            raise InDoubt(
                name, "the other side had a system error; whether it took effect is unknown", status
            )
        if state is State.REFUSED_IN_DOUBT:
            raise InDoubt(
                name,
                f"a resend was refused with {status}; the first copy may have taken effect",
                status,
            )
        if state is State.NOT_EXECUTED:
            raise NotExecuted(name, f"not executed, as {delivery.resolved_by} says", status)
        if state is State.IN_DOUBT:
            raise InDoubt(name, "no answer to any attempt; it may have taken effect")
        with _stopped(name):
            wire = await self._store.delivery_reply(delivery.id)
        if wire is not None:
            return parse(wire, self._profiles).message
        if state is State.RESOLVED:
            raise Resolved(name, f"no reply came, but its result did: {delivery.resolved_by}")
        raise UnknownMessage(f"{name}: answered with {status}, and the reply has been purged")

    def _settle(self, delivery: Delivery, reply: Message | None = None) -> None:
        settlement = self._settlements.get(delivery.message_id)
        if settlement is not None:
            settlement.settle(delivery, reply)

    def noticed(self, entries: Sequence[Entry]) -> None:
        """Journal entries of this process: a result that was received may have ended a delivery.

        (Every other end is told by whoever recorded it.)
        """
        self.outcomes.noticed(entries)
        for entry in entries:
            if entry.step in _ENDED_BY_OTHERS and entry.message_id in self._settlements:
                self._refresh([entry.message_id])

    def changed(self) -> None:
        """Another process changed the store: look for work, and at what is waited for."""
        self._courier.wake_all()
        self.outcomes.changed()
        waiting = [name for name, one in self._settlements.items() if one.delivery is None]
        if waiting:
            self._refresh(waiting)

    def _refresh(self, message_ids: Sequence[str]) -> None:
        task = asyncio.create_task(self._look_again(message_ids))
        self._looking.add(task)
        task.add_done_callback(self._looking.discard)

    async def _look_again(self, message_ids: Sequence[str]) -> None:
        for message_id in message_ids:
            found: Sequence[Delivery] | None = None
            while found is None and message_id in self._settlements:  # while anybody waits
                with suppress(StoreError):
                    found = await self._store.deliveries(message_id=message_id)
                if found is None:
                    await self._clock.sleep_until(self._clock.now() + STORE_PAUSE)
            for delivery in found or ():
                if (
                    delivery.sender == self._agreements.own
                    and delivery.state not in deliveries.OPEN
                ):
                    self._settle(delivery)


@contextmanager
def _stopped(message_id: str) -> Iterator[None]:
    """Say whose store is closed: a receipt outlives the `async with` of its handler."""
    try:
        yield
    except StoreClosed:
        raise StoreClosed(
            f"{message_id}: the handler was stopped; the message is kept, ask with "
            "receipt(message_id) while a handler runs"
        ) from None
