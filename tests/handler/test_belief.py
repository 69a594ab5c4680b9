"""What a sender may believe: each row of the table, from the wire to what the caller is told."""

from __future__ import annotations

import asyncio

import pytest

import msh
from msh.envelope import parse, serialise
from msh.profiles import standard_profile
from msh.testing.network import Fault
from msh.transport.base import Peer
from tests.handler.conftest import BODY

PROFILES = {standard_profile().namespace: standard_profile()}


def replied(**changes):
    """A forger of answers: the genuine one with some values changed."""

    def forge(wire: bytes) -> bytes:
        from dataclasses import replace

        return serialise(replace(parse(wire, PROFILES).message, **changes), standard_profile())

    return forge


async def deliver(world, receipt, seconds: float = 600):
    """Let the schedule run out, and what the caller is told then."""
    told = asyncio.create_task(receipt.reply())
    await world.clock.advance(seconds)
    assert told.done()
    return told


async def test_a_verified_bound_reply_is_the_answer(world):
    await world.platform(lambda _: msh.Reply("PSPPM0000I", body="<ok/>"))
    business = await world.business()
    receipt = await business.send("PS810FTRQ", BODY)
    reply = (await deliver(world, receipt, 1)).result()
    assert (str(reply.status), reply.body, reply.status_text) == (
        "PSPPM0000I",
        b"<ok></ok>",
        "處理完成",
    )
    assert (await receipt.delivery()).state == "answered"


async def test_a_refusal_of_the_only_copy_is_a_refusal(world):
    await world.platform(lambda _: msh.Reply("PSPBK0005E"))
    business = await world.business()
    receipt = await business.send("PS810FTRQ", BODY)
    reply = (await deliver(world, receipt, 1)).result()
    assert reply.status.meaning is msh.Meaning.REFUSED


async def test_system_error_is_answered_and_its_outcome_unknown(world):
    await world.platform(lambda _: msh.Reply("PSPPM9999S"))
    business = await world.business()
    receipt = await business.send("PS810FTRQ", BODY)
    with pytest.raises(msh.InDoubt) as told:
        (await deliver(world, receipt, 1)).result()
    assert str(told.value.status) == "PSPPM9999S"
    assert (await receipt.delivery()).state == "outcome-unknown"


PLATFORM_DOUBTS = [
    "PSPPM0001W",
    "PSPPM0002W",
    "PSPPM0001E",
    "PSPPM0002E",
    "PSPPM0003E",
    "PSPPM0004E",
    "PSPPM0002S",
]


@pytest.mark.parametrize("code", PLATFORM_DOUBTS)
async def test_a_refused_resend_says_nothing_of_the_first_copy(world, code):
    await world.platform(lambda _: msh.Reply(code))
    business = await world.business()
    world.network.faults = {1: Fault.LOSE_REQUEST}
    receipt = await business.send("PS810FTRQ", BODY)
    with pytest.raises(msh.InDoubt, match="first copy may have taken effect"):
        (await deliver(world, receipt)).result()
    assert (await receipt.delivery()).state == "refused-in-doubt"


@pytest.mark.parametrize("code", ["PSPBK0002S", "PSPBK0106E", "PSPBK0114E"])
async def test_a_banks_refusal_of_a_resend_too(world, code):
    await world.platform(lambda _: msh.Reply(code), own="BANK")
    business = await world.business(peer="BANK")
    world.network.faults = {1: Fault.LOSE_REQUEST}
    receipt = await business.send("PS810FTRQ", BODY)
    with pytest.raises(msh.InDoubt):
        (await deliver(world, receipt)).result()
    assert (await receipt.delivery()).state == "refused-in-doubt"


@pytest.mark.parametrize("code", PLATFORM_DOUBTS)
async def test_the_same_code_is_a_refusal_when_no_earlier_copy_can_have_arrived(world, code):
    await world.platform(lambda _: msh.Reply(code))
    business = await world.business()
    world.network.faults = {1: Fault.REFUSE}
    receipt = await business.send("PS810FTRQ", BODY)
    reply = (await deliver(world, receipt)).result()
    assert str(reply.status) == code
    assert (await receipt.delivery()).state == "answered"


async def test_the_second_copy_of_a_reconnect_counts_as_a_resend(world):
    await world.platform()
    business = await world.business()
    world.network.faults = {1: Fault.RECONNECT}
    world.network.forge = replied(status=msh.StatusCode.parse("PSPPM0002W"))
    receipt = await business.send("PS810FTRQ", BODY)
    with pytest.raises(msh.InDoubt):
        (await deliver(world, receipt, 1)).result()


async def test_an_ordinary_refusal_of_a_resend_is_the_stored_one(world):
    await world.platform(lambda _: msh.Reply("PSPBK0005E"))
    business = await world.business()
    world.network.faults = {1: Fault.LOSE_REPLY}
    receipt = await business.send("PS810FTRQ", BODY)
    reply = (await deliver(world, receipt)).result()
    assert str(reply.status) == "PSPBK0005E"


async def test_all_attempts_surely_not_sent(world):
    business = await world.business()
    world.network.always = Fault.REFUSE
    receipt = await business.send("PS810FTRQ", BODY)
    with pytest.raises(msh.Undelivered):
        (await deliver(world, receipt)).result()


