"""The journal's event names: every step of both ways that becomes durable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
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
    RESEND_ASKED = "resend-asked"
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
    # working keys, either way
    KEY_OFFERED = "key-offered"
    KEY_ACTIVATED = "key-activated"
    KEY_VERIFIED = "key-verified"


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
