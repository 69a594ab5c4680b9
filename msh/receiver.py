"""The receiving side: from a peer's bytes to the reply on disk and on its way."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta

from msh.agreement import Agreement, Agreements
from msh.catalog import StatusCode
from msh.clock import Clock
from msh.desk import Desk, HandlerFunction, is_async
from msh.envelope import Parsed, fault, normal_body, parse, serialise
from msh.errors import (
    CatalogError,
    ClaimLost,
    MalformedMessage,
    MshError,
    Refuse,
    StoreError,
)
from msh.ids import new_message_id
from msh.message import Message, Outgoing, Reply
from msh.profile import Check
from msh.protocol.checks import Judged, Refusal, judge, past_time_to_live
from msh.protocol.digest import message_digest
from msh.security import Security
from msh.store import (
    Answer,
    Claim,
    Conflict,
    Draft,
    InHand,
    New,
    Remembered,
    Resend,
    Store,
    StoredReply,
    Unknown,
    Work,
)
from msh.transport import base as transport

_log = logging.getLogger("msh.receiver")

#: What a peer is told to wait when there is no room, or the store is away.
COME_BACK = timedelta(seconds=5)
#: How often a repeat looks whether another process has answered the first copy.
LOOK_AGAIN = timedelta(milliseconds=100)
LONGEST_PAUSE = timedelta(seconds=5)
#: Refusals of strangers are counted; one line per reason and this time goes to the log.
STRANGER_LOG = timedelta(seconds=10)

Drafting = Callable[[Outgoing], Draft]
Late = Callable[[Parsed], Awaitable[bool]]


class Receiver:
    """Accepts messages, runs their handlers and answers each once."""

    def __init__(
        self,
        agreements: Agreements,
        store: Store,
        security: Callable[[Agreement], Security],
        clock: Clock,
        handlers: Mapping[str, HandlerFunction],
        *,
        draft: Drafting,
        late: Late,
        queued: Callable[[str], None],
    ) -> None:
        self._agreements = agreements
        self._profiles = {a.profile.namespace: a.profile for a in agreements}
        self._store = store
        self._security = security
        self._clock = clock
        self._handlers = handlers
        self._draft = draft
        self._late = late
        self._queued = queued
        self._desks = {agreement.peer: Desk(agreement) for agreement in agreements}
        self._pending: dict[int, list[asyncio.Future[StoredReply | None]]] = {}
        self._loops: list[asyncio.Task[None]] = []
        self._stopping = False
        #: Refusals given before authentication, by reason: counted, never stored.
        self.refused: Counter[str] = Counter()
        self._logged: dict[str, datetime] = {}

    # the way of a message in

    async def accept(
        self, wire: bytes, peer: transport.Peer, stored: Callable[[], None]
    ) -> transport.Acceptance:
        """The way of a message in: from bytes to the reply, or to why there is none now."""
        now = self._clock.now()
        try:
            parsed = parse(wire, self._profiles)
        except MalformedMessage as error:
            return self._unreadable(error.reason)
        agreement = self._agreement_of(parsed)
        if agreement is None:
            return self._stranger(parsed, now)
        if parsed.profile.catalog.is_reply(parsed.message.service):
            return await self._take_late(parsed)
        try:
            message = self._security(agreement).verify(parsed).message
            return await self._decide(agreement, message, wire, now, stored)
        except StoreError as error:
            _log.error("cannot store a message of %s: %s", agreement.peer, error)
            return transport.NotNow(COME_BACK)

    async def _decide(
        self,
        agreement: Agreement,
        message: Message,
        wire: bytes,
        now: datetime,
        stored: Callable[[], None],
    ) -> transport.Acceptance:
        """Remember, then judge: the repeat check comes before all that may change with time."""
        desk = self._desks[agreement.peer]
        refusal = judge(Judged(message, agreement, now))
        handles = refusal is None and not self._stopping
        starts = handles and desk.take()
        waits = handles and not starts and desk.reserve()
        digest = message_digest(message)
        try:
            arrival = await self._store.receive(
                message,
                digest,
                wire,
                now,
                agreement.handling.lease,
                admit=starts or waits or refusal is not None,
                begin=starts,
            )
        except BaseException:
            arrival = Unknown()
            raise
        finally:
            # From here on it is counted among those that wait in `place`.
            if waits:
                desk.cancel()
            if starts and not isinstance(arrival, New):
                desk.leave()
        if isinstance(arrival, New):
            stored()
            self._begin(desk, message, Work(arrival.claim, wire, now), refusal, placed=starts)
            reception = arrival.claim.reception
        elif isinstance(arrival, InHand):
            stored()
            reception = arrival.reception
        else:
            return await self._repeated(agreement, message, arrival)
        return await self._await_reply(agreement, message, digest, wire, reception, arrival)

    async def _await_reply(
        self,
        agreement: Agreement,
        message: Message,
        digest: bytes,
        wire: bytes,
        reception: int,
        arrival: New | InHand,
    ) -> transport.Acceptance:
        """Wait for the first copy's reply, and for no longer than the sender does."""
        until = self._clock.now() + agreement.handling.patience
        while True:
            pending = self._pending.get(reception)
            reply: StoredReply | None = None
            try:
                if pending is not None:
                    waiter = asyncio.get_running_loop().create_future()
                    pending.append(waiter)
                    async with self._clock.timeout(until):
                        reply = await waiter
                elif self._clock.now() < until:
                    await self._clock.sleep_until(min(until, self._clock.now() + LOOK_AGAIN))
                else:
                    raise TimeoutError
            except TimeoutError:
                return self._not_now(agreement)
            if isinstance(arrival, InHand):
                # Asked again like any repeat, so that the journal tells of each reply given.
                again = await self._store.receive(
                    message, digest, wire, self._clock.now(), timedelta(0), admit=False
                )
                if not isinstance(again, InHand):
                    return await self._repeated(agreement, message, again)
            else:
                reply = reply or await self._store.reply_of(reception)
                if reply is not None:
                    return transport.Reply(await self._form(agreement, reply))

    async def _repeated(
        self,
        agreement: Agreement,
        message: Message,
        arrival: Resend | Conflict | Remembered | Unknown | New,
    ) -> transport.Acceptance:
        """What a repeat is told, by what is known of the first copy."""
        match arrival:
            case Resend(reply):
                return transport.Reply(await self._form(agreement, reply))
            case Conflict():
                code = agreement.own_codes[Check.DUPLICATE]
                text = "the message id belongs to another message"
            case Remembered(status):
                code, text = status, ""
            case _:  # not stored, for want of room: the sender's schedule brings it again
                return self._not_now(agreement)
        plain = self._reply(agreement, message, code, text)
        return transport.Reply(self._security(agreement).protect(plain, agreement.profile).wire)

    def _agreement_of(self, parsed: Parsed) -> Agreement | None:
        agreement = self._agreements.get(parsed.message.sender)
        if agreement is None or parsed.message.receiver != agreement.own:
            return None
        return agreement if agreement.profile is parsed.profile else None

    def _not_now(self, agreement: Agreement) -> transport.Acceptance:
        if not agreement.handling.busy_reply:
            return transport.Silence()
        return transport.NotNow(COME_BACK)

    async def _take_late(self, parsed: Parsed) -> transport.Acceptance:
        """A reply that comes as a message of its own."""
        try:
            if not await self._late(parsed):
                self._count("a reply to no message of ours")
        except StoreError:
            return transport.NotNow(COME_BACK)
        except MshError as error:
            self._count(f"a reply that is not authentic: {type(error).__name__}")
        return transport.Taken()

    # strangers: counted, never stored

    def _unreadable(self, reason: str) -> transport.Unreadable:
        self._count(reason)
        agreement = next(iter(self._agreements), None)
        if agreement is None:
            return transport.Unreadable(fault(reason))
        return transport.Unreadable(
            fault(reason, agreement.profile, agreement.own_codes[Check.FORMAT])
        )

    def _stranger(self, parsed: Parsed, now: datetime) -> transport.Acceptance:
        """No agreement with these parties: the refusal is unprotected and leaves no row."""
        self._count("no agreement with these parties")
        known = next(iter(self._agreements), None)
        if known is None or parsed.profile is not known.profile:
            return self._unreadable("no agreement with these parties")
        code = known.own_codes[Check.RIGHT]
        reply = self._reply(known, parsed.message, code, "no agreement with this party")
        return transport.Reply(serialise(reply, parsed.profile))

    def _count(self, reason: str) -> None:
        self.refused[reason] += 1
        now = self._clock.now()
        last = self._logged.get(reason)
        if last is None or now - last >= STRANGER_LOG:
            self._logged[reason] = now
            _log.warning("refused unread: %s (%d so far)", reason, self.refused[reason])

    # handling

    def _begin(
        self, desk: Desk, message: Message, work: Work, refusal: Refusal | None, *, placed: bool
    ) -> None:
        """Handle in a task of its own, which outlives the connection that brought the message."""
        reception = work.claim.reception
        self._pending[reception] = []
        desk.claims[reception] = work.claim
        task = asyncio.create_task(self._handle(desk, message, work, refusal, placed=placed))
        desk.tasks[reception] = task
        task.add_done_callback(lambda task: self._ended(desk, reception, task))

    def _ended(self, desk: Desk, reception: int, task: asyncio.Task[StoredReply | None]) -> None:
        del desk.tasks[reception], desk.claims[reception]
        reply = None
        if not task.cancelled():
            error = task.exception()
            if error is not None:
                _log.critical("a defect in msh itself", exc_info=error)
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
                return await self._refuse(agreement, message, claim, refusal)
            if not placed:
                await desk.place()
                placed = True
                now = self._clock.now()
                if past_time_to_live(message.expires, agreement, now):
                    return await self._set_aside(agreement, message, claim, "past time to live")
                if claim.run >= agreement.handling.runs:
                    return await self._set_aside(agreement, message, claim, "no run is left")
                claim = await self._store.start(claim, now, agreement.handling.lease)
                desk.claims[claim.reception] = claim
            return await self._run(desk, message, claim)
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
                    await self._store.release(claim, now, now, "the process was stopped")
            raise
        finally:
            if placed:
                desk.leave()
        return None

    async def _run(self, desk: Desk, message: Message, claim: Claim) -> StoredReply | None:
        """One run of the handler, and what follows from how it ends."""
        agreement = desk.agreement
        await self._resolve(agreement, message)
        try:
            answer = await self._ask_handler(desk, message)
            reply = await self._store.answer(claim, answer, self._clock.now())
        except StoreError:
            raise
        except Exception as error:  # whatever a handler raises is its failure, not an answer
            return await self._failed(agreement, message, claim, error)
        for draft in answer.then:
            self._queued(draft.receiver)
        return reply

    async def _ask_handler(self, desk: Desk, message: Message) -> Answer:
        try:
            reply = await desk.call(self._handlers[message.service], message)
        except Refuse as refuse:
            reply = Reply(refuse.status, text=refuse.text)
            return self._answer(desk.agreement, message, reply, refused=True)
        return self._answer(desk.agreement, message, reply)

    async def _failed(
        self, agreement: Agreement, message: Message, claim: Claim, error: Exception
    ) -> StoredReply | None:
        """A handler's failure is not an answer: it runs again, and only then 9999S."""
        reason = _where(error)
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
        code = agreement.own_codes[refusal.check]
        made = self._reply(agreement, message, code, refusal.reason)
        wire = serialise(made, agreement.profile)
        answer = Answer(code, wire, reason=refusal.reason, refused=True)
        return await self._store.answer(claim, answer, self._clock.now())

    async def _set_aside(
        self, agreement: Agreement, message: Message, claim: Claim, reason: str
    ) -> StoredReply:
        """Answer with the system error, and leave the message to an operator."""
        code = agreement.own_codes[Check.SYSTEM_ERROR]
        wire = serialise(self._reply(agreement, message, code, ""), agreement.profile)
        answer = Answer(code, wire, reason=reason, set_aside=True)
        _log.error("%s %s: set aside: %s", message.service, message.message_id, reason)
        return await self._store.answer(claim, answer, self._clock.now())

    async def _resolve(self, agreement: Agreement, message: Message) -> None:
        """An authentic result ends every doubt about the request it refers to."""
        row = agreement.profile.catalog.services[message.service]
        if row.result_of is None or message.ref_to is None:
            return
        for delivery in await self._store.deliveries(message_id=message.ref_to):
            if delivery.sender == agreement.own and delivery.service == row.result_of:
                await self._store.resolve(
                    agreement.own,
                    delivery.message_id,
                    agreement.peer,
                    message.message_id,
                    self._clock.now(),
                )

    # replies

    def _answer(
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
        made = self._reply(agreement, message, code, reply.text, body)
        return Answer(
            code,
            serialise(made, agreement.profile),
            reason=reply.text,
            refused=refused,
            apply=reply.apply,
            then=tuple(self._draft(outgoing) for outgoing in reply.then),
        )

    def _reply(
        self,
        agreement: Agreement,
        message: Message,
        code: StatusCode,
        text: str,
        body: bytes = b"",
    ) -> Message:
        catalog = agreement.profile.catalog
        official = catalog.text_of(code)
        now = self._clock.now()
        return Message(
            service=catalog.reply_for(message.service) or message.service,
            message_id=new_message_id(agreement.own, now),
            sender=agreement.own,
            receiver=message.sender,
            timestamp=now,
            body=body,
            ref_to=message.message_id,
            status=code,
            status_text=f"{official}: {text}" if text and official else text or official,
        )

    async def _form(self, agreement: Agreement, reply: StoredReply) -> bytes:
        """The bytes that leave: the first protected form, made once and kept."""
        security = self._security(agreement)
        if not security.active:
            return reply.plain
        if reply.form is not None and not security.retired(reply.key):
            return reply.form
        message = parse(reply.plain, self._profiles).message
        protected = security.protect(message, agreement.profile)
        return await self._store.keep_form(
            reply.reception, protected.key, protected.wire, over=reply.key
        )

    # running

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
        self._stopping = True
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        self._loops.clear()
        tasks = [task for desk in self._desks.values() for task in desk.tasks.values()]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for desk in self._desks.values():
            desk.close()

    async def _take_over(self, desk: Desk) -> None:
        """Pick up, now and then, what a killed process left and what is due to run again."""
        agreement = desk.agreement
        handling = agreement.handling
        pause = max(min(handling.lease / 4, handling.retry_after / 2, LONGEST_PAUSE), LOOK_AGAIN)
        while True:
            now = self._clock.now()
            try:
                if desk.free:
                    for work in await self._store.take_over(
                        agreement.peer, now, handling.lease, desk.free
                    ):
                        message = parse(work.wire, self._profiles).message
                        refusal = judge(Judged(message, agreement, work.received))
                        if work.claim.reception not in desk.tasks:
                            self._begin(desk, message, work, refusal, placed=False)
            except StoreError as error:
                _log.error("cannot take over work of %s: %s", agreement.peer, error)
            await self._clock.sleep_until(now + pause)

    async def _keep_leases(self, desk: Desk) -> None:
        handling = desk.agreement.handling
        while True:
            await self._clock.sleep_until(self._clock.now() + handling.lease / 3)
            now = self._clock.now()
            for claim in list(desk.claims.values()):
                with suppress(StoreError):  # lost or locked: the answer will tell
                    await self._store.extend(claim, now, handling.lease)


def _where(error: Exception) -> str:
    """The kind of error and its place; never its text, which may hold a message's content."""
    cause = error.__cause__ if error.__cause__ is not None else error
    frames = traceback.extract_tb(cause.__traceback__)
    place = f" at {frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"
