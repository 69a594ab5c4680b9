"""New message ids."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given

from msh.ids import new_message_id
from msh.message import is_identifier
from msh.testing.strategies import identifiers, moments

NOW = datetime(2026, 11, 21, 9, 0, 0, 1, UTC)


def test_an_id_begins_with_party_and_day() -> None:
    assert re.fullmatch(r"BIZ-20261121-[0-9A-Z]{20}", new_message_id("BIZ", NOW))


@given(identifiers(), moments())
def test_every_id_is_one_that_a_message_may_have(party: str, now: datetime) -> None:
    assert is_identifier(new_message_id(party, now))


@pytest.mark.parametrize(
    "later",
    [timedelta(microseconds=1), timedelta(seconds=1), timedelta(hours=14), timedelta(days=9)],
)
def test_ids_are_in_order_of_time(later: timedelta) -> None:
    assert all(new_message_id("P", NOW) < new_message_id("P", NOW + later) for _ in range(100))


def test_ids_of_one_moment_differ() -> None:
    assert len({new_message_id("P", NOW) for _ in range(10_000)}) == 10_000
