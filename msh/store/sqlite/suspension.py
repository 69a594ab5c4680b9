"""What is refused for now: plain functions of a transaction, and what lists it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlite_utils import Database

from msh.store.records import Suspension, SuspensionKind
from msh.store.sqlite.values import to_micros, to_moment
from msh.store.sqlite.writer import Transaction


def suspend(tx: Transaction, kind: SuspensionKind, name: str, now: datetime) -> bool:
    """The first suspension stays as it is."""
    cursor = tx.execute(
        "INSERT INTO suspension (kind, name, since) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        (kind, name, to_micros(now)),
    )
    return cursor.rowcount > 0


def resume(tx: Transaction, kind: SuspensionKind, name: str, now: datetime) -> bool:
    """End it."""
    cursor = tx.execute("DELETE FROM suspension WHERE kind = ? AND name = ?", (kind, name))
    return cursor.rowcount > 0


class Bar(StrEnum):
    """Why a new message is not to be handled."""

    FORGOTTEN = "forgotten"
    SUSPENDED = "suspended"


def bar(tx: Transaction, sender: str, service: str, dated: int) -> Bar | None:
    """What bars a new message; asked in one statement, since every message waits for it."""
    found = tx.execute(
        "SELECT 'forgotten' FROM identity WHERE forgotten >= ?"
        " UNION ALL SELECT 'suspended' FROM suspension WHERE (kind = 'party' AND name = ?)"
        " OR (kind = 'service' AND name = ?)",
        (dated, sender, service),
    ).fetchone()
    return Bar(found[0]) if found else None


def suspensions(database: Database) -> list[Suspension]:
    """Oldest first."""
    rows = database.query("SELECT * FROM suspension ORDER BY since, kind, name")
    return [
        Suspension(SuspensionKind(row["kind"]), row["name"], to_moment(row["since"]))
        for row in rows
    ]
