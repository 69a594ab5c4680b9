"""A bound on how often something is done; time comes in as an argument."""

from __future__ import annotations

from collections import OrderedDict

#: More keys than this are not told apart: the one that was not seen for longest is forgotten.
KEYS = 4096


class RateLimit:
    """A token bucket per key: ``burst`` at once, and ``rate`` a second from then on."""

    def __init__(self, rate: float, burst: float) -> None:
        self.rate = rate
        self.burst = burst
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allows(self, key: str, now: float) -> bool:
        """Whether ``key`` may do it once more at ``now`` (seconds, of a clock that never goes
        back); if so, it has.
        """
        left, seen = self._buckets.pop(key, (self.burst, now))
        left = min(self.burst, left + (now - seen) * self.rate)
        allowed = left >= 1
        self._buckets[key] = (left - 1 if allowed else left, now)
        if len(self._buckets) > KEYS:
            self._buckets.popitem(last=False)
        return allowed
