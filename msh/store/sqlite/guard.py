"""What a caller's ``apply`` may do with our connection: write its own tables, nothing else."""

from __future__ import annotations

import inspect
import sqlite3
from typing import Any, cast
from weakref import WeakSet

from msh.errors import ApplyFailed
from msh.failure import told
from msh.store.records import Apply

_OURS = frozenset(
    {
        "reception",
        "reception_request",
        "reception_reply",
        "delivery",
        "delivery_request",
        "delivery_reply",
        "attempt",
        "batch",
        "batch_part",
        "reception_reference",
        "delivery_repeat",
        "message_asked_again",
        "delivery_inquiry",
        "delivery_outcome",
        "delivery_reference",
        "working_key",
        "suspension",
        "identity",
        "repetition",
        "journal",
        "sqlite_sequence",
    }
)
# Which of the authorizer's two arguments names the table an action changes. (A temporary table of
# our names would hide ours.)
_TABLE_FIRST = frozenset(
    {
        sqlite3.SQLITE_CREATE_TEMP_TABLE,
        sqlite3.SQLITE_CREATE_TEMP_VIEW,
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
# The store's failures, not the caller's.
_STORE_FAILED = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
    }
)


class StoreConnection(sqlite3.Connection):
    """The store's own connection, which becomes a `LentConnection` while a caller has it."""


class LentConnection(StoreConnection):
    """The store's connection in a caller's hands: it is neither closed nor freed from its guard,
    and it keeps account of the cursors it gives.
    """

    lent: WeakSet[sqlite3.Cursor]

    def cursor(self, *arguments: Any, **options: Any) -> Any:
        """A cursor that is closed when ``apply`` has ended."""
        cursor = super().cursor(*arguments, **options)
        self.lent.add(cursor)
        return cursor

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        """By a cursor as above."""
        cursor: sqlite3.Cursor = self.cursor().execute(*arguments)
        return cursor

    def executemany(self, *arguments: Any) -> sqlite3.Cursor:
        """By a cursor as above."""
        cursor: sqlite3.Cursor = self.cursor().executemany(*arguments)
        return cursor

    def close(self) -> None:
        """Refused."""
        raise sqlite3.ProgrammingError("not authorized: the store closes its connection")

    def set_authorizer(self, *arguments: Any) -> None:
        """Refused."""
        raise sqlite3.ProgrammingError("not authorized: the store guards its connection")


def run_guarded(connection: StoreConnection, apply: Apply) -> None:
    """Call ``apply`` with the connection, on which no transaction can be begun, ended or undone.

    Savepoints of the caller's own are allowed; ours is out of reach, and so are our tables, other
    files, and settings. Raises `ApplyFailed` with the caller's error as its cause.
    """
    kept = connection.row_factory, connection.text_factory
    # If a statement of theirs has the transaction rolled back (INSERT OR ROLLBACK), the driver
    # wants to begin another one before the next write, and the guard refuses that.
    connection.isolation_level = "DEFERRED"
    connection.set_authorizer(_authorize)
    _lend(connection)
    try:
        result = apply(connection)
    except BaseException as error:  # whatever it is, it is the handler's failure and not ours
        if error_code(error) in _STORE_FAILED:
            raise
        hint = (
            " (it may write its own tables only, and not begin or end transactions)"
            if isinstance(error, sqlite3.Error) and "not authorized" in str(error)
            else ""
        )
        raise ApplyFailed(f"apply raised {told(error)}{hint}") from error
    finally:
        _take_back(connection)
        connection.set_authorizer(None)
        connection.row_factory, connection.text_factory = kept
    if inspect.isawaitable(result):
        if inspect.iscoroutine(result):
            result.close()
        raise ApplyFailed("apply returned something to await, so it has written nothing yet")
    if not connection.in_transaction:
        raise ApplyFailed("apply had the transaction rolled back (by OR ROLLBACK?) and went on")


def _lend(connection: StoreConnection) -> None:
    # Its class changes, so that the store's own calls cost nothing for it.
    connection.__class__ = LentConnection
    cast(LentConnection, connection).lent = WeakSet()


def _take_back(connection: StoreConnection) -> None:
    for cursor in list(cast(LentConnection, connection).lent):
        cursor.close()  # a statement that was not read to its end bars the commit
    connection.__class__ = StoreConnection


def error_code(error: BaseException) -> int:
    """SQLite's primary error code; 0 for any other error."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


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
