"""What a sender is told: empty bodies, a second series, time-outs, a stop, and the log."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import msh
from msh.blocking import MessageServiceHandler
from msh.deliverylog import DeliveryLog
from msh.profile import Role
from msh.protocol.journal import Direction, Entry, Step
from tests.handler.conftest import BODY, agreement

# arguments


@pytest.mark.parametrize("body", [b"", "", b" \n", "\t"])
async def test_an_empty_body_is_refused(world, body):
    business = await world.business()
    with pytest.raises(msh.InvalidBody, match="the body is empty"):
        await business.send("PS810FTRQ", body)
    with pytest.raises(msh.InvalidBody, match="the body is empty"):
        await business.compose("PS810FTRQ", body)
    assert await business.store.deliveries() == []


async def test_none_is_meant_to_be_no_body(world):
    platform = await world.platform()
    business = await world.business()
    receipt = await business.send("PS810FTRQ", None)
    assert str((await receipt.reply()).status) == "PSPPM0000I"
    assert [message.body for message in platform.calls] == [b""]
    with pytest.raises(TypeError, match="body"):
        await business.send("PS810FTRQ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"key": 17}, "key must be a text, not int"),
        ({"message_id": 5}, "message_id must be a text, not int"),
        ({"ref_to": 5}, "ref_to must be a text, not int"),
        ({"to": ["PSP"]}, "to must be a text, not list"),
        ({"body": {"Amt": "1234567890"}}, "the body must be bytes or a text, not dict"),
        ({"body": Path("x.xml")}, "not PosixPath"),
        ({"body": bytearray(b"<a/>")}, "not bytearray"),
        ({"service": 810}, "service must be a text, not int"),
        ({"service": "PS810FTR"}, "did you mean PS810FTRQ"),
    ],
)
async def test_an_argument_of_a_wrong_kind_is_named(world, arguments: Any, said: str):
    business = await world.business()
    usual = {"service": "PS810FTRQ", "body": BODY} | arguments
    with pytest.raises(msh.UsageError, match=said) as caught:
        await business.send(usual.pop("service"), usual.pop("body"), **usual)
    assert "1234567890" not in str(caught.value)


def test_a_handler_is_not_made_of_a_file_name():
    with pytest.raises(msh.UsageError, match="from_config"):
        msh.MessageServiceHandler("msh.toml", "sqlite::memory:")  # type: ignore[arg-type]


async def test_a_receiver_without_any_handler_does_not_start(world):
    platform = world.handler("PSP")
    with pytest.raises(msh.ConfigurationError) as caught:
        await platform.start()
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "PS810FTRQ",
        "PS811FTRRQ",
        "PS830INQRQ",
    ]
    await world.start(world.handler("PSP", accepts=frozenset()))  # which has nothing to receive


# a second series


async def test_what_was_not_sent_is_sent_again_as_the_same_message(world):
    business = await world.business()
    receipt = await business.send("PS810FTRQ", BODY, key="invoice-17")
    await world.clock.advance(600)
    with pytest.raises(msh.Undelivered):
        await receipt.reply()
    platform = await world.platform()
    again = await business.send("PS810FTRQ", BODY, key="invoice-17")
    with pytest.raises(msh.Undelivered):
        await again.reply()
    resent = await business.resend(receipt.message_id)
    assert str((await resent.reply()).status) == "PSPPM0000I"
    assert str((await again.reply()).status) == "PSPPM0000I"
    assert [message.message_id for message in platform.calls] == [receipt.message_id]
    with pytest.raises(msh.UsageError, match="it is answered"):
        await business.resend(receipt.message_id)
    with pytest.raises(msh.UnknownMessage):
        await business.resend("BIZ-0")


def test_the_blocking_face_resends_too(tmp_path, msh_counterparty):
    platform = msh_counterparty().lose_request(1)
    once = msh.Reliability(0, timedelta(0), 1, timedelta(seconds=2))
    terms = agreement("BIZ", Role.BUSINESS, "PSP", Role.PSP, endpoint=platform.url, outbound=once)
    url = f"sqlite:///{tmp_path / 'biz.db'}"
    with MessageServiceHandler(msh.Agreements.of("BIZ", [terms]), url) as handler:
        receipt = handler.send("PS810FTRQ", BODY)
        with pytest.raises(msh.InDoubt):
            receipt.reply(timeout=10)
        resent = handler.resend(receipt.message_id)
        assert str(resent.reply(timeout=10).status) == "PSPPM0000I"
    assert [one.message_id for one in platform.messages] == [receipt.message_id]


# waiting


async def test_a_time_out_says_that_the_message_goes_on(world):
    business = await world.business()
    receipt = await business.send("PS810FTRQ", BODY)
    for wait in (receipt.reply, receipt.settled):
        waiting = asyncio.create_task(wait(timeout=100))
        await world.clock.advance(99)
        assert not waiting.done()
        await world.clock.advance(1)
        with pytest.raises(TimeoutError, match=f"{receipt.message_id}: no end within 100 s; .*on"):
            await waiting
    await world.platform()
    await world.clock.advance(100)
    assert str((await receipt.reply(timeout=0)).status) == "PSPPM0000I"


def test_the_blocking_time_out_says_so_too(tmp_path, msh_counterparty):
    platform = msh_counterparty().delay_reply(1, 1.0)
    terms = agreement("BIZ", Role.BUSINESS, "PSP", Role.PSP, endpoint=platform.url)
    url = f"sqlite:///{tmp_path / 'biz.db'}"
    with MessageServiceHandler(msh.Agreements.of("BIZ", [terms]), url) as handler:
        receipt = handler.send("PS810FTRQ", BODY)
        with pytest.raises(TimeoutError, match=rf"{receipt.message_id}: no end within 0\.1 s"):
            receipt.settled(timeout=0.1)


async def test_a_receipt_that_outlives_its_handler_is_told_so(world):
    business = world.handler("BIZ", listens=False)
    async with business:
        receipt = await business.send("PS810FTRQ", BODY)
    for ask in (receipt.delivery, receipt.reply):
        with pytest.raises(msh.StoreClosed, match=f"{receipt.message_id}: the handler was stopped"):
            await ask()


# the log


async def test_a_counterparty_that_is_away_is_in_the_log(world, caplog):
    business = await world.business()
    receipt = await business.send("PS810FTRQ", BODY)
    await world.clock.advance(600)
    lines = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    assert len(lines) == 5
    for number, line in enumerate(lines[:4], 1):
        assert line.startswith(f"{receipt.message_id} to PSP: attempt {number} failed, not sent")
    assert lines[4] == (
        f"{receipt.message_id} to PSP: given up, surely not sent: no copy has left; see "
        f"`msh why {receipt.message_id}`"
    )
    assert "1000" not in caplog.text


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("PSPPM9999S", "outcome unknown: the other side had a system error (PSPPM9999S); see"),
        ("PSPPM0000I", None),
        ("PSPPM0001S", None),
    ],
)
async def test_an_end_in_doubt_is_in_the_log(world, caplog, status, said):
    await world.platform(lambda message: msh.Reply(status))
    business = await world.business()
    receipt = await business.send("PS810FTRQ", BODY)
    await receipt.settled()
    lines = [one.getMessage() for one in caplog.records if one.name == "msh.sender"]
    assert [said in line for line in lines] == ([True] if said else [])


def entry(step: Step, at: float, message_id: str = "M-1", peer: str = "PSP", **details: Any):
    moment = datetime(2026, 11, 21, tzinfo=UTC) + timedelta(seconds=at)
    return Entry(moment, step, Direction.OUTBOUND, message_id, peer, "PS810FTRQ", details)


def test_failed_attempts_are_counted_rather_than_told_one_by_one(caplog):
    log = DeliveryLog()
    failed = {"attempt": 1, "outcome": "no answer", "detail": "connection closed"}
    for number in range(1000):
        log(entry(Step.ATTEMPT_FAILED, number / 100, f"M-{number}", **failed))
    log(entry(Step.ATTEMPT_FAILED, 5, "M-0", "BANK", **failed))
    log(entry(Step.ATTEMPT_FAILED, 5, "M-1", outcome="rejected", detail="HTTP 404", attempt=2))
    log(entry(Step.ATTEMPT_FAILED, 10, "M-2", **failed))
    log(entry(Step.ATTEMPT_FAILED, 20, "M-3", **failed))
    assert [record.getMessage() for record in caplog.records] == [
        "M-0 to PSP: attempt 1 failed, no answer: connection closed",
        "M-0 to BANK: attempt 1 failed, no answer: connection closed",
        "M-1 to PSP: attempt 2 failed, rejected: HTTP 404",
        "M-2 to PSP: attempt 1 failed, no answer: connection closed (and 999 more such attempts "
        "since the last such line)",
        "M-3 to PSP: attempt 1 failed, no answer: connection closed",
    ]


@pytest.mark.parametrize(
    ("step", "details", "said"),
    [
        (Step.GIVEN_UP, {"state": "in-doubt"}, "given up, in doubt: a copy may have arrived"),
        (
            Step.ANSWERED,
            {"state": "refused-in-doubt", "status": "PSPPM0001W"},
            "refused, in doubt: that says nothing of the first copy (PSPPM0001W)",
        ),
        (
            Step.ANSWER_DIFFERS,
            {"status": "PSPPM0001S", "kept": "PSPPM0000I"},
            "ALARM: another answer, PSPPM0001S; PSPPM0000I stays",
        ),
    ],
)
def test_what_somebody_has_to_look_at_is_always_told(caplog, step, details, said):
    log = DeliveryLog()
    for number in range(3):
        log(entry(step, 0, f"M-{number}", **details))
    lines = [record.getMessage() for record in caplog.records]
    assert [line.startswith(f"M-{n} to PSP: {said}") for n, line in enumerate(lines)] == [True] * 3
