"""The writer: many operations per commit, and no failure of one harms another."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from msh.errors import ClaimLost, KeyReused, StoreFull, StoreLocked, StoreReadOnly
from msh.protocol.journal import Entry
from msh.store import Answer, New
from msh.store.sqlite import SqliteStore
from msh.store.sqlite.writer import GROUP
from msh.testing.contracts.samples import (
    DONE,
    LEASE,
    MUCH_LATER,
    NOW,
    PEER,
    Notified,
    answer,
    arrive,
    draft,
    everything,
    failing,
    receive_new,
    request,
    status,
    steps,
    the_reception,
)


@contextmanager
def counted(connection: sqlite3.Connection) -> Iterator[list[str]]:
    """The statements that end a transaction, as they are run."""
    ends: list[str] = []
    connection.set_trace_callback(
        lambda sql: ends.append(sql) if sql in ("COMMIT", "ROLLBACK") else None
    )
    yield ends
    connection.set_trace_callback(None)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another program holds the database."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def test_one_commit_serves_many(store: SqliteStore, writing: sqlite3.Connection) -> None:
    with counted(writing) as ends:
        await asyncio.gather(*(store.enqueue(draft(f"D-{n}"), NOW) for n in range(100)))
    assert 1 <= len(ends) <= 10
    assert set(ends) == {"COMMIT"}


async def test_groups_are_bounded(store: SqliteStore, writing: sqlite3.Connection) -> None:
    with counted(writing) as ends:
        await asyncio.gather(*(store.enqueue(draft(f"D-{n}"), NOW) for n in range(3 * GROUP)))
    assert 3 <= len(ends) <= 10


async def test_failures_that_are_to_be_expected_cost_no_rollback(
    store: SqliteStore, writing: sqlite3.Connection
) -> None:
    claims = [await receive_new(store, f"M-{number}") for number in range(30)]
    bad = Answer(status(DONE), b"", apply=failing(ValueError()))
    good = Answer(status(DONE), b"", apply=lambda connection: None)
    with counted(writing) as ends:
        await asyncio.gather(
            *(store.answer(c, bad if n % 5 == 0 else good, NOW) for n, c in enumerate(claims)),
            return_exceptions=True,
        )
    assert set(ends) == {"COMMIT"}
    assert len(ends) <= 6
    assert len(await store.receptions(state="answered")) == 24


async def test_a_lost_claim_harms_no_other(store: SqliteStore, notified: Notified) -> None:
    lost = await receive_new(store, "M-lost")
    await store.take_over(PEER, NOW + LEASE, LEASE, 9)
    await store.enqueue(draft("D-0", key="k"), NOW)
    results = await asyncio.gather(
        *(arrive(store, request(f"M-{number}")) for number in range(15)),
        store.answer(lost, answer(), NOW),
        store.enqueue(draft("D-1", key="k", body=b"<other/>"), NOW),
        *(arrive(store, request(f"N-{number}")) for number in range(15)),
        return_exceptions=True,
    )
    assert [type(one) for one in results] == [New] * 15 + [ClaimLost, KeyReused] + [New] * 15
    assert len(await store.receptions()) == 31
    assert len(await steps(store)) == len(notified.entries) == 33


async def test_a_callers_nonsense_harms_no_other(store: SqliteStore) -> None:
    today: Any = "today"
    nonsense = store.take_over(PEER, today, LEASE, 9)
    results = await asyncio.gather(
        *(arrive(store, request(f"M-{number}")) for number in range(15)),
        nonsense,
        *(arrive(store, request(f"N-{number}")) for number in range(15)),
        return_exceptions=True,
    )
    assert [type(one) for one in results] == [New] * 15 + [TypeError] + [New] * 15


async def test_a_caller_that_gave_up_undoes_nothing(store: SqliteStore) -> None:
    asked = [asyncio.create_task(receive_new(store, f"M-{number}")) for number in range(20)]
    await asyncio.sleep(0)
    for task in asked[::2]:
        task.cancel()
    await asyncio.gather(*asked, return_exceptions=True)
    assert len(await store.receptions()) == 20


async def test_a_locked_database_says_so_and_loses_nothing(store: SqliteStore, path: Path) -> None:
    claim = await receive_new(store)
    before = await everything(store)
    with locked(path):
        began = time.monotonic()
        results = await asyncio.gather(
            *(store.enqueue(draft(f"D-{number}"), NOW) for number in range(20)),
            store.answer(claim, answer(), NOW),
            return_exceptions=True,
        )
        assert {type(one) for one in results} == {StoreLocked}
        assert time.monotonic() - began < 2  # they wait together, not one after the other
        assert "another process" in str(results[0])
        assert await everything_readable(store) == before[:2]
    await store.answer(claim, answer(), NOW)
    await store.enqueue(draft("D-0"), NOW)
    assert (await the_reception(store)).status == status(DONE)


async def everything_readable(store: SqliteStore) -> tuple[object, ...]:
    """Reading needs no lock (save for `reply_of`, which reads in the order of the writes)."""
    return await store.deliveries(), await store.receptions()


async def test_a_short_lock_is_waited_for(path: Path) -> None:
    store = SqliteStore(str(path), lock_seconds=10)
    await store.open(Notified())
    with locked(path):
        waiting = asyncio.create_task(store.enqueue(draft(), NOW))
        await asyncio.sleep(0.05)
        assert not waiting.done()
    _, created = await waiting
    assert created
    await store.close()


async def test_a_full_disk_says_so_and_loses_nothing(
    store: SqliteStore, writing: sqlite3.Connection, notified: Notified
) -> None:
    await receive_new(store)
    (pages,) = writing.execute("PRAGMA page_count").fetchone()
    writing.execute(f"PRAGMA max_page_count = {pages + 12}")
    body = b"<" + b"x" * 3000 + b"/>"
    results = await asyncio.gather(
        *(store.enqueue(draft(f"D-{number}", body=body), NOW) for number in range(40)),
        return_exceptions=True,
    )
    failed = [one for one in results if isinstance(one, BaseException)]
    assert failed
    assert {type(one) for one in failed} == {StoreFull}
    assert "Make room" in str(failed[0])
    kept = [one[0].message_id for one in results if not isinstance(one, BaseException)]
    stored = await store.deliveries()
    assert sorted(one.message_id for one in stored) == sorted(kept)
    assert [await store.request_wire(one.id) for one in stored] == [(body, None)] * len(kept)
    assert len(await steps(store)) == len(notified.entries) == 1 + len(kept)
    # What fits still works, and so does all of it once there is room.
    assert await store.take_over(PEER, NOW, LEASE, 9) == []
    writing.execute("PRAGMA max_page_count = 1000000")
    for number in range(40):
        await store.enqueue(draft(f"D-{number}", body=body), NOW)
    assert len(await store.deliveries()) == 40


async def test_a_disk_that_fills_up_in_apply_is_the_stores_failure(
    store: SqliteStore, writing: sqlite3.Connection
) -> None:
    def apply(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE ledger (text)")
        connection.execute("INSERT INTO ledger VALUES (zeroblob(1000000))")

    claim = await receive_new(store)
    before = await everything(store)
    (pages,) = writing.execute("PRAGMA page_count").fetchone()
    writing.execute(f"PRAGMA max_page_count = {pages + 12}")
    failed, *others = await asyncio.gather(
        store.answer(claim, Answer(status(DONE), b"", apply=apply), NOW),
        *(arrive(store, request("M-1")) for _ in range(5)),
        return_exceptions=True,
    )
    assert isinstance(failed, StoreFull)
    assert not [one for one in others if isinstance(one, BaseException)]
    assert await everything(store) == before
    writing.execute("PRAGMA max_page_count = 1000000")
    await store.answer(claim, Answer(status(DONE), b"", apply=apply), NOW)


async def test_a_database_that_may_not_be_written_says_so(
    store: SqliteStore, writing: sqlite3.Connection
) -> None:
    claim = await receive_new(store)
    before = await everything(store)
    writing.execute("PRAGMA query_only = ON")
    results = await asyncio.gather(
        store.enqueue(draft(), NOW), store.answer(claim, answer(), NOW), return_exceptions=True
    )
    assert [type(one) for one in results] == [StoreReadOnly] * 2
    assert "right to write" in str(results[0])
    writing.execute("PRAGMA query_only = OFF")
    assert await everything(store) == before
    await store.answer(claim, answer(), NOW)


async def test_the_observer_is_told_of_what_is_durable(path: Path) -> None:
    told: list[tuple[int, int]] = []

    def notify(entries: Sequence[Entry]) -> None:
        with closing(sqlite3.connect(path)) as other:
            (rows,) = other.execute("SELECT count(*) FROM journal").fetchone()
            told.append((len(entries), rows))

    store = SqliteStore(str(path))
    await store.open(notify)
    for _ in range(3):
        await asyncio.gather(*(store.enqueue(draft(f"D-{n}"), NOW) for n in range(20)))
        await asyncio.gather(*(receive_new(store, f"M-{len(told)}-{n}") for n in range(20)))
    await store.close()
    seen = 0
    for count, rows in told:
        seen += count
        assert rows >= seen
    assert seen == 20 + 60


async def test_an_observer_that_fails_harms_no_message(path: Path) -> None:
    def notify(entries: Sequence[Entry]) -> None:
        raise ValueError("the observer's own mistake")

    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    store = SqliteStore(str(path))
    await store.open(notify)
    await asyncio.gather(*(store.enqueue(draft(f"D-{number}"), NOW) for number in range(20)))
    assert len(await store.deliveries()) == 20
    assert reported
    await store.close()


async def test_only_other_connections_changes_are_watched(store: SqliteStore, path: Path) -> None:
    changes: list[float] = []
    store.watch(lambda: changes.append(time.monotonic()))
    for number in range(4):
        await store.enqueue(draft(f"D-{number}"), NOW)
        await store.deliveries()
        await asyncio.sleep(0.06)
    assert changes == []
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("CREATE TABLE ledger (amount)")
    await _until(lambda: len(changes) == 1)
    await store.enqueue(draft("D-9"), NOW)
    await asyncio.sleep(0.12)
    assert len(changes) == 1


async def test_others_changes_are_noticed_while_we_write(store: SqliteStore, path: Path) -> None:
    changes: list[float] = []
    store.watch(lambda: changes.append(time.monotonic()))
    busy = asyncio.create_task(_write_on(store))
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("CREATE TABLE ledger (amount)")
    await _until(lambda: len(changes) == 1)
    assert not busy.done()
    busy.cancel()


async def test_a_purge_goes_in_steps_between_which_others_write(store: SqliteStore) -> None:
    claims = await asyncio.gather(*(receive_new(store, f"M-{n}") for n in range(1100)))
    await asyncio.gather(*(store.answer(claim, answer(), NOW) for claim in claims))
    sizes = []
    async for step in store.purge(MUCH_LATER, NOW, MUCH_LATER):
        sizes.append(step.contents)
        await store.enqueue(draft(f"D-{len(sizes)}"), NOW)
    assert sizes == [500, 500, 100]


async def _write_on(store: SqliteStore) -> None:
    number = 0
    while True:
        number += 1
        await store.enqueue(draft(f"D-{number}"), NOW)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_close_that_was_cancelled_can_be_repeated(path: Path) -> None:
    store = SqliteStore(str(path), lock_seconds=10)
    await store.open(Notified())
    with locked(path):
        asked = asyncio.create_task(store.enqueue(draft(), NOW))
        closing_ = asyncio.create_task(store.close())
        await asyncio.sleep(0.05)
        closing_.cancel()
        await asyncio.gather(closing_, return_exceptions=True)
    await asyncio.wait_for(store.close(), 10)
    assert (await asked)[1]
