"""What a caller holds of a message it sent: a receipt, and where its end is announced."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from msh.errors import StoreClosed
from msh.message import Message
from msh.outcomes import Outcomes
from msh.protocol.delivery import OPEN, SETTLED, State
from msh.store import Delivery


class Settlement:
    """Where the end of one delivery is announced, to every receipt of it."""

    __slots__ = ("__weakref__", "_closed", "_ended", "delivery", "look_first", "reply")

    def __init__(self) -> None:
        self.delivery: Delivery | None = None
        self.reply: Message | None = None
        #: The delivery may have ended before this was made.
        self.look_first = False
        self._ended = asyncio.Event()
        self._closed = False

    def settle(self, delivery: Delivery, reply: Message | None) -> None:
        """The delivery ended; a later call, with a late answer, takes the place of this one."""
        self.delivery, self.reply = delivery, reply
        self._ended.set()

    def reopen(self, ended: Delivery | None) -> None:
        """The delivery is under way again after it ``ended``: it is waited for anew."""
        if self.delivery is ended:  # else it has ended again meanwhile
            self.delivery = self.reply = None
            if not self._closed:
                self._ended.clear()

    def close(self) -> None:
        """Nobody here will work on it any more."""
        self._closed = True
        self._ended.set()

    async def wait(self, message_id: str) -> Delivery:
        """Wait for the end; raises `StoreClosed` if the handler is stopped first."""
        while self.delivery is None:
            if self._closed:
                raise StoreClosed(
                    f"{message_id}: the handler was stopped before an answer came; the message is "
                    "kept, ask again with receipt(message_id)"
                )
            await self._ended.wait()
        return self.delivery


class Source(Protocol):
    """Where a receipt looks things up: the sender."""

    async def look_up(self, delivery: Delivery) -> Delivery:
        """The delivery as stored now."""
        ...

    def within(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """A block that ends with `TimeoutError` after so many seconds."""
        ...

    @property
    def outcomes(self) -> Outcomes:
        """Where results are found."""
        ...

    async def reply_to(self, delivery: Delivery) -> Message:
        """The stored reply, or an error that says what is known."""
        ...


class Receipt:
    """The message is on disk; this tells what becomes of it."""

    def __init__(
        self, delivery: Delivery, settlement: Settlement, source: Source, *, created: bool
    ) -> None:
        self._delivery = delivery
        self._settlement = settlement
        self._source = source
        #: Whether this call queued the message (False: an earlier one with its key or id did).
        self.created = created

    @property
    def message_id(self) -> str:
        """The message's id (scoi:MsgId)."""
        return self._delivery.message_id

    async def delivery(self) -> Delivery:
        """Where the delivery stands now."""
        return await self._source.look_up(self._delivery)

    async def settled(self, timeout: float | None = None) -> Delivery:
        """Wait until the delivery has ended, one way or the other.

        Raises `TimeoutError` after ``timeout`` seconds; the message goes on as before.
        """
        if timeout is None:
            return await self._settled()
        try:
            async with self._source.within(timeout):
                return await self._settled()
        except TimeoutError:
            raise TimeoutError(
                f"{self.message_id}: no end within {timeout:g} s; the message is kept, and goes on "
                "by its schedule while a handler runs"
            ) from None

    async def _settled(self) -> Delivery:
        known = self._settlement.delivery
        if known is not None and known.state in SETTLED:
            return known
        if known is not None or self._settlement.look_first:
            now = await self._source.look_up(self._delivery)
            if now.state not in OPEN:
                return now
            self._settlement.reopen(known)  # it was resent
        return await self._settlement.wait(self.message_id)

    async def reply(self, timeout: float | None = None) -> Message:
        """Wait for the answer, whatever its status code says.

        Raises `Undelivered` (no copy ever left: no effect), `InDoubt` (it may have taken effect:
        no answer, the system error 9999S, or a refusal that may be about a later copy),
        `Resolved` (its result came instead), or `TimeoutError` after ``timeout`` seconds, which
        says nothing: the message goes on as before. A later answer is recorded, so asking again
        may give more.
        """
        delivery = await self.settled(timeout)
        reply = self._settlement.reply
        # What another process recorded since is newer than the reply that is held here.
        held = delivery is self._settlement.delivery
        if held and delivery.state is State.ANSWERED and reply is not None:
            return reply
        return await self._source.reply_to(delivery)

    async def outcome(self, timeout: float | None = None) -> Message:
        """Wait for the result that tells the business outcome (PS811 ...), perhaps for hours.

        Of several (a preliminary and a final one, say) the newest; `outcomes` gives all. It may
        come before the reply, or instead of it, and a doubt does not end the waiting. Raises
        `Undelivered`, `NotExecuted`, `NoOutcome` (the request was refused) or `Resolved` (an
        operator found that it was executed) where no result will come, `UsageError` for a service
        that has none, or `TimeoutError` after ``timeout`` seconds, which says nothing.
        """
        if timeout is None:
            return await self._source.outcomes.wait(self._delivery)
        try:
            async with self._source.within(timeout):
                return await self._source.outcomes.wait(self._delivery)
        except TimeoutError:
            raise TimeoutError(
                f"{self.message_id}: no result within {timeout:g} s; one that comes later is kept"
            ) from None

    async def outcomes(self) -> Sequence[Message]:
        """Every result that has come and whose content is kept, oldest first."""
        return await self._source.outcomes.all_of(self._delivery)

    def __repr__(self) -> str:
        return f"<Receipt {self.message_id}>"
