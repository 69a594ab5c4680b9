"""Asking what became of a request (PS830), by hand or by itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from msh.agreement import Agreement, Agreements
from msh.catalog import Service
from msh.clock import Clock
from msh.content.building import build
from msh.courier import STORE_PAUSE
from msh.envelope import parse
from msh.errors import MshError, StoreError, UsageError
from msh.message import Message, Outgoing
from msh.protocol.delivery import OPEN
from msh.protocol.journal import Entry, Step
from msh.receipt import Receipt
from msh.sender import Sender
from msh.store import Delivery, Inquiry, Store

_log = logging.getLogger("msh.sender")

#: Inquiries that leave by themselves for one request: at once, and when "not found" would count.
BY_ITSELF = 2
#: How many deliveries in doubt are looked at in one go.
AT_ONCE = 100

#: "After" a moment is at least so much later.
_A_MOMENT = timedelta(microseconds=1)

_NEWS = frozenset({Step.GIVEN_UP, Step.ANSWERED, Step.RESOLVED})


class Inquirer:
    """Sends inquiries. What may be believed of the answers is the store's and the table's."""

    def __init__(self, agreements: Agreements, store: Store, sender: Sender, clock: Clock) -> None:
        self._agreements = agreements
        self._profiles = {a.profile.namespace: a.profile for a in agreements}
        self._store = store
        self._sender = sender
        self._clock = clock
        self._asking = [agreement for agreement in agreements if agreement.inquire]
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        #: Requests that cannot be asked about, told once.
        self._hopeless: set[int] = set()

    async def inquire(self, message_id: str) -> Receipt:
        """Ask what became of a message that has left. See `msh.MessageServiceHandler.inquire`."""
        delivery = await (await self._sender.receipt(message_id)).delivery()
        asked = await self._store.inquiries(delivery.id)
        if asked and asked[0].state in OPEN:
            return await self._sender.receipt(asked[0].message_id)
        if not delivery.copies:
            raise UsageError(
                f"{message_id}: no copy has left, so there is nothing to ask about; it is "
                f"{delivery.state}"
            )
        agreement = self._agreements.to_send(Service.PS830INQRQ, delivery.receiver)
        request = await self._request(delivery)
        outgoing = Outgoing(
            Service.PS830INQRQ,
            self._body(agreement, request),
            agreement.peer,
            f"inquiry {len(asked) + 1} of {message_id}",
            ref_to=message_id,
        )
        draft = self._sender.draft(outgoing)
        about = Inquiry(delivery.id, _conclusive(agreement, request))
        return await self._sender.queue(replace(draft, about=about))

    async def _request(self, delivery: Delivery) -> Message:
        stored = await self._store.request_wire(delivery.id)
        if stored is None or stored[1] is None:
            raise UsageError(f"{delivery.message_id}: its content has been purged; ask by hand")
        return parse(stored[1], self._profiles).message

    def _body(self, agreement: Agreement, request: Message) -> bytes:
        content = agreement.profile.content
        body = content.look(request.body) if content else None
        if content is None or body is None:
            raise UsageError(
                f"{request.message_id}: nothing is known of its body; send the inquiry yourself"
            )
        names = content.names
        copied = (names.ssn_id, names.service_ref, names.business_type)
        fields = [(name, body.text(name)) for name in copied]
        return build(content, Service.PS830INQRQ, [*fields, (names.message_id, request.message_id)])

    # by itself

    def start(self) -> None:
        """Begin to ask for every agreement with ``inquire``."""
        if self._asking:
            self._task = asyncio.create_task(self._work(), name="msh-inquirer")

    async def stop(self) -> None:
        """Ask nothing new."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def noticed(self, entries: Sequence[Entry]) -> None:
        """Journal entries of this process: a delivery may be in doubt now."""
        if self._asking and any(entry.step in _NEWS for entry in entries):
            self._news.set()

    async def _work(self) -> None:
        while True:
            self._news.clear()
            try:
                due = [await self._ask_all(agreement) for agreement in self._asking]
            except StoreError as error:
                _log.error("cannot inquire: %s", error)
                due = [self._clock.now() + STORE_PAUSE]
            moments = [moment for moment in due if moment is not None]
            with suppress(TimeoutError):
                if not moments:
                    await self._news.wait()
                    continue
                async with self._clock.timeout(min(moments)):
                    await self._news.wait()

    async def _ask_all(self, agreement: Agreement) -> datetime | None:
        """Ask about what is in doubt; when more is to be asked."""
        following: datetime | None = None
        for delivery, asked in await self._store.not_inquired(agreement.peer, BY_ITSELF, AT_ONCE):
            if delivery.id in self._hopeless:
                continue
            try:
                due = None
                if asked:
                    due = _conclusive(agreement, await self._request(delivery))
                    if due is None:
                        continue  # "not found" will never count
                if due is not None and due >= self._clock.now():
                    following = due if following is None else min(following, due)
                else:
                    await self._inquire_of(delivery)
            except StoreError:
                raise
            except MshError as error:
                self._hopeless.add(delivery.id)
                _log.error("%s: cannot be inquired about: %s", delivery.message_id, error)
        if following is None:
            return None
        return following + _A_MOMENT

    async def _inquire_of(self, delivery: Delivery) -> None:
        receipt = await self.inquire(delivery.message_id)
        _log.warning(
            "%s to %s is in doubt: %s asks what became of it",
            delivery.message_id,
            delivery.receiver,
            receipt.message_id,
        )


def _conclusive(agreement: Agreement, request: Message) -> datetime | None:
    """From when on no copy can be taken any more: past the time to live and the agreed skew."""
    return request.expires + agreement.clock_skew if request.expires else None
