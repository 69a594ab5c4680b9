"""A request that is too large, sent as several and followed as one."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

import msh
from msh.envelope import parse
from msh.errors import (
    CannotSplit,
    InDoubt,
    InvalidBody,
    KeyReused,
    MessageTooLarge,
    NotOpen,
    UnknownMessage,
    UsageError,
)
from msh.hours import Hours
from msh.profiles import standard_profile
from msh.store import open_store
from tests.handler.conftest import World, world
from tests.splitting.payments import collected, group, many, read, transfer

__all__ = ["world"]

LIMIT = 6000


async def sender(world: World, **changes: object) -> msh.MessageServiceHandler:
    """A business system that may send little at once."""
    services = frozenset({"PS810FTRQ", "IS930PIDRQ", "PS830INQRQ"})
    usual = {"max_bytes": LIMIT, "checks_content": True, "sends": services}
    return await world.business(**{**usual, **changes})


def refuse_the_second(message: msh.Message) -> msh.Reply:
    return msh.Reply("PSPPM0001S" if message.message_id.endswith("-00002") else "PSPPM0000I")


async def test_all_parts_are_answered_and_hold_all_payments(world: World) -> None:
    platform = await world.platform(checks_content=True)
    business = await sender(world)
    batch = await business.send_split("PS810FTRQ", many(40), key="run-7")
    assert batch.created
    assert (batch.key, batch.service, batch.receiver) == ("run-7", "PS810FTRQ", "PSP")
    assert len(batch.receipts) == batch.count > 2
    replies = await batch.replies(timeout=60)
    assert [str(reply.status) for reply in replies] == ["PSPPM0000I"] * batch.count
    got = {call.message_id: call for call in platform.calls}
    groups = [
        body.texts(one)["PMTID"]
        for receipt in batch.receipts
        for body in [read(got[receipt.message_id].body)]
        for one in body.all("PmtSvc")
    ]
    assert groups == [str(number) for number in range(1, 41)]
    progress = await batch.progress()
    assert progress.done
    assert progress.ended
    assert progress.counts == {msh.Fate.DONE: batch.count}
    for part in progress.parts:
        body = read(got[part.message_id].body)
        assert part.references == msh.References(body.text("SSNID"), body.text("SVCREFID"))
        assert len(list(body.all("PmtSvc"))) == part.last - part.first + 1


async def test_every_message_is_within_the_limit_and_well_filled(world: World) -> None:
    business = await sender(world)
    batch = await business.send_split("PS810FTRQ", many(40))
    wires = [await business.store.request_wire((await one.delivery()).id) for one in batch.receipts]
    profiles = {standard_profile().namespace: standard_profile()}
    sizes = []
    for body, wire in wires:
        body = body or parse(wire, profiles).message.body
        sizes.append(len(await business.compose("PS810FTRQ", body, message_id="x" * 34)))
    assert max(sizes) <= LIMIT
    assert min(sizes[:-1]) > LIMIT - 800  # a group has 500 bytes, and totals differ


async def test_one_refused_part_hides_nothing(world: World) -> None:
    await world.platform(refuse_the_second)
    business = await sender(world)
    batch = await business.send_split("PS810FTRQ", many(30), key="k")
    replies = await batch.replies(timeout=60)
    told = [str(reply.status) for reply in replies]
    assert told == ["PSPPM0000I", "PSPPM0001S", *["PSPPM0000I"] * (batch.count - 2)]
    progress = await batch.settled()
    assert not progress.done
    assert progress.ended
    assert progress.counts == {msh.Fate.DONE: batch.count - 1, msh.Fate.REFUSED: 1}
    (refused,) = [part for part in progress.parts if part.fate is msh.Fate.REFUSED]
    assert (refused.number, str(refused.status)) == (2, "PSPPM0001S")


async def test_a_part_in_doubt_has_its_error_in_its_place(world: World) -> None:
    await world.platform(
        lambda message: msh.Reply(
            "PSPPM9999S" if message.message_id.endswith("-00001") else "PSPPM0000I"
        )
    )
    business = await sender(world)
    batch = await business.send_split("PS810FTRQ", many(20))
    first, *others = await batch.replies(timeout=60)
    assert isinstance(first, InDoubt)
    assert all(isinstance(reply, msh.Message) for reply in others)
    assert (await batch.progress()).parts[0].fate is msh.Fate.IN_DOUBT


async def test_the_same_call_gives_the_same_batch_whatever_is_agreed_now(
    world: World, tmp_path: Path
) -> None:
    business = await sender(world, store=open_store(f"sqlite:///{tmp_path}/biz.db"))
    batch = await business.send_split("PS810FTRQ", many(30), key="k")
    again = await business.send_split("PS810FTRQ", many(30), key="k")
    assert not again.created
    assert [one.message_id for one in again.receipts] == [one.message_id for one in batch.receipts]
    await business.stop()
    reopened = open_store(f"sqlite:///{tmp_path}/biz.db")
    other = await sender(world, store=reopened, max_bytes=LIMIT * 2)
    found = await other.send_split("PS810FTRQ", many(30), key="k")
    assert [one.message_id for one in found.receipts] == [one.message_id for one in batch.receipts]
    assert len(await other.store.deliveries()) == batch.count


async def test_two_stores_derive_the_same_ids(world: World) -> None:
    names = []
    for _ in range(2):
        business = await sender(world)
        batch = await business.send_split("PS810FTRQ", many(20), key="k")
        names.append([receipt.message_id for receipt in batch.receipts])
        other = await business.send_split("PS810FTRQ", many(20), key="another")
        assert {one.message_id for one in other.receipts}.isdisjoint(names[-1])
    assert names[0] == names[1]


@pytest.mark.parametrize("count", [2, 31])
async def test_other_content_under_the_key_is_an_error(world: World, count: int) -> None:
    business = await sender(world)
    batch = await business.send_split("PS810FTRQ", many(30), key="k")
    with pytest.raises(KeyReused):
        await business.send_split("PS810FTRQ", many(count), key="k")
    with pytest.raises(KeyReused):
        await business.send("PS810FTRQ", many(2), key="k")
    assert len(await business.store.deliveries()) == batch.count


async def test_a_key_of_a_single_message_is_none_of_a_batch_of_more(world: World) -> None:
    business = await sender(world)
    await business.send("PS810FTRQ", many(2), key="k")
    with pytest.raises(KeyReused):
        await business.send_split("PS810FTRQ", many(30), key="k")
    assert len(await business.store.deliveries()) == 1


async def test_what_fits_is_a_batch_of_one_and_the_message_that_send_makes(world: World) -> None:
    business = await sender(world)
    receipt = await business.send("PS810FTRQ", many(3), key="k")
    batch = await business.send_split("PS810FTRQ", many(3), key="k")
    assert [one.message_id for one in batch.receipts] == [receipt.message_id]
    other = await business.send_split("PS810FTRQ", many(4), key="l")
    again = await business.send("PS810FTRQ", many(4), key="l")
    assert [one.message_id for one in other.receipts] == [again.message_id]
    assert len(await business.store.deliveries()) == 2


async def test_without_a_key_one_is_made(world: World) -> None:
    business = await sender(world)
    batch = await business.send_split("IS930PIDRQ", collected(60).replace("11-23", "11-20"))
    assert batch.count > 1
    found = await business.batch(batch.key)
    assert [one.message_id for one in found.receipts] == [one.message_id for one in batch.receipts]


async def test_it_is_followed_after_a_restart(world: World, tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/biz.db")
    business = await sender(world, store=store)
    count = (await business.send_split("PS810FTRQ", many(30), key="k")).count
    await business.stop()
    await world.platform()
    business = await sender(world, store=open_store(f"sqlite:///{tmp_path}/biz.db"))
    batch = await business.batch("k")
    assert batch.count == count
    assert not batch.created
    waiting = asyncio.create_task(batch.replies())
    while not waiting.done():
        await world.clock.advance(timedelta(minutes=1))
    assert len(await waiting) == count
    assert (await batch.progress()).done


async def test_no_such_batch(world: World) -> None:
    business = await sender(world)
    await business.send("PS810FTRQ", many(2), key="alone")
    for key in ("alone", "none"):
        with pytest.raises(UnknownMessage, match="no batch of that key"):
            await business.batch(key)


async def test_send_says_how_to_split(world: World) -> None:
    business = await sender(world)
    with pytest.raises(MessageTooLarge, match=r"send_split.*msh send --split"):
        await business.send("PS810FTRQ", many(30))
    with pytest.raises(MessageTooLarge, match="holds nothing by which it could be split"):
        await business.send("PS830INQRQ", f"<PS830INQRQ>{'x' * LIMIT}</PS830INQRQ>")
    assert await business.store.deliveries() == []


async def test_send_says_so_of_more_elements_than_a_message_may_have(world: World) -> None:
    business = await sender(world, max_bytes=1_048_576)
    with pytest.raises(MessageTooLarge, match="over the limit of 1,048,576"):
        await business.send("PS810FTRQ", many(4000))


async def test_a_group_that_is_too_large_is_told_and_nothing_queued(world: World) -> None:
    business = await sender(world, checks_content=False)
    large = group(2, remark="x" * LIMIT)
    with pytest.raises(CannotSplit, match="PmtSvc number 2 alone"):
        await business.send_split("PS810FTRQ", transfer([group(1), large, group(3)]), key="k")
    assert await business.store.deliveries() == []
    with pytest.raises(UnknownMessage):
        await business.batch("k")


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("<PMTID>7<", "<PMTID>6<"), ("<Amt>7.50<", "<Amt>7.51<"), ("<Ccy>USD<", "<Ccy>usd<")],
)
async def test_what_is_wrong_with_the_whole_is_not_hidden(
    world: World, wrong: str, right: str
) -> None:
    business = await sender(world)
    with pytest.raises(InvalidBody):
        await business.send_split("PS810FTRQ", many(30).replace(wrong, right, 1))
    assert await business.store.deliveries() == []


async def test_outside_hours_it_is_refused_or_waits(world: World) -> None:
    hours = Hours(standard_profile().catalog.hours)
    business = await sender(world, hours=hours)
    await world.clock.advance(timedelta(hours=16))  # the night before Saturday
    body = many(20)
    with pytest.raises(NotOpen):
        await business.send_split("PS810FTRQ", body, key="k")
    assert await business.store.deliveries() == []
    batch = await business.send_split("PS810FTRQ", body, key="k", when_open=True)
    dues = {(await receipt.delivery()).due for receipt in batch.receipts}
    assert len(dues) == 1
    assert dues.pop() > world.clock.now()


@pytest.mark.parametrize("key", ["", "k" * 191, 7])
async def test_a_key_must_be_one(world: World, key: object) -> None:
    business = await sender(world)
    with pytest.raises(UsageError, match="a batch's key"):
        await business.send_split("PS810FTRQ", many(2), key=key)


async def test_split_alone_stores_nothing_and_needs_nothing_to_run(world: World) -> None:
    handler = world.handler(
        "BIZ", listens=False, max_bytes=LIMIT, checks_content=True, sends=frozenset({"PS810FTRQ"})
    )
    parts = await handler.split("PS810FTRQ", many(30))
    await world.start(handler)
    batch = await handler.send_split("PS810FTRQ", many(30))
    progress = await batch.progress()
    assert [(part.first, part.last, part.references) for part in progress.parts] == [
        (part.first, part.last, part.references) for part in parts
    ]


async def test_waiting_ends_after_the_timeout(world: World) -> None:
    business = await sender(world)
    batch = await business.send_split("PS810FTRQ", many(20))
    waiting = asyncio.create_task(batch.replies(timeout=5))
    await world.clock.advance(timedelta(seconds=6))
    with pytest.raises(TimeoutError, match="not every part has ended within 5 s"):
        await waiting
    assert (await batch.progress()).counts == {msh.Fate.OPEN: batch.count}


def test_the_blocking_face_is_the_same(tmp_path: Path) -> None:
    from msh import blocking
    from tests.handler.conftest import agreement

    terms = agreement(
        "BIZ",
        msh.Role.BUSINESS,
        "PSP",
        msh.Role.PSP,
        endpoint="http://127.0.0.1:9/sms",
        max_bytes=LIMIT,
    )
    agreements = msh.Agreements.of("BIZ", [terms])
    store = f"sqlite:///{tmp_path}/biz.db"
    with blocking.MessageServiceHandler(agreements, store) as handler:
        parts = handler.split("PS810FTRQ", many(30))
        batch = handler.send_split("PS810FTRQ", many(30), key="k")
        assert len(parts) == batch.count == len(batch.receipts) == len(batch.progress().parts)
        with pytest.raises(TimeoutError):
            batch.replies(timeout=0.01)
    with blocking.MessageServiceHandler(agreements, store) as handler:
        again = handler.batch("k")
        assert [one.message_id for one in again.receipts] == [
            one.message_id for one in batch.receipts
        ]
