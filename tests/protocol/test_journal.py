"""Which repetitions get a line in the journal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from msh.protocol.journal import FIRST_LINES, LINES_APART, worth_a_line

NOW = datetime(2026, 11, 21, 1, 0, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)


@pytest.mark.parametrize("times", range(FIRST_LINES))
def test_the_first_ones_are_told_at_once(times: int) -> None:
    assert worth_a_line(times, None, NOW)
    assert worth_a_line(times, NOW, NOW)


@pytest.mark.parametrize("times", [FIRST_LINES, 10**9])
def test_then_they_are_told_some_time_apart(times: int) -> None:
    assert not worth_a_line(times, NOW, NOW)
    assert not worth_a_line(times, NOW, NOW + LINES_APART - MOMENT)
    assert worth_a_line(times, NOW, NOW + LINES_APART)


def test_a_clock_that_was_set_back_silences_nothing() -> None:
    assert worth_a_line(100, NOW, NOW - MOMENT)


def test_what_was_never_told_is_told() -> None:
    assert worth_a_line(100, None, NOW)
