"""How handlers run: failures, limits, and writes that commit with the reply."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from datetime import timedelta

import pytest

import msh
from msh.envelope import serialise
from msh.store import open_store
from tests.handler.conftest import BODY
from tests.handler.test_repeats import PROFILE, Gate, request, status_of


async def test_a_plain_handler_runs_in_a_thread_of_its_own(world):
    threads = []

    def plain(message: msh.Message) -> msh.Reply:
        threads.append(threading.current_thread().name)
        return msh.Reply("PSPPM0000I")

    platform = world.handler("PSP")
    platform.on("PS810FTRQ", "PS811FTRRQ", "PS830INQRQ")(plain)
    await world.start(platform)
    assert status_of(await world.post(platform, serialise(request(world), PROFILE))) == "PSPPM0000I"
    assert threads[0].startswith("msh-handler-BIZ")


async def test_a_handler_refuses_with_a_code_and_a_reason(world):
    def refuse(message: msh.Message) -> msh.Reply:
        raise msh.Refuse("PSPBK0005E", "by 100")

    platform = await world.platform(refuse)
    answer = await world.post(platform, serialise(request(world), PROFILE))
    assert status_of(answer) == "PSPBK0005E"
    assert "存款戶餘額不足: by 100".encode() in answer.wire
    assert world.steps("BIZ-1") == ["received", "refused"]


async def test_a_failure_is_not_an_answer_and_the_handler_runs_again(world):
    runs = []

    def fails_twice(message: msh.Message) -> msh.Reply:
        runs.append(world.clock.monotonic())
        if len(runs) < 3:
            raise ValueError("account 1234567890")
        return msh.Reply("PSPPM0000I")

    platform = await world.platform(fails_twice)
    answer = asyncio.create_task(world.post(platform, serialise(request(world), PROFILE)))
    await world.clock.advance(15)
    assert status_of(await answer) == "PSPPM0000I"
    assert len(runs) == 3
    assert runs[1] - runs[0] >= 5
    assert world.steps("BIZ-1") == [
        "received",
        "handler-failed",
        "run-begun",
        "handler-failed",
        "run-begun",
        "replied",
    ]


@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_a_handler_is_told_the_run_number_if_it_asks(world, kind):
    runs = []

    def plain(message: msh.Message, run: int) -> msh.Reply:
        runs.append(run)
        if run == 1:
            raise ValueError
        return msh.Reply("PSPPM0000I")

    async def coroutine(message: msh.Message, *, run: int) -> msh.Reply:
        return plain(message, run)

    platform = world.handler("PSP")
    platform.on("PS810FTRQ", "PS811FTRRQ", "PS830INQRQ")(plain if kind == "plain" else coroutine)
    await world.start(platform)
    answer = asyncio.create_task(world.post(platform, serialise(request(world), PROFILE)))
    while not runs:  # a thread is nothing that the virtual clock waits for
        await asyncio.sleep(0.001)
    await world.clock.advance(10)
    assert status_of(await answer) == "PSPPM0000I"
    assert runs == [1, 2]


async def test_nothing_a_handler_raised_reaches_log_journal_or_reply(world, caplog):
    def fails(message: msh.Message) -> msh.Reply:
        raise ValueError("account 1234567890")

    platform = await world.platform(fails)
    wire = serialise(request(world), PROFILE)
    task = asyncio.create_task(world.post(platform, wire))
    await world.clock.advance(30)
    answer = await task
    assert b"1234567890" not in answer.wire
    assert "1234567890" not in caplog.text
    assert "ValueError at test_handling.py" in caplog.text
    assert "1234567890" not in str([entry.details for entry in world.entries])


async def test_after_three_runs_the_system_error_is_the_reply_and_it_is_set_aside(world):
    def fails(message: msh.Message) -> msh.Reply:
        raise ValueError

    platform = await world.platform(fails)
    wire = serialise(request(world), PROFILE)
    first = asyncio.create_task(world.post(platform, wire))
    await world.clock.advance(60)
    assert status_of(await first) == "PSPPM9999S"
    assert len(platform.calls) == 3
    (reception,) = await platform.store.receptions(message_id="BIZ-1")
    assert (reception.state, reception.runs) == ("set-aside", 3)
    await world.clock.advance(3600)
    assert len(platform.calls) == 3
    assert status_of(await world.post(platform, wire)) == "PSPPM9999S"


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: None,
        lambda _: "PSPPM0000I",
        lambda _: msh.Reply("nonsense"),
        lambda _: msh.Reply("PSPPM0000I", body="<broken"),
        lambda _: msh.Reply("PSPPM0000I", body=f"<a>{'x' * 1_048_576}</a>"),
        lambda _: msh.Reply("PSPPM0000I", then=(msh.Outgoing("PS999", b"", "BIZ"),)),
    ],
)
async def test_a_reply_that_cannot_be_is_a_failure(world, answer):
    platform = await world.platform(answer, handling=msh.Handling(runs=1))
    assert status_of(await world.post(platform, serialise(request(world), PROFILE))) == "PSPPM9999S"


async def test_a_bank_may_not_answer_with_the_platforms_codes(world):
    bank = await world.platform(
        lambda _: msh.Reply("PSPPM0000I"), own="BANK", handling=msh.Handling(runs=1)
    )
    wire = serialise(request(world, receiver="BANK"), PROFILE)
    assert status_of(await world.post(bank, wire)) == "PSPBK9999S"


async def test_no_run_begins_past_the_time_to_live(world):
    def fails(message: msh.Message) -> msh.Reply:
        raise ValueError

    handling = msh.Handling(runs=3, retry_after=timedelta(seconds=400))
    platform = await world.platform(fails, handling=handling)
    message = request(world, expires=world.clock.now() + timedelta(seconds=30))
    first = asyncio.create_task(world.post(platform, serialise(message, PROFILE)))
    await world.clock.advance(500)
    assert type(first.result()).__name__ == "NotNow"
    assert len(platform.calls) == 1
    assert status_of(await world.post(platform, serialise(message, PROFILE))) == "PSPPM9999S"


# limits


async def test_one_party_at_its_limit_waits_and_past_that_comes_back(world):
    gate = Gate()
    platform = await world.platform(gate, limits=msh.Limits(running=2, waiting=3))
    posts = [
        asyncio.create_task(
            world.post(platform, serialise(request(world, message_id=f"BIZ-{n}"), PROFILE))
        )
        for n in range(7)
    ]
    await world.clock.settle()
    assert len(platform.calls) == 2
    kinds = [type(post.result()).__name__ for post in posts if post.done()]
    assert kinds == ["NotNow", "NotNow"]
    assert len(await platform.store.receptions()) == 5  # what came back left no row
    gate.open.set()
    await world.clock.settle()
    assert (
        sum(
            post.done() and status_of(post.result()) == "PSPPM0000I"
            for post in posts
            if type(post.result()).__name__ == "Reply"
        )
        == 5
    )
    assert len(platform.calls) == 5


async def test_a_repeat_of_an_answered_message_needs_no_place(world):
    gate = Gate()
    gate.open.set()
    platform = await world.platform(gate, limits=msh.Limits(running=1, waiting=0))
    wire = serialise(request(world), PROFILE)
    first = await world.post(platform, wire)
    gate.open.clear()
    other = asyncio.create_task(
        world.post(platform, serialise(request(world, message_id="BIZ-2"), PROFILE))
    )
    await world.clock.settle()
    assert (await world.post(platform, wire)).wire == first.wire
    gate.open.set()
    assert status_of(await other) == "PSPPM0000I"


async def test_outbound_no_more_than_agreed_is_under_way_at_once(world):
    gate = Gate()
    await world.platform(gate)
    business = await world.business(limits=msh.Limits(sending=3))
    for _ in range(10):
        await business.send("PS810FTRQ", BODY)
    await world.clock.settle()
    assert len(world.network.sent) == 3
    gate.open.set()
    await world.clock.settle()
    assert len(world.network.sent) == 10


# writes that commit with the reply


def ledger(path) -> list[tuple]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT * FROM ledger").fetchall()
    finally:
        connection.close()


async def test_apply_and_the_reply_are_one(world, tmp_path):
    path = tmp_path / "psp.db"

    def answer(message: msh.Message) -> msh.Reply:
        def apply(connection: sqlite3.Connection) -> None:
            connection.execute("CREATE TABLE IF NOT EXISTS ledger (message TEXT)")
            connection.execute("INSERT INTO ledger VALUES (?)", (message.message_id,))
            if len(platform.calls) == 1:
                raise OSError("the first time fails")

        return msh.Reply("PSPPM0000I", apply=apply)

    platform = await world.platform(answer, store=open_store(f"sqlite:///{path}"))
    post = asyncio.create_task(world.post(platform, serialise(request(world), PROFILE)))
    await world.clock.advance(10)
    assert status_of(await post) == "PSPPM0000I"
    assert ledger(path) == [("BIZ-1",)]
    assert len(platform.calls) == 2


async def test_follow_up_messages_are_queued_with_the_reply(world):
    business = world.handler("BIZ")
    results = []

    @business.on("PS811FTRRQ", "PS810FTRQ", "PS830INQRQ")
    async def result(message: msh.Message) -> msh.Reply:
        results.append(message)
        return msh.Reply("PSPPM0000I")

    await world.start(business)

    def answer(message: msh.Message) -> msh.Reply:
        outcome = msh.Outgoing("PS811FTRRQ", "<Result/>", "BIZ", key=message.message_id)
        return msh.Reply("PSPPM0000I", then=(outcome,))

    await world.platform(answer)
    await business.send("PS810FTRQ", BODY)
    await world.clock.advance(1)
    assert [message.service for message in results] == ["PS811FTRRQ"]


async def test_a_missing_handler_is_reported_before_anything_runs(world):
    platform = world.handler("PSP")

    @platform.on("PS810FTRQ")
    async def handle(message: msh.Message) -> msh.Reply:
        return msh.Reply("PSPPM0000I")

    with pytest.raises(msh.ConfigurationError) as told:
        await platform.start()
    assert [problem.split(":")[0] for problem in told.value.problems] == [
        "PS811FTRRQ",
        "PS830INQRQ",
    ]
    with pytest.raises(msh.UsageError, match="no agreement accepts"):
        platform.on("IS910SMDRQ")


async def test_an_observer_that_fails_harms_no_message(world, caplog):
    platform = await world.platform()
    platform.observe(lambda entry: 1 / 0)
    assert status_of(await world.post(platform, serialise(request(world), PROFILE))) == "PSPPM0000I"
    assert "ZeroDivisionError" in caplog.text


async def test_while_the_store_is_locked_a_message_is_told_to_come_back(world, tmp_path):
    from msh.store.sqlite import SqliteStore

    path = tmp_path / "psp.db"
    platform = await world.platform(store=SqliteStore(str(path), lock_seconds=0.05))
    wire = serialise(request(world), PROFILE)
    other = sqlite3.connect(path, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        assert type(await world.post(platform, wire)).__name__ == "NotNow"
        other.execute("ROLLBACK")
        assert status_of(await world.post(platform, wire)) == "PSPPM0000I"
    finally:
        other.close()
    assert len(platform.calls) == 1


@pytest.mark.parametrize(
    "changes", [{"message_id": "a bad id"}, {"ref_to": "a b"}, {"key": ""}, {"key": "k" * 201}]
)
async def test_an_impossible_id_is_refused_before_anything_is_stored(world, changes):
    business = await world.business()
    with pytest.raises(msh.UsageError):
        await business.send("PS810FTRQ", BODY, **changes)
    assert await business.store.deliveries() == []
