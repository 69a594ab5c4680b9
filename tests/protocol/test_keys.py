"""The table of a working key's life, and when a replaced key retires."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from msh.protocol.keys import ENDED, TRANSITIONS, Event, State, retires, step

NOW = datetime(2026, 11, 21, tzinfo=UTC)
OVERLAP = timedelta(minutes=10)
MOMENT = timedelta(microseconds=1)


@dataclass
class Kept:
    """A key: which state it is in, when it was offered, and when a message verified under it."""

    state: State = State.PREVIOUS
    offered: datetime = NOW
    verified: datetime | None = None


def retired_by(*successors: datetime | None, now: datetime = NOW) -> bool:
    """Whether a key retires whose successors were first verified at these moments."""
    key = Kept(verified=NOW - 2 * OVERLAP)
    later = [Kept(State.ACTIVE, NOW + MOMENT, verified) for verified in successors]
    return retires(key, [*later, key], OVERLAP, now)


@pytest.mark.parametrize(
    ("state", "event", "following"),
    [
        (State.PENDING, Event.ACTIVATED, State.ACTIVE),
        (State.PENDING, Event.REPLACED, State.PREVIOUS),  # overtaken by a newer offer
        (State.ACTIVE, Event.ACTIVATED, State.ACTIVE),  # the confirm, after a message or again
        (State.ACTIVE, Event.REPLACED, State.PREVIOUS),
        (State.PREVIOUS, Event.ACTIVATED, State.PREVIOUS),
        (State.PREVIOUS, Event.REPLACED, State.PREVIOUS),
        # What others know is over, whatever it was.
        (State.PENDING, Event.RETIRED, State.COMPROMISED),
        (State.ACTIVE, Event.RETIRED, State.COMPROMISED),
        (State.PREVIOUS, Event.RETIRED, State.COMPROMISED),
        *((State.COMPROMISED, event, State.COMPROMISED) for event in Event),
    ],
)
def test_the_whole_table(state: State, event: Event, following: State) -> None:
    assert step(state, event) is following


def test_every_state_takes_every_event() -> None:
    assert list(TRANSITIONS) == list(State)
    assert all(set(row) == set(Event) for row in TRANSITIONS.values())


@pytest.mark.parametrize("events", list(product(Event, repeat=4)))
def test_what_was_replaced_never_comes_back(events: tuple[Event, ...]) -> None:
    state, seen = State.PENDING, set()
    for event in events:
        state = step(state, event)
        seen.add(event)
        assert (state is State.COMPROMISED) == (Event.RETIRED in seen)
        assert (state in ENDED) == bool(seen & {Event.REPLACED, Event.RETIRED})


@pytest.mark.parametrize(
    ("successors", "retired"),
    [
        ([], False),  # replaced by hand, or its successor is not known here
        ([None], False),  # nothing verified under the successor, however long ago it came
        ([None, None], False),
        ([NOW], False),
        ([NOW - OVERLAP + MOMENT], False),
        ([NOW - OVERLAP], True),
        ([NOW - OVERLAP - MOMENT], True),
        ([NOW + OVERLAP], False),  # verified by a clock ahead of this one
        # One successor in use is enough, whichever it is.
        ([None, NOW - OVERLAP], True),
        ([NOW - OVERLAP, None], True),
        ([NOW, NOW - OVERLAP, NOW], True),
        ([NOW, None, NOW - OVERLAP + MOMENT], False),
    ],
)
def test_a_previous_key_retires_a_while_after_a_successor_is_in_use(
    successors: list[datetime | None], retired: bool
) -> None:
    assert retired_by(*successors) is retired


@pytest.mark.parametrize("state", State)
def test_only_a_key_that_was_replaced_retires(state: State) -> None:
    successor = Kept(State.ACTIVE, NOW + MOMENT, NOW - OVERLAP)
    assert retires(Kept(state), [successor], OVERLAP, NOW) == (state is State.PREVIOUS)


@pytest.mark.parametrize("offered", [NOW - MOMENT, NOW, NOW + MOMENT])
def test_only_keys_that_were_offered_after_it_are_its_successors(offered: datetime) -> None:
    other = Kept(State.PREVIOUS, offered, NOW - OVERLAP)
    assert retires(Kept(), [other], OVERLAP, NOW) == (offered > NOW)


@pytest.mark.parametrize("verified", [NOW - MOMENT, NOW, NOW + MOMENT])
def test_without_overlap_it_retires_with_the_first_message(verified: datetime) -> None:
    successor = Kept(State.ACTIVE, NOW + MOMENT, verified)
    assert retires(Kept(), [successor], timedelta(0), NOW) == (verified <= NOW)


def test_once_retired_it_stays_so() -> None:
    moments = [NOW + number * OVERLAP / 4 for number in range(12)]
    found = [retired_by(NOW, now=moment) for moment in moments]
    assert found == sorted(found)
    assert found.count(False) == 4
