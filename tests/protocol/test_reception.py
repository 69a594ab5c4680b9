"""The inbound table, and every row of how repeats are decided."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from msh.protocol.reception import (
    OPEN,
    TRANSITIONS,
    Event,
    Known,
    NoTransition,
    State,
    Verdict,
    decide,
    step,
)

NOW = datetime(2026, 11, 21, tzinfo=UTC)
SAME, OTHER = b"same" * 8, b"other" * 6


def test_every_state_has_a_row_and_can_be_reached() -> None:
    assert list(TRANSITIONS) == list(State)
    assert {state for row in TRANSITIONS.values() for state in row.values()} == set(State)
    assert {event for row in TRANSITIONS.values() for event in row} == set(Event)


@pytest.mark.parametrize("state", [State.ANSWERED, State.CLOSED])
@pytest.mark.parametrize("event", list(Event))
def test_an_answer_is_final(state: State, event: Event) -> None:
    with pytest.raises(NoTransition, match=f"a reception that is {state} cannot take {event}"):
        step(state, event)


def test_what_is_open_is_what_has_no_reply() -> None:
    assert set(State) - {State.ANSWERED, State.SET_ASIDE, State.CLOSED} == OPEN
    assert all(TRANSITIONS[state] for state in OPEN)


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ((Event.RUN_BEGUN, Event.ANSWER), State.ANSWERED),
        ((Event.ANSWER,), State.ANSWERED),  # refused by a check, without a run
        ((Event.RUN_BEGUN, Event.HANDLER_FAILED), State.RELEASED),
        ((Event.HANDLER_FAILED,), State.RELEASED),
        (
            (Event.RUN_BEGUN, Event.HANDLER_FAILED, Event.TAKEN_OVER, Event.RUN_BEGUN),
            State.RUNNING,
        ),
        ((Event.TAKEN_OVER,), State.CLAIMED),
        ((Event.RUN_BEGUN, Event.TAKEN_OVER), State.CLAIMED),
        ((Event.RUN_BEGUN, Event.SET_ASIDE), State.SET_ASIDE),
        ((Event.TAKEN_OVER, Event.SET_ASIDE), State.SET_ASIDE),
        ((Event.PARK, Event.ANSWER), State.ANSWERED),
        ((Event.RUN_BEGUN, Event.PARK, Event.ANSWER), State.ANSWERED),
    ],
)
def test_the_life_of_a_claim(events: tuple[Event, ...], state: State) -> None:
    reached = State.CLAIMED
    for event in events:
        reached = step(reached, event)
    assert reached is state


@pytest.mark.parametrize(
    ("state", "event"),
    [
        (State.RUNNING, Event.RUN_BEGUN),
        (State.RELEASED, Event.RUN_BEGUN),
        (State.RELEASED, Event.ANSWER),
        (State.PARKED, Event.RUN_BEGUN),
        (State.PARKED, Event.TAKEN_OVER),
        (State.PARKED, Event.HANDLER_FAILED),
    ],
)
def test_what_needs_a_claim_cannot_happen_without_one(state: State, event: Event) -> None:
    with pytest.raises(NoTransition):
        step(state, event)


@pytest.mark.parametrize(
    ("known", "digest", "verdict"),
    [
        (None, SAME, Verdict.NEW),
        # same digest, reply stored
        (Known(SAME, State.ANSWERED), SAME, Verdict.RESEND),
        (Known(SAME, State.SET_ASIDE), SAME, Verdict.RESEND),
        # same digest, still being handled, or released and due to run again
        (Known(SAME, State.CLAIMED), SAME, Verdict.IN_HAND),
        (Known(SAME, State.RUNNING), SAME, Verdict.IN_HAND),
        (Known(SAME, State.RELEASED), SAME, Verdict.IN_HAND),
        (Known(SAME, State.PARKED), SAME, Verdict.IN_HAND),
        # different digest, also while the first copy is in hand
        *((Known(SAME, state), OTHER, Verdict.CONFLICT) for state in State),
        (Known(SAME, State.ANSWERED, purged=True), OTHER, Verdict.CONFLICT),
        # content purged, id remembered
        (Known(SAME, State.ANSWERED, purged=True), SAME, Verdict.REMEMBERED),
        (Known(SAME, State.SET_ASIDE, purged=True), SAME, Verdict.REMEMBERED),
    ],
)
def test_repeats_decided(known: Known | None, digest: bytes, verdict: Verdict) -> None:
    assert decide(known, digest) is verdict


def test_what_is_set_aside_is_an_operators() -> None:
    assert TRANSITIONS[State.SET_ASIDE] == {
        Event.RERUN: State.RELEASED,
        Event.CLOSE: State.CLOSED,
    }


@pytest.mark.parametrize("state", list(State))
def test_a_repeat_gets_the_stored_reply_also_during_a_rerun(state: State) -> None:
    assert decide(Known(b"d", state, replied=True), b"d") is Verdict.RESEND
