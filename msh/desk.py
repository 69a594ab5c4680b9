"""One agreement's share of the receiver: its running handlers, and what waits behind them."""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial

from msh.agreement import Agreement, Agreements
from msh.catalog import Service
from msh.errors import ConfigurationError, UsageError
from msh.message import Message, Reply
from msh.store import Claim, StoredReply

#: A registered handler: plain or async, from the request (and perhaps the run) to the reply.
HandlerFunction = Callable[..., Reply | Awaitable[Reply]]
#: The parameters by which a handler asks to be told: the run's number, and whether the message
#: was asked for again.
TOLD = frozenset({"run", "repeat"})
#: What has a handler unless a site registers its own.
ANSWERED_BY_ITSELF = frozenset({Service.PS802RSDRQ})


@lru_cache(maxsize=1024)
def is_async(function: HandlerFunction) -> bool:
    """Whether ``function`` runs on the event loop, where a run really ends when it is cancelled."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004  # an object with an async __call__
    )


def _in_thread(
    function: HandlerFunction, message: Message, options: dict[str, int]
) -> Reply | Awaitable[Reply]:
    try:
        return function(message, **options)
    except StopIteration as error:
        # No future takes it: whoever awaits the handler would wait for ever.
        raise UsageError("the handler raised StopIteration") from error


def require_services(
    services: Collection[object], accepted: Collection[str], taken: Collection[str]
) -> None:
    """Raise `UsageError` that names every service no handler can be registered for."""
    names = [service for service in services if isinstance(service, str)]
    if not names or len(names) < len(services):
        raise UsageError(
            'on() wants service codes, each as a text: write @handler.on("PS810FTRQ"), or '
            "handler.on(*codes) for a list"
        )
    if twice := [name for name in names if name in taken]:
        raise UsageError(f"{', '.join(twice)}: has a handler already")
    if unknown := [name for name in names if name not in accepted]:
        raise UsageError(
            f"no agreement accepts {', '.join(unknown)}; add to `accepts` of the agreement it "
            "is to come under, or correct the code"
        )


def require_handlers(agreements: Agreements, handlers: Collection[str]) -> None:
    """Raise `ConfigurationError` unless whatever the agreements accept can be answered."""
    wanted = {service for agreement in agreements for service in agreement.accepts}
    missing = sorted(wanted - {*handlers, *ANSWERED_BY_ITSELF})
    if missing:
        raise ConfigurationError(
            "handlers",
            [
                f"{service}: is accepted by an agreement and has no handler; register one with "
                f'@handler.on("{service}"), or take it out of `accepts`'
                for service in missing
            ],
        )


def require_handler(function: object) -> None:
    """Raise `UsageError` for what cannot be called with a message (and its run)."""
    if not callable(function):
        raise UsageError(
            f"a handler is a function of the message, not {type(function).__name__}; write "
            '@handler.on("PS810FTRQ") above one'
        )
    name = getattr(function, "__qualname__", type(function).__name__)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise UsageError(f"{name}: a handler returns its msh.Reply, and yields nothing")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # a callable without a signature
        return
    try:
        signature.bind(None, **{name: 1 for name in TOLD if name in signature.parameters})
    except TypeError as error:
        raise UsageError(
            f"{name}{signature}: a handler is called with the message, and with run=N and "
            f"repeat=BOOL if it has such parameters; this one cannot be: {error}"
        ) from None


@lru_cache(maxsize=1024)
def told_to(function: HandlerFunction) -> frozenset[str]:
    """What ``function`` wants to know beside the message, of `TOLD`."""
    try:
        return TOLD.intersection(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # a callable without a signature
        return frozenset()


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

    async def call(
        self, function: HandlerFunction, message: Message, run: int, *, repeat: bool = False
    ) -> Reply:
        """Run a handler: async ones on the loop, plain ones in this agreement's own threads.

        One that has a parameter ``run`` is told the run's number, from 1; one that has ``repeat``,
        whether the message came because it was asked for again.
        """
        wanted = told_to(function)
        told = {"run": run, "repeat": repeat}
        options = {name: value for name, value in told.items() if name in wanted}
        try:
            return await self._call(function, message, options)
        except SystemExit as error:
            # One message must not end the process, and with it the work of every other.
            raise UsageError("the handler raised SystemExit") from error

    async def _call(
        self, function: HandlerFunction, message: Message, options: dict[str, int]
    ) -> Reply:
        if is_async(function):
            result = await function(message, **options)  # type: ignore[misc]  # a coroutine
        else:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(
                    self.agreement.limits.running,
                    thread_name_prefix=f"msh-handler-{self.agreement.peer}",
                )
            loop = asyncio.get_running_loop()
            call = partial(_in_thread, function, message, options)
            result = await loop.run_in_executor(self._pool, call)
            if inspect.isawaitable(result):
                result = await result
        if not isinstance(result, Reply):
            raise UsageError(f"a handler must return msh.Reply, not {type(result).__name__}")
        return result

    def close(self) -> None:
        """Let the threads go; a plain handler that still runs cannot be interrupted."""
        if self._pool is not None:
            self._pool.shutdown(wait=False)
