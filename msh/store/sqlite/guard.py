"""What a caller's ``apply`` may do with our connection: write its own tables, nothing else."""

from __future__ import annotations

import sqlite3

from msh.errors import ApplyFailed
from msh.store.base import Apply

_OURS = frozenset(
    {
        "reception",
        "reception_request",
        "reception_reply",
        "delivery",
        "delivery_request",
        "delivery_reply",
        "attempt",
        "journal",
        "sqlite_sequence",
    }
)
# Which of the authorizer's two arguments names the table an action changes.
_TABLE_FIRST = frozenset(
    {
        sqlite3.SQLITE_INSERT,
        sqlite3.SQLITE_UPDATE,
        sqlite3.SQLITE_DELETE,
        sqlite3.SQLITE_DROP_TABLE,
    }
)
_TABLE_SECOND = frozenset(
    {
        sqlite3.SQLITE_ALTER_TABLE,
        sqlite3.SQLITE_CREATE_INDEX,
        sqlite3.SQLITE_CREATE_TRIGGER,
        sqlite3.SQLITE_CREATE_TEMP_TRIGGER,
        sqlite3.SQLITE_DROP_INDEX,
        sqlite3.SQLITE_DROP_TRIGGER,
    }
)
_FORBIDDEN = frozenset({sqlite3.SQLITE_TRANSACTION, sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH})
# Reading ones, and the one that sqlite-utils sets when it wraps a connection.
_PRAGMAS = frozenset(
    {
        "table_info",
        "table_xinfo",
        "index_list",
        "index_info",
        "index_xinfo",
        "foreign_key_list",
        "recursive_triggers",
    }
)


def run_guarded(connection: sqlite3.Connection, apply: Apply) -> None:
    """Call ``apply`` with the connection, on which no transaction can be begun, ended or undone.

    Savepoints of the caller's own are allowed; ours is out of reach, and so are our tables, other
    files, and settings. Raises `ApplyFailed` with the caller's error as its cause.
    """
    connection.set_authorizer(_authorize)
    try:
        apply(connection)
    except Exception as error:
        if not connection.in_transaction:
            raise  # SQLite gave the whole transaction up (a full disk): the writer starts over
        hint = (
            " (it may write its own tables only, and not begin or end transactions)"
            if isinstance(error, sqlite3.DatabaseError) and "not authorized" in str(error)
            else ""
        )
        raise ApplyFailed(f"apply raised {type(error).__name__}{hint}") from error
    finally:
        connection.set_authorizer(None)


def _authorize(
    action: int, first: str | None, second: str | None, database: str | None, trigger: str | None
) -> int:
    if action in _TABLE_FIRST:
        allowed = (first or "").lower() not in _OURS
    elif action in _TABLE_SECOND:
        allowed = (second or "").lower() not in _OURS
    elif action == sqlite3.SQLITE_SAVEPOINT:
        allowed = (second or "").lower() != "msh_operation"
    elif action == sqlite3.SQLITE_PRAGMA:
        allowed = (first or "").lower() in _PRAGMAS
    else:
        allowed = action not in _FORBIDDEN
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY
