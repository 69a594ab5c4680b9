"""The retry schedule: the published one, the formula for any settings, other strategies."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
import tenacity
from hypothesis import given
from hypothesis import strategies as st

from msh.agreement import Reliability
from msh.protocol.retry import Plan, plan, schedule

START = datetime(2026, 11, 21, 9, tzinfo=UTC)
USUAL = Reliability()


def seconds(moments: list[datetime]) -> list[float]:
    return [(moment - START).total_seconds() for moment in moments]


def test_the_published_schedule() -> None:
    assert seconds(schedule(USUAL, START)) == [0, 90, 240, 510, 540]


def test_it_is_the_published_sum() -> None:
    # Time Out + (Retry Interval + Time Out) per resend, the interval doubling (9.7.5, 4)
    assert seconds(schedule(USUAL, START))[-1] == 30 + (60 + 30) + (120 + 30) + (240 + 30)


def test_each_step_of_it() -> None:
    def after(attempt: int, at: float) -> Plan:
        return plan(USUAL, attempt, START, START + timedelta(seconds=at))

    assert after(1, 0) == Plan(START + timedelta(seconds=90), last=False)
    assert after(2, 90) == Plan(START + timedelta(seconds=240), last=False)
    assert after(3, 240) == Plan(START + timedelta(seconds=510), last=False)
    assert after(4, 510) == Plan(START + timedelta(seconds=540), last=True)


def test_what_follows_is_known_before_an_attempt_ends_so_failing_at_once_shifts_nothing() -> None:
    moments, now, attempt = [], START, 0
    while True:
        attempt += 1
        following = plan(USUAL, attempt, START, now)  # asked when the attempt begins
        moments.append(now)
        now = following.due  # whenever the attempt itself ended
        if following.last:
            break
    assert seconds([*moments, now]) == [0, 90, 240, 510, 540]


def test_a_late_start_moves_what_follows_and_adds_no_attempt() -> None:
    late = plan(USUAL, 2, START, START + timedelta(seconds=1000))
    assert late == Plan(START + timedelta(seconds=1000 + 30 + 120), last=False)
    assert plan(USUAL, 4, START, START + timedelta(days=1)).last
    assert plan(USUAL, 9, START, START + timedelta(days=1)).last


@given(
    resends=st.integers(0, 20),
    interval=st.floats(0, 7 * 86400),
    factor=st.floats(1, 100),
    timeout=st.floats(0.05, 86400),
)
def test_any_settings_follow_the_formula(
    resends: int, interval: float, factor: float, timeout: float
) -> None:
    settings = Reliability(
        resends=resends,
        interval=timedelta(seconds=interval),
        factor=factor,
        timeout=timedelta(seconds=timeout),
    )
    interval, timeout = settings.interval.total_seconds(), settings.timeout.total_seconds()
    moments = seconds(schedule(settings, START))
    assert len(moments) == resends + 2
    expected = 0.0
    for number, moment in enumerate(moments[:-1]):
        assert moment == pytest.approx(expected, rel=1e-9, abs=1e-4)
        month = 30 * 86400
        expected += timeout + min(interval * factor**number, month)
    assert moments[-1] - moments[-2] == pytest.approx(timeout, abs=1e-4)


def test_no_resends_give_up_after_one_time_out() -> None:
    assert seconds(schedule(Reliability(resends=0), START)) == [0, 30]


def test_the_largest_settings_of_a_configuration_overflow_nothing() -> None:
    largest = Reliability(
        resends=100, interval=timedelta(days=7), factor=100, timeout=timedelta(days=1)
    )
    gaps = [b - a for a, b in pairwise(schedule(largest, START))]
    assert gaps == [timedelta(days=8), *[timedelta(days=31)] * 99, timedelta(days=1)]


@pytest.mark.parametrize(
    ("settings", "moments"),
    [
        (Reliability(wait=tenacity.wait_fixed(10)), [0, 40, 80, 120, 150]),
        (Reliability(wait=tenacity.wait_none()), [0, 30, 60, 90, 120]),
        (
            Reliability(wait=tenacity.wait_chain(*map(tenacity.wait_fixed, (1, 2, 3)))),
            [0, 31, 63, 96, 126],
        ),
        (Reliability(wait=tenacity.wait_incrementing(5, 10)), [0, 35, 80, 135, 165]),
        (Reliability(wait=tenacity.wait_fixed(-5)), [0, 30, 60, 90, 120]),
        (Reliability(stop=tenacity.stop_after_attempt(2)), [0, 90, 120]),
        (Reliability(stop=tenacity.stop_after_delay(240)), [0, 90, 240, 270]),
        (Reliability(stop=tenacity.stop_after_delay(30)), [0, 30]),
        # the wait after the second attempt would end at 240 s
        (Reliability(stop=tenacity.stop_before_delay(240)), [0, 90, 120]),
        (Reliability(stop=tenacity.stop_before_delay(241)), [0, 90, 240, 270]),
        (
            Reliability(
                wait=tenacity.wait_fixed(0),
                stop=tenacity.stop_after_attempt(9) | tenacity.stop_after_delay(60),
            ),
            [0, 30, 60],
        ),
    ],
)
def test_any_strategy_of_tenacity_may_be_used(settings: Reliability, moments: list[float]) -> None:
    assert seconds(schedule(settings, START)) == moments


def test_a_strategy_of_ones_own_sees_attempt_and_time() -> None:
    seen = []

    def wait(state: tenacity.RetryCallState) -> float:
        seen.append((state.attempt_number, state.seconds_since_start, state.outcome.failed))
        return 1.0

    assert seconds(schedule(Reliability(wait=wait, resends=2), START)) == [0, 31, 62, 92]
    assert seen == [(1, 30.0, True), (2, 61.0, True), (3, 92.0, True)]


def test_a_schedule_without_an_end_is_cut_off() -> None:
    endless = Reliability(stop=tenacity.stop_never, wait=tenacity.wait_fixed(0))
    assert len(schedule(endless, START, limit=50)) == 51


def test_random_waits_stay_within_their_bounds() -> None:
    settings = Reliability(wait=tenacity.wait_random(5, 6), resends=10)
    gaps = [b - a for a, b in pairwise(schedule(settings, START)[:-1])]
    assert all(timedelta(seconds=35) <= gap <= timedelta(seconds=36) for gap in gaps)
