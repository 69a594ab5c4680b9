"""The outbound delivery: one table of transitions, and what a sender may believe.

Rules, in prose:

- A delivery is *queued* until its first attempt begins, *sending* while bytes may be under way,
  *waiting* between attempts.
- The first verified reply wins (*answered*), with two exceptions, each of which a later verified
  reply replaces: the system error 9999S (*outcome unknown*), and a refusal given to a resend when
  an earlier copy may have arrived (*refused, in doubt*), which says nothing of that first copy.
- When the schedule ends, the delivery is *not sent* if surely no copy has left, else *in doubt*.
  An answer that comes later is still recorded (ebXML MS 2.0, 6.5).
- The peer's result message for the request ends resending and resolves every doubt, even before
  any reply.
- A believable "not found" to an inquiry (`msh.protocol.outcome`) ends a doubt the other way: the
  request was *not executed*. Should a reply or a result come all the same, that is what counts.
- An operator may have anything resent that has no answer, and may end a doubt with what was found
  out by other means: executed, or not.
"""

from __future__ import annotations

from enum import StrEnum

from msh.catalog import Meaning, StatusCode
from msh.errors import MshError
from msh.profile import RoleCodes


class State(StrEnum):
    """Where a delivery stands."""

    QUEUED = "queued"
    SENDING = "sending"
    WAITING = "waiting"
    ANSWERED = "answered"
    OUTCOME_UNKNOWN = "outcome-unknown"
    REFUSED_IN_DOUBT = "refused-in-doubt"
    NOT_SENT = "not-sent"
    IN_DOUBT = "in-doubt"
    RESOLVED = "resolved"
    NOT_EXECUTED = "not-executed"


class Event(StrEnum):
    """What can happen to a delivery."""

    ATTEMPT_BEGUN = "attempt-begun"
    ATTEMPT_FAILED = "attempt-failed"
    REPLY = "reply"
    REPLY_SYSTEM_ERROR = "reply-system-error"
    REPLY_SAYS_NOTHING = "reply-says-nothing"
    EXHAUSTED_NEVER_SENT = "exhausted-never-sent"
    EXHAUSTED_MAYBE_SENT = "exhausted-maybe-sent"
    RESULT = "result"
    NOT_FOUND = "not-found"
    FOUND_EXECUTED = "found-executed"
    FOUND_NOT_EXECUTED = "found-not-executed"
    RESEND = "resend"


_REPLIES = {
    Event.REPLY: State.ANSWERED,
    Event.REPLY_SYSTEM_ERROR: State.OUTCOME_UNKNOWN,
    Event.REPLY_SAYS_NOTHING: State.REFUSED_IN_DOUBT,
}

# What may be found out of a delivery in doubt: by an inquiry, or by an operator.
_FOUND_OUT = {
    Event.NOT_FOUND: State.NOT_EXECUTED,
    Event.FOUND_EXECUTED: State.RESOLVED,
    Event.FOUND_NOT_EXECUTED: State.NOT_EXECUTED,
}

TRANSITIONS: dict[State, dict[Event, State]] = {
    State.QUEUED: {
        Event.ATTEMPT_BEGUN: State.SENDING,
        Event.RESULT: State.RESOLVED,
    },
    State.SENDING: {
        Event.ATTEMPT_FAILED: State.WAITING,
        **_REPLIES,
        Event.RESULT: State.RESOLVED,
        Event.NOT_FOUND: State.NOT_EXECUTED,
    },
    State.WAITING: {
        Event.ATTEMPT_BEGUN: State.SENDING,
        **_REPLIES,
        Event.EXHAUSTED_NEVER_SENT: State.NOT_SENT,
        Event.EXHAUSTED_MAYBE_SENT: State.IN_DOUBT,
        Event.RESULT: State.RESOLVED,
        Event.NOT_FOUND: State.NOT_EXECUTED,
        Event.RESEND: State.WAITING,
    },
    State.ANSWERED: {
        Event.REPLY: State.ANSWERED,
        Event.REPLY_SYSTEM_ERROR: State.ANSWERED,
        Event.REPLY_SAYS_NOTHING: State.ANSWERED,
        Event.RESULT: State.ANSWERED,
    },
    State.OUTCOME_UNKNOWN: {
        Event.REPLY: State.ANSWERED,
        Event.REPLY_SYSTEM_ERROR: State.OUTCOME_UNKNOWN,
        Event.REPLY_SAYS_NOTHING: State.OUTCOME_UNKNOWN,
        Event.RESULT: State.RESOLVED,
        **_FOUND_OUT,
        Event.RESEND: State.WAITING,
    },
    State.REFUSED_IN_DOUBT: {
        **_REPLIES,
        Event.RESULT: State.RESOLVED,
        **_FOUND_OUT,
        Event.RESEND: State.WAITING,
    },
    State.NOT_SENT: {
        **_REPLIES,
        Event.RESULT: State.RESOLVED,
        Event.RESEND: State.WAITING,
    },
    State.IN_DOUBT: {
        **_REPLIES,
        Event.RESULT: State.RESOLVED,
        **_FOUND_OUT,
        Event.RESEND: State.WAITING,
    },
    State.RESOLVED: {
        Event.REPLY: State.RESOLVED,
        Event.REPLY_SYSTEM_ERROR: State.RESOLVED,
        Event.REPLY_SAYS_NOTHING: State.RESOLVED,
        Event.RESULT: State.RESOLVED,
    },
    State.NOT_EXECUTED: {
        Event.REPLY: State.ANSWERED,
        Event.REPLY_SYSTEM_ERROR: State.NOT_EXECUTED,
        Event.REPLY_SAYS_NOTHING: State.NOT_EXECUTED,
        Event.RESULT: State.RESOLVED,
    },
}

#: Still to be worked on by a sender.
OPEN = frozenset({State.QUEUED, State.SENDING, State.WAITING})
#: Ended with nothing left to find out.
SETTLED = frozenset({State.ANSWERED, State.RESOLVED})
#: A reply seen in these states takes the place of what was recorded before.
REPLACEABLE = frozenset(State) - SETTLED
#: Ended, and whether it took effect is not known.
DOUBTFUL = frozenset({State.IN_DOUBT, State.OUTCOME_UNKNOWN, State.REFUSED_IN_DOUBT})


class NoTransition(MshError):
    """The event cannot happen to a delivery in this state."""


def step(state: State, event: Event) -> State:
    """The state after ``event``; raises `NoTransition` where the table has none."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise NoTransition(f"a delivery that is {state} cannot take {event}") from None


def read_reply(status: StatusCode, peer: RoleCodes, copies: int) -> Event:
    """What a verified, bound reply lets its sender believe.

    ``copies`` is how many copies of the request may have arrived, the one that was answered
    included. With two or more, a refusal that rests on what changes with time (right, hours, key
    ...) or on the repeat check may be about another copy than the first.
    """
    if status.meaning is Meaning.SYSTEM_ERROR:
        return Event.REPLY_SYSTEM_ERROR
    if copies > 1 and status in peer.in_doubt_on_resend:
        return Event.REPLY_SAYS_NOTHING
    return Event.REPLY


def exhausted(copies: int) -> Event:
    """What the end of the schedule means when ``copies`` may have arrived."""
    return Event.EXHAUSTED_MAYBE_SENT if copies else Event.EXHAUSTED_NEVER_SENT
