"""Work that another process left: taken over when its lease lapses, and not for ever."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from msh.envelope import serialise
from msh.protocol.digest import message_digest
from msh.store import open_store
from tests.handler.test_repeats import PROFILE, Gate, request, status_of


async def test_what_a_dead_process_left_is_taken_over_when_its_lease_lapses(world, tmp_path):
    url = f"sqlite:///{tmp_path}/psp.db"
    dead = open_store(url)
    await dead.open(lambda entries: None)
    message = request(world)
    await dead.receive(
        message,
        message_digest(message),
        serialise(message, PROFILE),
        world.clock.now(),
        timedelta(seconds=30),
        begin=True,
    )
    await dead.close()
    platform = await world.platform(store=open_store(url))
    await world.clock.advance(29)
    assert platform.calls == []
    await world.clock.advance(10)
    assert len(platform.calls) == 1
    answer = await world.post(platform, serialise(message, PROFILE))
    assert status_of(answer) == "PSPPM0000I"
    assert world.steps("BIZ-1") == ["taken-over", "run-begun", "replied", "replayed"]


async def test_a_handler_that_only_sends_takes_over_nothing(world, tmp_path):
    url = f"sqlite:///{tmp_path}/psp.db"
    platform = world.handler("PSP", store=open_store(url))
    await platform.store.open(lambda entries: None)
    message = request(world)
    await platform.store.receive(
        message, message_digest(message), b"x", world.clock.now(), timedelta(seconds=1)
    )
    await platform.store.close()
    sender = await world.start(world.handler("PSP", store=open_store(url), listens=False))
    await world.clock.advance(600)
    (reception,) = await sender.store.receptions()
    assert reception.state == "claimed"


async def test_a_message_that_kills_the_process_cannot_loop(world, tmp_path):
    """Runs are counted when they begin: three dead processes, and it is set aside."""
    url = f"sqlite:///{tmp_path}/psp.db"
    message = request(world, expires=None)
    store = open_store(url)
    await store.open(lambda entries: None)
    lease = timedelta(seconds=1)
    now = world.clock.now()
    await store.receive(
        message, message_digest(message), serialise(message, PROFILE), now, lease, begin=True
    )
    for number in (1, 2):
        now += timedelta(seconds=2 * number)
        (work,) = await store.take_over("BIZ", now, lease, 1)
        await store.start(work.claim, now, lease)
    await store.close()
    platform = await world.platform(store=open_store(url))
    await world.clock.advance(60)
    assert platform.calls == []
    assert status_of(await world.post(platform, serialise(message, PROFILE))) == "PSPPM9999S"


async def test_a_long_handler_keeps_its_lease(world, tmp_path):
    url = f"sqlite:///{tmp_path}/psp.db"
    gate = Gate()
    first = await world.platform(gate, store=open_store(url))
    second = await world.platform(store=open_store(url), url="memory://second/sms")
    post = asyncio.create_task(world.post(first, serialise(request(world), PROFILE)))
    await world.clock.advance(300)
    assert (len(first.calls), len(second.calls)) == (1, 0)
    gate.open.set()
    await world.clock.settle()
    assert type(post.result()).__name__ == "NotNow"  # its patience ended long before
    again = await world.post(second, serialise(request(world), PROFILE))
    assert status_of(again) == "PSPPM0000I"
