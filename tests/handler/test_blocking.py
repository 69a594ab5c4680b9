"""The blocking face, and the fixture that users' tests have."""

from __future__ import annotations

import pytest

import msh
from msh.blocking import MessageServiceHandler
from msh.profile import Role
from tests.handler.conftest import BODY, agreement


def business(tmp_path, url, **changes):
    terms = agreement("BIZ", Role.BUSINESS, "PSP", Role.PSP, endpoint=url, **changes)
    return MessageServiceHandler(
        msh.Agreements.of("BIZ", [terms]), f"sqlite:///{tmp_path / 'biz.db'}"
    )


def test_send_and_reply(tmp_path, msh_counterparty):
    platform = msh_counterparty()
    with business(tmp_path, platform.url) as handler:
        receipt = handler.send("PS810FTRQ", BODY, key="invoice-17")
        assert str(receipt.reply(timeout=10).status) == "PSPPM0000I"
        again = handler.send("PS810FTRQ", BODY, key="invoice-17")
        assert (again.message_id, again.created) == (receipt.message_id, False)
        assert receipt.delivery().attempts == 1
        assert handler.receipt(receipt.message_id).settled(timeout=10).state == "answered"
        with pytest.raises(msh.KeyReused):
            handler.send("PS810FTRQ", "<Other/>", key="invoice-17")
    assert len(platform.messages) == 1


def test_a_lost_reply_is_repeated_from_the_store(tmp_path, msh_counterparty):
    platform = msh_counterparty().lose_reply(1)
    from datetime import timedelta

    quick = msh.Reliability(3, timedelta(seconds=0.05), 1, timedelta(seconds=2))
    with business(tmp_path, platform.url, outbound=quick) as handler:
        receipt = handler.send("PS810FTRQ", BODY)
        assert str(receipt.reply(timeout=20).status) == "PSPPM0000I"
        assert receipt.delivery().attempts == 2
    assert (len(platform.messages), platform.seen) == (1, 2)


def test_a_repeated_message_is_handled_once(tmp_path, msh_counterparty):
    platform = msh_counterparty().repeat(1, times=5)
    with business(tmp_path, platform.url) as handler:
        assert str(handler.send("PS810FTRQ", BODY).reply(timeout=10).status) == "PSPPM0000I"
    assert len(platform.messages) == 1


def test_a_banks_answer(tmp_path, msh_counterparty):
    def poor(message: msh.Message) -> msh.Reply:
        raise msh.Refuse("PSPBK0005E")

    bank = msh_counterparty(role="bank", party="PSP", answer=poor)
    with business(tmp_path, bank.url) as handler:
        reply = handler.send("PS810FTRQ", BODY).reply(timeout=10)
    assert reply.status.meaning is msh.Meaning.REFUSED


def test_receiving_with_plain_handlers(tmp_path, msh_counterparty):
    terms = agreement("BIZ", Role.BUSINESS, "PSP", Role.PSP, endpoint=None, sends=frozenset())
    handler = MessageServiceHandler(
        msh.Agreements.of("BIZ", [terms]),
        f"sqlite:///{tmp_path / 'biz.db'}",
        listen="http://127.0.0.1:0/sms",
    )
    seen = []

    @handler.on("PS810FTRQ", "PS811FTRRQ", "PS830INQRQ")
    def result(message: msh.Message) -> msh.Reply:
        seen.append(message.service)
        return msh.Reply("PSPPM0000I")

    with handler:
        platform = msh_counterparty(peer_url=handler.url)
        assert str(platform.send("PS811FTRRQ", BODY).status) == "PSPPM0000I"
    assert seen == ["PS811FTRRQ"]


def test_a_timeout_leaves_the_message_to_its_schedule(tmp_path, msh_counterparty):
    platform = msh_counterparty().delay_reply(1, 1.0)
    with business(tmp_path, platform.url) as handler:
        receipt = handler.send("PS810FTRQ", BODY)
        with pytest.raises(TimeoutError):
            receipt.reply(timeout=0.1)
        assert str(receipt.reply(timeout=10).status) == "PSPPM0000I"


def test_misuse_is_told(tmp_path):
    handler = business(tmp_path, "http://127.0.0.1:9/sms")
    with pytest.raises(msh.UsageError, match="does not run"):
        handler.send("PS810FTRQ", BODY)
    with handler, pytest.raises(msh.UsageError, match="runs already"):
        handler.start()
    handler.stop()  # a second time is nothing
