"""Faults inside: a store that fails at any call, cancellation anywhere, clocks that jump."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

import pytest

import msh
from msh.envelope import serialise
from msh.errors import StoreError
from msh.protocol.digest import message_digest
from msh.store import open_store
from msh.testing.network import Fault
from tests.handler.conftest import BODY
from tests.handler.test_handling import ledger
from tests.handler.test_repeats import PROFILE, Gate, request, status_of

SERVICES = ("PS810FTRQ", "PS811FTRRQ", "PS830INQRQ")


#: How often each side calls each method in `exchange`, at least.
CALLED = {
    "BIZ": {
        **dict.fromkeys(("enqueue", "record_failure", "receive", "answer"), 2),
        **dict.fromkeys(("begin", "record_reply", "deliveries"), 1),
        "claim": 3,
    },
    "PSP": {
        **dict.fromkeys(("receive", "answer", "begin", "record_reply"), 2),
        **dict.fromkeys(("release", "start"), 1),
        **dict.fromkeys(("take_over", "claim", "reply_of"), 3),
    },
}
CALLS = [
    (side, method, number)
    for side, methods in CALLED.items()
    for method, times in methods.items()
    for number in range(1, times + 1)
]


class FailingStore:
    """Fails once, at a call of one method: before it did anything, or after it did all of it."""

    class Fault(NamedTuple):
        method: str
        number: int
        after: bool

    def __init__(self, store) -> None:
        self._store = store
        self._calls = 0
        self.fault: FailingStore.Fault | None = None
        self.failed = False

    def __getattr__(self, name: str):
        found = getattr(self._store, name)
        if self.fault is None or name != self.fault.method:
            return found

        async def call(*arguments, **options):
            self._calls += 1
            fails = self._calls == self.fault.number
            self.failed = self.failed or fails
            if fails and not self.fault.after:
                raise StoreError("the disk is away")
            result = await found(*arguments, **options)
            if fails:
                raise StoreError("whether it was committed is unknown")
            return result

        return call


def idle(handler: msh.MessageServiceHandler) -> bool:
    """Whether every place, promise and claim was given back."""
    desks = handler.receiver._dispatcher._desks.values()
    courier = handler.sender._courier
    return not (
        any(d._running or d._coming or d._waiting or d.tasks or d.claims for d in desks)
        or any(courier._promised.values())
        or any(courier._under_way.values())
        or courier._queueing
        or handler.receiver._dispatcher._pending
    )


async def exchange(world, tmp_path, side: str, fault: FailingStore.Fault) -> FailingStore:
    """Two payments and their results, on a bad day; returns the store that failed."""
    stores = {
        "PSP": FailingStore(open_store(f"sqlite:///{tmp_path}/psp.db")),
        "BIZ": FailingStore(open_store("sqlite::memory:")),
    }
    world.network.faults = {1: Fault.REFUSE}
    results = []

    def pay(message: msh.Message) -> msh.Reply:
        if len(platform.calls) == 1:
            raise ValueError

        def apply(connection: sqlite3.Connection) -> None:
            connection.execute("CREATE TABLE IF NOT EXISTS ledger (message TEXT)")
            connection.execute("INSERT INTO ledger VALUES (?)", (message.message_id,))

        result = msh.Outgoing("PS811FTRRQ", "<R/>", "BIZ", ref_to=message.message_id)
        return msh.Reply("PSPPM0000I", apply=apply, then=(result,))

    quick = msh.Reliability(3, timedelta(seconds=5), 2, timedelta(seconds=5))  # over after 55 s
    platform = await world.platform(pay, store=stores["PSP"], outbound=quick)
    business = world.handler("BIZ", store=stores["BIZ"], outbound=quick)

    @business.on(*SERVICES)
    async def take(message: msh.Message) -> msh.Reply:
        results.append(message.ref_to)
        return msh.Reply("PSPPM0000I")

    await world.start(business)
    await world.clock.settle()
    stores[side].fault = fault

    async def send(key: str) -> msh.Receipt:
        while True:
            try:
                return await business.send("PS810FTRQ", BODY, key=key)
            except StoreError:  # as a caller is told to: the same again, with the same key
                await world.clock.sleep_until(world.clock.now() + timedelta(seconds=1))

    async def settled(key: str) -> msh.Delivery:
        receipt = await send(key)
        try:
            return await receipt.settled()
        except StoreError:
            return await (await send(key)).settled()

    for key in ("first", "second"):
        waiting = asyncio.create_task(settled(key))
        await world.clock.advance(60)
        assert waiting.done(), f"{key} is waited for for ever"
        assert waiting.result().state in ("answered", "resolved")
    paid = [message for (message,) in ledger(tmp_path / "psp.db")]
    assert len(paid) == len(set(paid)) == 2
    assert set(results) == set(paid)
    for store in stores.values():
        assert {str(d.state) for d in await store.deliveries()} <= {"answered", "resolved"}
        assert {str(r.state) for r in await store.receptions()} == {"answered"}
    assert idle(platform)
    assert idle(business)
    return stores[side]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("side", "method", "number"), CALLS)
async def test_whatever_call_of_the_store_fails_each_payment_takes_effect_once(
    world, tmp_path, caplog, side, method, number, after
):
    store = await exchange(world, tmp_path, side, FailingStore.Fault(method, number, after))
    assert store.failed
    assert "defect" not in caplog.text


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_whoever_waits_is_told_though_giving_up_failed(world, after):
    store = FailingStore(open_store("sqlite::memory:"))
    store.fault = FailingStore.Fault("give_up", 1, after)
    business = await world.business(store=store)
    receipt = await business.send("PS810FTRQ", BODY)
    waiting = asyncio.create_task(receipt.settled())
    await world.clock.advance(600)
    assert store.failed
    assert waiting.done()
    assert waiting.result().state == "not-sent"


# what a sender is told


async def test_after_a_resend_the_old_end_is_not_told(world):
    business = await world.business()
    receipt = await business.send("PS810FTRQ", BODY)
    await world.clock.advance(600)
    with pytest.raises(msh.Undelivered):
        await receipt.reply()
    platform = await world.platform()
    again = await business.sender.resend(receipt.message_id)
    assert str((await again.reply()).status) == "PSPPM0000I"
    assert str((await receipt.reply()).status) == "PSPPM0000I"
    assert len(platform.calls) == 1


async def test_the_first_reply_stands_whatever_comes_later(world):
    await world.platform()
    business = world.handler("BIZ")

    @business.on(*SERVICES)
    async def take(message: msh.Message) -> msh.Reply:
        return msh.Reply("PSPPM0000I")

    await world.start(business)
    receipt = await business.send("PS810FTRQ", BODY)
    first = await receipt.reply()
    other = replace(first, status=msh.StatusCode.parse("PSPPM0002W"), message_id="PSP-OTHER")
    await world.post(business, serialise(other, PROFILE))
    assert "answer-differs" in world.steps(receipt.message_id)
    assert (await receipt.reply()).status == first.status


async def test_an_answer_that_another_process_recorded_replaces_the_doubt(world, tmp_path):
    url = f"sqlite:///{tmp_path}/biz.db"
    codes = iter(["PSPPM9999S"])
    await world.platform(lambda _: msh.Reply(next(codes)))
    business = await world.business(store=open_store(url))
    receipt = await business.send("PS810FTRQ", BODY)
    with pytest.raises(msh.InDoubt):
        await receipt.reply()
    unknown = receipt._settlement.reply
    other = open_store(url)
    await other.open(lambda entries: None)
    done = replace(unknown, status=msh.StatusCode.parse("PSPPM0000I"), message_id="PSP-LATER")
    terms = business.agreements["PSP"]
    wire = serialise(done, PROFILE)
    await other.record_reply("BIZ", done, wire, terms.peer_codes, world.clock.now(), late=True)
    await other.close()
    assert str((await receipt.reply()).status) == "PSPPM0000I"


@pytest.mark.parametrize("backlog", [False, True])
async def test_a_message_leaves_though_whoever_sent_it_was_cancelled(world, backlog):
    platform = await world.platform()
    business = await world.business()
    await world.clock.settle()
    if backlog:
        business.sender._courier._backlog.add("PSP")
    sending = asyncio.create_task(business.send("PS810FTRQ", BODY, key="invoice-17"))
    await asyncio.sleep(0)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    await world.clock.advance(1)
    assert len(platform.calls) == 1
    receipt = await business.send("PS810FTRQ", BODY, key="invoice-17")
    assert not receipt.created
    assert str((await receipt.reply()).status) == "PSPPM0000I"
    assert idle(business)


async def test_a_resend_leaves_though_its_room_was_promised_for_nothing(world):
    """The only room is promised to a repeated `send` at the moment the resend falls due."""
    store = FailingStore(open_store("sqlite::memory:"))
    business = await world.business(store=store, limits=msh.Limits(sending=1))
    receipt = await business.send("PS810FTRQ", BODY, key="invoice-17")
    await world.clock.advance(89)
    platform = await world.platform()
    held = asyncio.Event()
    enqueue = store._store.enqueue

    async def slow(*arguments, **options):
        await held.wait()
        return await enqueue(*arguments, **options)

    store._store.enqueue = slow
    again = asyncio.create_task(business.send("PS810FTRQ", BODY, key="invoice-17"))
    await world.clock.advance(2)
    assert platform.calls == []
    held.set()
    await world.clock.settle()
    assert not (await again).created
    assert str((await receipt.reply()).status) == "PSPPM0000I"


# handlers and their places


@pytest.mark.parametrize("raised", [StopIteration, SystemExit, asyncio.CancelledError, StoreError])
@pytest.mark.parametrize("plain", [True, False])
async def test_whatever_a_handler_raises_is_its_failure_alone(world, plain, raised):
    if raised is StopIteration and not plain:
        raised = StopAsyncIteration
    platform = world.handler("PSP")

    def fails(message: msh.Message) -> msh.Reply:
        raise raised

    async def fails_too(message: msh.Message) -> msh.Reply:
        raise raised

    platform.on(*SERVICES)(fails if plain else fails_too)
    await world.start(platform)
    post = asyncio.create_task(world.post(platform, serialise(request(world), PROFILE)))
    await world.clock.advance(120)
    assert post.done()
    (reception,) = await platform.store.receptions()
    assert (reception.state, reception.runs) == ("set-aside", 3)
    assert idle(platform)


async def left_by_a_dead_process(world, url, *wires: bytes | None) -> None:
    store = open_store(url)
    await store.open(lambda entries: None)
    for number, wire in enumerate(wires, 1):
        message = request(world, message_id=f"BIZ-{number}")
        wire = wire or serialise(message, PROFILE)
        lease = timedelta(seconds=1)
        digest = message_digest(message)
        await store.receive(message, digest, wire, world.clock.now(), lease, begin=True)
    await store.close()


async def test_what_cannot_be_read_any_more_holds_nothing_else_up(world, tmp_path, caplog):
    url = f"sqlite:///{tmp_path}/psp.db"
    await left_by_a_dead_process(world, url, b"<secret", None)
    platform = await world.platform(store=open_store(url), limits=msh.Limits(running=1))
    await world.clock.advance(60)
    assert [message.message_id for message in platform.calls] == ["BIZ-2"]
    assert "cannot be read" in caplog.text
    assert "secret" not in caplog.text


async def test_what_was_admitted_once_is_not_refused_later(world, tmp_path):
    """It may have taken effect in the process that died: the outcome is unknown."""
    url = f"sqlite:///{tmp_path}/psp.db"
    await left_by_a_dead_process(world, url, None)
    platform = world.handler("PSP", store=open_store(url), accepts=frozenset({"PS811FTRRQ"}))

    @platform.on("PS811FTRRQ")
    async def take(message: msh.Message) -> msh.Reply:
        return msh.Reply("PSPPM0000I")

    await world.start(platform)
    await world.clock.advance(10)
    answer = await world.post(platform, serialise(request(world), PROFILE))
    assert status_of(answer) == "PSPPM9999S"


async def test_a_clock_that_jumps_ahead_does_not_run_a_handler_twice(world):
    gate = Gate()
    platform = await world.platform(gate)
    wire = serialise(request(world), PROFILE)
    post = asyncio.create_task(world.post(platform, wire))
    await world.clock.settle()
    # The take-over is first to see it, and the lease has lapsed.
    world.clock._now += timedelta(seconds=45)
    await world.clock.advance(5)
    gate.open.set()
    await world.clock.advance(60)
    assert status_of(await world.post(platform, wire)) == "PSPPM0000I"
    assert len(platform.calls) == 1
    assert post.done()
    assert idle(platform)


async def test_who_lost_the_work_cannot_answer_it(world, tmp_path):
    url = f"sqlite:///{tmp_path}/psp.db"
    gate = Gate()

    def pay(name: str) -> msh.Reply:
        def apply(connection: sqlite3.Connection) -> None:
            connection.execute("CREATE TABLE IF NOT EXISTS ledger (message TEXT)")
            connection.execute("INSERT INTO ledger VALUES (?)", (name,))

        return msh.Reply("PSPPM0000I", apply=apply)

    async def slow(message: msh.Message) -> msh.Reply:
        await gate.open.wait()
        return pay("first")

    first = await world.platform(slow, store=open_store(url))
    post = asyncio.create_task(world.post(first, serialise(request(world), PROFILE)))
    await world.clock.settle()
    for loop in first.receiver._dispatcher._loops:  # as if the process stood still
        loop.cancel()
    await world.clock.advance(31)
    await world.platform(lambda _: pay("second"), store=open_store(url), url="memory://second/sms")
    await world.clock.advance(10)
    gate.open.set()
    await world.clock.settle()
    assert ledger(tmp_path / "psp.db") == [("second",)]
    assert post.done()
    assert idle(first)
