"""What a caller's ``apply`` may do on SQLite: write its own tables, as one with the reply."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import sqlite_utils

from msh.errors import ApplyFailed, ClaimLost, KeyReused
from msh.protocol import reception
from msh.store import Answer, StoredReply
from msh.store.sqlite import SqliteStore
from msh.testing.contracts.samples import (
    DONE,
    LEASE,
    NOW,
    PEER,
    answer,
    draft,
    receive_new,
    reception_in,
    status,
)

LEDGER = "CREATE TABLE IF NOT EXISTS ledger (id INTEGER PRIMARY KEY, amount INTEGER UNIQUE)"
Apply = Callable[[Any], object]


def ledger(path: Path) -> list[int]:
    """The amounts booked, as another process sees them."""
    other = sqlite3.connect(path)
    try:
        return [amount for (amount,) in other.execute("SELECT amount FROM ledger ORDER BY id")]
    finally:
        other.close()


@pytest.fixture(autouse=True)
def _ledger(store: SqliteStore, path: Path) -> None:
    """The business system's own table, beside ours."""
    other = sqlite3.connect(path)
    with other:
        other.execute(LEDGER)
    other.close()


def book(amount: int) -> Apply:
    return lambda connection: connection.execute("INSERT INTO ledger VALUES (NULL, ?)", [amount])


async def give(store: SqliteStore, apply: Apply, message_id: str = "M-1") -> StoredReply:
    claim = await receive_new(store, message_id)
    return await store.answer(claim, Answer(status(DONE), b"<reply/>", apply=apply), NOW)


async def refused(store: SqliteStore, path: Path, apply: Apply) -> ApplyFailed:
    """``apply`` fails amid other work, nothing of it is kept, and nobody else is harmed."""
    claim = await receive_new(store)
    receptions = len(await store.receptions())
    booked = ledger(path)

    def booking_first(connection: Any) -> object:
        book(1)(connection)
        return apply(connection)

    bad = Answer(status(DONE), b"<reply/>", apply=booking_first, then=(draft(),))
    failed, *others = await asyncio.gather(
        store.answer(claim, bad, NOW),
        *(receive_new(store, f"N-{number}") for number in range(5)),
        give(store, book(77), "N-77"),
        return_exceptions=True,
    )
    assert isinstance(failed, ApplyFailed)
    assert not [one for one in others if isinstance(one, BaseException)]
    assert ledger(path) == [*booked, 77]
    assert await store.reply_of(claim.reception) is None
    assert len(await store.receptions()) == receptions + 6
    assert await store.deliveries() == []
    await store.answer(claim, Answer(status(DONE), b"<reply/>", apply=book(1)), NOW)
    assert ledger(path) == [*booked, 77, 1]
    return failed


async def test_the_writes_and_the_reply_are_one(store: SqliteStore, path: Path) -> None:
    reply = await give(store, book(100))
    assert ledger(path) == [100]
    assert await store.reply_of(reply.reception) == reply


async def test_when_it_raises_its_writes_are_undone(store: SqliteStore, path: Path) -> None:
    def apply(connection: sqlite3.Connection) -> None:
        raise ValueError("no such account")

    failed = await refused(store, path, apply)
    assert isinstance(failed.__cause__, ValueError)


async def test_a_violated_constraint_is_the_callers_failure(store: SqliteStore, path: Path) -> None:
    failed = await refused(store, path, book(1))  # booked just before
    assert isinstance(failed.__cause__, sqlite3.IntegrityError)


