"""Any zeep client, with the delivery of a handler."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import zeep
from lxml import etree
from typer.testing import CliRunner

import msh
import msh.soap
from msh.blocking import MessageServiceHandler
from msh.cli import app
from msh.profiles import read_profile
from tests.soap.conftest import PATIENCE, REQUESTS, Platform, agreement, header, values
from tests.soap.conftest import SHIPPED as FOLDER

SHIPPED = str(FOLDER / "sms.wsdl")
QUICK = msh.Reliability(3, timedelta(seconds=0.05), 1, timedelta(seconds=2))
Start = Callable[..., Platform]
Sender = Callable[..., MessageServiceHandler]


@pytest.fixture
def business(tmp_path: Path) -> Iterator[Sender]:
    """Start a business system that sends to a URL, with changes to its agreement."""
    with ExitStack() as stack:

        def start(url: str, **changes: Any) -> MessageServiceHandler:
            terms = agreement("BIZ", url, **{"outbound": QUICK, **changes})
            store = f"sqlite:///{tmp_path / 'biz.db'}"
            handler = MessageServiceHandler(msh.Agreements.of("BIZ", [terms]), store)
            return stack.enter_context(handler)

        yield start


def durable(handler: MessageServiceHandler, **options: Any) -> zeep.Client:
    return zeep.Client(
        SHIPPED, transport=msh.soap.DurableTransport(handler, timeout=PATIENCE, **options)
    )


def sent(handler: MessageServiceHandler, reply: Any) -> msh.Delivery:
    return handler.receipt(reply.header.MessageHeader.RefToMsgId).delivery()


@pytest.mark.parametrize("service", REQUESTS)
def test_each_request(platform: Start, business: Sender, service: str) -> None:
    server = platform()
    handler = business(server.url)
    call = values(service)
    reply = durable(handler).service[service](**call)
    assert reply.body.Status == reply.header.MessageHeader.StatusCode == "PSPPM0000I"
    assert sent(handler, reply).state == "answered"
    (message,) = server.messages
    assert msh.bodies.read(message) == call
    assert b"xmlns:soap" not in message.body, "nothing of the envelope that zeep made"


def test_a_lost_reply_is_no_loss(msh_counterparty: Any, business: Sender) -> None:
    there = msh_counterparty().lose_reply(1)
    handler = business(there.url)
    reply = durable(handler).service.PS810FTRQ(**values("PS810FTRQ"))
    assert reply.body.Status == "PSPPM0000I", "filled in: this peer answers without a body"
    assert sent(handler, reply).attempts == 2
    assert (len(there.messages), there.seen) == (1, 2)


def test_a_call_may_be_repeated(platform: Start, business: Sender) -> None:
    server = platform()
    handler = business(server.url)
    client, call = durable(handler), values("PS810FTRQ")
    with client.settings(extra_http_headers={msh.soap.KEY_HEADER: "invoice-17"}):
        keyed = [client.service.PS810FTRQ(**call) for _ in range(2)]
    named, other = values("PS810FTRQ"), values("PS810FTRQ")
    head = header("PS810FTRQ", "BIZ-7")
    again = [client.service.PS810FTRQ(**named, _soapheaders=head) for _ in range(2)]
    for pair in (keyed, again):
        first, second = (reply.header.MessageHeader.MsgId for reply in pair)
        assert first == second
    assert again[0].header.MessageHeader.RefToMsgId == "BIZ-7"
    assert len(server.messages) == 2
    with pytest.raises(msh.KeyReused):
        client.service.PS810FTRQ(**other, _soapheaders=head)


def test_a_refusal_is_a_reply(platform: Start, business: Sender) -> None:
    server = platform()
    server.answer = lambda message: msh.Reply("PSPBK0005E")
    handler = business(server.url)
    assert durable(handler).service.PS810FTRQ(**values("PS810FTRQ")).body.Status == "PSPBK0005E"


def test_what_became_of_it_is_raised(
    platform: Start, business: Sender, unused_tcp_port: int
) -> None:
    once = msh.Reliability(0, timedelta(0), 1, timedelta(seconds=0.3))
    away = business(f"http://127.0.0.1:{unused_tcp_port}/sms", outbound=once)
    with pytest.raises(msh.Undelivered) as caught:
        durable(away).service.PS810FTRQ(**values("PS810FTRQ"))
    assert away.receipt(caught.value.message_id).delivery().state == "not-sent"


def test_a_doubt_is_raised(msh_counterparty: Any, business: Sender) -> None:
    once = msh.Reliability(0, timedelta(0), 1, timedelta(seconds=2))
    handler = business(msh_counterparty().lose_reply(1).url, outbound=once)
    with pytest.raises(msh.InDoubt):
        durable(handler).service.PS810FTRQ(**values("PS810FTRQ"))


def test_a_timeout_leaves_the_message_queued(msh_counterparty: Any, business: Sender) -> None:
    there = msh_counterparty().delay_reply(1, 1.0)
    handler = business(there.url)
    client, call = durable(handler), values("PS810FTRQ")
    key = client.settings(extra_http_headers={msh.soap.KEY_HEADER: "invoice-18"})
    with key, client.transport.settings(timeout=0.1), pytest.raises(TimeoutError) as caught:
        client.service.PS810FTRQ(**call)
    told = str(caught.value)
    message_id = told.partition(":")[0]
    assert f"handler.receipt('{message_id}')" in told
    assert str(handler.receipt(message_id).reply(PATIENCE).status) == "PSPPM0000I"
    with client.settings(extra_http_headers={msh.soap.KEY_HEADER: "invoice-18"}):
        reply = client.service.PS810FTRQ(**call)
    assert reply.header.MessageHeader.RefToMsgId == message_id
    assert len(there.messages) == 1


def test_what_is_wrong_is_not_queued(platform: Start, business: Sender) -> None:
    server = platform()
    handler = business(server.url)
    client = durable(handler)
    wrong = {**values("PS810FTRQ"), "SSNID": "not one word"}
    with pytest.raises(msh.InvalidBody, match="SSNID") as caught:
        client.service.PS810FTRQ(**wrong)
    assert "not one word" not in str(caught.value)
    call = values("PS810FTRQ")
    for changes, said in (({"Receiver": "BANK"}, "BANK"), ({"Sender": "OTHER"}, "OTHER")):
        with pytest.raises(msh.UsageError, match=said):
            client.service.PS810FTRQ(**call, _soapheaders=header("PS810FTRQ", "BIZ-1", **changes))
    further = etree.fromstring('<a:Security xmlns:a="urn:a"/>')
    with pytest.raises(msh.UsageError, match="'Security', which would not be sent"):
        client.service.PS810FTRQ(**call, _soapheaders=[further])
    assert not server.messages


def test_a_float_that_is_no_amount_is_refused(platform: Start, business: Sender) -> None:
    """zeep writes whatever a float shows; the schema sees a text."""
    handler = business(platform().url)
    call = values("PS810FTRQ")
    call["PmtSvc"][0]["OUT"][0]["Amt"] = 0.1 + 0.2
    with pytest.raises(msh.InvalidBody, match="Amt"):
        durable(handler).service.PS810FTRQ(**call)


def test_a_peer_that_answers_with_a_body_of_its_own(platform: Start, business: Sender) -> None:
    server = platform()
    fields = {"SSNID": "1", "SVCREFID": "2", "Status": "PSPPM0000I", "StatusText": "處理完成"}
    server.answer = lambda message: msh.Reply("PSPPM0000I", msh.bodies.build("PS810FTRS", fields))
    reply = durable(business(server.url)).service.PS810FTRQ(**values("PS810FTRQ"))
    assert {name: reply.body[name] for name in fields} == fields


def test_a_profile_of_a_sites_own(
    platform: Start, business: Sender, site: Path, tmp_path: Path
) -> None:
    """Other names and schemas, and no code changed; the body is not called as its service."""
    profile = read_profile(site)
    server = platform(profile=profile)
    handler = business(server.url, profile=profile)
    client = zeep.Client(
        server.described(tmp_path / "wsdl"), transport=msh.soap.DurableTransport(handler)
    )
    head = {"Head": {**header("PS810FTRQ", "BIZ-1")["MessageHeader"], "Number": "BIZ-1"}}
    del head["Head"]["MsgId"]
    for number, given in enumerate(({}, {"_soapheaders": head}), 1):
        reply = client.service.PS810FTRQ(Serial=str(number), **given)
        assert reply.body.Status == reply.header.Head.StatusCode == "PSPPM0000I"
    assert [message.service for message in server.messages] == ["PS810FTRQ"] * 2
    assert server.messages[1].message_id == "BIZ-1"


def test_signed(tmp_path: Path) -> None:
    """What zeep knows nothing of: the handler signs, and verifies the reply."""
    roles, folders = ("psp", "business"), [tmp_path / "psp", tmp_path / "biz"]
    protect = ["--protection", "signature", "--peer", str(folders[0])]
    for folder, role, further in zip(folders, roles, (protect[:2], protect[2:]), strict=True):
        done = CliRunner().invoke(app, ["init", str(folder), "--role", role, *further])
        assert done.exit_code == 0, done.output
    change(folders[0], r'^url = "http://127.0.0.1:\d+', 'url = "http://127.0.0.1:0')
    server = MessageServiceHandler.from_config(folders[0] / "msh.toml")
    accepted = {service for one in server.agreements for service in one.accepts}
    server.on(*accepted)(lambda message: msh.Reply("PSPPM0000I"))
    with server:
        change(folders[1], r'^endpoint = "[^"]*"', f'endpoint = "{server.url}"')
        with MessageServiceHandler.from_config(folders[1] / "msh.toml", listen=False) as handler:
            assert handler.agreements["PSP"].protected
            client = durable(handler, when_open=True)
            reply = client.service.IS910SMDRQ(Kind="010", Text="signed")
    assert reply.body.Status == reply.header.MessageHeader.StatusCode == "PSPPM0000I"
    assert len(reply.header.MessageHeader.RefDigest) == 64


def change(folder: Path, old: str, new: str) -> None:
    file = folder / "msh.toml"
    text, count = re.subn(old, new, file.read_text("utf-8"), flags=re.MULTILINE)
    assert count == 1
    file.write_text(text, "utf-8")


def test_nothing_is_fetched(
    platform: Start, business: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = msh.soap.DurableTransport(business(platform().url))

    def refused(*arguments: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refused)
    zeep.Client(SHIPPED, transport=transport)
    with pytest.raises(msh.UsageError, match="on a network"):
        zeep.Client("http://127.0.0.1:9/sms.wsdl", transport=transport)
    for url in ("https://example.com/a", "ftp://example.com/a"):
        with pytest.raises(msh.UsageError, match="on a network"):
            transport.load(url)
    with pytest.raises(msh.UsageError):
        transport.get("http://127.0.0.1:9", {}, {})
    with pytest.raises(msh.UsageError):
        transport.post("http://127.0.0.1:9", b"", {})


def test_nothing_of_a_body_is_logged(
    platform: Start, business: Sender, caplog: pytest.LogCaptureFixture
) -> None:
    client = durable(business(platform().url))
    caplog.set_level(logging.DEBUG)
    call = values("PS810FTRQ")
    client.service.PS810FTRQ(**call)
    assert not any(call["SVCREFID"] in record.getMessage() for record in caplog.records)


def test_a_handler_of_the_wrong_kind(tmp_path: Path) -> None:
    terms = msh.Agreements.of("BIZ", [agreement("BIZ", "http://127.0.0.1:9/sms")])
    plain = msh.MessageServiceHandler(terms, "sqlite::memory:")
    blocking = MessageServiceHandler(terms, "sqlite::memory:")
    with pytest.raises(msh.UsageError, match="AsyncDurableTransport"):
        msh.soap.DurableTransport(plain)  # type: ignore[arg-type]
    with pytest.raises(msh.UsageError, match="DurableTransport"):
        msh.soap.AsyncDurableTransport(blocking)  # type: ignore[arg-type]


async def test_without_blocking(platform: Start, tmp_path: Path) -> None:
    server = platform()
    terms = agreement("BIZ", server.url, outbound=QUICK)
    handler = msh.MessageServiceHandler(msh.Agreements.of("BIZ", [terms]), "sqlite::memory:")
    async with handler:
        transport = msh.soap.AsyncDurableTransport(handler, timeout=PATIENCE)
        async with zeep.AsyncClient(SHIPPED, transport=transport) as client:
            calls = (client.service.PS810FTRQ(**values("PS810FTRQ")) for _ in range(3))
            replies = await asyncio.gather(*calls)
            key = {msh.soap.KEY_HEADER: "x" * 201}
            with client.settings(extra_http_headers=key), pytest.raises(msh.UsageError):
                await client.service.PS810FTRQ(**values("PS810FTRQ"))
    assert [reply.body.Status for reply in replies] == ["PSPPM0000I"] * 3
    assert len({reply.header.MessageHeader.RefToMsgId for reply in replies}) == 3
