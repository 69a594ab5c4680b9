"""The handler's outcome leg: results, inquiries, and messages asked for again (TDCC PSP 9.1)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date as Date

from msh.agreement import Agreements
from msh.awaited import Awaited
from msh.clock import Clock
from msh.content import References
from msh.desk import HandlerFunction
from msh.errors import StoreError, UnknownMessage, UsageError
from msh.inquiring import Inquirer
from msh.message import Message, Outgoing
from msh.protocol.journal import Entry
from msh.receipt import Receipt
from msh.resending import Again, Resender
from msh.resulting import result_of
from msh.sender import Sender
from msh.store import Asked, Store


class Leg:
    """The running parts of the outcome leg."""

    def __init__(self, agreements: Agreements, store: Store, sender: Sender, clock: Clock) -> None:
        self.awaited = Awaited(store, clock)
        self.inquirer = Inquirer(agreements, store, sender, clock)
        self.resender = Resender(agreements, store, sender, self.awaited, clock)
        self._loading: asyncio.Task[None] | None = None

    def handlers(self) -> Mapping[str, HandlerFunction]:
        """What answers by itself."""
        return self.resender.handlers()

    def start(self) -> None:
        """Begin to inquire and to repeat, where anything is delivered by itself."""
        self.inquirer.start()
        self.resender.start()

    async def stop(self) -> None:
        """Begin nothing new."""
        await self.inquirer.stop()
        await self.resender.stop()
        if self._loading is not None:
            await asyncio.gather(self._loading, return_exceptions=True)

    def noticed(self, entries: Sequence[Entry]) -> None:
        """Journal entries of this process."""
        self.inquirer.noticed(entries)

    def changed(self) -> None:
        """Another process changed the store."""
        self.resender.changed()
        if self._loading is None or self._loading.done():
            self._loading = asyncio.create_task(self._load())

    async def _load(self) -> None:
        with suppress(StoreError):  # the next change tells it again
            await self.awaited.load()


class OutcomeLeg:
    """What `msh.MessageServiceHandler` offers beyond requests and their replies."""

    agreements: Agreements
    store: Store
    _leg: Leg | None = None

    @property
    def sender(self) -> Sender:
        """The sending side."""
        raise NotImplementedError

    def result(self, request: Message, body: bytes | str, *, key: str | None = None) -> Outgoing:
        """The message that tells the outcome of a received ``request``, for `Reply` (``then=``).

        Service, receiver and RefToMsgId follow from the request, and so does ``key``, unless
        several results (a preliminary and a final one) are told apart by keys of your own. Raises
        `UsageError` for a request that has no result.
        """
        agreement = self.agreements[request.sender]
        return result_of(agreement, request.service, request.message_id, body, key)

    async def send_result(
        self,
        request: Message | str,
        body: bytes | str,
        *,
        sender: str | None = None,
        key: str | None = None,
    ) -> Receipt:
        """Tell the outcome of a received request, also hours later and after a restart.

        ``request`` is the message or its id; ``sender`` says whose, if several parties sent one
        of that id. Called again with the same body it sends nothing more; with another one it
        raises `KeyReused`. See `result` for ``key``. Raises `UnknownMessage`, `UsageError` for a
        request that has no result, or as `send` does.
        """
        if isinstance(request, Message):
            outgoing = self.result(request, body, key=key)
        else:
            found = [
                one
                for one in await self.store.receptions(message_id=request)
                if sender in (None, one.sender) and self.agreements.get(one.sender)
            ]
            if not found:
                raise UnknownMessage(f"{request}: no message of that id was received")
            if len(found) > 1:
                parties = ", ".join(sorted(one.sender for one in found))
                raise UsageError(f"{request}: was received from {parties}; say which with `sender`")
            (one,) = found
            agreement = self.agreements[one.sender]
            outgoing = result_of(agreement, one.service, one.message_id, body, key)
        return await self.sender.queue(self.sender.draft(outgoing))

    async def inquire(self, receipt: Receipt | str) -> Receipt:
        """Ask the other side what became of a request that has left (PS830).

        Returns the inquiry's receipt; while one is under way, that one's. What its answer lets
        believe is recorded with the request, whose receipt tells it. Raises `UsageError` for what
        cannot be asked about, or as `send` does.
        """
        name = receipt if isinstance(receipt, str) else receipt.message_id
        return await self._running_leg.inquirer.inquire(name)

    async def ask_again(
        self,
        peer: str,
        *,
        service: str | None = None,
        date: Date | None = None,
        message_ids: Iterable[str] = (),
        references: References | None = None,
    ) -> Again:
        """Ask ``peer`` for messages that it has sent to us (PS802): those that fit all of this.

        What the own inbox holds is given at once and, where messages are named, not asked for.
        What comes reaches its handler, told by a parameter ``repeat``; what is known here gets its
        stored reply. ``date`` is the day they were sent, in the profile's time zone. Raises
        `UsageError` if nothing is asked for, or as `send` does.
        """
        if isinstance(message_ids, str):
            raise UsageError("message_ids must be several texts, such as [message_id]")
        asked = Asked(service, date, tuple(message_ids), references)
        return await self._running_leg.resender.ask_again(peer, asked)

    @property
    def _running_leg(self) -> Leg:
        if self._leg is None:
            raise UsageError("the handler does not run; use it in `async with handler:`")
        return self._leg
