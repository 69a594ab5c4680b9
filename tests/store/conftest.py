"""What the tests of the SQLite store share."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from msh.store.sqlite import SqliteStore
from msh.testing.contracts.samples import Notified


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The database file."""
    return tmp_path / "msh.db"


@pytest.fixture
def notified() -> Notified:
    """What the store is opened with."""
    return Notified()


@pytest.fixture
async def store(path: Path, notified: Notified) -> AsyncIterator[SqliteStore]:
    """A store in a file, which gives up waiting for a lock soon."""
    store = SqliteStore(str(path), lock_seconds=0.05)
    await store.open(notified)
    yield store
    await store.close()


@pytest.fixture
def writing(store: SqliteStore) -> sqlite3.Connection:
    """The store's writing connection, to be touched only while the store is idle."""
    assert store._writer is not None
    return store._writer._connection
