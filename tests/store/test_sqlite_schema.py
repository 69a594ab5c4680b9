"""The schema: what guards it, and databases that an earlier msh wrote."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from msh.errors import ApplyFailed, StoreError, StoreOfAnother
from msh.protocol import delivery, reception
from msh.protocol.digest import message_digest
from msh.protocol.journal import Step
from msh.store import Answer, Forgotten, InHand, Resend, SuspensionKind
from msh.store.sqlite import SqliteStore, opening
from msh.store.sqlite.guard import _OURS
from msh.store.sqlite.values import to_micros
from msh.testing.contracts.samples import (
    DONE,
    DUE,
    LEASE,
    MUCH_LATER,
    NOW,
    OWN,
    PEER,
    Notified,
    after,
    arrive,
    begin,
    claim_one,
    offered_key,
    receive_new,
    replied,
    request,
    status,
    steps,
    the_delivery,
    the_reception,
    wire_of,
)

Opened = Callable[[], Awaitable[SqliteStore]]


def write_schema_1(path: Path) -> None:
    """A database as the first msh left it, with a row of each kind."""
    message = request()
    digest = message_digest(message)
    now, due = to_micros(NOW), to_micros(DUE)
    rows: list[tuple[str, dict[str, Any]]] = []
    for number, state in enumerate(("answered", "claimed"), 1):
        rows.append(
            (
                "reception",
                {
                    "id": number,
                    "sender": PEER,
                    "msg_id": f"M-{number}",
                    "receiver": OWN,
                    "service": message.service,
                    "digest": message_digest(request(f"M-{number}")),
                    "digest_version": 1,
                    "state": state,
                    "received": now,
                    "size": 9,
                    "owner": "1-abc",
                    "token": 1,
                    "lease": None if state == "answered" else to_micros(NOW + LEASE),
                    "runs": 1 if state == "answered" else 0,
                    "status": DONE if state == "answered" else None,
                    "answered": now if state == "answered" else None,
                },
            )
        )
        rows.append(("reception_request", {"reception": number, "wire": wire_of(message)}))
    rows.append(("reception_reply", {"reception": 1, "plain": b"<reply/>"}))
    for number, state in enumerate(("waiting", "queued"), 1):
        tried = state == "waiting"
        rows.append(
            (
                "delivery",
                {
                    "id": number,
                    "sender": OWN,
                    "msg_id": f"D-{number}",
                    "receiver": PEER,
                    "service": message.service,
                    "caller_key": f"invoice-{number}",
                    "digest": digest,
                    "state": state,
                    "queued": now,
                    "size": 6,
                    "due": due if tried else now,
                    "attempts": int(tried),
                    "tries": int(tried),
                    "copies": int(tried),
                    "series_began": now if tried else None,
                },
            )
        )
        form = b"<form/>" if tried else None
        rows.append(("delivery_request", {"delivery": number, "body": b"<pay/>", "wire": form}))
    rows.append(
        (
            "attempt",
            {"delivery": 1, "number": 1, "began": now, "ended": now, "outcome": "no answer"},
        )
    )
    rows.append(
        (
            "journal",
            {
                "at": now,
                "step": "queued",
                "direction": "outbound",
                "msg_id": "D-1",
                "peer": PEER,
                "service": message.service,
                "details": '{"bytes": 6}',
            },
        )
    )
    first = dict(opening._migrations())[1]
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.executescript(first)
        for table, row in rows:
            places = ", ".join("?" * len(row))
            database.execute(
                f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", [*row.values()]
            )
        database.execute("CREATE TABLE ledger (amount)")
        database.execute("INSERT INTO ledger VALUES (5)")
        database.execute("PRAGMA user_version = 1")
        database.execute(f"PRAGMA application_id = {opening.APPLICATION_ID}")
        database.commit()


@pytest.fixture
async def opened(path: Path) -> AsyncIterator[Opened]:
    stores = []

    async def opened() -> SqliteStore:
        store = SqliteStore(str(path), lock_seconds=5)
        await store.open(Notified())
        stores.append(store)
        return store

    yield opened
    for store in stores:
        await store.close()


async def test_what_schema_1_held_is_there(path: Path, opened: Opened) -> None:
    write_schema_1(path)
    store = await opened()
    answered = await the_reception(store, "M-1")
    assert (answered.state, answered.status) == (reception.State.ANSWERED, status(DONE))
    claimed = await the_reception(store, "M-2")
    assert (claimed.state, claimed.lease) == (reception.State.CLAIMED, NOW + LEASE)
    waiting = await the_delivery(store, "D-1")
    assert (waiting.state, waiting.due, waiting.copies) == (delivery.State.WAITING, DUE, 1)
    assert waiting.key == "invoice-1"
    assert await store.request_wire(waiting.id) == (b"<pay/>", b"<form/>")
    assert len(await store.attempts(waiting.id)) == 1
    assert await steps(store) == [Step.QUEUED]
    assert await store.keys() == []
    assert await store.suspensions() == []
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("PRAGMA user_version").fetchone() == (opening._migrations()[-1][0],)
        assert other.execute("SELECT amount FROM ledger").fetchall() == [(5,)]
        assert other.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_work_of_schema_1_goes_on(path: Path, opened: Opened) -> None:
    write_schema_1(path)
    store = await opened()
    arrival = await arrive(store, request("M-1"))
    assert isinstance(arrival, Resend)
    assert arrival.reply.plain == b"<reply/>"
    assert await arrive(store, request("M-2")) == InHand(2)
    (work,) = await store.take_over(PEER, NOW + LEASE, LEASE, 9)
    assert work.claim.reception == 2
    # What was queued is held, then sent; what waited is answered.
    await store.hold(await claim_one(store), after(10), NOW, "no key was exchanged")
    sent = await begin(store, after(10))
    assert (sent.delivery.message_id, sent.body) == ("D-2", b"<pay/>")
    assert await steps(store, "D-2") == [Step.HELD, Step.ATTEMPT_BEGUN]
    answered = await replied(store, DONE, after(20))
    assert answered is not None
    assert (answered.message_id, answered.state) == ("D-1", delivery.State.ANSWERED)
    assert await store.offer_key(offered_key(), "offer-1") == offered_key()
    assert await store.suspend(SuspensionKind.PARTY, PEER, NOW)
    assert (await arrive(store, request("M-3"), begin=True)).suspended
    async for _ in store.purge(MUCH_LATER, MUCH_LATER, MUCH_LATER):
        pass
    assert await store.receptions(message_id="M-1") == []


async def test_the_party_of_schema_1_stays(path: Path) -> None:
    write_schema_1(path)
    store = SqliteStore(str(path))
    with pytest.raises(StoreOfAnother, match=f"holds the messages of {OWN}, and .* is {PEER};"):
        await store.open(Notified(), PEER)
    await store.open(Notified(), OWN)
    await store.close()


async def test_ids_of_schema_1_are_kept_as_if_dated_as_far_ahead_as_may_be(
    path: Path, opened: Opened
) -> None:
    write_schema_1(path)
    store = await opened()
    day = timedelta(days=1)
    async for step in store.purge(MUCH_LATER, NOW + day, MUCH_LATER):
        assert step.ids == 0
    assert await store.receptions(message_id="M-1") != []
    async for _ in store.purge(MUCH_LATER, NOW + day + timedelta(microseconds=1), MUCH_LATER):
        pass
    assert await store.receptions(message_id="M-1") == []
    assert await arrive(store, request("M-1", timestamp=NOW + day)) == Forgotten()


async def test_a_table_of_theirs_in_the_way_leaves_schema_1_as_it_was(
    path: Path, opened: Opened
) -> None:
    write_schema_1(path)
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("CREATE TABLE suspension (theirs)")
    with pytest.raises(StoreError, match="suspension already exists"):
        await opened()
    with closing(sqlite3.connect(path)) as other, other:
        assert other.execute("PRAGMA user_version").fetchone() == (1,)
        names = {name for (name,) in other.execute("SELECT name FROM sqlite_master")}
        assert "working_key" not in names
        other.execute("DROP TABLE suspension")
    store = await opened()
    assert len(await store.deliveries()) == 2


OPENS = """
import asyncio, sys
from msh.store.sqlite import SqliteStore

