"""Whole messages fit ``envelope.xsd``, also by a program that is not ours."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from lxml import etree

from msh.catalog import StatusCode, load, schemas_folder
from msh.cli.samples import sample_body
from msh.envelope import enclose, header_block, normal_body, serialise, with_mac
from msh.message import Message
from msh.profiles import standard_profile
from tests.transport.certificates import identity

SCHEMA = Path(str(schemas_folder())) / "tdcc-psp-3.4" / "envelope.xsd"
PROFILE = standard_profile()
SERVICES = sorted(load().services)
NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)


def message(service: str, body: str | None = None) -> Message:
    """A message with all that its header may hold."""
    reply = PROFILE.catalog.services[service].kind == "reply"
    return Message(
        service=service,
        message_id="BIZ-1",
        sender="BIZ",
        receiver="PSP",
        timestamp=NOW,
        expires=None if reply else NOW + timedelta(hours=1),
        ref_to="PSP-1" if reply else None,
        ref_digest=bytes(32) if reply else None,
        status=StatusCode.parse("PSPPM0000I") if reply else None,
        status_text="處理完成" if reply else "",
        body=normal_body(sample_body(service) if body is None else body),
    )


@pytest.fixture(scope="module")
def schema() -> etree.XMLSchema:
    """``envelope.xsd``, compiled."""
    return etree.XMLSchema(file=str(SCHEMA))


def xmllint(file: Path) -> str:
    done = subprocess.run(
        ["xmllint", "--noout", "--nonet", "--schema", str(SCHEMA), str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr.strip()


@pytest.mark.parametrize("service", SERVICES)
def test_a_message_of_each_service(schema: etree.XMLSchema, service: str, tmp_path: Path) -> None:
    wire = serialise(message(service), PROFILE)
    schema.assertValid(etree.fromstring(wire))
    file = tmp_path / "message.xml"
    file.write_bytes(wire)
    assert xmllint(file) == f"{file} validates"


def test_protected_messages(schema: etree.XMLSchema, tmp_path: Path) -> None:
    plain = message("PS810FTRQ")
    block = header_block(plain, PROFILE, "key-1")
    maced = enclose(with_mac(block, "ab" * 32, PROFILE), plain.body)
    schema.assertValid(etree.fromstring(maced))
    signer = identity(tmp_path, "biz")
    wire = serialise(plain, PROFILE)
    template = tmp_path / "template.xml"
    template.write_bytes(wire.replace(b"</soap:Header>", TEMPLATE + b"</soap:Header>"))
    signed = tmp_path / "signed.xml"
    subprocess.run(
        [
            "xmlsec1",
            "--sign",
            "--privkey-pem",
            f"{signer.key},{signer.certificate}",
            "--output",
            str(signed),
            str(template),
        ],
        check=True,
        capture_output=True,
    )
    assert xmllint(signed) == f"{signed} validates"


TEMPLATE = b"""<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo>\
<ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/>\
<ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"/>\
<ds:Reference URI=""><ds:Transforms>\
<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/>\
<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/></ds:Transforms>\
<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><ds:DigestValue/>\
</ds:Reference></ds:SignedInfo><ds:SignatureValue/></ds:Signature>"""


def test_without_a_body_and_as_published(schema: etree.XMLSchema) -> None:
    """The published sample has white space in SvcId (9.1)."""
    wire = serialise(message("PS810FTRQ", ""), PROFILE)
    schema.assertValid(etree.fromstring(wire))
    spaced = wire.replace(b"<scoi:SvcId>PS810FTRQ<", b"<scoi:SvcId>\nPS810FTRQ <")
    assert spaced != wire
    schema.assertValid(etree.fromstring(spaced))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"<scoi:MsgId>BIZ-1</scoi:MsgId>", b""),
        (b"<scoi:MsgId>BIZ-1</scoi:MsgId>", b"<scoi:MsgId>B 1</scoi:MsgId>"),
        (b"<scoi:Sender>BIZ</scoi:Sender>", b"<scoi:Sender>BIZ</scoi:Sender>" * 2),
        (b"scoi:Sender>", b"scoi:From>"),
        (b"2026-11-23T09:30:00.000Z", b"2026-11-23T09:30:00.000"),
        (b"2026-11-23T09:30:00.000Z", b"yesterday"),
        (b"urn:tdcc:psp:sms:3.4", b"urn:other"),
        (b"urn:tdcc:psp:body:3.4", b"urn:other"),
        (b"PS810FTRQ xmlns", b"PS810FTRX xmlns"),
        (b"<SSNID>", b"<SSNID>?"),
        (b"</soap:Body>", b"<x/></soap:Body>"),
        (b"<soap:Body>", b"<soap:Body/><soap:Body>"),
    ],
)
def test_what_is_no_message(schema: etree.XMLSchema, old: bytes, new: bytes) -> None:
    wire = serialise(message("PS810FTRQ"), PROFILE)
    assert old in wire
    changed = wire.replace(b"</PS810FTRQ>", b"</PS810FTRX>") if b"FTRX" in new else wire
    assert not schema.validate(etree.fromstring(changed.replace(old, new)))
