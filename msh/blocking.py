"""The blocking face: the same handler, without ``async`` and ``await``.

An event loop of its own runs in a thread of its own; every call waits for its result.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from datetime import date as Date
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from msh import handler as asynchronous
from msh.agreement import Agreements
from msh.batches import Batch as AsyncBatch
from msh.batches import Progress
from msh.config import Configuration
from msh.content import References
from msh.content.splitting import Part
from msh.errors import MshError, StoreClosed, UsageError
from msh.message import Message, Outgoing
from msh.observer import Observer
from msh.receipt import Receipt as AsyncReceipt
from msh.store import Delivery, Store, StoredKey

Result = TypeVar("Result")
Function = TypeVar("Function", bound=Callable[..., Any])


class Receipt:
    """See `msh.Receipt`; ``timeout`` is in seconds and raises `TimeoutError`."""

    def __init__(self, receipt: AsyncReceipt, loop: _Loop) -> None:
        self._receipt = receipt
        self._loop = loop
        self.created = receipt.created

    @property
    def message_id(self) -> str:
        """The message's id (scoi:MsgId)."""
        return self._receipt.message_id

    def delivery(self) -> Delivery:
        """Where the delivery stands now."""
        return self._loop.run(self._receipt.delivery())

    def settled(self, timeout: float | None = None) -> Delivery:
        """Wait until the delivery has ended, one way or the other."""
        return self._loop.run(self._receipt.settled(timeout))

    def reply(self, timeout: float | None = None) -> Message:
        """Wait for the answer. Raises `Undelivered`, `InDoubt` or `Resolved`."""
        return self._loop.run(self._receipt.reply(timeout))

    def outcome(self, timeout: float | None = None) -> Message:
        """Wait for the result that tells the business outcome. See `msh.Receipt.outcome`."""
        return self._loop.run(self._receipt.outcome(timeout))

    def outcomes(self) -> Sequence[Message]:
        """Every result that has come, oldest first."""
        return self._loop.run(self._receipt.outcomes())

    def __repr__(self) -> str:
        return repr(self._receipt)


class Batch:
    """See `msh.Batch`; ``timeout`` is in seconds and raises `TimeoutError`."""

    def __init__(self, batch: AsyncBatch, loop: _Loop) -> None:
        self._batch = batch
        self._loop = loop
        self.created = batch.created
        self.key, self.service, self.receiver = batch.key, batch.service, batch.receiver
        self.count = batch.count
        self.receipts = tuple(Receipt(receipt, loop) for receipt in batch.receipts)

    def progress(self) -> Progress:
        """Where each part stands now."""
        return self._loop.run(self._batch.progress())

    def settled(self, timeout: float | None = None) -> Progress:
        """Wait until every part has ended, one way or the other."""
        return self._loop.run(self._batch.settled(timeout))

    def replies(self, timeout: float | None = None) -> Sequence[Message | MshError]:
        """Wait for the answer to every part. See `msh.Batch.replies`."""
        return self._loop.run(self._batch.replies(timeout))

    def outcomes(self, timeout: float | None = None) -> Sequence[Message | MshError]:
        """Wait for the result of every part. See `msh.Batch.outcomes`."""
        return self._loop.run(self._batch.outcomes(timeout))

    def __repr__(self) -> str:
        return repr(self._batch)


@dataclass(frozen=True, slots=True)
class Again:
    """See `msh.Again`."""

    here: tuple[Message, ...]
    receipt: Receipt | None


