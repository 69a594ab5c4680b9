"""How many large messages are read at once.

The tree of a parsed message takes up to fifty times its bytes, and a large one is verified by a
thread, for which others wait. So a large message waits before it is parsed, as the bytes that came.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from msh.clock import Clock

#: What is larger than so many bytes waits for a place; others are read without any waiting.
LARGE: Final = 65_536
#: How many places there are, how many messages wait for one, and how long at most.
AT_ONCE: Final = 4
WAITING: Final = 64
PATIENCE: Final = timedelta(seconds=10)


class Admission:
    """The places in which large messages are parsed and verified."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._places = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def enter(self) -> bool:
        """Take a place, and `leave` it later. False if there is none in time, or too many wait."""
        if self._waiting >= WAITING:
            return False
        self._waiting += 1
        try:
            async with self._clock.timeout(self._clock.now() + PATIENCE):
                await self._places.acquire()
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1
        return True

    def leave(self) -> None:
        """Somebody else may have the place."""
        self._places.release()
