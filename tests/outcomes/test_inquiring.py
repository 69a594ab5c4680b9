"""Inquiries: what their answers let believe, by hand and by themselves."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

import msh
from msh.content.building import build
from msh.profiles import standard_profile
from msh.testing.network import Fault
from tests.outcomes.conftest import sample


async def in_doubt(pair, **changes):
    """A request that was given up in doubt, and both handlers."""
    business, platform = await pair.start("BIZ", **changes), await pair.start("PSP")
    pair.world.network.faults = dict.fromkeys(range(1, 5), Fault.LOSE_REQUEST)
    receipt = await business.send("PS810FTRQ", sample("PS810FTRQ"))
    await pair.world.clock.advance(541)
    assert (await receipt.delivery()).state == "in-doubt"
    return business, platform, receipt


async def test_an_inquiry_names_what_it_asks_about(pair):
    business, _, receipt = await in_doubt(pair)
    asked = await business.inquire(receipt)
    again = await business.inquire(receipt.message_id)
    assert again.message_id == asked.message_id
    await pair.world.clock.advance(1)
    (message,) = [one for one in pair.got["PSP"] if one.service == "PS830INQRQ"]
    assert message.ref_to == receipt.message_id
    content = standard_profile().content
    expected = build(
        content,
        "PS830INQRQ",
        [
            ("SSNID", "20261123000123"),
            ("SVCREFID", "FT20261123000123"),
            ("BusType", "010"),
            ("MsgId", receipt.message_id),
        ],
    )
    assert message.body == expected
    assert "inquired" in pair.world.steps(receipt.message_id, "outbound")


@pytest.mark.parametrize(
    ("code", "state"),
    [("PSPBK0000I", "resolved"), ("PSPBK0005E", "resolved"), ("PSPBK0107E", "in-doubt")],
)
async def test_what_a_result_of_the_inquiry_says(pair, code, state):
    business, platform, receipt = await in_doubt(pair)
    asked = await business.inquire(receipt)
    await pair.world.clock.advance(1)
    body = sample("PS831INRRQ", Status=code)
    result = await platform.send_result(asked.message_id, body)
    await pair.world.clock.advance(1)
    assert (await receipt.delivery()).state == state
    if state == "resolved":
        assert (await receipt.outcome()).message_id == result.message_id


@pytest.mark.parametrize("by", ["reply", "result"])
@pytest.mark.parametrize(
    ("after", "state"), [(0, "in-doubt"), (118, "in-doubt"), (120, "not-executed")]
)
async def test_not_found_counts_past_the_time_to_live_and_the_skew(pair, by, after, state):
    """The request left 541 s ago; it lives ten minutes, and one minute of skew is agreed."""
    business, platform, receipt = await in_doubt(pair)
    if by == "reply":
        pair.answers["PS830INQRQ"] = "PSPBK0110E"
    await pair.world.clock.advance(after)
    asked = await business.inquire(receipt)
    outcome = asyncio.create_task(receipt.outcome())
    await pair.world.clock.advance(1)
    if by == "result":
        body = sample("PS831INRRQ", Status="PSPBK0105E").partition("<PmtSvc>")[0]
        await platform.send_result(asked.message_id, body + "</PS831INRRQ>")
        await pair.world.clock.advance(1)
    assert (await receipt.delivery()).state == state
    if state == "not-executed":
        with pytest.raises(msh.NotExecuted):
            await receipt.reply()
        with pytest.raises(msh.NotExecuted):
            outcome.result()
    else:
        with pytest.raises(msh.InDoubt):
            await receipt.reply()
        assert not outcome.done()
        outcome.cancel()


async def test_what_was_not_executed_is_not_resent(pair):
    business, _, receipt = await in_doubt(pair)
    pair.answers["PS830INQRQ"] = "PSPBK0110E"
    await pair.world.clock.advance(120)
    await business.inquire(receipt)
    await pair.world.clock.advance(1)
    with pytest.raises(msh.UsageError, match="not-executed"):
        await business.resend(receipt.message_id)


async def test_what_cannot_be_asked_about(pair):
    business = await pair.start("BIZ")
    pair.world.network.always = Fault.REFUSE
    receipt = await business.send("PS810FTRQ", sample("PS810FTRQ"))
    await pair.world.clock.advance(600)
    with pytest.raises(msh.UsageError, match="no copy has left"):
        await business.inquire(receipt)
    with pytest.raises(msh.UnknownMessage):
        await business.inquire("NOBODYS")


async def test_an_inquiry_must_be_agreed(pair):
    business, _, receipt = await in_doubt(pair, sends=frozenset({"PS810FTRQ"}))
    with pytest.raises(msh.NotAgreed):
        await business.inquire(receipt)


async def test_nothing_is_asked_by_itself_unless_agreed(pair):
    business, _, _ = await in_doubt(pair)
    await pair.world.clock.advance(timedelta(minutes=30))
    assert len(await business.store.deliveries()) == 1


async def test_it_asks_by_itself_at_once_and_when_the_answer_counts(pair):
    _, _, receipt = await in_doubt(pair, inquire=True)
    pair.answers["PS830INQRQ"] = "PSPBK0110E"
    await pair.world.clock.advance(10)
    assert len(pair.seen("PSP", "PS830INQRQ")) == 1
    assert (await receipt.delivery()).state == "in-doubt"
    await pair.world.clock.advance(100)
    assert len(pair.seen("PSP", "PS830INQRQ")) == 1
    await pair.world.clock.advance(10)
    assert len(pair.seen("PSP", "PS830INQRQ")) == 2
    assert (await receipt.delivery()).state == "not-executed"
    await pair.world.clock.advance(timedelta(minutes=30))
    assert len(pair.seen("PSP", "PS830INQRQ")) == 2


async def test_it_asks_after_a_restart_too_and_only_once_of_two_processes(pair, tmp_path):
    from msh.store import open_store

    url = f"sqlite:///{tmp_path}/biz.db"
    first = pair.make("BIZ", store=open_store(url))
    await pair.start("PSP")
    await first.start()
    pair.world.network.faults = dict.fromkeys(range(1, 5), Fault.LOSE_REQUEST)
    receipt = await first.send("PS810FTRQ", sample("PS810FTRQ"))
    await pair.world.clock.advance(541)
    await first.stop()
    await pair.start("BIZ", store=open_store(url), inquire=True)
    await pair.start("BIZ", store=open_store(url), inquire=True, url="memory://two/sms")
    await pair.world.clock.advance(10)
    (asked,) = pair.seen("PSP", "PS830INQRQ")
    assert asked != receipt.message_id


def test_inquiring_by_itself_wants_the_service(tmp_path):
    from typer.testing import CliRunner

    from msh.cli import app
    from msh.config import read_configuration

    assert (
        CliRunner().invoke(app, ["init", str(tmp_path / "b"), "--role", "business"]).exit_code == 0
    )
    file = tmp_path / "b" / "msh.toml"
    text = file.read_text().replace("[agreements.PSP]", "[agreements.PSP]\ninquire = true", 1)
    file.write_text(text)
    assert read_configuration(file).agreements["PSP"].inquire
    file.write_text(text.replace('"PS830INQRQ"', '"PS850CERQ"'))
    with pytest.raises(msh.ConfigurationError, match="inquire: wants PS830INQRQ in `sends`"):
        read_configuration(file)
