"""The running half of the sender: claims what is due, and takes each attempt to its outcome."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from msh.agreement import Agreement, Agreements
from msh.clock import Clock
from msh.composing import message_of
from msh.envelope import believed, parse
from msh.errors import (
    Busy,
    CannotProtect,
    ClaimLost,
    ConfigurationError,
    MalformedMessage,
    MshError,
    NoAnswer,
    NotSent,
    Rejected,
    StoreError,
    TransportError,
)
from msh.message import Message, Outgoing
from msh.protocol.checks import opening
from msh.protocol.delivery import OPEN
from msh.protocol.retry import Plan, plan
from msh.replying import claims, unanswered
from msh.security import Security
from msh.store import Delivery, Draft, FirstAttempt, Outbound, Outbounds, Store
from msh.transport.base import Transport

_log = logging.getLogger("msh.sender")

#: How long a claim lasts before its first byte leaves.
CLAIM_LEASE = timedelta(seconds=30)
#: How long the last attempt's outcome may take to be recorded before the message is given up.
RECORDING = timedelta(seconds=5)
#: How long to wait after the store failed before it is asked again.
STORE_PAUSE = timedelta(seconds=1)

#: How long a message that cannot be protected now (no key, no certificate) is held.
HOLD = timedelta(seconds=5)

#: How often a message that another process has in hand is looked at.
LOOK_AGAIN = timedelta(seconds=0.25)

_OUTCOMES: Mapping[type[TransportError], str] = {
    NotSent: "not sent",
    NoAnswer: "no answer",
    Busy: "busy",
    Rejected: "rejected",
}

Settle = Callable[[Delivery, Message | None], None]
Look = Callable[[], Awaitable[Delivery]]


class Courier:
    """One worker per agreement, so that no slow or greedy party stalls another."""

    def __init__(
        self,
        agreements: Agreements,
        store: Store,
        transports: Mapping[str, Transport],
        security: Callable[[Agreement], Security],
        clock: Clock,
        settle: Settle,
    ) -> None:
        self._agreements = agreements
        self._profiles = {a.profile.namespace: a.profile for a in agreements}
        self._store = store
        self._transports = transports
        self._security = security
        self._clock = clock
        self._settle = settle
        self._wake = {agreement.peer: asyncio.Event() for agreement in agreements}
        self._workers: list[asyncio.Task[None]] = []
        self._under_way = {agreement.peer: set[asyncio.Task[bool]]() for agreement in agreements}
        self._queueing: set[asyncio.Task[tuple[Delivery, bool]]] = set()
        self._promised = dict.fromkeys(self._wake, 0)
        #: Peers for which more may be due than their limit lets be under way.
        self._backlog = set(self._wake)
        self._stopping = False

    @property
    def started(self) -> bool:
        """Whether what is queued is delivered by itself."""
        return bool(self._workers)

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
        await asyncio.gather(*self._workers, *self._queueing, return_exceptions=True)
        self._workers.clear()
        under_way = [task for tasks in self._under_way.values() for task in tasks]
        if under_way:
            _, late = await asyncio.wait(under_way, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def deliver_only(self, agreement: Agreement, look: Look) -> Delivery:
        """Deliver this one message, whatever else is queued, and wait for its end.

        For a sender that was not started. Another process may deliver it as well as this one:
        each attempt belongs to whoever claims it. ``look`` gives the delivery as stored now.
        """
        wake = self._wake[agreement.peer]
        while True:
            wake.clear()
            delivery, now = await look(), self._clock.now()
            if delivery.state not in OPEN:
                return delivery
            found = await self._store.claim(agreement.peer, now, CLAIM_LEASE, 1, only=delivery.id)
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

    def wake_all(self) -> None:
        """There may be work for anybody."""
        for event in self._wake.values():
            event.set()

    async def enqueue(
        self, agreement: Agreement, draft: Draft, now: datetime
    ) -> tuple[Delivery, bool]:
        """Queue a message, and let it leave at once if there is room."""
        if draft.due is None and self._may_leave(agreement):
            self._promised[agreement.peer] += 1
            task = asyncio.create_task(self._enqueue_begun(agreement, draft, now))
            self._queueing.add(task)
            task.add_done_callback(self._queueing.discard)
            # Whoever queued it may be cancelled; an attempt that began on disk has to go on.
            return await asyncio.shield(task)
        try:
            return await self._store.enqueue(draft, now)
        finally:
            self.wake(agreement.peer)  # in any case: it may be queued, whatever is known here

    async def _enqueue_begun(
        self, agreement: Agreement, draft: Draft, now: datetime
    ) -> tuple[Delivery, bool]:
        created, first = False, None
        try:
            with suppress(CannotProtect):  # queued all the same, and held by whoever claims it
                first = await self.first_attempt(agreement, draft, now)
            delivery, created = await self._store.enqueue(draft, now, first=first)
        finally:
            self._promised[agreement.peer] -= 1
            if not created or first is None:  # room was kept for nothing, or nobody here knows
                self.wake(agreement.peer)
        if created and first is not None:
            outbound = Outbound(delivery, 1, body=b"", wire=first.wire, last=first.last)
            self.carry(agreement, outbound, began=now)
        return delivery, created

    def _may_leave(self, agreement: Agreement) -> bool:
        """Whether a message queued now may leave at once.

        Not while others wait for their turn: what was due first goes first.
        """
        free = self._workers and not self._stopping and agreement.peer not in self._backlog
        return bool(free) and self._room(agreement) > 0

    async def first_attempt(
        self, agreement: Agreement, draft: Draft, now: datetime
    ) -> FirstAttempt:
        """The first attempt of what is queued ``now``, to begin in the same transaction."""
        wire = await self.form(agreement, draft, draft.body)
        following = plan(agreement.outbound, 1, now, now)
        return FirstAttempt(wire, following.due, following.last, _lease(following, now))

    def carry(
        self, agreement: Agreement, outbound: Outbound, began: datetime | None = None
    ) -> None:
        """Deliver what is claimed, in a task of its own; its attempt ``began`` already, or not."""
        peer = agreement.peer
        task = asyncio.create_task(self._guarded(agreement, outbound, began))
        self._under_way[peer].add(task)

        def ended(task: asyncio.Task[bool]) -> None:
            self._under_way[peer].discard(task)
            if peer in self._backlog or task.cancelled() or not task.result():
                self.wake(peer)

        task.add_done_callback(ended)

    def _room(self, agreement: Agreement) -> int:
        peer = agreement.peer
        return agreement.limits.sending - len(self._under_way[peer]) - self._promised[peer]

    async def _work(self, agreement: Agreement) -> None:
        """Claim what is due, as much as the agreement may have under way, and wait for more."""
        peer = agreement.peer
        wake = self._wake[peer]
        while not self._stopping:
            wake.clear()
            room = self._room(agreement)
            if room > 0:
                now = self._clock.now()
                try:
                    found = await self._store.claim(peer, now, CLAIM_LEASE, room)
                except StoreError as error:
                    _log.error("cannot claim for %s: %s", peer, error)
                    found = Outbounds((), now + STORE_PAUSE)
                for outbound in found.work:
                    self.carry(agreement, outbound)
                if len(found.work) < room:
                    self._backlog.discard(peer)
                    await self._woken_by(wake, found.next_due)
                    continue
            self._backlog.add(peer)
            # What ended during the claim has made room, and saw no backlog to tell of it.
            if self._room(agreement) <= 0 and not self._stopping:
                await wake.wait()

    async def _woken_by(self, wake: asyncio.Event, due: datetime | None) -> None:
        if due is None:
            await wake.wait()
        else:
            with suppress(TimeoutError):
                async with self._clock.timeout(due):
                    await wake.wait()

    async def _guarded(
        self, agreement: Agreement, outbound: Outbound, began: datetime | None = None
    ) -> bool:
        """Whether the delivery has ended; if not, somebody has to look when it is due again."""
        try:
            return await self.deliver(agreement, outbound, began)
        except ClaimLost:
            _log.info("%s: taken over by another process", outbound.delivery.message_id)
        except StoreError as error:
            # The claim lapses, and the attempt, if one began, counts as unanswered.
            _log.error("%s: %s", outbound.delivery.message_id, error)
            return await self._read_back(outbound.delivery)
        except Exception as error:  # the same holds, and somebody must know
            at = traceback.extract_tb(error.__traceback__)[-1]
            # Not the error's text, which may quote the message.
            _log.critical(
                "a defect in msh itself: %s at %s:%s", type(error).__name__, at.filename, at.lineno
            )
        return False

    async def _read_back(self, delivery: Delivery) -> bool:
        """After a commit of which nothing is known: its end may be on disk, and be waited for."""
        while not self._stopping:
            with suppress(StoreError):
                found = await self._store.delivery(delivery.id)
                if found is None or found.state in OPEN:
                    return False
                self._settle(found, None)
                return True
            await self._clock.sleep_until(self._clock.now() + STORE_PAUSE)
        return False

    async def deliver(
        self, agreement: Agreement, outbound: Outbound, began: datetime | None = None
    ) -> bool:
        """The way of a message out: one attempt, from the claim to the outcome on disk.

        ``began`` is when the attempt did, if that is on disk already (a first attempt that began
        as its message was queued). True if the delivery has ended with it.
        """
        delivery, now = outbound.delivery, began or self._clock.now()
        if outbound.last and began is None:
            self._settle(await self._store.give_up(outbound, now), None)
            return True
        if not delivery.attempts and began is None:
            opens = opening(agreement, delivery.service, self._body_of(outbound), now)
            if opens != now:  # it was queued in time, and could not leave before they ended
                due = opens or now + HOLD
                await self._store.hold(outbound, due, now, "outside service hours")
                return False
        try:
            # The stored form once a copy may have arrived; until then, one under the key of now.
            wire = (outbound.wire if delivery.copies else None) or await self.form(
                agreement, delivery, self._body_of(outbound)
            )
        except CannotProtect as error:
            await self._store.hold(outbound, now + HOLD, now, str(error))
            return False
        if began is None:
            series = delivery.series_began or now
            following = plan(agreement.outbound, delivery.tries + 1, series, now)
            lease = _lease(following, now)
            await self._store.begin(
                outbound, wire, now, following.due, last=following.last, lease=lease
            )
        ends = now + agreement.outbound.timeout
        try:
            reply, answer, reconnected = await self.exchange(agreement, delivery, wire, ends)
        except TransportError as error:
            await self._store.record_failure(
                outbound,
                self._clock.now(),
                outcome=_OUTCOMES[type(error)],
                detail=str(error),
                sent=not isinstance(error, NotSent),
                reconnected=error.reconnected,
            )
            return False
        at = self._clock.now()
        recorded = await self._store.record_reply(
            agreement.own, reply, answer, agreement.peer_codes, at, reconnected=reconnected
        )
        if recorded is not None:
            # Settled at another moment, the delivery keeps an earlier reply.
            self._settle(recorded, reply if recorded.settled == at else None)
        return recorded is not None

    async def exchange(
        self, agreement: Agreement, delivery: Delivery, wire: bytes, ends: datetime
    ) -> tuple[Message, bytes, bool]:
        """The verified, bound reply; anything else is raised as no answer."""
        assert agreement.endpoint is not None
        transport = self._transports[urlsplit(agreement.endpoint).scheme]
        seconds = (ends - self._clock.now()).total_seconds()
        response = await transport.exchange(agreement.endpoint, wire, max(seconds, 0.0))
        try:
            parsed = parse(response.wire, self._profiles)
            verified = await self._security(agreement).verify(parsed)
            form = parse(wire, self._profiles) if agreement.protected else None
            reason = unanswered(agreement, delivery, verified, form)
        except MalformedMessage as error:
            reason = error.reason
        except MshError as error:
            reason = f"{error}{claims(parsed.message)}"
        if reason is not None:
            raise NoAnswer(
                f"what came back is not the answer: {reason}", reconnected=response.reconnected
            )
        reply = verified.message
        return reply, believed(parsed, reply), response.reconnected

    def _body_of(self, outbound: Outbound) -> bytes:
        """What is to be sent: a form that nobody got holds it alone."""
        wire = outbound.wire
        return parse(wire, self._profiles).message.body if wire else outbound.body

    async def form(self, agreement: Agreement, request: Delivery | Draft, body: bytes) -> bytes:
        """The protected form, under the key to send with now. Raises `CannotProtect`."""
        now = self._clock.now()
        outgoing = Outgoing(request.service, body, agreement.peer, ref_to=request.ref_to)
        message = message_of(agreement, outgoing, request.message_id, body, now)
        return (await self._security(agreement).protect(message, agreement.profile)).wire


def _lease(following: Plan, now: datetime) -> timedelta:
    """Until the next step is due: a process that is killed meanwhile shifts nothing."""
    return following.due - now + (RECORDING if following.last else timedelta(0))
