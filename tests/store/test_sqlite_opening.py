"""Opening a file: whose it is, whether it is sound, and who else opens it."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from msh.errors import (
    ConfigurationError,
    StoreClosed,
    StoreDamaged,
    StoreError,
    StoreLocked,
    StoreReadOnly,
    StoreTooNew,
)
from msh.store import open_store
from msh.store.sqlite import SqliteStore, opening
from msh.testing.contracts.samples import (
    NOW,
    Notified,
    draft,
    everything,
    receive_new,
)


async def opened(path: Path) -> SqliteStore:
    store = SqliteStore(str(path), lock_seconds=0.05)
    await store.open(Notified())
    return store


def contents(path: Path) -> bytes:
    return path.read_bytes()


def write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def test_a_url_names_the_store() -> None:
    memory, relative, absolute = (
        open_store(url) for url in ("sqlite::memory:", "sqlite:///a.db", "sqlite:////x/a.db")
    )
    assert isinstance(memory, SqliteStore)
    assert isinstance(relative, SqliteStore)
    assert isinstance(absolute, SqliteStore)
    assert [memory.shared, relative.shared] == [False, True]
    assert [relative.path, absolute.path] == ["a.db", "/x/a.db"]


@pytest.mark.parametrize("url", ["sqlite:", "sqlite:///", "sqlite://a.db", "redis://x", "a.db"])
def test_a_url_that_names_none(url: str) -> None:
    with pytest.raises(ConfigurationError, match="sqlite"):
        open_store(url)


async def test_what_commit_said_is_on_the_disk(writing: sqlite3.Connection) -> None:
    assert writing.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert writing.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


async def test_a_new_file_is_marked_as_ours(store: SqliteStore, path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("PRAGMA application_id").fetchone() == (opening.APPLICATION_ID,)
        assert other.execute("PRAGMA user_version").fetchone() == (opening._migrations()[-1][0],)


async def test_before_it_is_open_it_says_so(path: Path) -> None:
    store = SqliteStore(str(path))
    with pytest.raises(StoreClosed):
        await store.enqueue(draft(), NOW)
    with pytest.raises(StoreClosed):
        await store.deliveries()
    with pytest.raises(StoreClosed):
        store.watch(lambda: None)
    await store.close()


async def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened"):
        await opened(tmp_path)


async def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"see that the folder .*missing exists"):
        await opened(tmp_path / "missing" / "msh.db")


async def test_a_file_that_may_not_be_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await (await opened(path)).close()
    real = sqlite3.connect

    def read_only(name: str, **options: Any) -> Any:
        # Root may write anything, so the file is opened as it would be for another user.
        return real(f"file:{name}?mode=ro", uri=True, **options)

    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA journal_mode = DELETE")
        other.execute("PRAGMA user_version = 0")
    before = contents(path)
    monkeypatch.setattr(sqlite3, "connect", read_only)
    with pytest.raises(StoreReadOnly, match="right to write"):
        await opened(path)
    assert contents(path) == before


async def test_a_file_that_is_no_database(path: Path) -> None:
    write(path, b"Dear Sir or Madam, " * 500)
    before = contents(path)
    with pytest.raises(StoreDamaged, match="restore it from a backup"):
        await opened(path)
    assert contents(path) == before


async def test_a_database_damaged_in_the_middle(path: Path) -> None:
    store = await opened(path)
    for number in range(200):
        await receive_new(store, f"M-{number}")
    await store.close()
    with closing(sqlite3.connect(path)) as other:
        (page,) = other.execute("PRAGMA page_size").fetchone()
        roots = other.execute("SELECT rootpage FROM sqlite_master WHERE rootpage > 0").fetchall()
    damaged = bytearray(contents(path))
    for (root,) in roots:  # the schema itself stays sound
        damaged[(root - 1) * page : root * page] = b"\xa5" * page
    write(path, bytes(damaged))
    store = await opened(path)
    with pytest.raises(StoreDamaged):
        await store.receptions()
    results = await asyncio.gather(
        store.enqueue(draft(), NOW), receive_new(store), return_exceptions=True
    )
    assert [type(one) for one in results] == [StoreDamaged] * 2
    await store.close()


@pytest.mark.parametrize("pragma", ["application_id = 252006674", "user_version = 3"])
async def test_another_programs_database_is_not_touched(path: Path, pragma: str) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE theirs (a)")
        other.execute(f"PRAGMA {pragma}")
    before = contents(path)
    with pytest.raises(StoreDamaged, match="database of another program"):
        await opened(path)
    assert contents(path) == before
    assert [each.name for each in path.parent.iterdir()] == [path.name]


async def test_a_newer_schema_is_refused_by_name(path: Path) -> None:
    await (await opened(path)).close()
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA user_version = 1000")
    before = contents(path)
    with pytest.raises(StoreTooNew, match=r"schema 1000, this one knows \d+\)"):
        await opened(path)
    assert contents(path) == before


async def test_a_ledger_that_was_there_first_is_welcome(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("CREATE TABLE ledger (amount)")
        other.execute("INSERT INTO ledger VALUES (5)")
    store = await opened(path)
    await store.enqueue(draft(), NOW)
    await store.close()
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT amount FROM ledger").fetchall() == [(5,)]


async def test_a_table_of_our_name_in_the_way_leaves_the_file_as_it_was(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("CREATE TABLE journal (theirs)")
    with pytest.raises(StoreError, match="journal already exists"):
        await opened(path)
    with closing(sqlite3.connect(path)) as other:
        names = other.execute("SELECT name FROM sqlite_master").fetchall()
        assert names == [("journal",)]
        assert other.execute("PRAGMA user_version").fetchone() == (0,)


async def test_a_new_file_that_is_locked(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreLocked):
            await opened(path)
    await (await opened(path)).close()


async def test_opening_again_finds_what_was_stored(path: Path) -> None:
    store = await opened(path)
    await store.enqueue(draft(), NOW)
    before = await everything(store)
    await store.close()
    again = await opened(path)
    assert await everything(again) == before
    await again.close()


OPENS = """
import asyncio, sys
from msh.store.sqlite import SqliteStore
from msh.testing.contracts.samples import NOW, draft

async def main():
    print("ready", flush=True)
    sys.stdin.readline()
    store = SqliteStore(sys.argv[1])
    await store.open(lambda entries: None)
    await store.enqueue(draft("D-" + sys.argv[2]), NOW)
    await store.close()

asyncio.run(main())
"""


def run_at_once(path: Path, count: int) -> list[tuple[int, str]]:
    """Exit code and errors of so many processes that open the file at the same time."""
    children = [
        subprocess.Popen(
            [sys.executable, "-c", OPENS, str(path), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(count)
    ]
    try:
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        for child in children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        return [(child.wait(30), child.communicate()[1]) for child in children]
    finally:
        for child in children:
            child.kill()
            child.communicate()


async def test_eight_processes_open_one_new_file_at_once(path: Path) -> None:
    assert run_at_once(path, 8) == [(0, "")] * 8
    store = await opened(path)
    assert len(await store.deliveries()) == 8
    await store.close()
