"""The exchange of working keys between two handlers: lost, repeated, overtaken, restarted."""

from __future__ import annotations

import asyncio
import base64
from datetime import timedelta
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

import msh
from msh.envelope import parse
from msh.profiles import standard_profile
from msh.protection import Mac, MacAlgorithm
from msh.protocol.keys import State
from msh.store import open_store
from msh.testing.network import Fault
from msh.transport.base import Accept, Acceptance
from tests.handler.conftest import BODY, PLATFORM, World

PROFILES = {standard_profile().namespace: standard_profile()}


@pytest.fixture
def mac(tmp_path: Path) -> Mac:
    """What both sides agreed; they share one key-encryption key."""
    file = tmp_path / "kek"
    file.write_text("# msh test key\n" + "5a3c" * 16 + "\n")
    file.chmod(0o600)
    return Mac(f"file:{file}", overlap=timedelta(minutes=15))


def bytes_under(folder: Path, pattern: str) -> bytes:
    return b"".join(file.read_bytes() for file in folder.glob(pattern))


async def states(handler: msh.MessageServiceHandler) -> list[State]:
    return [key.state for key in await handler.store.keys()]


async def ended(world: World, task: asyncio.Task, seconds: float = 700.0):
    """What ``task`` gives, with the clock run on for as long as it takes."""
    await world.clock.advance(seconds)
    assert task.done()
    return await task


async def exchanged(world: World, handler: msh.MessageServiceHandler):
    return await ended(world, asyncio.create_task(handler.exchange_key(_peer(handler))), 1.0)


def _peer(handler: msh.MessageServiceHandler) -> str:
    return next(iter(handler.agreements)).peer


async def pays(world: World, business: msh.MessageServiceHandler) -> msh.Message:
    receipt = await business.send("PS810FTRQ", BODY)
    return await ended(world, asyncio.create_task(receipt.reply()), 1.0)


@pytest.mark.parametrize("algorithm", MacAlgorithm)
async def test_an_exchanged_key_protects_both_ways(
    world: World, mac: Mac, algorithm: MacAlgorithm
) -> None:
    terms = Mac(mac.key_encryption, algorithm)
    platform = await world.platform(protection=terms)
    business = await world.business(protection=terms)
    key = await exchanged(world, business)
    assert key.state is State.ACTIVE
    assert await states(platform) == [State.ACTIVE]
    reply = await pays(world, business)
    assert str(reply.status) == "PSPPM0000I"
    assert [call.service for call in platform.calls] == ["PS810FTRQ"]
    assert parse(world.network.sent[-1], PROFILES).key_id == key.id


async def test_without_a_key_a_message_is_held_and_leaves_once_there_is_one(
    world: World, mac: Mac, caplog: pytest.LogCaptureFixture
) -> None:
    platform = await world.platform(protection=mac)
    business = await world.business(protection=mac)
    receipt = await business.send("PS810FTRQ", BODY)
    await world.clock.advance(60)
    assert world.network.sent == []
    assert (await receipt.delivery()).attempts == 0
    assert world.steps(receipt.message_id).count("held") == 1
    assert caplog.text.count("is held: ") == 1
    await exchanged(world, business)
    await world.clock.advance(6)
    assert str((await receipt.reply()).status) == "PSPPM0000I"
    assert len(platform.calls) == 1


@pytest.mark.parametrize("fault", [Fault.LOSE_REQUEST, Fault.LOSE_REPLY, Fault.SWALLOW_REPLY])
@pytest.mark.parametrize("exchange", [1, 2])
async def test_any_step_may_be_lost(world: World, mac: Mac, fault: Fault, exchange: int) -> None:
    platform = await world.platform(protection=mac)
    business = await world.business(protection=mac)
    world.network.faults[exchange] = fault
    key = await ended(world, asyncio.create_task(business.exchange_key("PSP")))
    assert key.state is State.ACTIVE
    assert await states(platform) == [State.ACTIVE]
    assert str((await pays(world, business)).status) == "PSPPM0000I"


async def test_a_confirm_that_never_arrives_is_made_good_by_the_next_message(
    world: World, mac: Mac
) -> None:
    platform = await world.platform(protection=mac)
    business = await world.business(protection=mac)
    first = await exchanged(world, business)
    sent = len(world.network.sent)
    for number in range(sent + 2, sent + 40):
        world.network.faults[number] = Fault.LOSE_REQUEST
    task = asyncio.create_task(business.exchange_key("PSP"))
    await world.clock.advance(1)
    assert await states(platform) == [State.ACTIVE, State.PENDING]
    assert await states(business) == [State.PREVIOUS, State.ACTIVE]
    world.network.faults.clear()
    reply = await pays(world, business)
    assert str(reply.status) == "PSPPM0000I"
    await world.clock.advance(0.1)
    second = (await platform.store.keys())[-1]
    assert second.state is State.ACTIVE
    assert second.id != first.id
    task.cancel()


async def test_the_confirm_may_come_to_another_process_than_the_offer(
    world: World, mac: Mac, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'psp.db'}"
    first = await world.platform(protection=mac, store=open_store(url))
    second = world.handler("PSP", protection=mac, store=open_store(url), listens=False)
    second.on("PS810FTRQ", "PS811FTRRQ", "PS830INQRQ")(lambda message: msh.Reply("PSPPM0000I"))
    second.store.watch = lambda changed: None  # whose poll of the file has not come round yet
    await world.start(second)
    business = await world.business(protection=mac)
    world.network.listeners[PLATFORM], offers = _by_turns(first.accept, second.accept), []
    for _ in range(3):
        offers.append((await exchanged(world, business)).id)
        assert [key.id for key in await first.store.keys()] == offers
        assert (await states(first))[-1] is State.ACTIVE


