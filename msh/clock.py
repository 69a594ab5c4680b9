"""Time as the running parts see it, so that tests can run hours in milliseconds."""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What time it is, and waiting for it."""

    def now(self) -> datetime:
        """The time of day, in UTC: what due times are compared with."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back: what durations are measured with."""
        ...

    async def sleep_until(self, at: datetime) -> None:
        """Return when it is ``at`` or later."""
        ...

    def timeout(self, at: datetime) -> AbstractAsyncContextManager[object]:
        """A block that is cancelled at ``at`` and then raises `TimeoutError`."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The time of day, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    async def sleep_until(self, at: datetime) -> None:
        """Sleep; a clock that was set back meanwhile is waited for."""
        while (left := (at - self.now()).total_seconds()) > 0:
            await asyncio.sleep(min(left, 60.0))

    def timeout(self, at: datetime) -> AbstractAsyncContextManager[object]:
        """asyncio's own time-out, on the loop's monotonic clock."""
        return asyncio.timeout((at - self.now()).total_seconds())
