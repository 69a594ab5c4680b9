"""What an operator does about a reception that was set aside: plain functions of a transaction."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msh.errors import UnknownMessage, UsageError
from msh.protocol.journal import Direction, Step
from msh.protocol.reception import TRANSITIONS, Event, State
from msh.store.sqlite.values import to_micros
from msh.store.sqlite.writer import Transaction


def rerun(tx: Transaction, sender: str, message_id: str, now: datetime) -> None:
    """Due at once, for whoever takes it over."""
    service = _move(tx, sender, message_id, Event.RERUN, "rerun = 1, due = ?", to_micros(now))
    _journal(tx, now, Step.RERUN_ASKED, message_id, sender, service)


def close_reception(
    tx: Transaction, sender: str, message_id: str, because: str, now: datetime
) -> None:
    """Its content is kept from now on for as long as any other."""
    service = _move(tx, sender, message_id, Event.CLOSE, "answered = ?", to_micros(now))
    _journal(tx, now, Step.CLOSED, message_id, sender, service, because=because)


def _move(
    tx: Transaction, sender: str, message_id: str, event: Event, sets: str, value: Any
) -> str:
    row = tx.execute(
        "SELECT id, service, state FROM reception WHERE sender = ? AND msg_id = ?",
        (sender, message_id),
    ).fetchone()
    if row is None:
        raise UnknownMessage(f"{message_id}: no message of that id was received from {sender}")
    reception, service, was = row
    following = TRANSITIONS[State(was)].get(event)
    if following is None:
        raise UsageError(
            f"{message_id}: is {was}; only what is set aside can be run again or closed by hand"
        )
    tx.execute(
        f"UPDATE reception SET state = ?, {sets} WHERE id = ?", (following, value, reception)
    )
    return str(service)


def _journal(
    tx: Transaction,
    now: datetime,
    event: Step,
    message_id: str,
    sender: str,
    service: str,
    **more: Any,
) -> None:
    tx.journal(now, event, Direction.INBOUND, message_id, sender, service, **more)
