"""A working key that somebody else has: what it is good for once it was replaced or retired."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import msh
from msh.catalog import StatusCode
from msh.envelope import parse
from msh.message import Message
from msh.profiles import standard_profile
from msh.protection import Mac, MacAlgorithm
from msh.protocol.keys import State
from msh.replying import reply_message
from msh.security.keyring import KeyRing, WorkingKey
from msh.security.maced import Maced
from msh.store import open_store
from msh.testing.network import Fault
from msh.transport.base import Peer, Reply, Taken
from tests.handler.conftest import BODY, World

PROFILE = standard_profile()
PROFILES = {PROFILE.namespace: PROFILE}
REFUSED = StatusCode.parse("PSPPM0001E")
OVERLAP = timedelta(minutes=15)


@pytest.fixture
def mac(tmp_path: Path) -> Mac:
    file = tmp_path / "kek"
    file.touch(0o600)
    file.write_text("0123456789abcdef" * 4)
    return Mac(f"file:{file}", overlap=OVERLAP)


async def ended(world: World, work: Awaitable[Any], seconds: float = 1.0) -> Any:
    """What ``work`` gives within so much time of the clock."""
    task = asyncio.ensure_future(work)
    await world.clock.advance(seconds)
    assert task.done()
    return await task


class Pair:
    """A business system and a platform that share a working key, which a thief has, too."""

    def __init__(self, world: World, mac: Mac) -> None:
        self.world, self.mac = world, mac

    async def start(self) -> Pair:
        self.platform = await self.world.platform(protection=self.mac)
        self.business = await self.world.start(
            self.world.handler("BIZ", protection=self.mac, accepts=frozenset())
        )
        self.leaked = await self.exchanged()
        (key,) = self.business._securities.keys.security("PSP").ring.keys
        ring = KeyRing(
            b"x" * 32, OVERLAP, (WorkingKey(key.id, key.secret, State.ACTIVE, key.offered),)
        )
        self.thief = Maced(
            MacAlgorithm.HMAC_SHA256, ring, PROFILE, self.world.clock.now, lambda *_: None
        )
        return self

    async def exchanged(self) -> str:
        """A new working key, in use both ways; its id."""
        key = await ended(self.world, self.business.exchange_key("PSP"))
        assert str((await self.paid()).status) == "PSPPM0000I"
        self.platform.calls.clear()
        return key.id

    async def paid(self) -> Message:
        return await ended(self.world, (await self.business.send("PS810FTRQ", BODY)).reply())

    async def replaced(self) -> None:
        """The leaked key is replaced, and retires."""
        await self.exchanged()
        await self.world.clock.advance(OVERLAP.total_seconds())
        for handler, peer in ((self.business, "PSP"), (self.platform, "BIZ")):
            security = handler._securities.keys.security(peer)
            assert security.retired(self.leaked)

    async def forged_payment(self) -> bytes:
        now = self.world.clock.now()
        made = Message(
            service="PS810FTRQ",
            message_id="BIZ-forged",
            sender="BIZ",
            receiver="PSP",
            timestamp=now,
        )
        return (await self.thief.protect(made, PROFILE)).wire

    async def forged_reply(self, request: bytes, code: StatusCode = REFUSED) -> bytes:
        asked, terms = parse(request, PROFILES).message, self.platform.agreements["BIZ"]
        reply = reply_message(terms, asked, code, self.world.clock.now())
        return (await self.thief.protect(reply, PROFILE)).wire

    def answers_itself(self) -> None:
        """Whoever sits between answers every request under the leaked key."""

        def forge(answer: bytes) -> bytes:
            forging = self.forged_reply(self.world.network.sent[-1])
            with pytest.raises(StopIteration) as ended:
                forging.send(None)
            return ended.value.value

        self.world.network.forge = forge

    async def code(self, wire: bytes) -> str:
        """The status code that the platform answers."""
        acceptance = await self.world.post(self.platform, wire)
        assert isinstance(acceptance, Reply)
        return str(parse(acceptance.wire, PROFILES).message.status)


@pytest.fixture
async def pair(world: World, mac: Mac) -> Pair:
    return await Pair(world, mac).start()


# a key that was replaced


async def test_a_retired_key_does_not_answer_a_request_under_a_later_one(pair: Pair) -> None:
    await pair.replaced()
    pair.answers_itself()
    receipt = await pair.business.send("PS810FTRQ", BODY)
    with pytest.raises(msh.InDoubt):
        await ended(pair.world, receipt.reply(), 600)
    assert len(pair.platform.calls) == 1  # the payment was made, whatever the thief says
    failed = [e.details for e in pair.world.entries if e.step == "attempt-failed"]
    assert "under a retired key" in failed[-1]["detail"]


async def test_nor_does_it_when_the_reply_comes_late(pair: Pair) -> None:
    world = pair.world
    await pair.replaced()
    world.network.always = Fault.LOSE_REPLY
    receipt = await pair.business.send("PS810FTRQ", BODY)
    await world.clock.advance(600)
    forged = await pair.forged_reply(world.network.sent[-1])
    assert await pair.business.accept(forged, Peer("10.9.9.9")) == Taken()
    assert (await receipt.delivery()).state == "in-doubt"
    ignored = [e.details["reason"] for e in world.entries if e.step == "answer-ignored"]
    assert len(ignored) == 1
    assert "under a retired key" in ignored[0]


async def test_it_reads_a_late_reply_to_a_request_under_itself(pair: Pair) -> None:
    world = pair.world
    world.network.always = Fault.LOSE_REPLY
    receipt = await pair.business.send("PS810FTRQ", BODY)
    await world.clock.advance(600)
    assert (await receipt.delivery()).state == "in-doubt"
    reply = await world.post(pair.platform, world.network.sent[-1])
    assert parse(reply.wire, PROFILES).key_id == pair.leaked
    world.network.always = None
    await pair.replaced()
    assert await pair.business.accept(reply.wire, Peer("10.9.9.9")) == Taken()
    assert str((await receipt.reply()).status) == "PSPPM0000I"


# a key that is retired by hand


async def test_a_key_retired_by_hand_counts_for_nothing_at_once(pair: Pair) -> None:
    """Although nothing has verified under its successor: the thief lets nothing through."""
    world = pair.world
    await pair.paid()
    genuine = world.network.sent[-1]
    await ended(world, pair.platform.exchange_key("BIZ"))
    assert await pair.code(await pair.forged_payment()) == "PSPPM0000I"  # in the overlap
    pair.platform.calls.clear()
    assert await pair.platform.retire_key("BIZ", pair.leaked) is True
    assert await pair.code(await pair.forged_payment()) == "PSPPM0003E"
    assert await pair.code(genuine) == "PSPPM0003E"  # not even a repeat is recognised
    assert pair.platform.calls == []
    reason = "the header names a working key that was retired by hand"
    assert pair.platform.receiver.refused[reason] == 2
    assert await pair.platform.retire_key("BIZ", pair.leaked) is False
    assert await pair.business.retire_key("PSP", pair.leaked) is True
    assert str((await pair.paid()).status) == "PSPPM0000I"


async def test_it_answers_nothing_not_even_requests_under_itself(pair: Pair) -> None:
    world = pair.world
    world.network.always = Fault.LOSE_REPLY
    receipt = await pair.business.send("PS810FTRQ", BODY)
    await world.clock.advance(600)
    await pair.business.retire_key("PSP", pair.leaked)
    forged = await pair.forged_reply(world.network.sent[-1])
    assert await pair.business.accept(forged, Peer("10.9.9.9")) == Taken()
    assert (await receipt.delivery()).state == "in-doubt"


async def test_the_active_key_may_be_retired_and_messages_wait_for_another(pair: Pair) -> None:
    world = pair.world
    for handler, peer in ((pair.business, "PSP"), (pair.platform, "BIZ")):
        await handler.retire_key(peer, pair.leaked)
    receipt = await pair.business.send("PS810FTRQ", BODY)
    await world.clock.advance(60)
    assert (await receipt.delivery()).attempts == 0
    await ended(world, pair.business.exchange_key("PSP"))
    assert str((await ended(world, receipt.reply(), 6)).status) == "PSPPM0000I"


async def test_another_process_stops_using_it_at_once(
    world: World, mac: Mac, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'psp.db'}"
    platform = await world.platform(protection=mac, store=open_store(url))
    business = await world.business(protection=mac)
    key = await ended(world, business.exchange_key("PSP"))
    assert (await ended(world, (await business.send("PS810FTRQ", BODY)).reply())).status
    store = open_store(url)  # as `msh keys retire` opens it
    await store.open(lambda entries: None)
    try:
        assert await store.retire_key("BIZ", key.id, world.clock.now())
    finally:
        await store.close()
    security = platform._securities.keys.security("BIZ")
    async with asyncio.timeout(5):
        while not security.retired(key.id):
            await asyncio.sleep(0.005)  # the poll of the file is not by the virtual clock
    receipt = await business.send("PS810FTRQ", BODY)
    with pytest.raises(msh.InDoubt):
        await ended(world, receipt.reply(), 600)
    assert len(platform.calls) == 1


async def test_a_key_retired_while_it_is_exchanged_is_not_taken_into_use(pair: Pair) -> None:
    world = pair.world
    world.network.faults = {len(world.network.sent) + 1: Fault.LOSE_REPLY}
    exchange = asyncio.ensure_future(pair.business.exchange_key("PSP"))
    await world.clock.advance(1)
    offered = (await pair.business.store.keys())[-1]
    assert offered.state is State.PENDING
    await pair.business.retire_key("PSP", offered.id)
    await world.clock.advance(100)
    with pytest.raises(msh.errors.SecurityError, match="was retired"):
        await exchange
    assert (await pair.business.store.keys())[-1].state is State.COMPROMISED
    await pair.exchanged()


async def test_the_side_that_was_offered_it_does_not_confirm_it(pair: Pair) -> None:
    world = pair.world
    world.network.faults = {len(world.network.sent) + 2: Fault.REFUSE}
    exchange = asyncio.ensure_future(pair.business.exchange_key("PSP"))
    await world.clock.advance(1)
    offered = (await pair.platform.store.keys())[-1]
    await pair.platform.retire_key("BIZ", offered.id)
    await world.clock.advance(100)
    with pytest.raises(msh.errors.SecurityError, match="refused the confirm"):
        await exchange
    assert (await pair.platform.store.keys())[-1].state is State.COMPROMISED


async def test_without_macs_there_is_no_key_to_retire(world: World) -> None:
    business = await world.business()
    with pytest.raises(msh.UsageError, match="protected by MACs"):
        await business.retire_key("PSP", "K1")


# messages that surely nobody got


@pytest.mark.parametrize("overlap", [timedelta(0), OVERLAP])
async def test_what_was_surely_not_sent_leaves_under_the_key_of_now(
    world: World, mac: Mac, overlap: timedelta
) -> None:
    pair = await Pair(world, Mac(mac.key_encryption, overlap=overlap)).start()
    world.network.always = Fault.REFUSE
    receipt = await pair.business.send("PS810FTRQ", BODY)
    await world.clock.advance(600)
    assert (await receipt.delivery()).state == "not-sent"
    world.network.always = None
    await pair.replaced()
    await world.clock.advance(3600)  # and the time to live of the first form is over
    again = await pair.business.resend(receipt.message_id)
    reply = await ended(world, again.reply())
    assert str(reply.status) == "PSPPM0000I"
    assert [call.message_id for call in pair.platform.calls] == [receipt.message_id]
    assert pair.platform.calls[0].body == parse(world.network.sent[-1], PROFILES).message.body


async def test_within_a_schedule_too(world: World, mac: Mac) -> None:
    pair = await Pair(world, Mac(mac.key_encryption, overlap=timedelta(0))).start()
    sent = len(world.network.sent)
    world.network.faults = {sent + 1: Fault.REFUSE}
    receipt = await pair.business.send("PS810FTRQ", BODY)
    await world.clock.advance(1)
    await pair.replaced()
    assert str((await ended(world, receipt.reply(), 100)).status) == "PSPPM0000I"


async def test_what_may_have_arrived_is_resent_byte_for_byte(pair: Pair) -> None:
    world = pair.world
    sent = len(world.network.sent)
    faults = (Fault.REFUSE, Fault.LOSE_REQUEST, Fault.REFUSE)
    world.network.faults = {sent + number: fault for number, fault in enumerate(faults, 1)}
    receipt = await pair.business.send("PS810FTRQ", BODY)
    await ended(world, receipt.reply(), 600)
    first, *others = world.network.sent[sent:]
    assert len(others) == 3
    assert len(set(others)) == 1
    assert first != others[0]  # nobody had it, and its timestamp is of the attempt that left


# what only looks


async def test_to_examine_a_message_leaves_no_trace(world: World, mac: Mac) -> None:
    platform = await world.platform(protection=mac)
    business = await world.business(protection=mac)
    world.network.faults = dict.fromkeys(range(2, 9), Fault.LOSE_REQUEST)
    exchange = asyncio.ensure_future(business.exchange_key("PSP"))
    await world.clock.advance(1)
    wire = await business.compose("PS810FTRQ", BODY)
    before = await platform.store.keys(), await platform.store.last_entry()
    assert before[0][0].state is State.PENDING
    assert (await platform.examine(wire)).accepted
    await world.clock.advance(1)
    assert (await platform.store.keys(), await platform.store.last_entry()) == before
    exchange.cancel()


async def test_to_examine_tells_of_a_retired_key(pair: Pair) -> None:
    forged = await pair.forged_payment()
    assert (await pair.platform.examine(forged)).accepted
    await pair.replaced()
    found = await pair.platform.examine(forged)
    assert (found.accepted, str(found.status)) == (False, "PSPPM0003E")
    await pair.platform.retire_key("BIZ", pair.leaked)
    found = await pair.platform.examine(forged)
    assert (str(found.status), "by hand" in found.reason) == ("PSPPM0003E", True)


async def test_examining_needs_no_running_handler_to_meet_an_unknown_key(
    world: World, mac: Mac, pair: Pair
) -> None:
    idle = world.handler("PSP", protection=mac, listens=False)
    found = await idle.examine(await pair.forged_payment())
    assert (found.accepted, str(found.status)) == (False, "PSPPM0003E")
