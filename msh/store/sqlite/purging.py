"""Removing what is no longer needed, a step at a time, so that nobody waits long for the lock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from msh.protocol.journal import Direction
from msh.store.records import Purged
from msh.store.sqlite.values import to_micros
from msh.store.sqlite.writer import Transaction

#: Messages per transaction.
STEP = 500

_Row = tuple[int, str, str]


class _Kind(NamedTuple):
    """A table: who the other party is, what counts as settled, and where the content lies."""

    table: str
    direction: Direction
    peer: str
    settled: str
    parts: tuple[str, ...]


# Settled is never what is unanswered, under way, in doubt or set aside.
_KINDS = (
    _Kind(
        "reception",
        Direction.INBOUND,
        "sender",
        "state = 'answered' AND answered < ?",
        ("reception_request", "reception_reply"),
    ),
    _Kind(
        "delivery",
        Direction.OUTBOUND,
        "receiver",
        "state IN ('answered', 'resolved', 'not-sent') AND settled < ?",
        ("delivery_request", "delivery_reply", "attempt"),
    ),
)


def purge_contents(tx: Transaction, before: datetime) -> Purged:
    """Remove the content of up to `STEP` receptions and as many deliveries."""
    removed = 0
    for kind in _KINDS:
        rows = _settled(tx, kind, before, purged=False)
        _remove(tx, kind, rows)
        tx.connection.executemany(
            f"UPDATE {kind.table} SET purged = 1 WHERE id = ?", [row[:1] for row in rows]
        )
        removed += len(rows)
    return Purged(contents=removed, ids=0)


def purge_ids(tx: Transaction, before: datetime) -> Purged:
    """Forget up to `STEP` ids of either direction whose content is gone already."""
    removed = 0
    for kind in _KINDS:
        rows = _settled(tx, kind, before, purged=True)
        _remove(tx, kind, rows)  # repeats since the purge have left lines in the journal
        tx.connection.executemany(
            f"DELETE FROM {kind.table} WHERE id = ?", [row[:1] for row in rows]
        )
        removed += len(rows)
    return Purged(contents=0, ids=removed)


def _settled(tx: Transaction, kind: _Kind, before: datetime, *, purged: bool) -> list[_Row]:
    """Number, message id and other party of up to `STEP` messages."""
    rows: list[_Row] = tx.execute(
        f"SELECT id, msg_id, {kind.peer} FROM {kind.table}"
        f" WHERE {kind.settled} AND purged = ? LIMIT ?",
        (to_micros(before), purged, STEP),
    ).fetchall()
    return rows


def _remove(tx: Transaction, kind: _Kind, rows: Sequence[_Row]) -> None:
    """Contents and journal, not the ids."""
    for part in kind.parts:
        tx.connection.executemany(
            f"DELETE FROM {part} WHERE {kind.table} = ?", [row[:1] for row in rows]
        )
    tx.connection.executemany(
        "DELETE FROM journal WHERE msg_id = ? AND peer = ? AND direction = ?",
        [(message_id, party, kind.direction) for _, message_id, party in rows],
    )
