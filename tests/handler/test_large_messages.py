"""Large messages are parsed few at a time, and wait for that as the bytes that came."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from msh.admission import AT_ONCE, LARGE, PATIENCE, WAITING, Admission
from msh.security.signature import Signed
from msh.testing.clock import VirtualClock
from msh.transport.base import NotNow, Peer, Reply
from tests.handler.conftest import BODY, World
from tests.security.certificates import PROFILE, USUAL, Party, SetClock, identity

HUGE = "<Pay xmlns='urn:test'>" + "<Amount>1000</Amount>" * 5000 + "</Pay>"


async def composed(world: World, body: str, message_id: str) -> bytes:
    return await world.handler("BIZ").compose("PS810FTRQ", body, message_id=message_id)


async def test_a_large_message_waits_for_a_place_and_a_small_one_does_not(world: World) -> None:
    platform = await world.platform()
    large = await composed(world, HUGE, "BIZ-large")
    small = await composed(world, BODY, "BIZ-small")
    assert len(large) > LARGE > len(small)
    admission = platform.receiver._admission
    for _ in range(AT_ONCE):
        assert await admission.enter()
    waiting = asyncio.create_task(platform.accept(large, Peer("10.0.0.1")))
    await world.clock.advance(PATIENCE - timedelta(seconds=1))
    assert not waiting.done()
    assert isinstance(await platform.accept(small, Peer("10.0.0.1")), Reply)
    admission.leave()
    await world.clock.settle()
    assert isinstance(waiting.result(), Reply)
    assert len(platform.calls) == 2


async def test_who_waits_too_long_is_told_to_come_back(world: World) -> None:
    platform = await world.platform()
    large = await composed(world, HUGE, "BIZ-large")
    for _ in range(AT_ONCE):
        assert await platform.receiver._admission.enter()
    waiting = asyncio.create_task(platform.accept(large, Peer("10.0.0.1")))
    await world.clock.advance(PATIENCE)
    assert isinstance(waiting.result(), NotNow)
    assert await platform.store.receptions() == []


async def test_places_are_given_back_whatever_becomes_of_a_message(world: World) -> None:
    platform = await world.platform()
    large = await composed(world, HUGE, "BIZ-large")
    for number in range(2 * AT_ONCE):
        odd = large[: -number - 1], large.replace(b">BIZ<", b">BIX<")
        for wire in odd:
            await platform.accept(wire, Peer(f"10.0.{number}.1"))
    assert isinstance(await platform.accept(large, Peer("10.0.0.1")), Reply)


async def test_no_more_wait_than_there_is_room_for() -> None:
    clock = VirtualClock()
    admission = Admission(clock)
    for _ in range(AT_ONCE):
        assert await admission.enter()
    waiting = [asyncio.create_task(admission.enter()) for _ in range(WAITING)]
    await clock.settle()
    assert not await admission.enter()
    admission.leave()
    await clock.advance(PATIENCE)
    assert [task.result() for task in waiting] == [True] + [False] * (WAITING - 1)
    admission.leave()
    for _ in range(3):
        admission.leave()
    assert await admission.enter()


async def test_what_strangers_bring_does_not_queue_before_our_own(tmp_path: Path) -> None:
    """Verifying large messages has threads of its own."""
    clock = SetClock()
    ours = Party(tmp_path / "ours", clock)
    one = identity("p256")
    ours.hold(one)
    ours.pin(one)
    security: Signed = ours.open()
    large = replace(USUAL, body=HUGE.replace("'", '"').encode())
    wire = (await security.protect(large, PROFILE)).wire
    assert len(wire) > LARGE
    release = threading.Event()
    try:
        for _ in range(32):
            security._verifying.submit(release.wait, 30)
        async with asyncio.timeout(20):
            assert (await security.protect(USUAL, PROFILE)).wire
    finally:
        release.set()
        await security.close()


async def test_many_at_once_all_get_an_answer(world: World) -> None:
    platform = await world.platform()
    wires = [await composed(world, HUGE, f"BIZ-{number}") for number in range(3 * AT_ONCE)]
    answers = await asyncio.gather(*(platform.accept(wire, Peer("10.0.0.1")) for wire in wires))
    assert all(isinstance(answer, Reply) for answer in answers)
