"""The outbound table, and every row of what a sender may believe, without a wire or a store."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msh.catalog import Meaning, Status, StatusCode
from msh.profile import Role
from msh.profiles import standard_profile
from msh.protocol.delivery import (
    DOUBTFUL,
    OPEN,
    REPLACEABLE,
    SETTLED,
    TRANSITIONS,
    Event,
    NoTransition,
    State,
    exhausted,
    read_reply,
    step,
)

ROLES = standard_profile().roles
REPLIES = (Event.REPLY, Event.REPLY_SYSTEM_ERROR, Event.REPLY_SAYS_NOTHING)
ENDS = (Event.EXHAUSTED_NEVER_SENT, Event.EXHAUSTED_MAYBE_SENT)

#: What facts say of a resend: these codes tell nothing of the first copy.
PLATFORM_IN_DOUBT = ("0001W", "0002W", "0001E", "0002E", "0003E", "0004E", "0002S")
BANK_IN_DOUBT = ("0002S", "0106E", "0114E")


def after(*events: Event, start: State = State.QUEUED) -> State:
    """Where a delivery stands after ``events``."""
    state = start
    for event in events:
        state = step(state, event)
    return state


def seen(status: str, copies: int, role: Role = Role.PSP) -> Event:
    return read_reply(StatusCode.parse(status), ROLES[role], copies)


# the table


def test_every_state_has_a_row_and_every_row_leads_to_states() -> None:
    assert list(TRANSITIONS) == list(State)
    for row in TRANSITIONS.values():
        assert set(row) <= set(Event)
        assert set(row.values()) <= set(State)


def test_every_state_can_be_reached_and_every_event_happens() -> None:
    reached, waiting = {State.QUEUED}, [State.QUEUED]
    while waiting:
        for state in TRANSITIONS[waiting.pop()].values():
            if state not in reached:
                reached.add(state)
                waiting.append(state)
    assert reached == set(State)
    assert {event for row in TRANSITIONS.values() for event in row} == set(Event)


def test_the_groups_of_states_cover_every_state_once() -> None:
    groups = [*OPEN, *SETTLED, *DOUBTFUL, State.NOT_SENT, State.NOT_EXECUTED]
    assert sorted(groups) == sorted(State)
    assert sorted(set(State) - SETTLED) == sorted(REPLACEABLE)


@pytest.mark.parametrize("state", sorted(SETTLED))
def test_nothing_leads_out_of_what_is_settled(state: State) -> None:
    assert set(TRANSITIONS[state].values()) == {state}
    with pytest.raises(NoTransition, match=f"a delivery that is {state} cannot take resend"):
        step(state, Event.RESEND)


@pytest.mark.parametrize("state", sorted(set(State) - {State.QUEUED}))
@pytest.mark.parametrize("event", REPLIES)
def test_a_reply_can_be_taken_in_every_state_but_before_the_first_attempt(
    state: State, event: Event
) -> None:
    assert step(state, event) in SETTLED | DOUBTFUL | {State.NOT_EXECUTED}
    with pytest.raises(NoTransition):
        step(State.QUEUED, event)


@pytest.mark.parametrize("state", list(State))
def test_a_result_resolves_whatever_is_not_answered(state: State) -> None:
    expected = State.ANSWERED if state is State.ANSWERED else State.RESOLVED
    assert step(state, Event.RESULT) is expected


@pytest.mark.parametrize("state", list(State))
def test_an_operator_may_resend_what_has_no_answer_and_is_not_in_hand(state: State) -> None:
    if state in DOUBTFUL | {State.NOT_SENT, State.WAITING}:
        assert step(state, Event.RESEND) is State.WAITING
    else:
        with pytest.raises(NoTransition):
            step(state, Event.RESEND)


@pytest.mark.parametrize("state", list(State))
def test_only_what_waits_can_be_given_up_or_begun(state: State) -> None:
    for event in ENDS:
        assert (event in TRANSITIONS[state]) == (state is State.WAITING)
    begins = {State.QUEUED, State.WAITING}
    assert (Event.ATTEMPT_BEGUN in TRANSITIONS[state]) == (state in begins)
    assert (Event.ATTEMPT_FAILED in TRANSITIONS[state]) == (state is State.SENDING)


@given(st.lists(st.sampled_from(list(Event))))
def test_whatever_happens_no_answer_is_lost(events: list[Event]) -> None:
    state, answered = State.QUEUED, False
    for event in events:
        if event in TRANSITIONS[state]:
            state = step(state, event)
            answered = answered or event in (Event.REPLY, Event.RESULT, Event.FOUND_EXECUTED)
        assert (state in SETTLED) == answered


# how a reply is read


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("copies", [1, 2, 4])
def test_every_code_is_read_by_its_meaning_the_role_and_the_copies(
    role: Role, status: Status, copies: int
) -> None:
    number = status[5:]
    if number == "9999S":
        expected = Event.REPLY_SYSTEM_ERROR
    elif copies == 1:
        expected = Event.REPLY
    elif role is Role.BANK:
        doubtful = status[3:5] == "BK" and number in BANK_IN_DOUBT
        expected = Event.REPLY_SAYS_NOTHING if doubtful else Event.REPLY
    else:
        doubtful = status[3:5] == "PM" and number in PLATFORM_IN_DOUBT
        expected = Event.REPLY_SAYS_NOTHING if doubtful else Event.REPLY
    assert seen(status, copies, role) is expected


def test_codes_outside_of_the_table_are_read_too() -> None:
    assert seen("PSPBK4242E", 3) is Event.REPLY
    assert seen("PSPBK9999S", 1) is Event.REPLY_SYSTEM_ERROR


@pytest.mark.parametrize(
    ("role", "codes"),
    [
        (Role.PSP, [f"PSPPM{code}" for code in PLATFORM_IN_DOUBT]),
        (Role.BUSINESS, [f"PSPPM{code}" for code in PLATFORM_IN_DOUBT]),
        (Role.BANK, [f"PSPBK{code}" for code in BANK_IN_DOUBT]),
    ],
)
def test_the_codes_that_say_nothing_of_the_first_copy(role: Role, codes: Iterable[str]) -> None:
    assert {str(code) for code in ROLES[role].in_doubt_on_resend} == set(codes)


def test_the_end_of_the_schedule() -> None:
    assert exhausted(0) is Event.EXHAUSTED_NEVER_SENT
    assert [exhausted(copies) for copies in (1, 2, 9)] == [Event.EXHAUSTED_MAYBE_SENT] * 3


# what a sender may believe, row by row

BEGUN, FAILED = Event.ATTEMPT_BEGUN, Event.ATTEMPT_FAILED
ONCE = (BEGUN, FAILED)
GIVEN_UP = (*ONCE * 4, exhausted(4))
REFUSED_AGAIN = (*ONCE, BEGUN, seen("PSPPM0002W", 2))


@pytest.mark.parametrize(
    ("events", "state"),
    [
        # a verified, bound reply; the first one wins
        ((BEGUN, seen("PSPPM0000I", 1)), State.ANSWERED),
        ((BEGUN, seen("PSPBK0005E", 1)), State.ANSWERED),
        ((*ONCE, BEGUN, seen("PSPPM0000I", 2)), State.ANSWERED),
        ((BEGUN, seen("PSPPM0000I", 1), seen("PSPBK0005E", 1)), State.ANSWERED),
        ((BEGUN, seen("PSPPM0000I", 1), seen("PSPPM9999S", 1)), State.ANSWERED),
        ((BEGUN, seen("PSPPM0000I", 1), seen("PSPPM0002W", 2)), State.ANSWERED),
        # ... between attempts, and even after giving up
        ((*ONCE, seen("PSPPM0000I", 1)), State.ANSWERED),
        ((*GIVEN_UP, seen("PSPPM0000I", 4)), State.ANSWERED),
        ((*ONCE, exhausted(0), seen("PSPPM0000I", 1)), State.ANSWERED),
        # 9999S: answered, outcome unknown; a later verified reply replaces it
        ((BEGUN, seen("PSPPM9999S", 1)), State.OUTCOME_UNKNOWN),
        ((*ONCE, BEGUN, seen("PSPBK9999S", 2)), State.OUTCOME_UNKNOWN),
        ((BEGUN, seen("PSPPM9999S", 1), seen("PSPPM0000I", 1)), State.ANSWERED),
        ((BEGUN, seen("PSPPM9999S", 1), seen("PSPPM9999S", 1)), State.OUTCOME_UNKNOWN),
        ((BEGUN, seen("PSPPM9999S", 1), seen("PSPPM0002W", 2)), State.OUTCOME_UNKNOWN),
        # refused on the first and only copy: a refusal
        ((BEGUN, seen("PSPPM0002W", 1)), State.ANSWERED),
        # refused on a resend, after an earlier copy may have arrived
        (REFUSED_AGAIN, State.REFUSED_IN_DOUBT),
        ((*REFUSED_AGAIN, seen("PSPPM0000I", 2)), State.ANSWERED),
        ((*REFUSED_AGAIN, seen("PSPPM9999S", 2)), State.OUTCOME_UNKNOWN),
        ((*REFUSED_AGAIN, seen("PSPPM0001E", 2)), State.REFUSED_IN_DOUBT),
        # a refusal that rests on the content is one of any copy
        ((*ONCE, BEGUN, seen("PSPPM0001S", 2)), State.ANSWERED),
        ((*ONCE, BEGUN, seen("PSPBK0005E", 2)), State.ANSWERED),
        # all attempts surely not sent
        ((*ONCE * 4, exhausted(0)), State.NOT_SENT),
        # given up after any attempt that may have arrived
        (GIVEN_UP, State.IN_DOUBT),
        ((*ONCE * 4, exhausted(1)), State.IN_DOUBT),
        # the result arrives: doubt resolved and resending ends, even before the reply
        ((BEGUN, Event.RESULT), State.RESOLVED),
        ((*ONCE, Event.RESULT), State.RESOLVED),
        ((*GIVEN_UP, Event.RESULT), State.RESOLVED),
        ((*REFUSED_AGAIN, Event.RESULT), State.RESOLVED),
        ((BEGUN, seen("PSPPM9999S", 1), Event.RESULT), State.RESOLVED),
        ((BEGUN, Event.RESULT, seen("PSPPM0000I", 1)), State.RESOLVED),
        # an operator's resend of what is in doubt
        ((*GIVEN_UP, Event.RESEND, BEGUN, seen("PSPPM0002W", 5)), State.REFUSED_IN_DOUBT),
        ((*GIVEN_UP, Event.RESEND, *ONCE, exhausted(5)), State.IN_DOUBT),
    ],
)
def test_what_a_sender_may_believe(events: tuple[Event, ...], state: State) -> None:
    assert after(*events) is state


def test_a_refusal_is_read_by_its_meaning() -> None:
    assert StatusCode.parse("PSPPM0002W").meaning is Meaning.LATER
    assert seen("PSPPM0002W", 1) is Event.REPLY


# what is found out


@pytest.mark.parametrize("state", list(State))
def test_what_is_found_out_ends_a_doubt_only(state: State) -> None:
    by_hand = {Event.FOUND_EXECUTED, Event.FOUND_NOT_EXECUTED}
    assert by_hand.issubset(TRANSITIONS[state]) == (state in DOUBTFUL)
    may_be_under_way = DOUBTFUL | {State.SENDING, State.WAITING}
    assert (Event.NOT_FOUND in TRANSITIONS[state]) == (state in may_be_under_way)


def test_a_reply_or_a_result_counts_whatever_was_found_out() -> None:
    assert step(State.NOT_EXECUTED, Event.REPLY) is State.ANSWERED
    assert step(State.NOT_EXECUTED, Event.RESULT) is State.RESOLVED
    assert step(State.NOT_EXECUTED, Event.REPLY_SAYS_NOTHING) is State.NOT_EXECUTED
