"""A clock that tests turn by hand: hours pass in milliseconds, and nothing is slept for."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count

#: How many turns of the event loop without anything to do count as quiet.
QUIET_TURNS = 40


class VirtualClock:
    """A `msh.clock.Clock` that stands still until `advance`.

    ``busy`` tells whether threads beside the event loop (a store's writer) still work; time only
    moves when they do not.
    """

    def __init__(
        self,
        start: datetime = datetime(2026, 11, 20, 1, 0, tzinfo=UTC),
        *,
        busy: Callable[[], bool] = lambda: False,
    ) -> None:
        self.busy = busy
        self._start = start
        self._now = start
        self._timers: list[tuple[datetime, int, Callable[[], None]]] = []
        self._numbers = count()

    def now(self) -> datetime:
        """The virtual time of day."""
        return self._now

    def monotonic(self) -> float:
        """Virtual seconds since the start."""
        return (self._now - self._start).total_seconds()

    async def sleep_until(self, at: datetime) -> None:
        """Return once the clock was turned to ``at``."""
        if at <= self._now:
            await asyncio.sleep(0)
            return
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._at(at, lambda: None if reached.done() else reached.set_result(None))
        await reached

    @asynccontextmanager
    async def timeout(self, at: datetime) -> AsyncIterator[object]:
        """asyncio's time-out, fired by the virtual clock."""
        loop = asyncio.get_running_loop()
        over = False
        async with asyncio.timeout(None) as timeout:

            def fire() -> None:
                if not over:
                    timeout.reschedule(loop.time())

            self._at(at, fire)
            try:
                yield timeout
            finally:
                over = True

    async def advance(self, by: timedelta | float) -> None:
        """Turn the clock, letting everything that falls due on the way happen in order."""
        by = by if isinstance(by, timedelta) else timedelta(seconds=by)
        await self.advance_to(self._now + by)

    async def advance_to(self, at: datetime) -> None:
        """Turn the clock to ``at``."""
        await self.settle()
        while self._timers and self._timers[0][0] <= at:
            due, _, fire = heapq.heappop(self._timers)
            self._now = max(self._now, due)
            fire()
            if not self._timers or self._timers[0][0] > self._now:
                await self.settle()
        self._now = max(self._now, at)
        await self.settle()

    async def settle(self) -> None:
        """Wait (in real time) until nothing moves any more without the clock."""
        quiet = 0
        while quiet < QUIET_TURNS:
            if self.busy():
                quiet = 0
                await asyncio.sleep(0.0002)
            else:
                quiet += 1
                await asyncio.sleep(0)

    def _at(self, at: datetime, fire: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (at, next(self._numbers), fire))
