"""The working keys: plain functions of a transaction, and what lists them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlite_utils import Database

from msh.protocol.journal import Direction
from msh.protocol.journal import Step as JournalStep
from msh.protocol.keys import ENDED, Event, State, step
from msh.store.records import StoredKey
from msh.store.sqlite.values import to_micros, to_moment
from msh.store.sqlite.writer import Transaction

_COLUMNS = (
    "peer, key_id, algorithm, wrapped, check_value, ours, state, offered, made, activated, verified"
)


def keys(database: Database, peer: str | None) -> list[StoredKey]:
    """Oldest offer first."""
    rows = database.execute(
        f"SELECT {_COLUMNS} FROM working_key WHERE ?1 IS NULL OR peer = ?1 ORDER BY offered, id",
        [peer],
    )
    return [_as_key(row) for row in rows.fetchall()]


def offer_key(tx: Transaction, key: StoredKey, message_id: str) -> StoredKey:
    """Once per (peer, id); the exchange that was under way is over with it."""
    kept = _find(tx, key.peer, key.id)
    if kept is not None:
        return kept
    made = key.made or key.offered
    newer = tx.execute(
        "SELECT 1 FROM working_key WHERE peer = ? AND ours = ? AND coalesce(made, offered) > ?"
        " LIMIT 1",
        (key.peer, key.ours, to_micros(made)),
    ).fetchone()
    if newer is not None:
        return replace(key, state=State.PREVIOUS)
    _replace(tx, key.peer, State.PENDING)
    tx.execute(
        "INSERT INTO working_key (peer, key_id, algorithm, wrapped, check_value, ours, state,"
        " offered, made) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            key.peer,
            key.id,
            key.algorithm,
            key.wrapped,
            key.check_value,
            key.ours,
            State.PENDING,
            to_micros(key.offered),
            to_micros(key.made) if key.made else None,
        ),
    )
    kept = _find(tx, key.peer, key.id)
    assert kept is not None
    details = {"check_value": kept.check_value, "ours": kept.ours}
    _journal(tx, key.offered, JournalStep.KEY_OFFERED, kept, message_id, **details)
    return kept


def activate_key(tx: Transaction, peer: str, key: str, message_id: str, now: datetime) -> bool:
    """The proof or the confirm has come."""
    kept = _find(tx, peer, key)
    return kept is not None and _activate(tx, kept, message_id, now)


def key_verified(tx: Transaction, peer: str, key: str, message_id: str, now: datetime) -> None:
    """What retires the keys before it; and the confirm of its exchange, if that was lost."""
    kept = _find(tx, peer, key)
    if kept is None or kept.verified is not None:  # then it was activated, too
        return
    if kept.state is State.COMPROMISED:  # another process had not heard of it yet
        return
    _activate(tx, kept, message_id, now, by=message_id)
    tx.execute(
        "UPDATE working_key SET verified = ? WHERE peer = ? AND key_id = ?",
        (to_micros(now), peer, key),
    )
    _journal(tx, now, JournalStep.KEY_VERIFIED, kept, message_id)


def retire_key(tx: Transaction, peer: str, key: str, now: datetime) -> bool:
    """Others have it: from the commit on it is none that counts."""
    kept = _find(tx, peer, key)
    if kept is None or (following := step(kept.state, Event.RETIRED)) is kept.state:
        return False
    tx.execute(
        "UPDATE working_key SET state = ? WHERE peer = ? AND key_id = ?", (following, peer, key)
    )
    _journal(tx, now, JournalStep.KEY_RETIRED, kept, "", was=kept.state)
    return True


def forget_keys(tx: Transaction, before: datetime) -> int:
    """What `msh.protocol.keys.retires` calls successors, all in one statement."""
    cursor = tx.execute(
        "DELETE FROM working_key WHERE state IN (?, ?) AND EXISTS (SELECT 1 FROM working_key AS"
        " later WHERE later.peer = working_key.peer AND later.offered > working_key.offered"
        " AND later.verified < ?)",
        (*ENDED, to_micros(before)),
    )
    return cursor.rowcount


def _activate(
    tx: Transaction, key: StoredKey, message_id: str, now: datetime, **details: Any
) -> bool:
    following = step(key.state, Event.ACTIVATED)
    if following is not key.state:
        _replace(tx, key.peer, following)
        tx.execute(
            "UPDATE working_key SET state = ?, activated = ? WHERE peer = ? AND key_id = ?",
            (following, to_micros(now), key.peer, key.id),
        )
        _journal(tx, now, JournalStep.KEY_ACTIVATED, key, message_id, **details)
    return following is State.ACTIVE


def _replace(tx: Transaction, peer: str, state: State) -> None:
    """Make room for another key in ``state``."""
    tx.execute(
        "UPDATE working_key SET state = ? WHERE peer = ? AND state = ?",
        (step(state, Event.REPLACED), peer, state),
    )


def _find(tx: Transaction, peer: str, key: str) -> StoredKey | None:
    row = tx.execute(
        f"SELECT {_COLUMNS} FROM working_key WHERE peer = ? AND key_id = ?", (peer, key)
    ).fetchone()
    return _as_key(row) if row else None


def _as_key(row: Any) -> StoredKey:
    peer, key, algorithm, wrapped, check_value, ours, state, offered, made, *moments = row
    activated, verified = moments
    return StoredKey(
        peer=peer,
        id=key,
        algorithm=algorithm,
        wrapped=wrapped,
        check_value=check_value,
        ours=bool(ours),
        state=State(state),
        offered=to_moment(offered),
        made=to_moment(made),
        activated=to_moment(activated),
        verified=to_moment(verified),
    )


def _journal(
    tx: Transaction,
    now: datetime,
    event: JournalStep,
    key: StoredKey,
    message_id: str,
    **details: Any,
) -> None:
    direction = Direction.OUTBOUND if key.ours else Direction.INBOUND
    tx.journal(now, event, direction, message_id, key.peer, "", key=key.id, **details)
