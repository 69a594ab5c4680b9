"""Removing what is no longer needed, a step at a time, so that nobody waits long for the lock."""

from __future__ import annotations

from datetime import datetime

from msh.protocol.journal import Direction
from msh.store.base import Purged
from msh.store.sqlite.values import to_micros
from msh.store.sqlite.writer import Transaction

#: Messages per transaction.
STEP = 500

# Per table: who the other party is, what counts as settled (never what is unanswered, under way,
# in doubt or set aside), and where the content lies.
_KINDS = (
    (
        "reception",
        "sender",
        "state = 'answered' AND answered < ?",
        ("reception_request", "reception_reply"),
    ),
    (
        "delivery",
        "receiver",
        "state IN ('answered', 'resolved', 'not-sent') AND settled < ?",
        ("delivery_request", "delivery_reply", "attempt"),
    ),
)


def purge_contents(tx: Transaction, before: datetime) -> Purged:
    """Remove the content of up to `STEP` receptions and as many deliveries."""
    at = to_micros(before)
    removed = 0
    for table, peer, settled, parts in _KINDS:
        rows = tx.execute(
            f"SELECT id, msg_id, {peer} FROM {table} WHERE {settled} AND purged = 0 LIMIT ?",
            (at, STEP),
        ).fetchall()
        numbers = [(number,) for number, _, _ in rows]
        for part in parts:
            tx.connection.executemany(f"DELETE FROM {part} WHERE {table} = ?", numbers)
        direction = Direction.INBOUND if table == "reception" else Direction.OUTBOUND
        tx.connection.executemany(
            "DELETE FROM journal WHERE msg_id = ? AND peer = ? AND direction = ?",
            [(message_id, party, direction) for _, message_id, party in rows],
        )
        tx.connection.executemany(f"UPDATE {table} SET purged = 1 WHERE id = ?", numbers)
        removed += len(rows)
    return Purged(contents=removed, ids=0)


def purge_ids(tx: Transaction, before: datetime) -> Purged:
    """Forget up to `STEP` ids of either direction whose content is gone already."""
    removed = 0
    at = to_micros(before)
    for table, _, settled, _ in _KINDS:
        cursor = tx.execute(
            f"DELETE FROM {table} WHERE id IN"
            f" (SELECT id FROM {table} WHERE {settled} AND purged = 1 LIMIT ?)",
            (at, STEP),
        )
        removed += cursor.rowcount
    return Purged(contents=0, ids=removed)