@pytest.mark.parametrize("arrived", [1, 2, 3, 4])
async def test_given_up_after_any_attempt_that_may_have_arrived(world, arrived):
    business = await world.business()
    world.network.always = Fault.REFUSE
    world.network.faults = {arrived: Fault.LOSE_REQUEST}
    receipt = await business.send("PS810FTRQ", BODY)
    with pytest.raises(msh.InDoubt):
        (await deliver(world, receipt)).result()
    assert (await receipt.delivery()).state == "in-doubt"


@pytest.mark.parametrize(
    "changes",
    [
        {"ref_to": "ANOTHER"},
        {"ref_to": None},
        {"service": "PS811FTRRS"},
        {"service": "PS810FTRQ"},
        {"sender": "BANK"},
        {"receiver": "OTHER"},
        {"status": None},
    ],
)
async def test_an_unbound_reply_is_no_answer(world, changes):
    await world.platform()
    business = await world.business()
    world.network.forge = replied(**changes)
    receipt = await business.send("PS810FTRQ", BODY)
    with pytest.raises(msh.InDoubt):
        (await deliver(world, receipt)).result()
    assert len(world.network.sent) == 4


async def test_bytes_that_are_no_message_are_no_answer(world):
    await world.platform()
    business = await world.business()
    world.network.forge = lambda wire: b"<html>proxy error</html>"
    receipt = await business.send("PS810FTRQ", BODY)
    with pytest.raises(msh.InDoubt):
        (await deliver(world, receipt)).result()


async def test_a_late_reply_is_recorded_after_giving_up(world):
    platform = await world.platform()
    business = await world.business()
    business_receives = business.accept
    world.network.always = Fault.LOSE_REPLY
    receipt = await business.send("PS810FTRQ", BODY)
    await world.clock.advance(600)
    assert (await receipt.delivery()).state == "in-doubt"
    answer = await world.post(platform, world.network.sent[0])
    late = await business_receives(answer.wire, Peer("memory"), lambda: None)
    assert type(late).__name__ == "Taken"
    assert (await receipt.delivery()).state == "answered"
    assert str((await receipt.reply()).status) == "PSPPM0000I"


async def post_reply(world, business, genuine: bytes, code: str):
    """Bring a reply with another status as a message of its own."""
    wire = replied(status=msh.StatusCode.parse(code))(genuine)
    await business.accept(wire, Peer("memory"), lambda: None)


async def test_the_first_reply_wins_and_a_differing_one_is_an_alarm(world):
    platform = await world.platform()
    business = await world.business()
    receipt = await business.send("PS810FTRQ", BODY)
    await world.clock.advance(1)
    genuine = (await world.post(platform, world.network.sent[0])).wire
    await post_reply(world, business, genuine, "PSPBK0005E")
    await post_reply(world, business, genuine, "PSPPM0000I")
    delivery = await receipt.delivery()
    assert (delivery.state, str(delivery.status)) == ("answered", "PSPPM0000I")
    steps = world.steps(receipt.message_id, "outbound")
    assert steps[-2:] == ["answer-differs", "answer-repeated"]


@pytest.mark.parametrize("first", ["PSPPM9999S", "PSPPM0002W"])
async def test_a_doubtful_reply_gives_way_to_a_later_one(world, first):
    platform = await world.platform(lambda _: msh.Reply(first))
    business = await world.business()
    world.network.faults = {1: Fault.LOSE_REQUEST}
    receipt = await business.send("PS810FTRQ", BODY)
    await world.clock.advance(600)
    assert (await receipt.delivery()).state in ("outcome-unknown", "refused-in-doubt")
    genuine = (await world.post(platform, world.network.sent[0])).wire
    await post_reply(world, business, genuine, "PSPPM0000I")
    assert str((await receipt.reply()).status) == "PSPPM0000I"


async def test_a_result_resolves_the_doubt_and_ends_resending(world):
    business = world.handler("BIZ")

    @business.on("PS811FTRRQ", "PS810FTRQ", "PS830INQRQ")
    async def result(message: msh.Message) -> msh.Reply:
        return msh.Reply("PSPPM0000I")

    await world.start(business)
    platform = await world.platform()
    world.network.faults = {1: Fault.SWALLOW_REPLY}
    receipt = await business.send("PS810FTRQ", BODY)
    await world.clock.advance(10)
    await platform.send("PS811FTRRQ", BODY, ref_to=receipt.message_id)
    with pytest.raises(msh.Resolved):
        (await deliver(world, receipt)).result()
    assert (await receipt.delivery()).state == "resolved"
    copies = [wire for wire in world.network.sent if b"PS810FTRQ" in wire]
    assert len(copies) == 1


async def test_a_result_of_another_service_resolves_nothing(world):
    business = world.handler("BIZ")

    @business.on("PS811FTRRQ", "PS810FTRQ", "PS830INQRQ")
    async def result(message: msh.Message) -> msh.Reply:
        return msh.Reply("PSPPM0000I")

    await world.start(business)
    platform = await world.platform()
    world.network.faults = {1: Fault.SWALLOW_REPLY}
    receipt = await business.send("PS830INQRQ", BODY)
    await world.clock.advance(10)
    await platform.send("PS811FTRRQ", BODY, ref_to=receipt.message_id)
    await world.clock.advance(1)
    assert (await receipt.delivery()).state == "sending"
