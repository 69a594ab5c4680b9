"""Hours on the way of a message: first attempts wait for them, resends and results do not."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

import msh
from msh.businessdays import BusinessDays
from msh.catalog import load
from msh.hours import Hours
from msh.protection import Mac
from msh.testing.network import Fault
from msh.transport.base import Reply
from tests.hours.conftest import HOURS, taipei

BONDS = "<Pay xmlns='urn:test'><BusType>010</BusType></Pay>"  # 09:00 to 16:00
FRIDAY_LATE = taipei("2026-11-20 16:00")
MONDAY = taipei("2026-11-23 09:00")


async def test_in_hours_a_message_leaves_at_once(world):
    await world.platform(hours=HOURS)
    business = await world.business(hours=HOURS)
    receipt = await business.send("PS810FTRQ", BONDS)
    assert str((await receipt.reply()).status) == "PSPPM0000I"


async def test_outside_hours_it_is_refused_and_nothing_is_stored(world):
    business = await world.business(hours=HOURS)
    await world.clock.advance_to(FRIDAY_LATE)
    with pytest.raises(msh.NotOpen, match="opens at 2026-11-23 01:00 UTC") as caught:
        await business.send("PS810FTRQ", BONDS, key="k")
    assert caught.value.opens == MONDAY
    assert await business.store.deliveries() == []
    assert await business.store.last_entry() == 0


async def test_it_waits_for_the_opening_when_asked_to(world):
    """Over a weekend, and with the time to live of the day on which it leaves."""
    business = await world.business(hours=HOURS)
    await world.clock.advance_to(FRIDAY_LATE)
    receipt = await business.send("PS810FTRQ", BONDS, key="k", when_open=True)
    assert (await receipt.delivery()).due == MONDAY
    again = await business.send("PS810FTRQ", BONDS, key="k")  # a caller may ask again
    assert (again.message_id, again.created) == (receipt.message_id, False)
    await world.clock.advance_to(MONDAY - timedelta(seconds=1))
    assert (await receipt.delivery()).attempts == 0
    platform = await world.platform(hours=HOURS)
    await world.clock.advance_to(MONDAY)
    assert str((await receipt.reply()).status) == "PSPPM0000I"
    assert platform.calls[0].timestamp == MONDAY


async def test_a_restart_changes_nothing(world, tmp_path):
    file = f"sqlite:///{tmp_path / 'biz.db'}"
    await world.clock.advance_to(FRIDAY_LATE)
    first = world.handler("BIZ", listens=False, hours=HOURS, store=msh.store.open_store(file))
    async with first:
        receipt = await first.send("PS810FTRQ", BONDS, when_open=True)
    await world.clock.advance_to(MONDAY - timedelta(minutes=1))
    platform = await world.platform(hours=HOURS)
    second = world.handler("BIZ", listens=False, hours=HOURS, store=msh.store.open_store(file))
    await world.start(second)
    await world.clock.advance(1)
    assert platform.calls == []
    await world.clock.advance_to(MONDAY)
    assert [call.message_id for call in platform.calls] == [receipt.message_id]


async def test_what_was_queued_in_time_and_could_not_leave_waits_for_the_next_opening(
    world, tmp_path
):
    file = f"sqlite:///{tmp_path / 'biz.db'}"
    first = world.handler("BIZ", listens=False, hours=HOURS, store=msh.store.open_store(file))
    await first.start(deliver=False)
    receipt = await first.send("PS810FTRQ", BONDS)
    await first.stop()
    await world.clock.advance_to(FRIDAY_LATE)
    second = await world.start(
        world.handler("BIZ", listens=False, hours=HOURS, store=msh.store.open_store(file))
    )
    await world.clock.advance(3600)
    assert (await second.store.deliveries())[0].attempts == 0
    journal = await second.store.journal(message_id=receipt.message_id)
    held = [entry for entry in journal if entry.step == "held"]
    assert [entry.details["reason"] for entry in held] == ["outside service hours"]
    await world.clock.advance_to(MONDAY - timedelta(seconds=1))
    platform = await world.platform(hours=HOURS)
    await world.clock.advance_to(MONDAY)
    assert [call.message_id for call in platform.calls] == [receipt.message_id]


async def test_resends_go_out_after_hours(world):
    """Sent at 15:59, lost: the second attempt is at 16:00:30 as the schedule says."""
    platform = await world.platform()
    business = await world.business(hours=HOURS)
    await world.clock.advance_to(FRIDAY_LATE - timedelta(minutes=1))
    world.network.faults = {1: Fault.LOSE_REQUEST}
    receipt = await business.send("PS810FTRQ", BONDS)
    await world.clock.advance(90)
    assert len(platform.calls) == 1
    assert str((await receipt.reply()).status) == "PSPPM0000I"


async def test_results_are_sent_and_taken_at_any_hour(world):
    await world.clock.advance_to(taipei("2026-11-21 03:00"))
    await world.platform(hours=HOURS)
    business = await world.business(hours=HOURS)
    receipt = await business.send("PS811FTRRQ", BONDS)
    assert str((await receipt.reply()).status) == "PSPPM0000I"


@pytest.mark.parametrize(("own", "code"), [("PSP", "PSPPM0002W"), ("BANK", "PSPBK0114E")])
async def test_outside_hours_a_receiver_refuses_with_the_code_of_its_role(world, own, code):
    platform = await world.platform(own=own, hours=HOURS)
    business = await world.business(peer=own)
    await world.clock.advance_to(FRIDAY_LATE)
    receipt = await business.send("PS810FTRQ", BONDS)
    reply = await receipt.reply()
    assert str(reply.status) == code
    assert "outside service hours" in reply.status_text
    assert platform.calls == []


async def test_a_resend_of_what_was_refused_gets_that_answer_in_hours_too(world):
    """A refusal is an answer: another try is a new message."""
    platform = await world.platform(hours=HOURS)
    business = await world.business()
    await world.clock.advance_to(FRIDAY_LATE)
    receipt = await business.send("PS810FTRQ", BONDS)
    await receipt.reply()
    wire = (await business.store.request_wire((await receipt.delivery()).id))[1]
    await world.clock.advance(60)
    answer = await world.post(platform, wire)
    assert isinstance(answer, Reply)
    assert b"PSPPM0002W" in answer.wire


async def test_hours_are_those_of_the_first_receipt(world):
    """Taken a second before the end: its handler runs again after it, and answers."""
    runs = []

    async def answer(message):
        runs.append(world.clock.now())
        if len(runs) == 1:
            raise RuntimeError("the ledger is away")
        return msh.Reply("PSPPM0000I")

    await world.platform(answer, hours=HOURS)
    business = await world.business()
    await world.clock.advance_to(FRIDAY_LATE - timedelta(seconds=1))
    receipt = await business.send("PS810FTRQ", BONDS)
    await world.clock.advance(200)
    assert runs[0] < FRIDAY_LATE <= runs[1]
    assert str((await receipt.reply()).status) == "PSPPM0000I"


async def test_a_follow_up_of_a_handler_waits_for_its_hours(world):
    """What a handler sends on cannot be refused any more: it is queued until the opening."""
    follow = msh.Outgoing("PS810FTRQ", BONDS, "BIZ", key="onward")
    reply = msh.Reply("PSPPM0000I", then=(follow,))
    platform = await world.platform(lambda message: reply, hours=HOURS)
    business = await world.business()
    await world.clock.advance_to(FRIDAY_LATE + timedelta(hours=2))
    funds = BONDS.replace("010", "030")  # until 19:30
    await (await business.send("PS810FTRQ", funds)).reply()
    (delivery,) = await platform.store.deliveries()
    assert delivery.due == MONDAY


async def test_holidays_put_it_off(world):
    days = BusinessDays(holidays=frozenset({MONDAY.date()}))
    business = await world.business(hours=Hours(load().hours, days), days=days)
    await world.clock.advance_to(FRIDAY_LATE)
    with pytest.raises(msh.NotOpen) as caught:
        await business.send("PS810FTRQ", BONDS)
    assert caught.value.opens == taipei("2026-11-24 09:00")


def test_an_exchange_of_keys_may_finish_after_its_hours():
    """9.6.1: the offer begins from 07:30 to 19:30; what confirms it may come at any time."""
    from msh.protocol.checks import matter_of
    from tests.handler.conftest import agreement

    terms = agreement("PSP", msh.Role.PSP, "BANK", msh.Role.BANK, hours=HOURS)
    assert not isinstance(terms.protection, Mac)  # which hours do not depend on
    exchange = terms.profile.key_exchange
    offer = matter_of(terms, exchange.offer, None, sends=False)
    assert HOURS.open_at(offer, taipei("2026-11-20 07:30"))
    assert not HOURS.open_at(offer, taipei("2026-11-20 19:30"))
    assert matter_of(terms, exchange.confirm, None, sends=False) is None


async def test_many_wait_for_the_same_opening(world):
    business = await world.business(hours=HOURS)
    await world.clock.advance_to(FRIDAY_LATE)
    sending = [business.send("PS810FTRQ", BONDS, when_open=True) for _ in range(100)]
    receipts = await asyncio.gather(*sending)
    await world.clock.advance_to(MONDAY - timedelta(seconds=1))
    platform = await world.platform(hours=HOURS)
    await world.clock.advance_to(MONDAY)
    assert {call.message_id for call in platform.calls} == {one.message_id for one in receipts}