async def main():
    print("ready", flush=True)
    sys.stdin.readline()
    store = SqliteStore(sys.argv[1])
    await store.open(lambda entries: None)
    assert len(await store.deliveries()) == 2
    await store.close()

asyncio.run(main())
"""


def migrate_at_once(path: Path, count: int) -> list[tuple[int, str]]:
    """Exit code and errors of so many processes that open the file at the same time."""
    children = [
        subprocess.Popen(
            [sys.executable, "-c", OPENS, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
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


async def test_three_processes_migrate_one_file_at_once(path: Path, opened: Opened) -> None:
    write_schema_1(path)
    assert migrate_at_once(path, 3) == [(0, "")] * 3
    assert len(await (await opened()).receptions()) == 2


def test_every_table_of_ours_is_guarded() -> None:
    connection = opening.connect(":memory:")
    opening.migrate(connection, ":memory:")
    names = {
        name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")
    }
    connection.close()
    assert names == _OURS


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE working_key SET state = 'active'",
        "INSERT INTO working_key SELECT * FROM working_key",
        "DELETE FROM suspension",
        "INSERT INTO Suspension VALUES ('party', 'PSP', 0)",
        "DROP TABLE suspension",
        "CREATE TEMP TABLE working_key (id INTEGER)",
        "UPDATE identity SET forgotten = NULL",
        "DELETE FROM repetition",
    ],
)
async def test_a_callers_apply_can_neither_suspend_nor_activate(
    store: SqliteStore, statement: str
) -> None:
    await store.offer_key(offered_key(), "offer-1")
    claim = await receive_new(store)
    await store.suspend(SuspensionKind.PARTY, PEER, NOW)
    bad = Answer(status(DONE), b"", apply=lambda connection: connection.execute(statement))
    with pytest.raises(ApplyFailed, match="its own tables only"):
        await store.answer(claim, bad, NOW)
    assert await store.keys() == [offered_key()]
    assert len(await store.suspensions()) == 1


@pytest.mark.parametrize("state", ["pending", "active"])
async def test_the_schema_itself_keeps_one_key_in_its_place(
    store: SqliteStore, writing: sqlite3.Connection, state: str
) -> None:
    await store.offer_key(offered_key("K-1"), "offer-1")
    await store.offer_key(offered_key("K-2"), "offer-2")
    with pytest.raises(sqlite3.IntegrityError):
        writing.execute("UPDATE working_key SET state = ?", (state,))
