"""Messages asked for again (PS802), and what an operator has run again."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

import msh
from msh.store import open_store
from msh.testing.network import Fault
from tests.outcomes.conftest import sample

DAY = date(2026, 11, 20)


async def exchanged(pair, **changes):
    """BIZ sent a request, and PSP its result, which BIZ has answered; both handlers."""
    business, platform = await pair.start("BIZ", **changes), await pair.start("PSP")
    receipt = await business.send("PS810FTRQ", sample("PS810FTRQ"))
    await pair.world.clock.advance(1)
    result = await platform.send_result(receipt.message_id, sample("PS811FTRRQ"))
    await pair.world.clock.advance(1)
    return business, platform, receipt, result


async def lose_the_inbox(pair, business, **changes):
    """BIZ starts anew with nothing: its disk was lost."""
    await business.stop()
    pair.got["BIZ"].clear()
    pair.repeats.clear()
    return await pair.start("BIZ", **changes)


async def test_the_own_inbox_is_read_first(pair):
    business, platform, _, result = await exchanged(pair)
    sent = len(pair.world.network.sent)
    again = await business.ask_again("PSP", message_ids=[result.message_id])
    assert [one.message_id for one in again.here] == [result.message_id]
    assert again.receipt is None
    assert len(pair.world.network.sent) == sent
    again = await platform.ask_again("BIZ", message_ids=[result.message_id, "NOBODYS"])
    assert again.here == ()  # it has sent that message, and not received it
    assert again.receipt is not None


@pytest.mark.parametrize(
    "asked",
    [
        {"service": "PS811FTRRQ", "date": DAY},
        {"references": msh.References("20261123000123", "FT20261123000123")},
        {"service": "PS811FTRRQ"},
        "id",
    ],
    ids=str,
)
async def test_what_was_lost_comes_again_and_its_handler_is_told(pair, asked):
    business, platform, _, result = await exchanged(pair)
    before = (await platform.receipt(result.message_id), await result.delivery())[1]
    business = await lose_the_inbox(pair, business)
    await pair.world.clock.advance(timedelta(minutes=15))  # its time to live has passed
    if asked == "id":
        asked = {"message_ids": [result.message_id]}
    again = await business.ask_again("PSP", **asked)
    await pair.world.clock.advance(2)
    reply = await again.receipt.reply()
    assert (str(reply.status), reply.status_text) == ("PSPPM0000I", "處理完成: 1 sent again")
    (got,) = pair.got["BIZ"]
    assert (got.message_id, pair.repeats) == (result.message_id, [True])
    assert await result.delivery() == before
    copies = [wire for wire in pair.world.network.sent if result.message_id.encode() in wire]
    forms = [wire for wire in copies if b"PS811FTRRQ<" in wire]
    assert len(forms) == 2
    assert forms[0] == forms[1]
    assert pair.world.steps(result.message_id, "outbound")[-3:] == [
        "repeat-asked",
        "repeated",
        "answer-repeated",
    ]


async def test_what_is_known_here_gets_its_stored_reply(pair):
    business, _, _, _ = await exchanged(pair)
    pair.repeats.clear()
    again = await business.ask_again("PSP", service="PS811FTRRQ", date=DAY)
    assert len(again.here) == 1
    await pair.world.clock.advance(2)
    assert str((await again.receipt.reply()).status) == "PSPPM0000I"
    assert pair.repeats == []
    (reception,) = await business.store.receptions(message_id=again.here[0].message_id)
    assert reception.replays == 1


async def test_nothing_found_is_a_refusal_by_role(pair):
    await pair.start("BIZ")
    platform = await pair.start("PSP")
    business = pair.world.handlers[0]
    asked = await business.ask_again("PSP", message_ids=["NOBODYS"])
    other = await platform.ask_again("BIZ", message_ids=["NOBODYS"])
    await pair.world.clock.advance(1)
    assert str((await asked.receipt.reply()).status) == "PSPBK0110E"
    assert str((await other.receipt.reply()).status) == "PSPPM0001S"  # a business system has no BK


async def test_a_request_for_nothing(pair):
    business, _, _, _ = await exchanged(pair)
    with pytest.raises(msh.UsageError, match="ask for something"):
        await business.ask_again("PSP")
    receipt = await business.send(
        "PS802RSDRQ", sample("PS802RSDRQ").partition("<SvcId>")[0] + "</PS802RSDRQ>"
    )
    await pair.world.clock.advance(1)
    assert str((await receipt.reply()).status) == "PSPPM0001S"


async def test_only_what_was_sent_to_the_asker_is_given(pair):
    from dataclasses import replace

    business, platform, _, result = await exchanged(pair)
    delivery = await result.delivery()
    foreign = replace(delivery, receiver="BANK")
    assert foreign.receiver == "BANK"
    found = await platform.store.sent_to("BANK", message_ids=[result.message_id])
    assert found == []
    own = await business.ask_again("PSP", message_ids=["X", result.message_id])
    await pair.world.clock.advance(1)
    assert str((await own.receipt.reply()).status) == "PSPBK0110E"


async def test_a_message_in_doubt_is_resent(pair):
    business, platform = await pair.start("BIZ"), await pair.start("PSP")
    pair.world.network.always = Fault.LOSE_REQUEST
    lost = await platform.send("PS811FTRRQ", sample("PS811FTRRQ"))
    await pair.world.clock.advance(600)
    pair.world.network.always = None
    assert (await lost.delivery()).state == "in-doubt"
    await business.ask_again("PSP", message_ids=[lost.message_id])
    await pair.world.clock.advance(2)
    assert (await lost.delivery()).state == "answered"
    assert pair.repeats == [True]


async def test_a_repeat_is_tried_again_by_the_schedule_and_after_a_restart(pair, tmp_path):
    url = f"sqlite:///{tmp_path}/psp.db"
    business = await pair.start("BIZ")
    platform = pair.make("PSP", store=open_store(url))
    await platform.start()
    sent = await platform.send("PS811FTRRQ", sample("PS811FTRRQ"))
    await pair.world.clock.advance(1)
    business = await lose_the_inbox(pair, business)
    await business.ask_again("PSP", message_ids=[sent.message_id])
    pair.world.network.always = Fault.LOSE_REPLY  # also of the request itself
    await pair.world.clock.advance(10)
    count = len(pair.got["BIZ"])
    await platform.stop()
    pair.world.network.always = None
    platform = await pair.start("PSP", store=open_store(url))
    await pair.world.clock.advance(200)
    assert len(pair.got["BIZ"]) == max(count, 1)
    assert await platform.store.next_repeat("BIZ") is None
    assert (await (await platform.receipt(sent.message_id)).delivery()).state == "answered"


async def test_a_repeat_is_told_to_every_run(pair):
    business, platform, _, result = await exchanged(pair)
    business = await lose_the_inbox(pair, business)
    runs = []

    def fail_twice(message):
        runs.append(message)
        if len(runs) < 3:
            raise ValueError
        return msh.Reply("PSPPM0000I")

    pair.answers["PS811FTRRQ"] = fail_twice
    await business.ask_again("PSP", message_ids=[result.message_id])
    await pair.world.clock.advance(60)
    assert pair.repeats == [True, True, True]
    assert platform is not None


async def test_a_sites_own_handler_wins(pair):
    platform = pair.make("PSP")

    @platform.on("PS802RSDRQ")
    def own(message: msh.Message) -> msh.Reply:
        return msh.Reply("PSPPM0000I", text="by the site")

    await pair.world.start(platform)
    business = await pair.start("BIZ")
    again = await business.ask_again("PSP", message_ids=["NOBODYS"])
    await pair.world.clock.advance(1)
    assert (await again.receipt.reply()).status_text.endswith("by the site")


async def test_a_stranger_to_the_criteria_is_no_repeat_and_expires(pair):
    business, platform, _, result = await exchanged(pair)
    business = await lose_the_inbox(pair, business)
    await pair.world.clock.advance(timedelta(minutes=15))
    await business.ask_again("PSP", service="PS831INRRQ")
    await platform.store.repeat((await result.delivery()).id, "X", pair.world.clock.now())
    platform._leg.changed()
    await pair.world.clock.advance(2)
    (reception,) = await business.store.receptions(message_id=result.message_id)
    assert str(reception.status) == "PSPPM0002W"
    assert pair.got["BIZ"] == []


# reruns


async def set_aside(pair):
    """PSP could not handle a request of BIZ; both handlers."""
    business, platform = await pair.start("BIZ"), await pair.start("PSP")

    def fail(message):
        raise ValueError

    pair.answers["PS810FTRQ"] = fail
    receipt = await business.send("PS810FTRQ", sample("PS810FTRQ"))
    await pair.world.clock.advance(60)
    assert (await receipt.delivery()).state == "outcome-unknown"
    return business, platform, receipt


async def test_a_rerun_tells_its_outcome_by_a_result(pair):
    _, platform, receipt = await set_aside(pair)
    pair.answers["PS810FTRQ"] = "PSPBK0005E"
    await pair.world.clock.advance(timedelta(minutes=15))
    await platform.store.rerun("BIZ", receipt.message_id, pair.world.clock.now())
    await pair.world.clock.advance(10)
    delivery = await receipt.delivery()
    assert (delivery.state, str(delivery.status)) == ("resolved", "PSPPM9999S")
    result = await receipt.outcome()
    assert b"<Status>PSPBK0005E</Status>" in result.body
    (reception,) = await platform.store.receptions(message_id=receipt.message_id)
    assert (reception.state, str(reception.status)) == ("answered", "PSPPM9999S")
    assert len(pair.seen("BIZ", "PS811FTRRQ")) == 1


async def test_a_handler_that_tells_its_own_result_is_left_alone(pair):
    _, platform, receipt = await set_aside(pair)
    pair.answers["PS810FTRQ"] = lambda message: msh.Reply(
        "PSPPM0000I", then=(platform.result(message, sample("PS811FTRRQ"), key="mine"),)
    )
    await platform.store.rerun("BIZ", receipt.message_id, pair.world.clock.now())
    await pair.world.clock.advance(10)
    assert len(pair.seen("BIZ", "PS811FTRRQ")) == 1
    assert len(await receipt.outcomes()) == 1


async def test_a_rerun_that_fails_is_set_aside_again(pair):
    _, platform, receipt = await set_aside(pair)
    await platform.store.rerun("BIZ", receipt.message_id, pair.world.clock.now())
    await pair.world.clock.advance(60)
    (reception,) = await platform.store.receptions(message_id=receipt.message_id)
    assert (reception.state, reception.runs) == ("set-aside", 4)
    assert (await receipt.delivery()).state == "outcome-unknown"


def test_the_day_is_the_profiles(pair):
    """The virtual clock begins on 20 November, 09:00 in Taipei."""
    assert pair.world.clock.now() == datetime(2026, 11, 20, 1, 0, tzinfo=UTC)
