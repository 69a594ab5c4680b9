"""The journal's event names: every step of both ways that becomes durable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any


class Step(StrEnum):
    """A step of a message's way, as it stands in the journal and as observers see it."""

    # outbound
    QUEUED = "queued"
    ATTEMPT_BEGUN = "attempt-begun"
    ATTEMPT_FAILED = "attempt-failed"
    ANSWERED = "answered"
    ANSWER_REPEATED = "answer-repeated"
    ANSWER_DIFFERS = "answer-differs"
    ANSWER_IGNORED = "answer-ignored"
    HELD = "held"
    GIVEN_UP = "given-up"
    RESOLVED = "resolved"
    OUTCOME = "outcome"
    INQUIRED = "inquired"
    STILL_IN_DOUBT = "still-in-doubt"
    NOT_EXECUTED = "not-executed"
    SETTLED = "settled"
    RESEND_ASKED = "resend-asked"
    REPEAT_ASKED = "repeat-asked"
    REPEATED = "repeated"
    # inbound
    RECEIVED = "received"
    RUN_BEGUN = "run-begun"
    HANDLER_FAILED = "handler-failed"
    TAKEN_OVER = "taken-over"
    PARKED = "parked"
    REPLIED = "replied"
    REFUSED = "refused"
    SET_ASIDE = "set-aside"
    REPLAYED = "replayed"
    CONFLICT = "conflict"
    AMBIGUOUS = "ambiguous"
    RERUN_ASKED = "rerun-asked"
    RERUN_ENDED = "rerun-ended"
    CLOSED = "closed"
    # working keys, either way
    KEY_OFFERED = "key-offered"
    KEY_ACTIVATED = "key-activated"
    KEY_VERIFIED = "key-verified"
    KEY_RETIRED = "key-retired"


class Direction(StrEnum):
    """Which way a message goes, seen from here."""

    OUTBOUND = "outbound"
    INBOUND = "inbound"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal. ``details`` never hold content of a message."""

    at: datetime
    step: Step
    direction: Direction
    message_id: str
    peer: str
    service: str
    details: Mapping[str, Any] = field(default_factory=dict)
    number: int | None = None


#: The same event told of the same message: so many lines at once, then no more than one a while.
FIRST_LINES = 5
LINES_APART = timedelta(minutes=1)


def worth_a_line(times: int, told: datetime | None, now: datetime) -> bool:
    """Whether the journal tells of an event that whoever has an old message can bring about.

    It happened ``times`` times before and was last told at ``told``. A clock that was set back
    silences nothing.
    """
    return times < FIRST_LINES or told is None or not told <= now < told + LINES_APART
