"""One line a minute for each thing that goes wrong, however often it does."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter

_log = logging.getLogger("msh.transport.http")

#: Seconds between two lines of one kind.
TELL_AGAIN = 60.0


class Telling:
    """Counts what is told, by reason; ``what`` begins each line. Reasons must be few."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._counted: Counter[str] = Counter()
        self._told: dict[str, float] = {}

    def tell(self, reason: str, last: str = "") -> None:
        """Once more, for ``reason``; ``last`` is the address that it came from."""
        self._counted[reason] += 1
        now = asyncio.get_running_loop().time()
        if now - self._told.get(reason, -TELL_AGAIN) >= TELL_AGAIN:
            self._told[reason] = now
            last = f", the last from {last}" if last else ""
            _log.warning("%s: %s (%d so far%s)", self._what, reason, self._counted[reason], last)
