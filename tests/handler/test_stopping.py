"""Starting and stopping: what is in hand is finished, and nothing that is queued is lost."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

import msh
from msh.envelope import serialise
from msh.store import open_store
from tests.handler.conftest import BODY, PLATFORM
from tests.handler.test_blocking import business as blocking_business
from tests.handler.test_repeats import PROFILE, Gate, request, status_of

SERVICES = ("PS810FTRQ", "PS811FTRRQ", "PS830INQRQ")


async def test_stopping_finishes_what_is_in_hand(world):
    gate = Gate()
    platform = world.handler("PSP")

    @platform.on(*SERVICES)
    async def handle(message: msh.Message) -> msh.Reply:
        return await gate(message)

    await platform.start()
    post = asyncio.create_task(world.post(platform, serialise(request(world), PROFILE)))
    await world.clock.settle()
    stopping = asyncio.create_task(platform.stop())
    await world.clock.settle()
    assert not stopping.done()
    gate.open.set()
    await stopping
    assert status_of(await post) == "PSPPM0000I"


async def test_stopping_past_the_grace_leaves_the_work_to_others_at_once(world, tmp_path):
    url = f"sqlite:///{tmp_path}/psp.db"
    gate = Gate()
    platform = world.handler("PSP", store=open_store(url))

    @platform.on(*SERVICES)
    async def handle(message: msh.Message) -> msh.Reply:
        return await gate(message)

    platform._grace = 0.05
    await platform.start()
    post = asyncio.create_task(world.post(platform, serialise(request(world), PROFILE)))
    await world.clock.settle()
    await platform.stop()
    post.cancel()
    other = await world.platform(store=open_store(url))
    await world.clock.advance(0.1)
    assert len(other.calls) == 1


async def test_a_handler_can_be_started_again(world, tmp_path):
    platform = world.handler("PSP", store=open_store(f"sqlite:///{tmp_path}/psp.db"))

    @platform.on(*SERVICES)
    async def handle(message: msh.Message) -> msh.Reply:
        return msh.Reply("PSPPM0000I")

    wire = serialise(request(world), PROFILE)
    async with platform:
        first = await world.post(platform, wire)
    async with platform:
        assert (await world.post(platform, wire)).wire == first.wire
        assert len(await platform.store.receptions()) == 1


async def test_a_start_that_failed_half_way_can_be_tried_again(world, tmp_path):
    platform = world.handler("PSP", store=open_store(f"sqlite:///{tmp_path}/psp.db"))

    @platform.on(*SERVICES)
    async def take(message: msh.Message) -> msh.Reply:
        return msh.Reply("PSPPM0000I")

    world.network.listeners[PLATFORM] = platform.accept
    with pytest.raises(msh.ConfigurationError):
        await platform.start()
    del world.network.listeners[PLATFORM]
    await world.start(platform)
    assert status_of(await world.post(platform, serialise(request(world), PROFILE))) == "PSPPM0000I"


async def test_stopping_does_not_wait_for_work_that_is_due_later(world):
    platform = world.handler("PSP")

    @platform.on(*SERVICES)
    async def fails(message: msh.Message) -> msh.Reply:
        raise ValueError

    await platform.start()
    post = asyncio.create_task(world.post(platform, serialise(request(world), PROFILE)))
    await world.clock.settle()
    receiver = platform.receiver
    await receiver.stop(0.0)
    await world.clock.advance(0.2)
    assert type(post.result()).__name__ == "NotNow"
    await platform.stop()


async def test_while_it_stops_a_handler_may_send_and_a_second_stop_waits(world):
    gate = Gate()
    platform = world.handler("PSP")

    @platform.on(*SERVICES)
    async def sends(message: msh.Message) -> msh.Reply:
        await gate.open.wait()
        await platform.send("PS811FTRRQ", "<Result/>", to="BIZ")
        return msh.Reply("PSPPM0000I")

    await platform.start()
    post = asyncio.create_task(world.post(platform, serialise(request(world), PROFILE)))
    await world.clock.settle()
    stops = [asyncio.create_task(platform.stop()) for _ in range(2)]
    await world.clock.settle()
    assert not any(stop.done() for stop in stops)
    assert not await platform.ready()
    late = await world.post(platform, serialise(request(world, message_id="BIZ-2"), PROFILE))
    assert type(late).__name__ == "NotNow"
    gate.open.set()
    await asyncio.gather(*stops)
    assert status_of(await post) == "PSPPM0000I"


async def test_a_queued_message_outlives_a_stop_at_any_moment(world, tmp_path):
    url = f"sqlite:///{tmp_path}/biz.db"
    platform = await world.platform()
    for turns in range(12):
        business = world.handler("BIZ", store=open_store(url), listens=False)
        await business.start()
        sending = asyncio.create_task(business.send("PS810FTRQ", BODY, key=f"k{turns}"))
        for _ in range(turns):
            await asyncio.sleep(0)
        await business.stop()
        await asyncio.gather(sending, return_exceptions=True)
    business = await world.business(store=open_store(url))
    for turns in range(12):
        await business.send("PS810FTRQ", BODY, key=f"k{turns}")
    await world.clock.advance(600)
    assert {str(one.state) for one in await business.store.deliveries()} == {"answered"}
    assert len(platform.calls) == len({one.message_id for one in platform.calls}) == 12


def test_a_blocking_call_that_waits_is_told_of_the_stop(tmp_path):
    handler = blocking_business(tmp_path, "http://127.0.0.1:9/sms")
    handler.start()
    loop = handler._running()
    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(loop.run, asyncio.sleep(3600))
        handler.stop()
        with pytest.raises((msh.StoreClosed, msh.UsageError)):
            waits.result(10)
    with pytest.raises(msh.UsageError):
        loop.run(asyncio.sleep(0))
