"""The inbound side: is this message new, and the life of the claim on it.

Rules, in prose:

- The first copy of a (sender, MsgId) is *new* and is claimed by whoever stored it.
- A later copy with the same digest gets the stored reply (*resend*), or waits for it
  (*in hand*); with another digest it is a *conflict*; when only the id is remembered, the stored
  status is all there is to say.
- A claim is *claimed* until its handler starts, *running* while it runs, *released* when the
  handler failed and a later run is due, and *answered* once the reply is stored. After the last
  allowed run the reply is the system error and the reception is *set aside* for an operator.
- The operator has it run again, which may end with *answered*, while the stored reply stays what
  it is for every repeat; or has found out and done what was to be done, and it is *closed*.
- A lapsed lease puts claimed or running work up for take-over; a *parked* reception has no lease
  and waits to be answered by its id.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from msh.errors import MshError


class State(StrEnum):
    """Where a reception stands."""

    CLAIMED = "claimed"
    RUNNING = "running"
    RELEASED = "released"
    PARKED = "parked"
    ANSWERED = "answered"
    SET_ASIDE = "set-aside"
    CLOSED = "closed"


class Event(StrEnum):
    """What can happen to a reception."""

    RUN_BEGUN = "run-begun"
    HANDLER_FAILED = "handler-failed"
    TAKEN_OVER = "taken-over"
    PARK = "park"
    ANSWER = "answer"
    SET_ASIDE = "set-aside"
    RERUN = "rerun"
    CLOSE = "close"


TRANSITIONS: dict[State, dict[Event, State]] = {
    State.CLAIMED: {
        Event.RUN_BEGUN: State.RUNNING,
        Event.TAKEN_OVER: State.CLAIMED,
        Event.PARK: State.PARKED,
        Event.HANDLER_FAILED: State.RELEASED,
        Event.ANSWER: State.ANSWERED,
        Event.SET_ASIDE: State.SET_ASIDE,
    },
    State.RUNNING: {
        Event.HANDLER_FAILED: State.RELEASED,
        Event.TAKEN_OVER: State.CLAIMED,
        Event.PARK: State.PARKED,
        Event.ANSWER: State.ANSWERED,
        Event.SET_ASIDE: State.SET_ASIDE,
    },
    State.RELEASED: {
        Event.TAKEN_OVER: State.CLAIMED,
    },
    State.PARKED: {
        Event.ANSWER: State.ANSWERED,
    },
    State.ANSWERED: {},
    State.SET_ASIDE: {
        Event.RERUN: State.RELEASED,
        Event.CLOSE: State.CLOSED,
    },
    State.CLOSED: {},
}

#: To be worked on.
OPEN = frozenset({State.CLAIMED, State.RUNNING, State.RELEASED, State.PARKED})


class NoTransition(MshError):
    """The event cannot happen to a reception in this state."""


def step(state: State, event: Event) -> State:
    """The state after ``event``; raises `NoTransition` where the table has none."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise NoTransition(f"a reception that is {state} cannot take {event}") from None


class Verdict(StrEnum):
    """What an arriving message is, by what is known of its (sender, MsgId)."""

    NEW = "new"
    RESEND = "resend"
    IN_HAND = "in-hand"
    CONFLICT = "conflict"
    REMEMBERED = "remembered"


@dataclass(frozen=True, slots=True)
class Known:
    """What the store knows of the first copy; ``purged`` when only the id is left.

    ``replied``: a reply is stored, also while an operator has it run again.
    """

    digest: bytes
    state: State
    purged: bool = False
    replied: bool = False


def decide(known: Known | None, digest: bytes) -> Verdict:
    """What a message with this digest is (TDCC PSP 9.7.5, 3).

    A different digest is a conflict whatever became of the first copy.
    """
    if known is None:
        return Verdict.NEW
    if known.digest != digest:
        return Verdict.CONFLICT
    if known.purged:
        return Verdict.REMEMBERED
    in_hand = known.state in OPEN and not known.replied
    return Verdict.IN_HAND if in_hand else Verdict.RESEND
