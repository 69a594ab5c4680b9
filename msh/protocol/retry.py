"""The retry schedule, from tenacity's strategies over stored state (TDCC PSP 9.7.5, 4).

No retry loop runs and no task sleeps: before an attempt begins, the strategies are asked once
what comes after it, and the answer is stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NoReturn

from tenacity import RetryCallState, Retrying, stop_after_attempt, wait_exponential

from msh.agreement import Reliability

# tenacity's own ceiling, so that a large factor overflows neither it nor timedelta.
_LONGEST = 30 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What follows an attempt that gets no answer: the next one at ``due``, or giving up then."""

    due: datetime
    last: bool


def plan(reliability: Reliability, attempt: int, first: datetime, now: datetime) -> Plan:
    """What comes after attempt number ``attempt`` (from 1) that begins ``now``.

    ``first`` is when the first attempt of this series began. The next attempt is due at this
    one's start + time-out + interval, whether it times out or fails at once, so the schedule
    never shifts.
    """
    wait, stop = _strategies(reliability)
    end = now + reliability.timeout
    state = _call_state(attempt, (end - first).total_seconds())
    # tenacity's order: some strategies stop by what the wait would be (stop_before_delay).
    pause = min(max(float(wait(state)), 0.0), _LONGEST)
    state.upcoming_sleep = pause
    if stop(state):
        return Plan(end, last=True)
    return Plan(end + timedelta(seconds=pause), last=False)


@lru_cache(maxsize=256)
def _strategies(reliability: Reliability) -> tuple[Any, Any]:
    """tenacity's strategies for what was agreed, or those that were given instead."""
    wait = reliability.wait or wait_exponential(
        multiplier=reliability.interval.total_seconds(), exp_base=reliability.factor, max=_LONGEST
    )
    return wait, reliability.stop or stop_after_attempt(reliability.resends + 1)


def schedule(reliability: Reliability, first: datetime, limit: int = 1000) -> list[datetime]:
    """When each attempt begins, and last, when the message is given up.

    For showing to people and for checking a configuration; at most ``limit`` attempts.
    """
    moments = [first]
    for attempt in range(1, limit + 1):
        following = plan(reliability, attempt, first, moments[-1])
        moments.append(following.due)
        if following.last:
            break
    return moments


def _call_state(attempt: int, seconds: float) -> RetryCallState:
    """What a tenacity strategy looks at, filled from stored state."""
    state: Any = RetryCallState(_NOT_RUN, None, (), {})
    state.attempt_number = attempt
    state.start_time = 0.0
    state.idle_for = 0.0
    state.set_exception((TimeoutError, TimeoutError("no answer"), None))
    state.outcome_timestamp = seconds
    return state  # type: ignore[no-any-return]  # built as Any to set its fields


class _NotRun(Retrying):
    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise RuntimeError("strategies are only asked, never run")


_NOT_RUN = _NotRun()
