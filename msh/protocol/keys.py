"""The life of a working key: one table of transitions, and when a replaced key retires.

The exchange is a handshake in three steps: the *offer* brings the key, wrapped; its reply holds
the *proof* that it could be unwrapped; the *confirm* says that the proof has arrived. Any of them
may be lost or come twice.

- A key is *pending* from its offer on, on both sides. The receiver of the offer accepts messages
  under it once its proof is sent; the initiator uses it once the proof has arrived.
- It becomes *active*: for the initiator with the proof, for the receiver with the confirm, or
  with the first message that verifies under it (the confirm may be lost). The active key before
  it becomes *previous*.
- A pending key that is overtaken by a newer offer becomes *previous* too: the initiator may have
  used it, if the proof arrived.
- A previous key retires only after a message has verified under a key offered after it, and a while
  later, so that messages protected before can still arrive. A retired key recognises
  repeats, and replies to requests not answered yet; nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum

from msh.errors import MshError


class State(StrEnum):
    """Where a working key stands."""

    PENDING = "pending"
    ACTIVE = "active"
    PREVIOUS = "previous"


class Event(StrEnum):
    """What can happen to a working key."""

    ACTIVATED = "activated"  # the proof or the confirm came, or a message verified under it
    REPLACED = "replaced"  # another key became active, or was offered


TRANSITIONS: dict[State, dict[Event, State]] = {
    State.PENDING: {Event.ACTIVATED: State.ACTIVE, Event.REPLACED: State.PREVIOUS},
    State.ACTIVE: {Event.ACTIVATED: State.ACTIVE, Event.REPLACED: State.PREVIOUS},
    # An overtaken key is not taken up again, whatever of its own exchange still arrives.
    State.PREVIOUS: {Event.ACTIVATED: State.PREVIOUS, Event.REPLACED: State.PREVIOUS},
}


class NoKeyTransition(MshError):
    """The event cannot happen to a key in this state."""


def step(state: State, event: Event) -> State:
    """The state after ``event``."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise NoKeyTransition(f"a key that is {state} cannot be {event}") from None


def retires(successors: Iterable[datetime | None], overlap: timedelta, now: datetime) -> bool:
    """Whether a previous key is retired ``now``.

    ``successors`` are the moments at which a message first verified under each key that was
    offered after it (None: under that one, none has yet).
    """
    return any(verified is not None and now - verified >= overlap for verified in successors)
