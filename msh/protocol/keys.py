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
  repeats, and replies to requests not answered yet; nothing else. Such a request left under that
  key or an earlier one: to a later one, only whoever stole the key would answer so.
- A key that others know is *compromised* (NIST SP 800-57, part 1) from the moment an operator
  retires it, whatever it was before. Nothing under it counts, neither repeats nor replies.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol


class State(StrEnum):
    """Where a working key stands."""

    PENDING = "pending"
    ACTIVE = "active"
    PREVIOUS = "previous"
    COMPROMISED = "compromised"


class Event(StrEnum):
    """What can happen to a working key."""

    ACTIVATED = "activated"  # the proof or the confirm came, or a message verified under it
    REPLACED = "replaced"  # another key became active, or was offered
    RETIRED = "retired"  # an operator says that others have it


TRANSITIONS: dict[State, dict[Event, State]] = {
    State.PENDING: {
        Event.ACTIVATED: State.ACTIVE,
        Event.REPLACED: State.PREVIOUS,
        Event.RETIRED: State.COMPROMISED,
    },
    State.ACTIVE: {
        Event.ACTIVATED: State.ACTIVE,
        Event.REPLACED: State.PREVIOUS,
        Event.RETIRED: State.COMPROMISED,
    },
    # An overtaken key is not taken up again, whatever of its own exchange still arrives.
    State.PREVIOUS: {
        Event.ACTIVATED: State.PREVIOUS,
        Event.REPLACED: State.PREVIOUS,
        Event.RETIRED: State.COMPROMISED,
    },
    State.COMPROMISED: dict.fromkeys(Event, State.COMPROMISED),
}

#: Nothing leaves under such a key any more.
ENDED = frozenset({State.PREVIOUS, State.COMPROMISED})


def step(state: State, event: Event) -> State:
    """The state after ``event``; every state takes each."""
    return TRANSITIONS[state][event]


class Kept(Protocol):
    """What is kept of a working key: ``verified`` is when a message first verified under it."""

    @property
    def state(self) -> State: ...
    @property
    def offered(self) -> datetime: ...
    @property
    def verified(self) -> datetime | None: ...


def retires(key: Kept, keys: Iterable[Kept], overlap: timedelta, now: datetime) -> bool:
    """Whether ``key`` is retired ``now``; ``keys`` are all of its agreement.

    Its successors are those that were offered after it.
    """
    return key.state is State.PREVIOUS and any(
        one.offered > key.offered and one.verified is not None and now - one.verified >= overlap
        for one in keys
    )
