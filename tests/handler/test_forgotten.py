"""What an id that was forgotten, a message that comes for ever, and a file of two parties do."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

import msh
from msh.envelope import parse, serialise
from msh.store import open_store
from tests.handler.conftest import BODY
from tests.handler.test_repeats import PROFILE, PROFILES, request, status_of


def jump(world, by: timedelta) -> None:
    """So much later, without all that falls due on the way: in 400 days that is much."""
    world.clock._now += by


async def purge(handler: msh.MessageServiceHandler, contents: timedelta, ids: timedelta) -> None:
    now = handler._clock.now()
    async for _ in handler.store.purge(now - contents, now - ids, now):
        pass


@pytest.mark.parametrize("kept", [timedelta(days=1), timedelta(days=400)])
@pytest.mark.parametrize("skew", [timedelta(minutes=5), timedelta(days=1)])
async def test_a_message_dated_ahead_is_never_new_again(world, kept, skew):
    platform = await world.platform(ids_kept=kept, clock_skew=skew)
    ahead = request(world, timestamp=world.clock.now() + skew, expires=None)
    wire = serialise(ahead, PROFILE)
    assert status_of(await world.post(platform, wire)) == "PSPPM0000I"
    jump(world, kept)
    for _ in range(6):
        jump(world, skew / 4)
        await purge(platform, timedelta(days=1), kept)
        again = await world.post(platform, wire)
        assert status_of(again) in ("PSPPM0000I", "PSPPM0002W")
    assert status_of(again) == "PSPPM0002W"
    assert len(platform.calls) == 1


@pytest.mark.parametrize("mistake", ["a shorter time", "a clock ahead"])
async def test_ids_that_were_forgotten_too_soon_let_nothing_in(world, mistake):
    platform = await world.platform()
    first = serialise(request(world, expires=None), PROFILE)
    await world.post(platform, first)
    jump(world, timedelta(days=1))
    late = serialise(request(world, message_id="BIZ-2", expires=None), PROFILE)
    if mistake == "a shorter time":
        await purge(platform, timedelta(0), timedelta(0))
    else:
        now = world.clock.now() + timedelta(days=1000)
        async for _ in platform.store.purge(now, now - timedelta(days=400), now):
            pass
    assert await platform.store.receptions() == []
    refused = await world.post(platform, first)
    assert status_of(refused) == "PSPPM0002W"
    assert parse(refused.wire, PROFILES).message.ref_to == "BIZ-1"
    assert (await world.post(platform, first)).wire != b""
    assert await platform.store.receptions() == []
    assert len(platform.calls) == 1
    # What is dated after it cannot be one of those.
    assert status_of(await world.post(platform, late)) == "PSPPM0000I"
    # It is told, but no row of it is kept.
    assert sum(platform.receiver.refused.values()) == 2


async def test_a_place_is_given_back_for_what_may_have_been_forgotten(world):
    platform = await world.platform(limits=msh.Limits(running=1, waiting=0))
    wire = serialise(request(world, expires=None), PROFILE)
    await world.post(platform, wire)
    await world.clock.advance(60)
    await purge(platform, timedelta(0), timedelta(0))
    for _ in range(3):
        assert status_of(await world.post(platform, wire)) == "PSPPM0002W"
    new = serialise(request(world, message_id="BIZ-2"), PROFILE)
    assert status_of(await world.post(platform, new)) == "PSPPM0000I"


async def test_one_message_in_a_thousand_copies_leaves_a_few_lines(world, tmp_path):
    platform = await world.platform(store=open_store(f"sqlite:///{tmp_path}/psp.db"))
    wire = serialise(request(world, expires=None), PROFILE)
    await world.post(platform, wire)
    jump(world, timedelta(days=4))
    keep = timedelta(days=3), timedelta(days=400)
    await purge(platform, *keep)
    before = await platform.store.last_entry()
    for _ in range(40):
        await asyncio.gather(*(world.post(platform, wire) for _ in range(25)))
        await world.clock.advance(6)  # four minutes in all
    (found,) = await platform.store.receptions()
    assert found.replays == 1000
    lines = await platform.store.journal(after=before)
    assert 5 < len(lines) <= 5 + 4
    assert lines[-1].details["times"] > 700
    jump(world, timedelta(days=4))
    await purge(platform, *keep)
    assert await platform.store.journal() == []
    assert await platform.store.receptions() != []


async def test_one_reply_in_many_copies_leaves_a_few_lines(world):
    platform = await world.platform()
    business = world.handler("BIZ")

    @business.on("PS810FTRQ", "PS811FTRRQ", "PS830INQRQ")
    async def take(message: msh.Message) -> msh.Reply:
        return msh.Reply("PSPPM0000I")

    await world.start(business)
    sent = asyncio.create_task((await business.send("PS810FTRQ", BODY)).reply())
    await world.clock.advance(1)
    reply = await sent
    (stored,) = await business.store.deliveries()
    wire = await business.store.delivery_reply(stored.id)
    assert wire is not None
    assert reply.ref_to == stored.message_id
    before = await business.store.last_entry()
    for _ in range(200):
        await world.post(business, wire)
    told = [str(entry.step) for entry in await business.store.journal(after=before)]
    assert told == ["answer-repeated"] * 5
    assert len(platform.calls) == 1


async def test_one_store_serves_one_party(world, tmp_path):
    url = f"sqlite:///{tmp_path}/one.db"
    bank = world.handler("BANK", store=open_store(url), listens=False)
    await bank.start(deliver=False)
    await bank.send("PS811FTRRQ", "<R/>")
    await bank.stop()
    other = world.handler("BIZ", store=open_store(url), listens=False)
    with pytest.raises(msh.StoreOfAnother, match="of BANK, and this party is BIZ; give each"):
        await other.start()
    with pytest.raises(msh.UsageError):  # nothing of it runs
        await other.send("PS810FTRQ", BODY)
    assert world.network.sent == []
    # Several processes of one party go on.
    await world.start(world.handler("BANK", store=open_store(url), listens=False))
    await world.start(world.handler("BANK", store=open_store(url), listens=False))
