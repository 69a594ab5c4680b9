"""Results: tied to their requests, awaited by receipts, and sent once."""

from __future__ import annotations

import asyncio

import pytest

import msh
from msh.store import open_store
from msh.testing.network import Fault
from tests.outcomes.conftest import sample


def told(task: asyncio.Task[msh.Message]) -> str:
    assert task.done()
    return task.result().message_id


async def test_the_outcome_comes_after_the_reply(pair):
    business, platform = await pair.start("BIZ"), await pair.start("PSP")
    receipt = await business.send("PS810FTRQ", sample("PS810FTRQ"))
    outcome = asyncio.create_task(receipt.outcome())
    await pair.world.clock.advance(60)
    assert str((await receipt.reply()).status) == "PSPPM0000I"
    assert not outcome.done()
    result = await platform.send_result(receipt.message_id, sample("PS811FTRRQ"))
    await pair.world.clock.advance(1)
    assert told(outcome) == result.message_id
    assert b"PSPBK0000I" in outcome.result().body
    (got,) = [one for one in pair.got["BIZ"] if one.service == "PS811FTRRQ"]
    assert (got.ref_to, got.message_id) == (receipt.message_id, result.message_id)
    assert (await receipt.delivery()).state == "answered"


@pytest.mark.parametrize("ref_to", [True, False])
async def test_an_outcome_before_the_reply_ends_resending(pair, ref_to):
    business, platform = await pair.start("BIZ"), await pair.start("PSP")
    pair.world.network.faults = {1: Fault.SWALLOW_REPLY}
    receipt = await business.send("PS810FTRQ", sample("PS810FTRQ"))
    await pair.world.clock.advance(10)
    await platform.send(
        "PS811FTRRQ", sample("PS811FTRRQ"), ref_to=receipt.message_id if ref_to else None
    )
    await pair.world.clock.advance(600)
    assert (await receipt.delivery()).state == "resolved"
    assert (await receipt.outcome()).service == "PS811FTRRQ"
    assert len([wire for wire in pair.world.network.sent if b"PS810FTRQ<" in wire]) == 1


async def test_references_of_two_requests_tie_to_none(pair):
    business, platform = await pair.start("BIZ"), await pair.start("PSP")
    pair.world.network.always = Fault.LOSE_REQUEST
    receipts = [await business.send("PS810FTRQ", sample("PS810FTRQ")) for _ in range(2)]
    await pair.world.clock.advance(600)
    pair.world.network.always = None
    sent = await platform.send("PS811FTRRQ", sample("PS811FTRRQ"))
    await pair.world.clock.advance(1)
    for receipt in receipts:
        assert (await receipt.delivery()).state == "in-doubt"
    assert "ambiguous" in pair.world.steps(sent.message_id, "inbound")
    assert pair.seen("BIZ", "PS811FTRRQ") == [sent.message_id]


async def test_a_result_whose_request_is_unknown_reaches_its_handler(pair):
    await pair.start("BIZ")
    platform = await pair.start("PSP")
    sent = await platform.send("PS811FTRRQ", sample("PS811FTRRQ"), ref_to="FORGOTTEN")
    await pair.world.clock.advance(1)
    assert pair.seen("BIZ", "PS811FTRRQ") == [sent.message_id]


async def test_of_several_results_the_newest_is_the_outcome(pair):
    business, platform = await pair.start("BIZ"), await pair.start("PSP")
    receipt = await business.send("PS810FTRQ", sample("PS810FTRQ"))
    await pair.world.clock.advance(1)
    request = pair.got["PSP"][0]
    sent = []
    for code, key in (("PSPBK0107E", "preliminary"), ("PSPBK0000I", "final")):
        body = sample("PS811FTRRQ", Status=code)
        sent.append((await platform.send_result(request, body, key=key)).message_id)
        await pair.world.clock.advance(1)
    assert (await receipt.outcome()).message_id == sent[1]
    assert [one.message_id for one in await receipt.outcomes()] == sent
    steps = pair.world.steps(receipt.message_id, "outbound")
    assert steps[-2:] == ["resolved", "outcome"]


async def test_what_is_known_is_told_instead_of_waiting(pair):
    business = await pair.start("BIZ")
    await pair.start("PSP")
    pair.answers["PS810FTRQ"] = "PSPBK0005E"
    refused = await business.send("PS810FTRQ", sample("PS810FTRQ"))
    with pytest.raises(msh.UsageError, match="PS811FTRRQ has no result"):
        await (await business.send("PS811FTRRQ", sample("PS811FTRRQ"))).outcome()
    waiting = asyncio.create_task(refused.outcome())
    await pair.world.clock.advance(1)
    with pytest.raises(msh.NoOutcome) as error:
        waiting.result()
    assert str(error.value.status) == "PSPBK0005E"
    pair.world.network.always = Fault.REFUSE
    lost = await business.send("PS810FTRQ", sample("PS810FTRQ"))
    waiting = asyncio.create_task(lost.outcome())
    await pair.world.clock.advance(600)
    with pytest.raises(msh.Undelivered):
        waiting.result()


