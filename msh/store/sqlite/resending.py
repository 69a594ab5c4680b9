"""Messages asked for again, either way: plain functions of a transaction, and what lists them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

from sqlite_utils import Database

from msh.content import References
from msh.protocol.delivery import State
from msh.protocol.journal import Step
from msh.store.outcome_records import Asked, Repeat
from msh.store.records import Delivery
from msh.store.sqlite.outbound import COLUMNS, as_delivery, journal, named
from msh.store.sqlite.values import to_micros, to_moment
from msh.store.sqlite.writer import Transaction

#: What the other side may have executed or refused, and what is recorded of it stays.
_ENDED = (State.ANSWERED, State.RESOLVED)


def ask_again(tx: Transaction, peer: str, asked: Asked, now: datetime, until: datetime) -> None:
    """What may come again from now on; what did not come in time is forgotten."""
    tx.execute("DELETE FROM message_asked_again WHERE until < ?", (to_micros(now),))
    tx.execute(
        "INSERT INTO message_asked_again (peer, service, day, msg_ids, ssn_id, service_ref, until)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            peer,
            asked.service or "",
            asked.day.isoformat() if asked.day else "",
            json.dumps(asked.message_ids),
            *(asked.references or (None, None)),
            to_micros(until),
        ),
    )


def asked_again(database: Database, now: datetime) -> list[tuple[str, Asked]]:
    """What may still come, and from whom."""
    rows = database.query("SELECT * FROM message_asked_again WHERE until >= ?", [to_micros(now)])
    return [(row["peer"], _asked(row)) for row in rows]


def _asked(row: dict[str, Any]) -> Asked:
    references = References(row["ssn_id"], row["service_ref"])
    return Asked(
        service=row["service"] or None,
        day=date.fromisoformat(row["day"]) if row["day"] else None,
        message_ids=tuple(json.loads(row["msg_ids"])),
        references=None if references == (None, None) else references,
    )


def sent_to(
    database: Database,
    receiver: str,
    *,
    service: str | None,
    since: datetime | None,
    until: datetime | None,
    message_ids: Sequence[str],
    references: References | None,
    limit: int,
) -> list[Delivery]:
    """Oldest first."""
    given: list[tuple[str, Any]] = [
        ("receiver = ?", receiver),
        ("service = ?", service),
        ("queued >= ?", to_micros(since) if since else None),
        ("queued < ?", to_micros(until) if until else None),
    ]
    if message_ids:
        given.append(("msg_id IN (SELECT value FROM json_each(?))", json.dumps(list(message_ids))))
    if references is not None:
        for name, value in references._asdict().items():
            within = f"id IN (SELECT delivery FROM delivery_reference WHERE {name} = ?)"
            given.append((within, value))
    conditions = [condition for condition, value in given if value is not None]
    values = [value for _, value in given if value is not None]
    sql = f"SELECT {COLUMNS} FROM delivery WHERE {' AND '.join(conditions)} ORDER BY id LIMIT ?"
    return [as_delivery(row) for row in database.query(sql, [*values, limit])]


def repeat(tx: Transaction, delivery: int, asked_by: str, now: datetime) -> bool:
    """To leave once more, at once."""
    row = _row(tx, delivery)
    if row is None or row["purged"] or row["state"] not in _ENDED:
        return False
    at = to_micros(now)
    cursor = tx.execute(
        "INSERT INTO delivery_repeat (delivery, receiver, asked_by, due, began)"
        " SELECT ?, ?, ?, ?, ? WHERE EXISTS"
        " (SELECT 1 FROM delivery_request WHERE delivery = ? AND wire IS NOT NULL)"
        " ON CONFLICT DO NOTHING",
        (delivery, row["receiver"], asked_by, at, at, delivery),
    )
    if not cursor.rowcount:
        return False
    journal(tx, now, Step.REPEAT_ASKED, row, by=asked_by)
    return True


def repeats(
    tx: Transaction, receiver: str, now: datetime, lease: timedelta, limit: int
) -> list[Repeat]:
    """What is due; it is due again when the lease lapses, should nobody end it."""
    found = tx.execute(
        "SELECT delivery_repeat.delivery, wire, began, tries + 1 FROM delivery_repeat"
        " LEFT JOIN delivery_request USING (delivery)"
        " WHERE receiver = ? AND due <= ? ORDER BY due LIMIT ?",
        (receiver, to_micros(now), limit),
    ).fetchall()
    work = []
    for delivery, wire, began, tries in found:
        row = _row(tx, delivery)
        if wire is None or row is None:  # purged meanwhile
            tx.execute("DELETE FROM delivery_repeat WHERE delivery = ?", (delivery,))
            continue
        tx.execute(
            "UPDATE delivery_repeat SET due = ?, tries = ? WHERE delivery = ?",
            (to_micros(now + lease), tries, delivery),
        )
        journal(tx, now, Step.REPEATED, row, tries=tries)
        work.append(Repeat(delivery, wire, to_moment(began), tries))
    return work


def next_repeat(database: Database, receiver: str) -> datetime | None:
    """The earliest there is."""
    sql = "SELECT min(due) FROM delivery_repeat WHERE receiver = ?"
    found = database.execute(sql, [receiver])
    due: int | None = found.fetchone()[0]
    return to_moment(due)


def end_repeat(tx: Transaction, delivery: int, due: datetime | None) -> None:
    """Over, or again later."""
    if due is None:
        tx.execute("DELETE FROM delivery_repeat WHERE delivery = ?", (delivery,))
    else:
        sql = "UPDATE delivery_repeat SET due = ? WHERE delivery = ?"
        tx.execute(sql, (to_micros(due), delivery))


def _row(tx: Transaction, delivery: int) -> dict[str, Any] | None:
    values = tx.execute(f"SELECT {COLUMNS} FROM delivery WHERE id = ?", (delivery,)).fetchone()
    return named(values) if values else None
