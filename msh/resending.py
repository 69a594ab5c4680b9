"""Messages asked for again (PS802): asking, and giving what was sent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta

from msh.agreement import Agreement, Agreements
from msh.awaited import Awaited
from msh.catalog import Service, StatusCode
from msh.clock import Clock
from msh.content import Content, References
from msh.content.building import build
from msh.content.rules.references import references_of
from msh.courier import RECORDING, STORE_PAUSE
from msh.desk import HandlerFunction
from msh.envelope import parse
from msh.errors import MalformedMessage, Refuse, StoreError, TransportError, UsageError
from msh.message import Message, Outgoing, Reply
from msh.profile import Check
from msh.protocol.delivery import OPEN, State
from msh.protocol.retry import plan
from msh.receipt import Receipt
from msh.sender import Sender
from msh.store import Asked, Delivery, Reception, Repeat, Store

_log = logging.getLogger("msh.sender")

#: How long what was asked for again is waited for.
AWAITED = timedelta(days=1)
#: At most so many messages are given for one request; ask for the rest by a narrower one.
AT_MOST = 1000
#: 查無原交易記錄 (TDCC PSP 9.2).
NOT_FOUND = StatusCode("BK", 110, "E")


@dataclass(frozen=True, slots=True)
class Again:
    """What was asked for again: ``here`` is what the inbox held already, ``receipt`` that of the
    request (PS802) for the rest, None if nothing was left to ask for.
    """

    here: tuple[Message, ...]
    receipt: Receipt | None


class Resender:
    """Asks for messages again, and gives those that others ask for."""

    def __init__(
        self,
        agreements: Agreements,
        store: Store,
        sender: Sender,
        awaited: Awaited,
        clock: Clock,
    ) -> None:
        self._agreements = agreements
        self._profiles = {a.profile.namespace: a.profile for a in agreements}
        self._store = store
        self._sender = sender
        self._awaited = awaited
        self._clock = clock
        self._wake = {agreement.peer: asyncio.Event() for agreement in agreements}
        self._tasks: list[asyncio.Task[None]] = []

    # asking

    async def ask_again(self, peer: str, asked: Asked) -> Again:
        """See `msh.MessageServiceHandler.ask_again`."""
        agreement = self._agreements.to_send(Service.PS802RSDRQ, peer)
        content = _content(agreement)
        if asked == Asked():
            raise UsageError(
                "ask for something: a service, a date, message ids or business references"
            )
        here = await self._here(agreement, content, asked)
        if asked.message_ids:
            found = {message.message_id for message in here}
            missing = tuple(name for name in asked.message_ids if name not in found)
            if not missing:
                return Again(here, None)
            asked = replace(asked, message_ids=missing)
        names = content.names
        references = asked.references or References(None, None)
        body = build(
            content,
            Service.PS802RSDRQ,
            [
                (names.service, asked.service),
                (names.date, asked.day.isoformat() if asked.day else None),
                *((names.message_id, name) for name in asked.message_ids),
                (names.ssn_id, references.ssn_id),
                (names.service_ref, references.service_ref),
            ],
        )
        draft = self._sender.draft(Outgoing(Service.PS802RSDRQ, body, peer))
        now = self._clock.now()
        # Before it leaves: what comes must be known as asked for, also by another process.
        await self._store.ask_again(peer, asked, now, now + AWAITED)
        await self._awaited.load()
        return Again(here, await self._sender.queue(draft))

    async def _here(
        self, agreement: Agreement, content: Content, asked: Asked
    ) -> tuple[Message, ...]:
        """What the inbox holds of it, oldest first."""
        found: list[Reception] = []
        if asked.message_ids:
            for name in asked.message_ids:
                found += await self._store.receptions(message_id=name)
        else:
            since = _begins(asked.day, content) if asked.day else None
            found += await self._store.receptions(since=since, limit=10 * AT_MOST)
        here = []
        for reception in sorted(found, key=lambda one: one.id):
            if reception.sender != agreement.peer or reception.purged:
                continue
            if asked.service not in (None, reception.service):
                continue
            wire = await self._store.received_wire(reception.id)
            if wire is None:
                continue
            with suppress(MalformedMessage):  # its profile is gone
                message = parse(wire, self._profiles).message
                if self._fits(agreement, content, asked, message):
                    here.append(message)
        return tuple(here)

    def _fits(self, agreement: Agreement, content: Content, asked: Asked, message: Message) -> bool:
        body = content.look(message.body) if asked.references else None
        references = references_of(body, content.names) if body else None
        day = message.timestamp.astimezone(content.zone).date()
        return asked.fits(message.service, day, message.message_id, references)

    # giving

    def handlers(self) -> Mapping[str, HandlerFunction]:
        """What answers a request for messages, unless a site has a handler of its own."""
        accepted = any(Service.PS802RSDRQ in agreement.accepts for agreement in self._agreements)
        return {Service.PS802RSDRQ: self.give} if accepted else {}

    async def give(self, message: Message) -> Reply:
        """Send again what was sent to the asker and fits; the reply tells how many."""
        agreement = self._agreements[message.sender]
        codes = agreement.own_codes
        content = _content(agreement)
        asked = _read(content, message)
        if asked is None or asked == Asked():
            raise Refuse(codes[Check.FORMAT], "it does not say which messages are wanted")
        since = _begins(asked.day, content) if asked.day else None
        found = await self._store.sent_to(
            agreement.peer,
            service=asked.service,
            since=since,
            until=since + timedelta(days=1) if since else None,
            message_ids=asked.message_ids,
            references=asked.references,
            limit=AT_MOST,
        )
        given = 0
        for delivery in found:
            if delivery.sender == agreement.own and agreement.gives(delivery.service):
                given += await self._give(agreement, delivery, message.message_id)
        if not given:
            code = NOT_FOUND if NOT_FOUND.source in codes.sources else codes[Check.RULE]
            raise Refuse(code, "nothing was found that could be sent again")
        self._wake[agreement.peer].set()
        return Reply(codes[Check.DONE], text=f"{given} sent again")

    async def _give(self, agreement: Agreement, delivery: Delivery, by: str) -> bool:
        exchange = agreement.profile.key_exchange.requests
        if delivery.purged or delivery.service in (*exchange, Service.PS802RSDRQ):
            return False
        match delivery.state:
            case state if state in OPEN:
                return True  # it is on its way
            case State.ANSWERED | State.RESOLVED:
                return await self._store.repeat(delivery.id, by, self._clock.now())
            case State.NOT_EXECUTED:
                return False  # it was perhaps sent as a new one since
        with suppress(UsageError):  # another process was faster
            await self._sender.resend(delivery.message_id)
        return True

    # what is repeated

    def start(self) -> None:
        """Begin to send what was asked for again."""
        for agreement in self._agreements:
            if agreement.endpoint is not None:
                work = self._work(agreement)
                self._tasks.append(asyncio.create_task(work, name=f"msh-resender-{agreement.peer}"))

    async def stop(self) -> None:
        """Begin nothing new; what is under way is taken up again later."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    def changed(self) -> None:
        """Another process changed the store."""
        for wake in self._wake.values():
            wake.set()

    async def _work(self, agreement: Agreement) -> None:
        wake = self._wake[agreement.peer]
        lease = agreement.outbound.timeout + RECORDING
        while True:
            wake.clear()
            now = self._clock.now()
            due: datetime | None
            try:
                due = await self._store.next_repeat(agreement.peer)
                if due is not None and due <= now:
                    limit = agreement.limits.sending
                    work = await self._store.repeats(agreement.peer, now, lease, limit)
                    await asyncio.gather(*(self._repeat(agreement, one) for one in work))
                    continue
            except StoreError as error:
                _log.error("cannot repeat messages to %s: %s", agreement.peer, error)
                due = now + STORE_PAUSE
            with suppress(TimeoutError):
                if due is None:
                    await wake.wait()
                else:
                    async with self._clock.timeout(due):
                        await wake.wait()

    async def _repeat(self, agreement: Agreement, one: Repeat) -> None:
        """One more copy. A reply that differs from the recorded one is journaled, no more."""
        began = self._clock.now()
        delivery = await self._store.delivery(one.delivery)
        due: datetime | None = None
        if delivery is not None:
            try:
                await self._sender.exchange_again(agreement, delivery, one.wire)
            except TransportError as error:
                _log.warning("%s: asked for again: %s", delivery.message_id, error)
                following = plan(agreement.outbound, one.tries, one.began, began)
                due = None if following.last else following.due
        await self._store.end_repeat(one.delivery, due)


def _content(agreement: Agreement) -> Content:
    content = agreement.profile.content
    if content is None:
        raise UsageError(
            f"profile {agreement.profile.name} says nothing of bodies, so msh cannot write or read "
            f"a {Service.PS802RSDRQ}; send it yourself, or register a handler for it"
        )
    return content


def _read(content: Content, message: Message) -> Asked | None:
    """What a request asks for; None if it cannot be read."""
    body = content.look(message.body)
    if body is None:
        return None
    names = content.names
    day = body.text(names.date)
    references = references_of(body, names)
    try:
        return Asked(
            service=body.text(names.service),
            day=date.fromisoformat(day) if day else None,
            message_ids=tuple((one.text or "").strip() for one in body.all(names.message_id)),
            references=None if references == (None, None) else references,
        )
    except ValueError:
        return None


def _begins(day: date, content: Content) -> datetime:
    return datetime.combine(day, time(), content.zone)