@pytest.mark.parametrize(
    "statement",
    [
        "BEGIN",
        "BEGIN IMMEDIATE",
        "COMMIT",
        "END",
        "ROLLBACK",
        "SAVEPOINT msh_operation",
        "ROLLBACK TO msh_operation",
        "ROLLBACK TO SAVEPOINT MSH_Operation",
        "RELEASE msh_operation",
        "ATTACH ':memory:' AS other",
        "DETACH main",
        "PRAGMA synchronous = OFF",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA user_version = 99",
        "PRAGMA writable_schema = ON",
        "DELETE FROM journal",
        "UPDATE reception SET state = 'answered'",
        "INSERT INTO attempt (delivery, number, began) VALUES (1, 1, 1)",
        "DROP TABLE delivery",
        "DROP INDEX journal_message",
        "ALTER TABLE reception ADD COLUMN mine TEXT",
        "CREATE INDEX mine ON journal (at)",
        "CREATE TRIGGER mine AFTER INSERT ON reception BEGIN DELETE FROM ledger; END",
        "CREATE TEMP TRIGGER mine AFTER INSERT ON reception BEGIN DELETE FROM ledger; END",
        "CREATE TEMP TABLE reception (id INTEGER)",
        "CREATE TEMP VIEW Delivery AS SELECT 1",
    ],
)
async def test_statements_it_may_not_run(store: SqliteStore, path: Path, statement: str) -> None:
    # Twice over: the first call leaves the store's own statements of that text prepared.
    await give(store, book(55), "M-0")
    failed = await refused(store, path, lambda connection: connection.execute(statement))
    assert "its own tables only" in str(failed)


@pytest.mark.parametrize(
    "call",
    [
        lambda connection: connection.commit(),
        lambda connection: connection.rollback(),
        lambda connection: connection.executescript("INSERT INTO ledger VALUES (NULL, 2)"),
        lambda connection: connection.close(),
        lambda connection: connection.set_authorizer(None),
        lambda connection: setattr(connection, "isolation_level", None),
        lambda connection: connection.__exit__(None, None, None),
    ],
    ids=["commit", "rollback", "executescript", "close", "set_authorizer", "isolation", "with"],
)
async def test_calls_it_may_not_make(store: SqliteStore, path: Path, call: Apply) -> None:
    failed = await refused(store, path, call)
    assert "its own tables only" in str(failed)


async def test_what_was_refused_may_be_caught(store: SqliteStore, path: Path) -> None:
    def apply(connection: sqlite3.Connection) -> None:
        book(1)(connection)
        for attempt in (connection.commit, connection.rollback, connection.close):
            with suppress(sqlite3.Error):
                attempt()
        book(2)(connection)

    await give(store, apply)
    assert ledger(path) == [1, 2]