class MessageServiceHandler:
    """See `msh.MessageServiceHandler`. Handlers may still be plain or ``async``."""

    def __init__(
        self, agreements: Agreements, store: Store | str, *, listen: str | None = None
    ) -> None:
        self._handler = asynchronous.MessageServiceHandler(agreements, store, listen=listen)
        self._loop: _Loop | None = None

    @classmethod
    def from_config(
        cls,
        source: str | Path | Configuration,
        *,
        listen: bool = True,
        observers: Iterable[Observer] = (),
    ) -> Self:
        """The handler that ``msh.toml`` describes. Raises `ConfigurationError`."""
        made = cls.__new__(cls)
        made._handler = asynchronous.MessageServiceHandler.from_config(
            source, listen=listen, observers=observers
        )
        made._loop = None
        return made

    @property
    def agreements(self) -> Agreements:
        """What was agreed, and with whom."""
        return self._handler.agreements

    @property
    def url(self) -> str | None:
        """Where it listens, while it does."""
        return self._handler.url

    def on(self, *services: str) -> Callable[[Function], Function]:
        """Register the decorated function as the handler of ``services``."""
        return self._handler.on(*services)

    def observe(self, observer: Observer) -> None:
        """Show ``observer`` every journal entry; it is called in the loop's thread."""
        self._handler.observe(observer)

    def start(self) -> None:
        """Open the store, deliver what is queued, and listen if there is anything to receive."""
        if self._loop is not None:
            raise UsageError("this handler runs already")
        loop = _Loop()
        try:
            loop.run(self._handler.start())
        except BaseException:
            loop.close()
            raise
        self._loop = loop

    def stop(self) -> None:
        """Finish what is in hand, and let go of everything."""
        loop, self._loop = self._loop, None
        if loop is not None:
            try:
                loop.run(self._handler.stop())
            finally:
                loop.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def send(
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
        """Queue a message; it is on disk when this returns. See `msh.Sender.send`."""
        loop = self._running()
        sending = self._handler.send(
            service, body, to=to, key=key, message_id=message_id, ref_to=ref_to, when_open=when_open
        )
        return Receipt(loop.run(sending), loop)

    def receipt(self, message_id: str) -> Receipt:
        """The receipt of a message sent earlier, also before a restart."""
        loop = self._running()
        return Receipt(loop.run(self._handler.receipt(message_id)), loop)

    def split(self, service: str, body: bytes | str, *, to: str | None = None) -> Sequence[Part]:
        """Cut a request into parts that fit. See `msh.MessageServiceHandler.split`."""
        return self._running().run(self._handler.split(service, body, to=to))

    def send_split(
        self,
        service: str,
        body: bytes | str,
        *,
        to: str | None = None,
        key: str | None = None,
        when_open: bool = False,
    ) -> Batch:
        """Queue a request as several. See `msh.MessageServiceHandler.send_split`."""
        loop = self._running()
        sending = self._handler.send_split(service, body, to=to, key=key, when_open=when_open)
        return Batch(loop.run(sending), loop)

    def batch(self, key: str) -> Batch:
        """The batch of this key, also after a restart."""
        loop = self._running()
        return Batch(loop.run(self._handler.batch(key)), loop)

    def resend(self, message_id: str) -> Receipt:
        """Begin a new series of attempts, with the same bytes and id. See `msh.Sender.resend`."""
        loop = self._running()
        return Receipt(loop.run(self._handler.resend(message_id)), loop)

    def result(self, request: Message, body: bytes | str, *, key: str | None = None) -> Outgoing:
        """A result for `Reply` (``then=``). See `msh.MessageServiceHandler.result`."""
        return self._handler.result(request, body, key=key)

    def send_result(
        self,
        request: Message | str,
        body: bytes | str,
        *,
        sender: str | None = None,
        key: str | None = None,
    ) -> Receipt:
        """Tell the outcome of a request. See `msh.MessageServiceHandler.send_result`."""
        loop = self._running()
        sending = self._handler.send_result(request, body, sender=sender, key=key)
        return Receipt(loop.run(sending), loop)

    def inquire(self, receipt: Receipt | str) -> Receipt:
        """Ask what became of a request. See `msh.MessageServiceHandler.inquire`."""
        loop = self._running()
        name = receipt if isinstance(receipt, str) else receipt.message_id
        return Receipt(loop.run(self._handler.inquire(name)), loop)

    def ask_again(
        self,
        peer: str,
        *,
        service: str | None = None,
        date: Date | None = None,
        message_ids: Iterable[str] = (),
        references: References | None = None,
    ) -> Again:
        """Ask for messages again. See `msh.MessageServiceHandler.ask_again`."""
        loop = self._running()
        asking = self._handler.ask_again(
            peer, service=service, date=date, message_ids=message_ids, references=references
        )
        again = loop.run(asking)
        return Again(again.here, Receipt(again.receipt, loop) if again.receipt else None)

    def exchange_key(self, peer: str) -> StoredKey:
        """Exchange a new working key. See `msh.MessageServiceHandler.exchange_key`."""
        loop = self._running()
        return loop.run(self._handler.exchange_key(peer))

    def retire_key(self, peer: str, key: str) -> bool:
        """Retire a key that others know. See `msh.MessageServiceHandler.retire_key`."""
        loop = self._running()
        return loop.run(self._handler.retire_key(peer, key))

    def _running(self) -> _Loop:
        if self._loop is None:
            raise UsageError("the handler does not run; use it in `with handler:`")
        return self._loop


class _Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._closing = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="msh-blocking", daemon=True
        )
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """The result of ``work``, run on the loop."""
        if threading.current_thread() is self._thread:
            work.close()
            raise UsageError(
                "a blocking call inside an async handler would wait for itself; use a plain "
                "handler, or msh.MessageServiceHandler"
            )
        with self._lock:
            if self._closing:
                work.close()
                raise UsageError("the handler was stopped; use it in `with handler:`")
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except CancelledError:
            raise StoreClosed("the handler was stopped before this call came to its end") from None

    def close(self) -> None:
        """End the loop and its thread; calls of other threads that still wait are told so."""
        with self._lock:
            self._closing = True
        asyncio.run_coroutine_threadsafe(self._end_calls(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end_calls(self) -> None:
        await asyncio.sleep(0)  # what was asked for last becomes a task now
        calls = asyncio.all_tasks() - {asyncio.current_task()}
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
