"""Removing what is no longer needed, a step at a time, so that nobody waits long for the lock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from msh.protocol.journal import Direction
from msh.store.records import Purged
from msh.store.sqlite import batches
from msh.store.sqlite.inbound import DATED
from msh.store.sqlite.values import to_micros
from msh.store.sqlite.writer import Transaction

#: Messages per transaction.
STEP = 500

_Row = tuple[int, str, str]


class _Kind(NamedTuple):
    """A table: who the other party is, what counts as settled, how old the message calls itself,
    and where the content lies.
    """

    table: str
    direction: Direction
    peer: str
    settled: str
    dated: str
    parts: tuple[str, ...]
    #: What goes with the id.
    traces: tuple[str, ...] = ()


# Settled is never what is unanswered, under way, in doubt or set aside.
_KINDS = (
    _Kind(
        "reception",
        Direction.INBOUND,
        "sender",
        "state IN ('answered', 'closed') AND answered < ?1",
        DATED,
        ("reception_request", "reception_reply", "reception_reference"),
    ),
    _Kind(
        "delivery",
        Direction.OUTBOUND,
        "receiver",
        "state IN ('answered', 'resolved', 'not-sent', 'not-executed') AND settled < ?1",
        "settled",
        ("delivery_request", "delivery_reply", "delivery_reference", "delivery_repeat", "attempt"),
        ("delivery_outcome", "delivery_inquiry", "batch_part"),
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
        _remember(tx, kind, rows)
        _remove(tx, kind, rows)  # repeats since the purge have left lines in the journal
        for trace in kind.traces:
            _remove_part(tx, kind, trace, rows)
        tx.connection.executemany(
            f"DELETE FROM {kind.table} WHERE id = ?", [row[:1] for row in rows]
        )
        removed += len(rows)
    if removed:
        batches.forget(tx)
    return Purged(contents=0, ids=removed)


def purge_lines(tx: Transaction, before: datetime) -> bool:
    """Remove old lines that repeats of up to `STEP` messages left since their content went."""
    at = to_micros(before)
    found = False
    for kind in _KINDS:
        rows: list[_Row] = tx.execute(
            f"SELECT DISTINCT id, msg_id, {kind.peer} FROM repetition"
            f" JOIN {kind.table} ON id = message AND purged"
            " WHERE direction = ? AND oldest < ? LIMIT ?",
            (kind.direction, at, STEP),
        ).fetchall()
        found = found or bool(rows)
        for number, message_id, party in rows:
            tx.execute(
                "DELETE FROM journal WHERE msg_id = ? AND peer = ? AND direction = ? AND at < ?",
                (message_id, party, kind.direction, at),
            )
            tx.execute(
                "UPDATE repetition SET oldest = ?1 WHERE direction = ?2 AND message = ?3"
                " AND oldest < ?1",
                (at, kind.direction, number),
            )
    return found


def _remember(tx: Transaction, kind: _Kind, rows: Sequence[_Row]) -> None:
    """How new the newest message is that is forgotten now: one no newer may be a repeat of it."""
    if rows and kind.direction is Direction.INBOUND:
        ids = [row[0] for row in rows]
        tx.execute(
            f"UPDATE identity SET forgotten = max(coalesce(forgotten, newest), newest) FROM"
            f" (SELECT max({kind.dated}) AS newest FROM {kind.table}"
            f" WHERE id IN ({', '.join('?' * len(ids))}))",
            ids,
        )


def _settled(tx: Transaction, kind: _Kind, before: datetime, *, purged: bool) -> list[_Row]:
    """Number, message id and other party of up to `STEP` messages."""
    # An id is kept until its message is too old to be taken as a new one.
    dated = f"{kind.dated} < ?1 AND " if purged else ""
    rows: list[_Row] = tx.execute(
        f"SELECT id, msg_id, {kind.peer} FROM {kind.table}"
        f" WHERE {dated}{kind.settled} AND purged = ?2 LIMIT ?3",
        (to_micros(before), purged, STEP),
    ).fetchall()
    return rows


def _remove(tx: Transaction, kind: _Kind, rows: Sequence[_Row]) -> None:
    """Contents and journal, not the ids."""
    tx.connection.executemany(
        "DELETE FROM repetition WHERE direction = ? AND message = ?",
        [(kind.direction, row[0]) for row in rows],
    )
    for part in kind.parts:
        _remove_part(tx, kind, part, rows)
    tx.connection.executemany(
        "DELETE FROM journal WHERE msg_id = ? AND peer = ? AND direction = ?",
        [(message_id, party, kind.direction) for _, message_id, party in rows],
    )


def _remove_part(tx: Transaction, kind: _Kind, part: str, rows: Sequence[_Row]) -> None:
    tx.connection.executemany(
        f"DELETE FROM {part} WHERE {kind.table} = ?", [row[:1] for row in rows]
    )
