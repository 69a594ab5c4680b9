"""The running half of the receiver: runs handlers, stores their answers, takes over lost work."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from msh.agreement import Agreement, Agreements
from msh.catalog import StatusCode
from msh.clock import Clock
from msh.desk import Desk, HandlerFunction, is_async
from msh.envelope import normal_body, parse, serialise
from msh.errors import (
    CannotProtect,
    CatalogError,
    ClaimLost,
    MalformedMessage,
    MessageTooLarge,
    Refuse,
    StoreError,
)
from msh.failure import told
from msh.message import Message, Outgoing, Reply
from msh.profile import Check
from msh.protocol.checks import (
    Judged,
    Refusal,
    judge,
    past_time_to_live,
    reused_references,
)
from msh.replying import reply_message
from msh.resulting import plain_result
from msh.security import Security
from msh.store import Answer, Claim, Draft, Store, StoredReply, SuspensionKind, Work

_log = logging.getLogger("msh.receiver")

#: The shortest and longest time between two looks at what others have left.
SHORTEST_PAUSE = timedelta(milliseconds=100)
LONGEST_PAUSE = timedelta(seconds=5)

Drafting = Callable[[Outgoing], Draft]
Settled = asyncio.Future[StoredReply | None]


class Dispatcher:
    """Runs the handlers of every agreement, each at a desk of its own."""

    def __init__(
        self,
        agreements: Agreements,
        store: Store,
        clock: Clock,
        handlers: Mapping[str, HandlerFunction],
        draft: Drafting,
        queued: Callable[[str], None],
        security: Callable[[Agreement], Security],
    ) -> None:
        self._profiles = {a.profile.namespace: a.profile for a in agreements}
        self._store = store
        self._clock = clock
        self._handlers = handlers
        self._draft = draft
        self._queued = queued
        self._security = security
        self._desks = {agreement.peer: Desk(agreement) for agreement in agreements}
        self._pending: dict[int, list[Settled]] = {}
        self._loops: list[asyncio.Task[None]] = []
        self.stopping = False
        self._stopped = False

    def desk(self, peer: str) -> Desk:
        """The desk of the agreement with ``peer``."""
        return self._desks[peer]

    def settled(self, reception: int) -> Settled | None:
        """Tells the reply once a run that is in hand here has ended (None: without one).

        None if nothing is in hand here.
        """
        pending = self._pending.get(reception)
        if pending is None:
            return None
        waiter: Settled = asyncio.get_running_loop().create_future()
        pending.append(waiter)
        return waiter

    def begin(
        self, desk: Desk, message: Message, work: Work, refusal: Refusal | None, *, placed: bool
    ) -> None:
        """Handle in a task of its own, which outlives the connection that brought the message."""
        reception = work.claim.reception
        self._pending[reception] = []
        desk.claims[reception] = work.claim
        task = asyncio.create_task(self._handle(desk, message, work, refusal, placed=placed))
        desk.tasks[reception] = task
        if self._stopped:
            task.cancel()  # stored too late to be handled here; its lease lapses
        task.add_done_callback(lambda task: self._ended(desk, reception, task))

    def _ended(self, desk: Desk, reception: int, task: asyncio.Task[StoredReply | None]) -> None:
        del desk.tasks[reception], desk.claims[reception]
        reply = None
        if not task.cancelled():
            error = task.exception()
            if error is not None:
                _log.critical("a defect in msh itself: %s", told(error))
            else:
                reply = task.result()
        for waiter in self._pending.pop(reception):
            if not waiter.done():
                waiter.set_result(reply)

    async def _handle(
        self, desk: Desk, message: Message, work: Work, refusal: Refusal | None, *, placed: bool
    ) -> StoredReply | None:
        """From the claim to the stored answer, or to the release for a later run (None)."""
        agreement, claim = desk.agreement, work.claim
        try:
            if refusal is not None:
                if claim.run:  # it was admitted once, and may have taken effect
                    return await self._set_aside(agreement, message, claim, refusal.reason)
                return await self._refuse(agreement, message, claim, refusal)
            if not placed:
                await desk.place()
                placed = True
                claim = desk.claims[claim.reception]
                now = self._clock.now()
                # What was asked for again is late; a run that an operator asked for is one more.
                late = not (work.repeat or work.rerun)
                if late and past_time_to_live(message.expires, agreement, now):
                    return await self._set_aside(agreement, message, claim, "past time to live")
                if claim.run >= agreement.handling.runs and not work.rerun:
                    return await self._set_aside(agreement, message, claim, "no run is left")
                claim = await self._store.start(claim, now, agreement.handling.lease)
                desk.claims[claim.reception] = claim
            return await self._run(desk, message, claim, work)
        except ClaimLost:
            _log.info("%s: taken over by another process", message.message_id)
        except StoreError as error:
            # The lease lapses and the work is taken over, here or elsewhere.
            _log.error("%s: %s", message.message_id, error)
        except asyncio.CancelledError:
            # A plain handler's thread cannot be stopped, so its work stays leased until it ends.
            if not placed or is_async(self._handlers[message.service]):
                now = self._clock.now()
                with suppress(StoreError):
                    claim = desk.claims[claim.reception]
                    await self._store.release(claim, now, now, "the process was stopped")
            raise
        finally:
            if placed:
                desk.leave()
        return None

    async def _run(
        self, desk: Desk, message: Message, claim: Claim, work: Work
    ) -> StoredReply | None:
        """One run of the handler, and what follows from how it ends."""
        agreement = desk.agreement
        try:
            answer = await self._ask_handler(desk, message, claim.run, work)
        except Exception as error:  # whatever a handler raises is its failure, not an answer
            return await self._failed(agreement, message, desk.claims[claim.reception], error)
        claim = desk.claims[claim.reception]
        try:
            return await self._store.answer(claim, answer, self._clock.now())
        except StoreError:
            raise
        except Exception as error:  # of its `apply`, or of one of its `then`
            return await self._failed(agreement, message, claim, error)
        finally:
            for draft in answer.then:  # in any case: they may be queued, whatever is known here
                self._queued(draft.receiver)

    async def _ask_handler(self, desk: Desk, message: Message, run: int, work: Work) -> Answer:
        try:
            reply = await desk.call(
                self._handlers[message.service], message, run, repeat=work.repeat
            )
        except Refuse as refuse:
            reply = Reply(refuse.status, text=refuse.text)
            answer = await self._answer(desk.agreement, message, reply, refused=True)
        else:
            answer = await self._answer(desk.agreement, message, reply)
        return await self._told_by_result(desk.agreement, message, answer) if work.rerun else answer

    async def _told_by_result(
        self, agreement: Agreement, message: Message, answer: Answer
    ) -> Answer:
        """The stored reply stays, so the outcome of a later run is told by a result message.

        Unless the handler has one queued, or the result holds what only a handler knows.
        """
        sent = await self._store.results_of(agreement.own, message.message_id, agreement.peer)
        services = {one.service for one in sent} | {one.service for one in answer.then}
        if agreement.profile.catalog.result_for(message.service) in services:
            return answer
        result = plain_result(agreement, message, answer.status)
        return replace(answer, then=(*answer.then, self._draft(result))) if result else answer

    async def _failed(
        self, agreement: Agreement, message: Message, claim: Claim, error: Exception
    ) -> StoredReply | None:
        """A handler's failure is not an answer: it runs again, and only then 9999S."""
        reason = told(error)
        handling = agreement.handling
        _log.error(
            "%s %s: run %d of %d failed: %s",
            message.service,
            message.message_id,
            claim.run,
            handling.runs,
            reason,
        )
        if claim.run >= handling.runs:
            return await self._set_aside(agreement, message, claim, reason)
        now = self._clock.now()
        await self._store.release(claim, now + handling.retry_after, now, reason)
        return None

    async def _refuse(
        self, agreement: Agreement, message: Message, claim: Claim, refusal: Refusal
    ) -> StoredReply:
        code = refusal.status(agreement)
        made = reply_message(agreement, message, code, self._clock.now(), text=refusal.reason)
        wire, form, key = await self._forms(agreement, made)
        answer = Answer(code, wire, refusal.reason, refused=True, form=form, key=key)
        return await self._store.answer(claim, answer, self._clock.now())

    async def _set_aside(
        self, agreement: Agreement, message: Message, claim: Claim, reason: str
    ) -> StoredReply:
        """Answer with the system error, and leave the message to an operator."""
        code = agreement.own_codes[Check.SYSTEM_ERROR]
        made = reply_message(agreement, message, code, self._clock.now())
        wire, form, key = await self._forms(agreement, made)
        answer = Answer(code, wire, reason, set_aside=True, form=form, key=key)
        _log.error("%s %s: set aside: %s", message.service, message.message_id, reason)
        return await self._store.answer(claim, answer, self._clock.now())

    async def _forms(self, agreement: Agreement, reply: Message) -> tuple[bytes, bytes | None, str]:
        """The reply plain, and protected with its key if that can be done now.

        Made before the commit that stores both, so that a protected reply costs none of its own;
        it leaves only if that commit succeeds.
        """
        plain = serialise(reply, agreement.profile)
        if agreement.protected:
            with suppress(CannotProtect):  # else it is protected when it can be
                protected = await self._security(agreement).protect(reply, agreement.profile)
                return plain, protected.wire, protected.key
        return plain, None, ""

    async def _answer(
        self, agreement: Agreement, message: Message, reply: Reply, *, refused: bool = False
    ) -> Answer:
        """What the handler returned, checked and as bytes."""
        code = StatusCode.parse(str(reply.status))
        if code.source not in agreement.own_codes.sources:
            raise CatalogError(
                f"a {agreement.own_role} may not answer with {code}; its codes begin with "
                + " or ".join(f"PSP{source}" for source in sorted(agreement.own_codes.sources))
            )
        body = normal_body(reply.body, agreement.profile.shape)
        made = reply_message(
            agreement, message, code, self._clock.now(), text=reply.text, body=body
        )
        wire, form, key = await self._forms(agreement, made)
        size = max(len(wire) + self._security(agreement).overhead, len(form or b""))
        if size > agreement.max_bytes:
            # Its reader would refuse it at every attempt, and stay in doubt.
            raise MessageTooLarge(f"a reply of {size:,} bytes is over the agreed limit")
        return Answer(
            code,
            wire,
            reason=reply.text,
            refused=refused,
            apply=reply.apply,
            then=tuple(self._draft(outgoing) for outgoing in reply.then),
            form=form,
            key=key,
        )

    def start(self) -> None:
        """Begin to take over what others left, and to keep the leases of what runs here."""
        for desk in self._desks.values():
            name = desk.agreement.peer
            for loop in (self._take_over(desk), self._keep_leases(desk)):
                self._loops.append(asyncio.create_task(loop, name=f"msh-receiver-{name}"))

    async def stop(self, grace: float) -> None:
        """Take nothing new; finish what is in hand, for at most ``grace`` seconds.

        What waits for a place is left to others at once.
        """
        self.stopping = True
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        self._loops.clear()
        time = asyncio.get_running_loop().time
        ends = time() + grace
        while tasks := [task for desk in self._desks.values() for task in desk.tasks.values()]:
            _, late = await asyncio.wait(tasks, timeout=max(0.0, ends - time()))
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        self._stopped = True
        for desk in self._desks.values():
            desk.close()

    async def _take_over(self, desk: Desk) -> None:
        """Pick up, now and then, what a killed process left and what is due to run again."""
        agreement = desk.agreement
        handling = agreement.handling
        pause = max(
            min(handling.lease / 4, handling.retry_after / 2, LONGEST_PAUSE), SHORTEST_PAUSE
        )
        while True:
            now = self._clock.now()
            try:
                if desk.free:
                    found = await self._store.take_over(
                        agreement.peer, now, handling.lease, desk.free
                    )
                    suspended = await self._suspended(agreement) if found else frozenset()
                    for work in found:
                        self._resume(desk, work, suspended)
            except StoreError as error:
                _log.error("cannot take over work of %s: %s", agreement.peer, error)
            await self._clock.sleep_until(now + pause)

    async def _suspended(self, agreement: Agreement) -> frozenset[str]:
        """The services that the peer may not use now because of a suspension."""
        found = await self._store.suspensions()
        if any((one.kind, one.name) == (SuspensionKind.PARTY, agreement.peer) for one in found):
            return agreement.accepts
        return frozenset(one.name for one in found if one.kind is SuspensionKind.SERVICE)

    def _resume(self, desk: Desk, work: Work, suspended: frozenset[str]) -> None:
        """Go on with what was taken over."""
        if work.claim.reception in desk.tasks:
            # Our own, whose lease lapsed (the clock jumped, the store was away): it still runs.
            desk.claims[work.claim.reception] = work.claim
            return
        try:
            message = parse(work.wire, self._profiles).message
        except MalformedMessage as error:
            # The profile it came under is gone. It stays stored, and holds nothing else up.
            _log.error(
                "reception %d of %s cannot be read any more: %s; restore the profile that it "
                "came under",
                work.claim.reception,
                desk.agreement.peer,
                error.reason,
            )
            return
        refusal = judge(Judged(message, desk.agreement, work.received, work.repeat))
        if refusal is None and not work.claim.run and message.service in suspended:
            refusal = Refusal(Check.SUSPENDED, "suspended")
        elif refusal is None and work.reused:
            refusal = reused_references(desk.agreement)
        self.begin(desk, message, work, refusal, placed=False)

    async def _keep_leases(self, desk: Desk) -> None:
        handling = desk.agreement.handling
        while True:
            await self._clock.sleep_until(self._clock.now() + handling.lease / 3)
            now = self._clock.now()
            for claim in list(desk.claims.values()):
                with suppress(StoreError):  # lost or locked: the answer will tell
                    await self._store.extend(claim, now, handling.lease)
