"""What comes again and again: counted each time, and told by the journal now and then."""

from __future__ import annotations

from datetime import datetime

from msh.protocol.journal import Direction, Step, worth_a_line
from msh.store.sqlite.values import to_micros, to_moment
from msh.store.sqlite.writer import Transaction


def repeated(
    tx: Transaction, now: datetime, direction: Direction, message: int, step: Step
) -> dict[str, int] | None:
    """Count this repetition of ``step``; what the journal says of how often, None for no line."""
    row = tx.execute(
        "SELECT times, told FROM repetition WHERE direction = ? AND message = ? AND step = ?",
        (direction, message, step),
    ).fetchone()
    times, told = row or (0, None)
    tells = worth_a_line(times, to_moment(told), now)
    at = to_micros(now)
    tx.execute(
        "INSERT INTO repetition VALUES (?1, ?2, ?3, 1, ?4, ?4)"
        " ON CONFLICT DO UPDATE SET times = times + 1, told = ?5",
        (direction, message, step, at, at if tells else told),
    )
    return ({"times": times + 1} if times else {}) if tells else None
