"""SOAP clients that know nothing of msh but its WSDL: zeep, and envelopes as others write them."""

from __future__ import annotations

import logging
import re
import urllib.request
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
import zeep
from lxml import etree
from zeep.exceptions import Fault

import msh
from tests.cli.conftest import Folder, started
from tests.soap.conftest import PATIENCE, REQUESTS, Platform, header, values

Start = Callable[..., Platform]


@pytest.fixture
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy of whoever runs this stands between."""
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def server(platform: Start) -> Platform:
    return platform()


@pytest.fixture
def client(server: Platform, tmp_path: Path, direct: None) -> zeep.Client:
    return zeep.Client(server.described(tmp_path / "wsdl"))


@pytest.mark.parametrize("service", REQUESTS)
def test_each_request(client: zeep.Client, server: Platform, service: str) -> None:
    sent = values(service)
    reply = client.service[service](**sent, _soapheaders=header(service, "BIZ-1"))
    block = reply.header.MessageHeader
    assert (block.StatusCode, block.RefToMsgId) == ("PSPPM0000I", "BIZ-1")
    assert (block.Sender, block.Receiver) == ("PSP", "BIZ")
    assert reply.body.Status == "PSPPM0000I"
    (message,) = server.messages
    assert (message.service, message.message_id) == (service, "BIZ-1")
    assert msh.bodies.read(message) == sent


def test_a_repeat_gets_the_stored_reply(client: zeep.Client, server: Platform) -> None:
    call, head = values("PS810FTRQ"), header("PS810FTRQ", "BIZ-1")
    first, again = (client.service.PS810FTRQ(**call, _soapheaders=head) for _ in range(2))
    assert first.header.MessageHeader.MsgId == again.header.MessageHeader.MsgId
    assert len(server.messages) == 1
    call["SVCREFID"] += "X"
    other = client.service.PS810FTRQ(**call, _soapheaders=head)
    assert other.header.MessageHeader.StatusCode == "PSPPM0002S", "another content, the same id"


@pytest.mark.parametrize("change", [{"BusType": "999"}, {"SSNID": "a b"}])
def test_a_wrong_body_is_a_reply(
    client: zeep.Client, server: Platform, change: dict[str, str]
) -> None:
    call = {**values("PS810FTRQ"), **change}
    reply = client.service.PS810FTRQ(**call, _soapheaders=header("PS810FTRQ", "BIZ-1"))
    block = reply.header.MessageHeader
    assert (block.StatusCode, reply.body.Status) == ("PSPPM0001S", "PSPPM0001S")
    assert next(iter(change)) in block.StatusText
    assert not server.messages


def test_a_broken_rule_is_a_reply(client: zeep.Client, server: Platform) -> None:
    call = values("PS810FTRQ")
    call["PmtSvc"][0]["OUT"][0]["Amt"] = Decimal("1.00")
    reply = client.service.PS810FTRQ(**call, _soapheaders=header("PS810FTRQ", "BIZ-1"))
    assert reply.header.MessageHeader.StatusCode == reply.body.Status
    assert reply.body.Status[-1] in "SE"
    assert not server.messages


def test_a_handlers_refusal_is_a_reply(client: zeep.Client, server: Platform) -> None:
    def refuse(message: msh.Message) -> msh.Reply:
        raise msh.Refuse("PSPBK0005E", "not enough")

    server.answer = refuse
    call = values("PS810FTRQ")
    reply = client.service.PS810FTRQ(**call, _soapheaders=header("PS810FTRQ", "BIZ-1"))
    assert (reply.body.Status, reply.header.MessageHeader.StatusCode) == ("PSPBK0005E",) * 2
    assert "not enough" in reply.header.MessageHeader.StatusText


@pytest.mark.parametrize("changes", [{"Sender": "NOBODY"}, {"Receiver": "BANK"}])
def test_a_header_of_nobody(client: zeep.Client, server: Platform, changes: dict[str, str]) -> None:
    head = header("PS810FTRQ", "BIZ-1", **changes)
    reply = client.service.PS810FTRQ(**values("PS810FTRQ"), _soapheaders=head)
    assert str(reply.header.MessageHeader.StatusCode).startswith("PSPPM000")
    assert reply.body.Status[-1] == "E"
    assert not server.messages


def test_without_a_header_it_is_a_fault(client: zeep.Client, server: Platform) -> None:
    with pytest.raises(Fault, match="Header"):
        client.service.PS810FTRQ(**values("PS810FTRQ"))
    with pytest.raises(Fault, match="MsgId"):
        client.service.PS810FTRQ(
            **values("PS810FTRQ"), _soapheaders=header("PS810FTRQ", "BIZ-1", MsgId="")
        )
    assert not server.messages


def test_nothing_of_a_body_is_logged(
    client: zeep.Client, server: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "msh")
    call = {**values("PS810FTRQ"), "SSNID": "not one word"}
    client.service.PS810FTRQ(**call, _soapheaders=header("PS810FTRQ", "BIZ-1"))
    ours = [one.getMessage() for one in caplog.records if one.name.startswith("msh")]
    assert not any("not one word" in line or call["SVCREFID"] in line for line in ours)


# Envelopes as other software writes them; each is correct SOAP 1.1.


def envelope(client: zeep.Client, message_id: str = "BIZ-1") -> bytes:
    made = client.create_message(
        client.service,
        "PS810FTRQ",
        **values("PS810FTRQ"),
        _soapheaders=header("PS810FTRQ", message_id),
    )
    return etree.tostring(made, encoding="utf-8", xml_declaration=True)


def post(url: str, wire: bytes, **headers: str) -> bytes:
    usual = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '""'}
    given = usual | {name.replace("_", "-"): value for name, value in headers.items()}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, wire, given), timeout=PATIENCE) as response:
        content: bytes = response.read()
        return content


SOAP = b'xmlns:soap-env="http://schemas.xmlsoap.org/soap/envelope/"'
XSI = b'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"soap-env", b"SOAP-ENV"),
        (b"soap-env", b"S"),
        (b"MessageHeader ", b'MessageHeader soap-env:mustUnderstand="1" '),
        (b"MessageHeader ", b'MessageHeader soap-env:mustUnderstand="0" soap-env:actor="" '),
        (b"<soap-env:Body", b'<soap-env:Body xmlns:unused="urn:unused"'),
        (SOAP, SOAP + b' soap-env:encodingStyle=""'),
        (SOAP, SOAP + b" " + XSI + b' xmlns:xsd="http://www.w3.org/2001/XMLSchema"'),
        (b"<soap-env:Header>", b'<soap-env:Header>\n  <a:To xmlns:a="urn:a">x</a:To>\n'),
        (b"encoding='utf-8'", b"encoding='UTF-8' standalone='yes'"),
        (b"<?xml", b"\xef\xbb\xbf<?xml"),
    ],
)
def test_envelopes_of_others(client: zeep.Client, server: Platform, old: bytes, new: bytes) -> None:
    wire = envelope(client)
    assert old in wire
    reply = etree.fromstring(post(server.url, wire.replace(old, new)))
    assert reply.findtext(".//{*}StatusCode") == "PSPPM0000I"


def test_a_type_named_in_the_body(client: zeep.Client, server: Platform) -> None:
    """Its prefix is used by a text alone."""
    wire = envelope(client).replace(SOAP, SOAP + b" " + XSI + b' xmlns:b="urn:tdcc:psp:body:3.4"')
    wire = re.sub(rb"<([a-z0-9]+:)FundPmtSvc>", rb'<\1FundPmtSvc xsi:type="b:FundPmtSvc">', wire)
    assert b"xsi:type" in wire
    reply = etree.fromstring(post(server.url, wire))
    assert reply.findtext(".//{*}StatusCode") == "PSPPM0000I"


@pytest.mark.parametrize(
    "headers",
    [
        {"Content_Type": "text/xml"},
        {"Content_Type": 'text/xml;charset="UTF-8"'},
        {"Content_Type": "TEXT/XML; Charset=utf-8; action=x"},
        {"SOAPAction": ""},
        {"SOAPAction": '"urn:tdcc:psp:sms:3.4#PS810FTRQ"'},
        {"SOAPAction": "urn:other"},
        {"Accept": "text/xml, multipart/related", "Accept_Encoding": "gzip, deflate"},
        {"Expect": "100-continue"},
    ],
)
def test_http_headers_of_others(
    client: zeep.Client, server: Platform, headers: dict[str, str]
) -> None:
    reply = etree.fromstring(post(server.url, envelope(client), **headers))
    assert reply.findtext(".//{*}StatusCode") == "PSPPM0000I"


def test_a_block_that_must_be_understood_is_a_fault(client: zeep.Client, server: Platform) -> None:
    block = b'<a:To xmlns:a="urn:a" soap-env:mustUnderstand="1">x</a:To>'
    wire = envelope(client).replace(b"<soap-env:Header>", b"<soap-env:Header>" + block)
    with pytest.raises(urllib.request.HTTPError) as caught:
        post(server.url, wire)
    assert b"must be understood" in caught.value.read()


def test_a_server_of_its_own(tmp_path: Path, direct: None) -> None:
    """`msh serve` and `msh wsdl`, and nothing else of msh."""
    from typer.testing import CliRunner

    from msh.cli import app

    folder = Folder(tmp_path / "psp")
    assert CliRunner().invoke(app, ["init", str(folder.path), "--role", "psp"]).exit_code == 0
    text = folder.config.read_text("utf-8")
    if "checks_content = true" not in text:
        text = text.replace("[agreements.BIZ]\n", "[agreements.BIZ]\nchecks_content = true\n")
    text = re.sub(r'^url = "http://127.0.0.1:\d+', 'url = "http://127.0.0.1:0', text, flags=re.M)
    folder.config.write_text(text, "utf-8")
    with started("serve", "-c", folder.config) as server:
        url = server.line.split()[-1]
        out = ["--endpoint", url, "--out", str(tmp_path / "w")]
        assert CliRunner().invoke(app, ["wsdl", "-c", str(folder.config), *out]).exit_code == 0
        client = zeep.Client(str(tmp_path / "w" / "sms.wsdl"))
        service = "IS910SMDRQ"  # open at any hour
        call, head = values(service), header(service, "BIZ-1")
        first, again = (client.service[service](**call, _soapheaders=head) for _ in range(2))
        code, errors = server.stop()
    assert first.body.Status == first.header.MessageHeader.StatusCode
    assert first.header.MessageHeader.MsgId == again.header.MessageHeader.MsgId
    assert (code, "Traceback" in errors) == (0, False)


@pytest.mark.parametrize("fields", [{"MsgId": ["PSP-1"]}, {"SSNID": "1", "SVCREFID": "2"}])
def test_a_group_may_be_left_out(
    client: zeep.Client, server: Platform, fields: dict[str, object]
) -> None:
    """zeep takes an optional group for a required one, unless it stands in a choice."""
    reply = client.service.PS802RSDRQ(**fields, _soapheaders=header("PS802RSDRQ", "BIZ-1"))
    assert reply.body.Status == "PSPPM0000I"
    (message,) = server.messages
    assert {name: value for name, value in msh.bodies.read(message).items() if value} == fields
