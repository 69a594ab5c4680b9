"""Looking without changing: what people and tools list and show."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from sqlite_utils import Database

from msh.catalog import StatusCode
from msh.protocol import reception
from msh.protocol.journal import Direction, Entry, Step
from msh.store.records import Attempt, Delivery, Reception
from msh.store.sqlite.outbound import COLUMNS, as_delivery
from msh.store.sqlite.values import to_micros, to_moment


def deliveries(
    database: Database,
    *,
    number: int | None = None,
    message_id: str | None = None,
    state: str | None = None,
    since: datetime | None = None,
    limit: int = 1000,
) -> list[Delivery]:
    """Deliveries that fit every condition given, newest first."""
    where, values = _conditions(
        ("id = ?", number),
        ("msg_id = ?", message_id),
        ("state = ?", state),
        ("queued >= ?", to_micros(since) if since else None),
    )
    sql = f"SELECT {COLUMNS} FROM delivery {where} ORDER BY id DESC LIMIT ?"
    return [as_delivery(row) for row in database.query(sql, [*values, limit])]


def receptions(
    database: Database,
    *,
    message_id: str | None = None,
    state: str | None = None,
    since: datetime | None = None,
    limit: int = 1000,
) -> list[Reception]:
    """Receptions that fit every condition given, newest first."""
    where, values = _conditions(
        ("msg_id = ?", message_id),
        ("state = ?", state),
        ("received >= ?", to_micros(since) if since else None),
    )
    sql = f"SELECT * FROM reception {where} ORDER BY id DESC LIMIT ?"
    return [_as_reception(row) for row in database.query(sql, [*values, limit])]


def attempts(database: Database, delivery: int) -> list[Attempt]:
    """Every attempt, in order."""
    rows = database.query("SELECT * FROM attempt WHERE delivery = ? ORDER BY number", [delivery])
    return [
        Attempt(
            number=row["number"],
            began=to_moment(row["began"]),
            ended=to_moment(row["ended"]),
            outcome=row["outcome"],
            detail=row["detail"],
            reconnected=bool(row["reconnected"]),
        )
        for row in rows
    ]


def journal(
    database: Database,
    *,
    message_id: str | None = None,
    direction: Direction | None = None,
    after: int = 0,
    limit: int = 1000,
) -> list[Entry]:
    """Entries in order."""
    where, values = _conditions(
        ("number > ?", after), ("msg_id = ?", message_id), ("direction = ?", direction)
    )
    sql = f"SELECT * FROM journal {where} ORDER BY number LIMIT ?"
    return [
        Entry(
            at=to_moment(row["at"]),
            step=Step(row["step"]),
            direction=Direction(row["direction"]),
            message_id=row["msg_id"],
            peer=row["peer"],
            service=row["service"],
            details=json.loads(row["details"]),
            number=row["number"],
        )
        for row in database.query(sql, [*values, limit])
    ]


def last_entry(database: Database) -> int:
    """The newest entry's number."""
    number: int = database.execute("SELECT coalesce(max(number), 0) FROM journal").fetchone()[0]
    return number


def request_wire(database: Database, delivery: int) -> tuple[bytes, bytes | None] | None:
    """Body and stored form."""
    row: tuple[bytes, bytes | None] | None = database.execute(
        "SELECT body, wire FROM delivery_request WHERE delivery = ?", [delivery]
    ).fetchone()
    return row


def received_wire(database: Database, reception: int) -> bytes | None:
    """The request's bytes."""
    row = database.execute(
        "SELECT wire FROM reception_request WHERE reception = ?", [reception]
    ).fetchone()
    return row[0] if row else None


def delivery_reply(database: Database, delivery: int) -> bytes | None:
    """The reply's bytes."""
    row = database.execute(
        "SELECT wire FROM delivery_reply WHERE delivery = ?", [delivery]
    ).fetchone()
    return row[0] if row else None


def _conditions(*pairs: tuple[str, Any]) -> tuple[str, list[Any]]:
    given = [(condition, value) for condition, value in pairs if value is not None]
    where = " AND ".join(condition for condition, _ in given)
    return (f"WHERE {where}" if where else ""), [value for _, value in given]


def _as_reception(row: dict[str, Any]) -> Reception:
    return Reception(
        id=row["id"],
        message_id=row["msg_id"],
        service=row["service"],
        sender=row["sender"],
        receiver=row["receiver"],
        ref_to=row["ref_to"],
        state=reception.State(row["state"]),
        received=to_moment(row["received"]),
        size=row["size"],
        due=to_moment(row["due"]),
        lease=to_moment(row["lease"]),
        owner=row["owner"],
        runs=row["runs"],
        replays=row["replays"],
        status=StatusCode.parse(row["status"]) if row["status"] else None,
        answered=to_moment(row["answered"]),
        purged=bool(row["purged"]),
    )