def _by_turns(*accept: Accept) -> Accept:
    """A balancer before several processes."""
    turns = cycle(accept)

    async def one(*message: Any) -> Acceptance:
        return await next(turns)(*message)

    return one


async def test_an_exchange_that_was_given_up_can_be_repeated(world: World, mac: Mac) -> None:
    platform = await world.platform(protection=mac)
    business = await world.business(protection=mac)
    await exchanged(world, business)
    world.network.always = Fault.LOSE_REPLY
    task = asyncio.create_task(business.exchange_key("PSP"))
    with pytest.raises(msh.InDoubt):
        await ended(world, task)
    world.network.always = None
    assert await states(business) == [State.ACTIVE, State.PENDING]
    assert await states(platform) == [State.ACTIVE, State.PENDING]
    assert str((await pays(world, business)).status) == "PSPPM0000I"  # under the old key
    await exchanged(world, business)
    assert await states(platform) == [State.PREVIOUS, State.PREVIOUS, State.ACTIVE]
    assert str((await pays(world, business)).status) == "PSPPM0000I"


async def test_the_platform_may_change_the_key_too(world: World, mac: Mac) -> None:
    platform = await world.platform(protection=mac)
    # Without a service of its own it listens for offers all the same.
    business = await world.start(world.handler("BIZ", protection=mac, accepts=frozenset()))
    await exchanged(world, business)
    key = await exchanged(world, platform)
    assert str((await pays(world, business)).status) == "PSPPM0000I"
    assert parse(world.network.sent[-1], PROFILES).key_id == key.id


async def test_two_exchanges_at_once_end_with_one_key_in_use(world: World, mac: Mac) -> None:
    platform = await world.platform(protection=mac)
    business = await world.start(world.handler("BIZ", protection=mac, accepts=frozenset()))
    await exchanged(world, business)
    both = [
        asyncio.create_task(business.exchange_key("PSP")),
        asyncio.create_task(platform.exchange_key("BIZ")),
    ]
    await world.clock.advance(700)
    results = await asyncio.gather(*both, return_exceptions=True)
    assert any(not isinstance(result, Exception) for result in results)
    used = [
        next(key.id for key in await handler.store.keys() if key.state is State.ACTIVE)
        for handler in (business, platform)
    ]
    assert used[0] == used[1]
    assert str((await pays(world, business)).status) == "PSPPM0000I"


async def test_another_key_encryption_key_is_told_and_changes_nothing(
    world: World, mac: Mac, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.write_text("a53c" * 16)
    other.chmod(0o600)
    platform = await world.platform(protection=Mac(f"file:{other}"))
    business = await world.business(protection=mac)
    task = asyncio.create_task(business.exchange_key("PSP"))
    with pytest.raises(msh.NotAuthentic) as caught:  # not even the offer is authentic there
        await ended(world, task)
    ours, theirs = (
        handler._securities.keys.security(peer).key_encryption_check_value
        for handler, peer in ((business, "PSP"), (platform, "BIZ"))
    )
    assert ours != theirs
    assert f"compare their check values (`msh keys check` on both sides). Ours is {ours}" in str(
        caught.value
    )
    assert await states(platform) == []
    (reason,) = platform.receiver.refused
    assert "compare the check values of the key-encryption keys" in reason


async def test_keys_are_never_stored_or_sent_in_the_clear(
    world: World, mac: Mac, tmp_path: Path
) -> None:
    stores = [open_store(f"sqlite:///{tmp_path / name}.db") for name in ("psp", "biz")]
    platform = await world.platform(protection=mac, store=stores[0])
    business = await world.business(protection=mac, store=stores[1])
    await exchanged(world, business)
    await pays(world, business)
    ring = business._securities.keys.security("PSP").ring
    (secret,) = [key.secret for key in ring.keys]
    assert platform._securities.keys.security("BIZ").ring.keys[0].secret == secret
    stored = await business.store.keys()
    on_disk = bytes_under(tmp_path, "*.db*")
    shown = on_disk + b"".join(world.network.sent) + repr((stored, ring, world.entries)).encode()
    wrapped = stored[0].wrapped
    assert wrapped in on_disk  # so a key that was stored as it is would be seen
    assert base64.b64encode(wrapped) in shown
    for form in (secret, repr(secret)[2:-1].encode(), base64.b64encode(secret).rstrip(b"=")):
        assert form not in shown
    assert secret.hex().encode() not in shown.lower()


async def test_keys_survive_a_restart(world: World, mac: Mac, tmp_path: Path) -> None:
    platform = await world.platform(protection=mac)
    store = msh.store.open_store(f"sqlite:///{tmp_path / 'biz.db'}")
    business = world.handler("BIZ", protection=mac, store=store, listens=False)
    async with business:
        await exchanged(world, business)
    store = msh.store.open_store(f"sqlite:///{tmp_path / 'biz.db'}")
    again = world.handler("BIZ", protection=mac, store=store, listens=False)
    async with again:
        assert str((await pays(world, again)).status) == "PSPPM0000I"
    assert len(platform.calls) == 1
