"""Opening a database: pragmas, numbered migrations, and errors in msh's own words."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

from sqlite_utils import Database

from msh.errors import (
    ClaimLost,
    StoreDamaged,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreOfAnother,
    StoreReadOnly,
    StoreTooNew,
)
from msh.store.sqlite.guard import StoreConnection, error_code

#: How long another process may hold the database before we say so.
LOCK_SECONDS = 5.0
#: Marks a database file as one of msh ("MSHs"), so that no other file is ever migrated.
APPLICATION_ID = 0x4D534873


def connections(
    path: str, party: str | None, lock_seconds: float
) -> tuple[StoreConnection, StoreConnection | None]:
    """The writing connection to the migrated database of ``party``, and a reading one.

    Memory has only the first. Raises `StoreError` in one of its kinds.
    """
    writing = connect(path, lock_seconds=lock_seconds)
    try:
        migrate(writing, path)
        if party is not None:
            _require_party(writing, path, party)
        if path == ":memory:":
            return writing, None
        return writing, connect(path, lock_seconds=lock_seconds, read_only=True)
    except BaseException:
        writing.close()
        raise


def connect(
    path: str, *, lock_seconds: float = LOCK_SECONDS, read_only: bool = False
) -> StoreConnection:
    """A connection with WAL and ``synchronous=FULL``: what COMMIT said is on the disk.

    ``path`` may be ``:memory:``. Raises `StoreError` in one of its kinds; a file that is not ours
    is then as it was.
    """
    try:
        if path != ":memory:" and not read_only:
            _make_private(path)
        connection = sqlite3.connect(
            path,
            timeout=lock_seconds,
            isolation_level=None,
            check_same_thread=False,
            factory=StoreConnection,
        )
        try:
            _version(connection, path)  # before the first pragma that writes to the file
            _use_wal(connection, lock_seconds)
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA wal_autocheckpoint = 4000")
            connection.execute("PRAGMA journal_size_limit = 67108864")
            if read_only:
                connection.execute("PRAGMA query_only = ON")
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise explained(error, path) from error
    return connection


def _make_private(path: str) -> None:
    """Make the file, if it is a new one, for its owner alone: it holds messages in clear.

    SQLite gives the files beside it the same mode.
    """
    with suppress(OSError):  # it is there, or SQLite says what is wrong
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _use_wal(connection: sqlite3.Connection, lock_seconds: float) -> None:
    """Switch to WAL, which is done once in a file's life.

    SQLite does not wait for the lock here when two processes switch a new file at once.
    """
    until = time.monotonic() + lock_seconds
    while connection.execute("PRAGMA journal_mode").fetchone()[0] not in ("wal", "memory"):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)


def migrate(connection: StoreConnection, path: str) -> None:
    """Bring the schema up to date; every process that opens a new file may do so at once."""
    try:
        if _version(connection, path) == _migrations()[-1][0]:
            return
        connection.execute("BEGIN IMMEDIATE")
        try:
            version = _version(connection, path)
            database = Database(connection, execute_plugins=False)
            for number, script in _migrations():
                if number > version:
                    database.executescript(script)
                    connection.execute(f"PRAGMA user_version = {number}")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    except sqlite3.Error as error:
        raise explained(error, path) from error


def _require_party(connection: sqlite3.Connection, path: str, party: str) -> None:
    """The first party that opens the database is the one whose messages it holds."""
    try:
        (owner,) = connection.execute("SELECT party FROM identity").fetchone()
        if owner is None:
            connection.execute("UPDATE identity SET party = ? WHERE party IS NULL", (party,))
            # Not ``party``: another one may have come first.
            (owner,) = connection.execute("SELECT party FROM identity").fetchone()
    except sqlite3.Error as error:
        raise explained(error, path) from error
    if owner != party:
        raise StoreOfAnother(
            f"{path}: holds the messages of {owner}, and this party is {party}; give each party a "
            "file of its own in `store`"
        )


def _version(connection: sqlite3.Connection, path: str) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    application: int = connection.execute("PRAGMA application_id").fetchone()[0]
    tables: int = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    # A ledger beside our tables is welcome; a database of somebody else's is not touched.
    if application != APPLICATION_ID and (application or version):
        raise StoreDamaged(
            f"{path}: is a database of another program ({tables} tables); give msh a file of its "
            "own in `store`"
        )
    known = _migrations()[-1][0]
    if version > known:
        raise StoreTooNew(
            f"{path}: was written by a newer msh (schema {version}, this one knows {known}); "
            "install that version or a newer one"
        )
    return version


def _migrations() -> list[tuple[int, str]]:
    folder = files("msh.store.sqlite") / "migrations"
    scripts = sorted(
        (int(file.name.split("_")[0]), file.read_text(encoding="utf-8"))
        for file in folder.iterdir()
        if file.name.endswith(".sql")
    )
    numbers = [number for number, _ in scripts]
    if numbers != list(range(1, len(numbers) + 1)):
        raise StoreError("the migrations of this installation are incomplete; install msh again")
    return scripts


def explained(error: sqlite3.Error, path: str) -> StoreError:
    """``error`` in msh's words: what happened and what to do."""
    code = error_code(error)
    text = str(error)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreLocked(
            f"{path}: another process holds the database and did not let go in time; nothing was "
            "written. End what holds it (a backup, an open transaction) and try again"
        )
    if code == sqlite3.SQLITE_FULL:
        return StoreFull(f"{path}: the disk is full; nothing was written. Make room and try again")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return StoreReadOnly(
            f"{path}: may not be written; give this user the right to write the file and its folder"
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreDamaged(
            f"{path}: is not a sound database ({text}). Keep a copy, then restore it from a backup "
            "or recover it with `sqlite3 FILE .recover`"
        )
    if code == sqlite3.SQLITE_CANTOPEN:
        folder = Path(path).parent
        return StoreError(
            f"{path}: cannot be opened; see that the folder {folder} exists and may be written"
        )
    return StoreError(f"{path}: {text} ({getattr(error, 'sqlite_errorname', 'no code')})")


def translated(error: BaseException, path: str = "the database") -> BaseException:
    """``error`` as it is, or explained if it is SQLite's."""
    return explained(error, path) if isinstance(error, sqlite3.Error) else error


def claim_lost(what: str) -> ClaimLost:
    """The claim's token is not the stored one any more."""
    return ClaimLost(f"{what}: another owner has this work now; leave it to them")
