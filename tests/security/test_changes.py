"""A key or a right changes while a payment is under way, at every point of both ways.

Whatever happens, the caller is never told "refused" of a payment that took effect, and a message
takes effect at most once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

import msh
from msh.catalog import Meaning
from msh.protection import Mac
from msh.store import SuspensionKind
from msh.testing.network import Fault
from tests.handler.conftest import BODY, World

Change = Callable[[World, msh.MessageServiceHandler, msh.MessageServiceHandler], Awaitable[None]]


async def new_key(world: World, business: msh.MessageServiceHandler, platform: object) -> None:
    """The business system changes the key."""
    await _exchange(world, business, "PSP")


async def new_key_of_platform(world: World, business: object, platform: object) -> None:
    """The platform changes the key."""
    await _exchange(world, platform, "BIZ")


async def two_new_keys(world: World, business: msh.MessageServiceHandler, platform: object) -> None:
    """The key of the message is not even the previous one any more."""
    await _exchange(world, business, "PSP")
    await _exchange(world, business, "PSP")


async def key_in_use(world: World, business: msh.MessageServiceHandler, platform: object) -> None:
    """A new key, under which another message verifies: where nothing overlaps, the old one
    retires.
    """
    await _exchange(world, business, "PSP")
    with suppress(msh.MshError):
        await _quietly(world, business.send("PS830INQRQ", BODY))


async def party_suspended(world: World, business: object, platform) -> None:
    await platform.store.suspend(SuspensionKind.PARTY, "BIZ", world.clock.now())


async def service_suspended(world: World, business: object, platform) -> None:
    await platform.store.suspend(SuspensionKind.SERVICE, "PS810FTRQ", world.clock.now())


async def nothing(world: World, business: object, platform: object) -> None:
    """So that the test is seen to tell an ordinary exchange from a changed one."""


CHANGES = [
    nothing,
    new_key,
    new_key_of_platform,
    two_new_keys,
    key_in_use,
    party_suspended,
    service_suspended,
]


async def _exchange(world: World, handler: msh.MessageServiceHandler, peer: str) -> None:
    with suppress(msh.MshError):
        await _quietly(world, handler.exchange_key(peer))


async def _quietly(world: World, work: Awaitable[object]) -> object:
    """Without the faults, which are for the payment."""
    faults, world.network.faults = world.network.faults, {}
    always, world.network.always = world.network.always, None
    task = asyncio.ensure_future(work)
    await world.clock.advance(0.5)
    world.network.faults, world.network.always = faults, always
    return await task


@pytest.fixture(params=[0, 900], ids=["no overlap", "overlap"])
def mac(request: pytest.FixtureRequest, tmp_path: Path) -> Mac:
    file = tmp_path / "kek"
    file.write_text("5a3c" * 16)
    file.chmod(0o600)
    return Mac(f"file:{file}", overlap=timedelta(seconds=request.param))


async def _told(receipt: msh.Receipt) -> str:
    """What the caller is told."""
    try:
        reply = await receipt.reply()
    except msh.InDoubt:
        return "in doubt"
    except msh.Undelivered:
        return "not sent"
    return "done" if reply.status.meaning is Meaning.DONE else "refused"


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    "lost", [Fault.REFUSE, Fault.LOSE_REQUEST, Fault.LOSE_REPLY, Fault.SWALLOW_REPLY]
)
@pytest.mark.parametrize("attempts", [1, 3])
async def test_a_change_between_two_attempts(
    world: World, mac: Mac, change: Change, lost: Fault, attempts: int
) -> None:
    platform = await world.platform(protection=mac)
    business = await world.start(world.handler("BIZ", protection=mac, accepts=frozenset()))
    await _exchange(world, business, "PSP")
    sent = len(world.network.sent)
    world.network.faults = {sent + number: lost for number in range(1, attempts + 1)}
    receipt = await business.send("PS810FTRQ", BODY)
    # Attempts begin at 0, 90 and 240 s: the change comes after as many as were lost.
    await world.clock.advance((45, 120, 300)[attempts - 1])
    await change(world, business, platform)
    world.network.faults = {}
    await world.clock.advance(700)
    effects = sum(call.message_id == receipt.message_id for call in platform.calls)
    told = await _told(receipt)
    assert effects <= 1
    assert (told, effects) not in (("refused", 1), ("done", 0), ("not sent", 1))
    if change is nothing:
        assert (told, effects) == ("done", 1)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("lost", [None, Fault.LOSE_REPLY, Fault.SWALLOW_REPLY])
async def test_a_change_while_the_handler_runs(
    world: World, mac: Mac, change: Change, lost: Fault | None
) -> None:
    gate = asyncio.Event()

    async def answer(message: msh.Message) -> msh.Reply:
        if message.service == "PS810FTRQ":
            await gate.wait()
        return msh.Reply("PSPPM0000I")

    platform = await world.platform(answer, protection=mac)
    business = await world.start(world.handler("BIZ", protection=mac, accepts=frozenset()))
    await _exchange(world, business, "PSP")
    if lost is not None:
        world.network.faults = {len(world.network.sent) + 1: lost}
    receipt = await business.send("PS810FTRQ", BODY)
    await world.clock.advance(1)
    assert len(platform.calls) == 1
    await change(world, business, platform)
    gate.set()
    await world.clock.advance(700)
    told = await _told(receipt)
    assert told in ("done", "in doubt")
    if mac.overlap:
        assert told == "done"
    assert sum(call.message_id == receipt.message_id for call in platform.calls) == 1


async def test_a_suspended_party_is_refused_and_stays_so_for_that_message(
    world: World, mac: Mac
) -> None:
    platform = await world.platform(protection=mac)
    business = await world.start(world.handler("BIZ", protection=mac, accepts=frozenset()))
    await _exchange(world, business, "PSP")
    await party_suspended(world, business, platform)
    receipt = await business.send("PS810FTRQ", BODY)
    await world.clock.advance(1)
    assert str((await receipt.reply()).status) == "PSPPM0001W"
    assert platform.calls == []
    await platform.store.resume(SuspensionKind.PARTY, "BIZ", world.clock.now())
    again = await world.post(platform, world.network.sent[-1])
    assert b"PSPPM0001W" in again.wire
    receipt = await business.send("PS810FTRQ", BODY)
    await world.clock.advance(1)
    assert await _told(receipt) == "done"
