"""One agreement's share of the receiver: its running handlers, and what waits behind them."""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

from msh.agreement import Agreement
from msh.message import Message, Reply
from msh.store import Claim, StoredReply

#: A registered handler: plain or async, from the request to the reply.
HandlerFunction = Callable[[Message], Reply | Awaitable[Reply]]


@lru_cache(maxsize=1024)
def is_async(function: HandlerFunction) -> bool:
    """Whether ``function`` runs on the event loop, where a run really ends when it is cancelled."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004  # an object with an async __call__
    )


class Desk:
    """Counts what runs and what waits, so that one party's load stalls nobody else."""

    def __init__(self, agreement: Agreement) -> None:
        self.agreement = agreement
        #: Claims whose handlers run or wait here: their leases are to be kept.
        self.claims: dict[int, Claim] = {}
        self.tasks: dict[int, asyncio.Task[StoredReply | None]] = {}
        self._running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._coming = 0
        self._pool: ThreadPoolExecutor | None = None

    @property
    def free(self) -> int:
        """How many handlers could start now."""
        return 0 if self._waiting else max(0, self.agreement.limits.running - self._running)

    def take(self) -> bool:
        """Take a place for a handler if one is free."""
        if self.free:
            self._running += 1
            return True
        return False

    def reserve(self) -> bool:
        """Promise to wait for a place, if as many do not wait already."""
        if len(self._waiting) + self._coming >= self.agreement.limits.waiting:
            return False
        self._coming += 1
        return True

    def cancel(self) -> None:
        """Take a promise to wait back: by waiting, or for good."""
        self._coming -= 1

    async def place(self) -> None:
        """Wait for a place, first come first served."""
        if self.take():
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()
            else:
                self._waiting.remove(turn)
            raise

    def leave(self) -> None:
        """Give a place back: to the first that waits, if any does."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._running -= 1

    async def call(self, function: HandlerFunction, message: Message) -> Reply:
        """Run a handler: async ones on the loop, plain ones in this agreement's own threads."""
        if is_async(function):
            result = await function(message)  # type: ignore[misc]  # known to be a coroutine
        else:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(
                    self.agreement.limits.running,
                    thread_name_prefix=f"msh-handler-{self.agreement.peer}",
                )
            loop = asyncio.get_running_loop()
            result = await loop.run_in_executor(self._pool, function, message)
            if inspect.isawaitable(result):
                result = await result
        if not isinstance(result, Reply):
            raise TypeError(f"a handler must return msh.Reply, not {type(result).__name__}")
        return result

    def close(self) -> None:
        """Let the threads go; a plain handler that still runs cannot be interrupted."""
        if self._pool is not None:
            self._pool.shutdown(wait=False)
