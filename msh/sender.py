"""The sending side: from a caller's `send` to the answer on disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from datetime import timedelta
from weakref import WeakValueDictionary

from msh.agreement import Agreement, Agreements
from msh.clock import Clock
from msh.courier import STORE_PAUSE, Courier, message_of
from msh.envelope import Parsed, believed, normal_body, parse, serialise
from msh.errors import (
    InDoubt,
    InvalidBody,
    MessageTooLarge,
    NotAgreed,
    Resolved,
    StoreClosed,
    StoreError,
    Undelivered,
    UnknownMessage,
    UsageError,
)
from msh.ids import new_message_id
from msh.message import Message, Outgoing, is_identifier
from msh.protocol import delivery as deliveries
from msh.protocol.checks import require_content, unbound
from msh.protocol.delivery import State
from msh.protocol.digest import content_digest
from msh.protocol.journal import Entry, Step
from msh.receipt import Receipt, Settlement
from msh.security import Security
from msh.store import Delivery, Draft, Store
from msh.transport.base import Transport

#: More bytes than any envelope around a body takes.
ENVELOPE = 8192


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
    ) -> Receipt:
        """Queue a message; it is on disk when this returns.

        ``body`` is one XML element, or None for a message that is meant to have none. ``key`` is
        the caller's own name for the request (1 to 200 characters): the same key and content give
        the same message again, also from another process. Raises `UsageError` (`NotAgreed`,
        `InvalidBody`, `MessageTooLarge`, `KeyReused`) or `StoreError`; then nothing was queued.
        """
        outgoing = Outgoing(service, body, to or "", key, message_id, ref_to)
        draft = self.draft(outgoing)
        # In place before anybody can work on the message, so that its end cannot be missed.
        settlement = self._settlement(draft.message_id)
        agreement, now = self._agreements[draft.receiver], self._clock.now()
        delivery, created = await self._courier.enqueue(agreement, draft, now)
        if not created:
            settlement = self._settlement(delivery.message_id)
            settlement.look_first = True
        return Receipt(delivery, settlement, self, created=created)

    def draft(self, outgoing: Outgoing) -> Draft:
        """Check what is to be sent; raises before anything is stored."""
        _require_texts(outgoing)
        agreement = self._agreements.to_send(outgoing.service, outgoing.to or None)
        if agreement.endpoint is None:
            raise NotAgreed(
                f"the agreement with {agreement.peer} has no endpoint; set "
                f"agreements.{agreement.peer}.endpoint"
            )
        if outgoing.key is not None and not 1 <= len(outgoing.key) <= 200:
            raise UsageError("a key must be 1 to 200 characters")
        now = self._clock.now()
        body = b""
        if outgoing.body is not None:
            body = normal_body(outgoing.body, agreement.profile.shape)
            if not body:
                raise InvalidBody(
                    "the body is empty, as of an export that failed; give one XML element, or None "
                    "for a message that is meant to have no body"
                )
        require_content(agreement, outgoing.service, body, now)
        message_id = outgoing.message_id or new_message_id(agreement.own, now)
        for name, text in (("message_id", message_id), ("ref_to", outgoing.ref_to)):
            if text is not None and not is_identifier(text):
                raise UsageError(f"{name} {text!r}: must be 1 to 128 visible ASCII characters")
        size = len(body) + self._security(agreement).overhead
        if size + ENVELOPE > agreement.max_bytes:  # near enough to the limit to be counted exactly
            message = message_of(agreement, outgoing, message_id, body, now)
            size += len(serialise(message, agreement.profile)) - len(body)
        if size > agreement.max_bytes:
            raise MessageTooLarge(
                f"{outgoing.service} to {agreement.peer} would be {size:,} bytes, over the limit of"
                f" {agreement.max_bytes:,}; split it into several requests (TDCC PSP 9.7.5)"
            )
        return Draft(
            message_id=message_id,
            service=outgoing.service,
            sender=agreement.own,
            receiver=agreement.peer,
            body=body,
            digest=content_digest(outgoing.service, agreement.peer, outgoing.ref_to, body),
            key=outgoing.key,
            ref_to=outgoing.ref_to,
        )

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
                return self._receipt(delivery)
        raise UnknownMessage(f"{message_id}: no message of that id was sent from this store")

    async def resend(self, message_id: str) -> Receipt:
        """Begin a new series of attempts with the same bytes, for a message without an answer.

        The other side recognises it by its id, so it cannot take effect twice there. Raises
        `UnknownMessage`, or `UsageError` for one that is answered, or under way.
        """
        delivery = await self._store.resend(self._agreements.own, message_id, self._clock.now())
        self.wake(delivery.receiver)
        return self._receipt(delivery)

    def _receipt(self, delivery: Delivery) -> Receipt:
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

    # what becomes of it

    async def late(self, parsed: Parsed) -> bool:
        """Take a reply that nobody awaits here; durable when this returns.

        False if it is no answer to a message sent from here.
        """
        agreement = self._agreements.get(parsed.message.sender)
        if agreement is None:
            return False
        security = self._security(agreement)
        reply = (await security.verify(parsed)).message
        now = self._clock.now()
        for delivery in await self._store.deliveries(message_id=reply.ref_to or ""):
            if delivery.sender != agreement.own:
                continue
            digest = await self._digest_of(delivery) if security.active else None
            reason = unbound(delivery, reply, agreement, digest)
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

    async def _digest_of(self, delivery: Delivery) -> bytes:
        stored = await self._store.request_wire(delivery.id)
        # Nothing was sent yet, or the content is gone since it ended: no reply can be bound to it.
        return self._courier.digest_of(stored[1]) if stored and stored[1] else b""

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
        for entry in entries:
            if entry.step is Step.RESOLVED and entry.message_id in self._settlements:
                self._refresh([entry.message_id])

    def changed(self) -> None:
        """Another process changed the store: look for work, and at what is waited for."""
        self._courier.wake_all()
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


def _require_texts(outgoing: Outgoing) -> None:
    for name, text in (
        ("key", outgoing.key),
        ("message_id", outgoing.message_id),
        ("ref_to", outgoing.ref_to),
    ):
        if text is not None and not isinstance(text, str):
            raise UsageError(f"{name} must be a text, not {type(text).__name__}")


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