async def test_waiting_ends_with_its_time_and_with_the_handler(pair):
    business = await pair.start("BIZ")
    await pair.start("PSP")
    receipt = await business.send("PS810FTRQ", sample("PS810FTRQ"))
    limited = asyncio.create_task(receipt.outcome(timeout=5))
    waiting = asyncio.create_task(receipt.outcome())
    await pair.world.clock.advance(6)
    with pytest.raises(TimeoutError, match="one that comes later is kept"):
        limited.result()
    await business.stop()
    with pytest.raises(msh.StoreClosed):
        await waiting
    with pytest.raises(msh.StoreClosed):
        await receipt.outcome()


async def test_an_outcome_survives_a_restart(pair, tmp_path):
    url = f"sqlite:///{tmp_path}/biz.db"
    business = pair.make("BIZ", store=open_store(url))
    platform = await pair.start("PSP")
    await business.start()
    receipt = await business.send("PS810FTRQ", sample("PS810FTRQ"))
    await pair.world.clock.advance(1)
    await platform.send_result(receipt.message_id, sample("PS811FTRRQ"))
    await pair.world.clock.advance(1)
    await business.stop()
    again = await pair.start("BIZ", store=open_store(url))
    found = await again.receipt(receipt.message_id)
    assert (await found.outcome()).ref_to == receipt.message_id


async def test_an_outcome_that_another_process_received(pair, tmp_path):
    """Two handlers on one file: one sends and waits, the other one listens."""
    url = f"sqlite:///{tmp_path}/biz.db"
    sending = await pair.world.start(
        pair.world.handler("BIZ", store=open_store(url), listens=False, checks_content=True)
    )
    await pair.start("BIZ", store=open_store(url))
    platform = await pair.start("PSP")
    receipt = await sending.send("PS810FTRQ", sample("PS810FTRQ"))
    outcome = asyncio.create_task(receipt.outcome())
    await pair.world.clock.advance(1)
    await platform.send_result(receipt.message_id, sample("PS811FTRRQ"))
    await pair.world.clock.advance(1)
    async with asyncio.timeout(10):  # the other one's commit is noticed by polling
        assert (await outcome).ref_to == receipt.message_id


async def test_a_result_is_sent_once_also_after_a_restart(pair, tmp_path):
    url = f"sqlite:///{tmp_path}/psp.db"
    business = await pair.start("BIZ")
    platform = pair.make("PSP", store=open_store(url))
    await platform.start()
    receipt = await business.send("PS810FTRQ", sample("PS810FTRQ"))
    await pair.world.clock.advance(1)
    first = await platform.send_result(pair.got["PSP"][0], sample("PS811FTRRQ"))
    await platform.stop()
    again = await pair.start("PSP", store=open_store(url))
    second = await again.send_result(receipt.message_id, sample("PS811FTRRQ"))
    assert (first.message_id, first.created, second.created) == (second.message_id, True, False)
    await pair.world.clock.advance(100)
    assert pair.seen("BIZ", "PS811FTRRQ") == [first.message_id]
    with pytest.raises(msh.KeyReused):
        await again.send_result(receipt.message_id, sample("PS811FTRRQ", Status="PSPBK0005E"))


async def test_a_result_of_what_has_none_or_was_not_received(pair):
    business, platform = await pair.start("BIZ"), await pair.start("PSP")
    receipt = await business.send("PS811FTRRQ", sample("PS811FTRRQ"))
    await pair.world.clock.advance(1)
    with pytest.raises(msh.UsageError, match="PS811FTRRQ has no result"):
        await platform.send_result(receipt.message_id, sample("PS811FTRRQ"))
    with pytest.raises(msh.UnknownMessage):
        await platform.send_result("NOBODYS", sample("PS811FTRRQ"))


async def test_a_result_queued_with_the_reply(pair):
    business, platform = await pair.start("BIZ"), await pair.start("PSP")
    pair.answers["PS810FTRQ"] = lambda message: msh.Reply(
        "PSPPM0000I", then=(platform.result(message, sample("PS811FTRRQ")),)
    )
    receipt = await business.send("PS810FTRQ", sample("PS810FTRQ"))
    await pair.world.clock.advance(5)
    assert (await receipt.outcome()).ref_to == receipt.message_id


async def test_the_blocking_face_has_outcomes(tmp_path):
    from msh import blocking
    from msh.profile import Role
    from msh.testing.counterparty import Counterparty
    from tests.handler.conftest import agreement

    made = []
    with Counterparty(tmp_path, peer_url="http://127.0.0.1:9/sms") as platform:
        terms = agreement("BIZ", Role.BUSINESS, "PSP", Role.PSP, endpoint=platform.url)
        handler = blocking.MessageServiceHandler(
            msh.Agreements.of("BIZ", [terms]), f"sqlite:///{tmp_path}/biz.db"
        )
        with handler:
            receipt = handler.send("PS810FTRQ", sample("PS810FTRQ"))
            made.append(str(receipt.reply(timeout=10).status))
            with pytest.raises(TimeoutError):
                receipt.outcome(timeout=0.01)
            assert receipt.outcomes() == []
    assert made == ["PSPPM0000I"]
