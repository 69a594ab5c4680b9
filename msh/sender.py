"""The sending side: from a caller's `send` to the answer on disk."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from msh.agreement import Agreement, Agreements
from msh.clock import Clock
from msh.envelope import Parsed, normal_body, parse, serialise
from msh.errors import (
    Busy,
    ClaimLost,
    ConfigurationError,
    InDoubt,
    MalformedMessage,
    MessageTooLarge,
    MshError,
    NoAnswer,
    NotAgreed,
    NotSent,
    Rejected,
    Resolved,
    StoreError,
    TransportError,
    Undelivered,
    UnknownMessage,
)
from msh.ids import new_message_id
from msh.message import Message, Outgoing
from msh.protocol import delivery as deliveries
from msh.protocol.checks import unbound
from msh.protocol.delivery import State
from msh.protocol.digest import content_digest
from msh.protocol.journal import Direction, Entry, Step
from msh.protocol.retry import plan
from msh.receipt import Receipt, Settlement
from msh.security import Security
from msh.store import Delivery, Draft, Outbound, Outbounds, Store
from msh.transport.base import Transport

_log = logging.getLogger("msh.sender")

#: More bytes than any envelope around a body takes.
ENVELOPE = 8192
#: How long a claim lasts before its first byte leaves.
CLAIM_LEASE = timedelta(seconds=30)
#: How long the last attempt's outcome may take to be recorded before the message is given up.
RECORDING = timedelta(seconds=5)
#: How long to wait after the store failed before it is asked again.
STORE_PAUSE = timedelta(seconds=1)
#: How often a message that another process has in hand is looked at.
LOOK_AGAIN = timedelta(seconds=0.25)

_OUTCOMES: Mapping[type[TransportError], str] = {
    NotSent: "not sent",
    NoAnswer: "no answer",
    Busy: "busy",
    Rejected: "rejected",
}
_SETTLING = frozenset({Step.ANSWERED, Step.GIVEN_UP, Step.RESOLVED})


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
        self._transports = transports
        self._security = security
        self._clock = clock
        self._wake = {agreement.peer: asyncio.Event() for agreement in agreements}
        self._workers: list[asyncio.Task[None]] = []
        self._stopping = False
        self._under_way: set[asyncio.Task[None]] = set()
        self._settlements: WeakValueDictionary[str, Settlement] = WeakValueDictionary()

    # queueing

    async def send(
        self,
        service: str,
        body: bytes | str = b"",
        *,
        to: str | None = None,
        key: str | None = None,
        message_id: str | None = None,
        ref_to: str | None = None,
    ) -> Receipt:
        """Queue a message; it is on disk when this returns.

        ``key`` is the caller's own name for the request (1 to 200 characters): the same key and
        content give the same message again, also from another process. Raises `NotAgreed`,
        `InvalidBody`, `MessageTooLarge`, `KeyReused` or `StoreError`; then nothing was queued.
        """
        outgoing = Outgoing(service, body, to or "", key, message_id, ref_to)
        draft = self.draft(outgoing)
        # In place before anybody can work on the message, so that its end cannot be missed.
        settlement = self._settlement(draft.message_id)
        delivery, created = await self._store.enqueue(draft, self._clock.now())
        if not created:
            settlement = self._settlement(delivery.message_id)
            settlement.look_first = True
        self.wake(delivery.receiver)
        return Receipt(delivery, settlement, self, created=created)

    def draft(self, outgoing: Outgoing) -> Draft:
        """Check what is to be sent; raises before anything is stored."""
        agreement = self._agreements.to_send(outgoing.service, outgoing.to or None)
        if agreement.endpoint is None:
            raise NotAgreed(
                f"the agreement with {agreement.peer} has no endpoint; set "
                f"agreements.{agreement.peer}.endpoint"
            )
        if outgoing.key is not None and not 1 <= len(outgoing.key) <= 200:
            raise NotAgreed("a key must be 1 to 200 characters")
        now = self._clock.now()
        body = normal_body(outgoing.body, agreement.profile.shape)
        message_id = outgoing.message_id or new_message_id(agreement.own, now)
        size = len(body) + self._security(agreement).overhead
        if size + ENVELOPE > agreement.max_bytes:  # near enough to the limit to be counted exactly
            message = _message(agreement, outgoing, message_id, body, now)
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

    def compose(self, outgoing: Outgoing) -> bytes:
        """The exact bytes that would leave now; nothing is stored or sent."""
        draft = self.draft(outgoing)
        return self._form(self._agreements[draft.receiver], draft, draft.body)

    async def receipt(self, message_id: str) -> Receipt:
        """The receipt of a message queued earlier, also before a restart.

        Raises `UnknownMessage`.
        """
        for delivery in await self._store.deliveries(message_id=message_id):
            if delivery.sender == self._agreements.own:
                return self._receipt(delivery)
        raise UnknownMessage(f"{message_id}: no message of that id was sent from this store")

    async def resend(self, message_id: str) -> Receipt:
        """Begin a new series of attempts with the same bytes (for an operator)."""
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

    def start(self) -> None:
        """Begin to deliver what is queued, for every agreement that has an endpoint."""
        for agreement in self._agreements:
            if agreement.endpoint is not None:
                if urlsplit(agreement.endpoint).scheme not in self._transports:
                    raise ConfigurationError(
                        agreement.endpoint, ["no transport for this scheme was given"]
                    )
                worker = asyncio.create_task(
                    self._work(agreement), name=f"msh-sender-{agreement.peer}"
                )
                self._workers.append(worker)

    async def stop(self, grace: float) -> None:
        """Begin nothing new; let exchanges under way end, for at most ``grace`` seconds.

        What did not end by then is in doubt until its next attempt, as after a crash.
        """
        self._stopping = True
        for wake in self._wake.values():
            wake.set()  # not cancelled: what a claim has leased must be known here
        await asyncio.gather(*self._workers, return_exceptions=True)
        self._workers.clear()
        if self._under_way:
            _, late = await asyncio.wait(self._under_way, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for settlement in list(self._settlements.values()):
            settlement.close()

    async def deliver_only(self, receipt: Receipt) -> Delivery:
        """Deliver this one message, whatever else is queued, and wait for its end.

        For a sender that was not started. Another process may deliver it as well as this one:
        each attempt belongs to whoever claims it. Raises `NotAgreed` or `StoreError`.
        """
        peer = (await receipt.delivery()).receiver
        agreement = self._agreements.get(peer)
        if agreement is None or agreement.endpoint is None:
            raise NotAgreed(
                f"{receipt.message_id} cannot be delivered: there is no agreement with {peer} any "
                "more, or it has no endpoint"
            )
        wake = self._wake[peer]
        while True:
            wake.clear()
            delivery, now = await receipt.delivery(), self._clock.now()
            if delivery.state not in deliveries.OPEN:
                return delivery
            found = await self._store.claim(peer, now, CLAIM_LEASE, 1, only=delivery.id)
            for outbound in found.work:
                await self._guarded(agreement, outbound)
            if not found.work:
                # Either it is not due yet, or another process has it in hand.
                waits = delivery.due is not None and delivery.due > now
                await self._woken_by(wake, delivery.due if waits else now + LOOK_AGAIN)

    def wake(self, peer: str) -> None:
        """There may be work for ``peer``."""
        event = self._wake.get(peer)
        if event is not None:
            event.set()

    async def _work(self, agreement: Agreement) -> None:
        """Claim what is due, as much as the agreement may have under way, and wait for more."""
        wake = self._wake[agreement.peer]
        mine: set[asyncio.Task[None]] = set()
        while not self._stopping:
            wake.clear()
            free = agreement.limits.sending - len(mine)
            found = Outbounds((), None)
            if free > 0:
                now = self._clock.now()
                try:
                    found = await self._store.claim(agreement.peer, now, CLAIM_LEASE, free)
                except StoreError as error:
                    _log.error("cannot claim for %s: %s", agreement.peer, error)
                    found = Outbounds((), now + STORE_PAUSE)
            for outbound in found.work:
                task = asyncio.create_task(self._guarded(agreement, outbound))
                for tasks in (mine, self._under_way):
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                task.add_done_callback(lambda _: wake.set())
            if self._stopping:
                break
            if free > 0 and len(found.work) < free:
                await self._woken_by(wake, found.next_due)
            else:
                await wake.wait()

    async def _woken_by(self, wake: asyncio.Event, due: datetime | None) -> None:
        if due is None:
            await wake.wait()
        else:
            with suppress(TimeoutError):
                async with self._clock.timeout(due):
                    await wake.wait()

    async def _guarded(self, agreement: Agreement, outbound: Outbound) -> None:
        try:
            await self.deliver(agreement, outbound)
        except ClaimLost:
            _log.info("%s: taken over by another process", outbound.delivery.message_id)
        except StoreError as error:
            # The claim lapses, and the attempt, if one began, counts as unanswered.
            _log.error("%s: %s", outbound.delivery.message_id, error)
        except Exception as error:  # the same holds, and somebody must know
            _log.critical("a defect in msh itself: %s", type(error).__name__, exc_info=error)

    async def deliver(self, agreement: Agreement, outbound: Outbound) -> None:
        """The way of a message out: one attempt, from the claim to the outcome on disk."""
        delivery, now = outbound.delivery, self._clock.now()
        if outbound.last:
            self._settle(await self._store.give_up(outbound, now))
            return
        wire = outbound.wire or self._form(agreement, delivery, outbound.body)
        following = plan(agreement.outbound, delivery.tries + 1, delivery.series_began or now, now)
        ends = now + agreement.outbound.timeout
        # Until the next step is due: a process that is killed meanwhile shifts nothing.
        lease = following.due - now + (RECORDING if following.last else timedelta(0))
        await self._store.begin(
            outbound, wire, now, following.due, last=following.last, lease=lease
        )
        try:
            reply, answer, reconnected = await self._exchange(agreement, delivery, wire, ends)
        except TransportError as error:
            if isinstance(error, Rejected):
                _log.warning("%s to %s: %s", delivery.message_id, agreement.peer, error)
            await self._store.record_failure(
                outbound,
                self._clock.now(),
                outcome=_OUTCOMES[type(error)],
                detail=str(error),
                sent=not isinstance(error, NotSent),
                reconnected=error.reconnected,
            )
            self.wake(agreement.peer)
            return
        recorded = await self._store.record_reply(
            agreement.own,
            reply,
            answer,
            agreement.peer_codes,
            self._clock.now(),
            reconnected=reconnected,
        )
        if recorded is not None:
            self._settle(recorded, reply)

    async def _exchange(
        self, agreement: Agreement, delivery: Delivery, wire: bytes, ends: datetime
    ) -> tuple[Message, bytes, bool]:
        """The verified, bound reply; anything else is raised as no answer."""
        assert agreement.endpoint is not None
        transport = self._transports[urlsplit(agreement.endpoint).scheme]
        seconds = agreement.outbound.timeout.total_seconds()
        try:
            async with self._clock.timeout(ends):
                response = await transport.exchange(agreement.endpoint, wire, seconds)
        except TimeoutError:
            raise NoAnswer(f"no answer within {seconds:g} s") from None
        try:
            parsed = parse(response.wire, self._profiles)
            reply = self._security(agreement).verify(parsed).message
            reason = unbound(delivery, reply, agreement)
        except MalformedMessage as error:
            reason = error.reason
        except MshError as error:
            reason = str(error)
        if reason is not None:
            raise NoAnswer(
                f"what came back is not the answer: {reason}", reconnected=response.reconnected
            )
        return reply, response.wire, response.reconnected

    def _form(self, agreement: Agreement, request: Delivery | Draft, body: bytes) -> bytes:
        """The protected form, made when the message is first claimed and never again."""
        now = self._clock.now()
        outgoing = Outgoing(request.service, body, agreement.peer, ref_to=request.ref_to)
        message = _message(agreement, outgoing, request.message_id, body, now)
        return self._security(agreement).protect(message, agreement.profile).wire

    # what becomes of it

    async def late(self, parsed: Parsed) -> bool:
        """Take a reply that nobody awaits here; durable when this returns.

        False if it is no answer to a message sent from here.
        """
        agreement = self._agreements.get(parsed.message.sender)
        if agreement is None:
            return False
        reply = self._security(agreement).verify(parsed).message
        now = self._clock.now()
        for delivery in await self._store.deliveries(message_id=reply.ref_to or ""):
            if delivery.sender != agreement.own:
                continue
            reason = unbound(delivery, reply, agreement)
            if reason is not None:
                await self._store.ignore_reply(agreement.own, delivery.message_id, now, reason)
                return False
            recorded = await self._store.record_reply(
                agreement.own, reply, parsed.wire, agreement.peer_codes, now, late=True
            )
            if recorded is not None:
                self._settle(recorded, reply)
            return recorded is not None
        return False

    async def look_up(self, delivery: Delivery) -> Delivery:
        """The delivery as stored now."""
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
        """Journal entries of this process: a result may have ended a delivery we wait for."""
        for entry in entries:
            if entry.direction is Direction.OUTBOUND and entry.step in _SETTLING:
                settlement = self._settlements.get(entry.message_id)
                if settlement is not None and settlement.delivery is None:
                    self._refresh([entry.message_id])

    def changed(self) -> None:
        """Another process changed the store: look for work, and at what is waited for."""
        for event in self._wake.values():
            event.set()
        waiting = [name for name, one in self._settlements.items() if one.delivery is None]
        if waiting:
            self._refresh(waiting)

    def _refresh(self, message_ids: Sequence[str]) -> None:
        task = asyncio.create_task(self._look_again(message_ids))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _look_again(self, message_ids: Sequence[str]) -> None:
        for message_id in message_ids:
            with suppress(StoreError):
                for delivery in await self._store.deliveries(message_id=message_id):
                    if (
                        delivery.sender == self._agreements.own
                        and delivery.state not in deliveries.OPEN
                    ):
                        self._settle(delivery)


def _message(
    agreement: Agreement, outgoing: Outgoing, message_id: str, body: bytes, now: datetime
) -> Message:
    return Message(
        service=outgoing.service,
        message_id=message_id,
        sender=agreement.own,
        receiver=agreement.peer,
        timestamp=now,
        body=body,
        ref_to=outgoing.ref_to,
        expires=now + agreement.time_to_live if agreement.time_to_live else None,
    )