async def test_a_rollback_by_conflict_clause_is_its_failure(store: SqliteStore, path: Path) -> None:
    def apply(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT OR ROLLBACK INTO ledger VALUES (NULL, 1)")

    failed = await refused(store, path, apply)
    assert isinstance(failed.__cause__, sqlite3.IntegrityError)


@pytest.mark.parametrize("goes_on", [True, False])
async def test_a_rollback_by_conflict_clause_cannot_be_hidden(
    store: SqliteStore, path: Path, goes_on: bool
) -> None:
    def apply(connection: sqlite3.Connection) -> None:
        with suppress(sqlite3.IntegrityError):
            connection.execute("INSERT OR ROLLBACK INTO ledger VALUES (NULL, 1)")
        if goes_on:
            book(2)(connection)

    await refused(store, path, apply)


async def test_a_constraint_that_fails_at_commit_is_its_failure(
    store: SqliteStore, path: Path
) -> None:
    def apply(connection: sqlite3.Connection) -> None:
        connection.execute(
            "CREATE TABLE line (ledger INTEGER REFERENCES ledger DEFERRABLE INITIALLY DEFERRED)"
        )
        connection.execute("INSERT INTO line VALUES (4711)")

    await refused(store, path, apply)


@pytest.mark.parametrize("raises", [True, False])
async def test_a_cursor_left_open_harms_nobody(
    store: SqliteStore, path: Path, raises: bool
) -> None:
    kept = []

    def apply(connection: sqlite3.Connection) -> None:
        sql = "INSERT INTO ledger VALUES (NULL, 2), (NULL, 3) RETURNING id"
        kept.append(connection.execute(sql))
        kept.append(connection.execute("SELECT * FROM ledger"))
        if raises:
            raise ValueError

    if raises:
        await refused(store, path, apply)
    else:
        await give(store, apply)
        assert ledger(path) == [2, 3]
    assert len(kept) >= 2


async def test_what_it_sets_on_the_connection_is_set_back(store: SqliteStore) -> None:
    def apply(connection: sqlite3.Connection) -> None:
        connection.row_factory = lambda cursor, row: {"row": row}
        connection.text_factory = bytes

    await give(store, apply)
    claim = await receive_new(store, "M-2")
    assert (await store.answer(claim, answer(), NOW)).status == status(DONE)
    assert await store.take_over(PEER, NOW, LEASE, 1) == []


async def test_sqlite_utils_works_in_it(store: SqliteStore, path: Path) -> None:
    def apply(connection: sqlite3.Connection) -> None:
        database = sqlite_utils.Database(connection)
        table: Any = database["ledger"]
        table.insert({"amount": 5})
        table.insert_all({"amount": amount} for amount in (6, 7))
        with database.atomic():
            table.insert({"amount": 8})
        with suppress(ValueError), database.atomic():
            table.insert({"amount": 9})
            raise ValueError
        accounts: Any = database["accounts"]
        accounts.upsert({"id": 1, "owner": "BIZ"}, pk="id")
        assert accounts.count == 1
        assert {"ledger", "accounts"} <= set(database.table_names())

    await give(store, apply)
    assert ledger(path) == [5, 6, 7, 8]


async def test_its_own_tables_and_savepoints(store: SqliteStore, path: Path) -> None:
    def apply(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE mine (id INTEGER PRIMARY KEY AUTOINCREMENT, text)")
        connection.execute("CREATE INDEX mine_text ON mine (text)")
        connection.execute("INSERT INTO mine (text) VALUES ('a')")
        connection.execute("SAVEPOINT one")
        book(1)(connection)
        connection.execute("ROLLBACK TO one")
        book(2)(connection)
        connection.execute("RELEASE one")
        connection.execute("SAVEPOINT left_open")
        book(3)(connection)
        connection.execute("ALTER TABLE mine ADD COLUMN more")
        connection.execute("CREATE TABLE brief (id INTEGER)")
        connection.execute("DROP TABLE brief")

    await give(store, apply)
    assert ledger(path) == [2, 3]


async def test_a_parked_reception_is_answered_with_writes(store: SqliteStore, path: Path) -> None:
    claim = await reception_in(store, reception.State.PARKED)
    for amount in (1, 2):
        booked = Answer(status(DONE), b"<reply/>", apply=book(amount))
        await store.answer_parked(claim.reception, booked, NOW)
    assert ledger(path) == [1]


async def test_writes_take_effect_once_however_often_it_runs(
    store: SqliteStore, path: Path
) -> None:
    claims = [await receive_new(store, f"M-{number}") for number in range(20)]
    lost = await receive_new(store, "M-lost")
    await store.take_over(PEER, NOW + LEASE, LEASE, 99)
    claims = [await receive_new(store, f"N-{number}") for number in range(20)]
    results = await asyncio.gather(
        *(
            store.answer(claim, Answer(status(DONE), b"", apply=book(number)), NOW)
            for number, claim in enumerate(claims)
        ),
        store.answer(lost, Answer(status(DONE), b"", apply=book(999)), NOW),
        store.extend(lost, NOW, LEASE),
        return_exceptions=True,
    )
    assert [type(one) for one in results[20:]] == [ClaimLost, ClaimLost]
    assert ledger(path) == list(range(20))


async def test_a_follow_up_that_cannot_be_queued_undoes_the_writes(
    store: SqliteStore, path: Path
) -> None:
    await store.enqueue(draft("D-1", key="k"), NOW)
    claim = await receive_new(store)
    then = (draft("D-2", key="k", body=b"<other/>"),)
    with pytest.raises(KeyReused):
        await store.answer(claim, Answer(status(DONE), b"", apply=book(1), then=then), NOW)
    assert ledger(path) == []
