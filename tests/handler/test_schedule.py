"""The retry schedule, end to end on the virtual clock (TDCC PSP 9.7.5, 4)."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

import msh
from msh.testing.network import Fault
from tests.handler.conftest import BODY


async def attempts_of(business: msh.MessageServiceHandler, receipt: msh.Receipt) -> list[float]:
    delivery = await receipt.delivery()
    attempts = await business.store.attempts(delivery.id)
    return [(attempt.began - delivery.queued).total_seconds() for attempt in attempts]


@pytest.mark.parametrize(
    "fault", [Fault.REFUSE, Fault.LOSE_REQUEST, Fault.SWALLOW_REQUEST, Fault.SWALLOW_REPLY]
)
async def test_attempts_start_at_0_90_240_510_and_end_at_540(world, fault):
    await world.platform()
    business = await world.business()
    world.network.always = fault
    receipt = await business.send("PS810FTRQ", BODY)
    await world.clock.advance(539.999)
    assert await attempts_of(business, receipt) == [0, 90, 240, 510]
    assert (await receipt.delivery()).state in ("waiting", "sending")
    await world.clock.advance(0.001)
    delivery = await receipt.delivery()
    assert delivery.state == ("not-sent" if fault is Fault.REFUSE else "in-doubt")
    assert (delivery.settled - delivery.queued) == timedelta(seconds=540)
    await world.clock.advance(3600)
    assert len(await attempts_of(business, receipt)) == 4


async def test_every_attempt_carries_the_same_bytes(world):
    await world.platform()
    business = await world.business()
    world.network.always = Fault.LOSE_REPLY
    await business.send("PS810FTRQ", BODY)
    await world.clock.advance(600)
    assert len(world.network.sent) == 4
    assert len(set(world.network.sent)) == 1


@pytest.mark.parametrize(
    ("resends", "interval", "factor", "timeout"),
    [(0, 60, 2, 30), (1, 5, 1, 2), (4, 10, 3, 7), (2, 0, 2, 1), (3, 0.5, 1.5, 0.25)],
)
async def test_any_settings(world, resends, interval, factor, timeout):
    reliability = msh.Reliability(
        resends, timedelta(seconds=interval), factor, timedelta(seconds=timeout)
    )
    business = await world.business(outbound=reliability)
    world.network.always = Fault.SWALLOW_REQUEST
    receipt = await business.send("PS810FTRQ", BODY)
    expected, start = [], 0.0
    for attempt in range(resends + 1):
        expected.append(start)
        start += timeout + (interval * factor**attempt if attempt < resends else 0)
    await world.clock.advance(start)
    assert await attempts_of(business, receipt) == pytest.approx(expected)
    assert (await receipt.delivery()).state == "in-doubt"


async def test_an_answer_ends_the_schedule(world):
    platform = await world.platform()
    business = await world.business()
    world.network.faults = {1: Fault.SWALLOW_REPLY, 2: Fault.REFUSE}
    receipt = await business.send("PS810FTRQ", BODY)
    answer = asyncio.create_task(receipt.reply())
    await world.clock.advance(600)
    assert str((await answer).status) == "PSPPM0000I"
    assert await attempts_of(business, receipt) == [0, 90, 240]
    assert len(platform.calls) == 1


async def test_an_operators_resend_begins_a_new_series(world):
    await world.platform()
    business = await world.business()
    world.network.always = Fault.LOSE_REPLY
    receipt = await business.send("PS810FTRQ", BODY)
    await world.clock.advance(600)
    assert (await receipt.delivery()).state == "in-doubt"
    world.network.always = None
    await business.sender.resend(receipt.message_id)
    await world.clock.advance(1)
    assert (await receipt.delivery()).state == "answered"
    assert len(set(world.network.sent)) == 1
