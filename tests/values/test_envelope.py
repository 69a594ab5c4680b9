"""Bytes and messages: there and back, envelopes of others, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from lxml import etree

import msh
from msh.envelope import SOAP, fault, normal_body, parse, serialise
from msh.errors import InvalidBody, MalformedMessage, UsageError
from msh.message import Message
from msh.profile import HeaderNames
from msh.profiles import standard_profile
from msh.testing.strategies import messages, xml_texts

PROFILE = standard_profile()
PROFILES = {PROFILE.namespace: PROFILE}
NS = PROFILE.namespace
NOW = datetime(2026, 11, 21, 1, 2, 3, 456000, UTC)
USUAL = Message(
    service="PS810FTRQ",
    message_id="BIZ-1",
    sender="BIZ",
    receiver="PSP",
    timestamp=NOW,
    body=b'<Pay xmlns="urn:x"><Amt>1</Amt></Pay>',
)

HEADER = (
    "<s:SvcId>PS810FTRQ</s:SvcId><s:MsgId>BIZ-1</s:MsgId><s:Sender>BIZ</s:Sender>"
    "<s:Receiver>PSP</s:Receiver><s:Timestamp>2026-11-21T01:02:03.456Z</s:Timestamp>"
)


def envelope(header: str = HEADER, body: str = "", blocks: str = "", more: str = "") -> bytes:
    """A foreign envelope: other prefixes, and declarations where others put them."""
    return (
        f'<E:Envelope xmlns:E="{SOAP}" xmlns:s="{NS}" {more}><E:Header>{blocks}'
        f"<s:MessageHeader>{header}</s:MessageHeader></E:Header><E:Body>{body}</E:Body>"
        "</E:Envelope>"
    ).encode()


def read(wire: bytes) -> Message:
    return parse(wire, PROFILES).message


def refused(wire: bytes) -> str:
    """Why ``wire`` is refused; the reason never quotes what the header holds."""
    with pytest.raises(MalformedMessage) as caught:
        parse(wire, PROFILES)
    assert "BIZ" not in caught.value.reason
    return caught.value.reason


# there and back


@settings(max_examples=300, deadline=None)
@given(messages())
def test_serialising_then_parsing_gives_the_same_message(message: Message) -> None:
    wire = serialise(message, PROFILE)
    parsed = parse(wire, PROFILES)
    assert (parsed.message, parsed.profile, parsed.wire) == (message, PROFILE, wire)
    assert normal_body(message.body) == message.body


@settings(max_examples=50, deadline=None)
@given(messages())
def test_so_it_does_with_other_names_and_prefixes(message: Message) -> None:
    names = HeaderNames(block="Hdr", service="Svc", status_text="說明")
    own = replace(PROFILE, namespace="urn:own?a=1", prefix="soap", names=names)
    wire = serialise(message, own)
    parsed = parse(wire, {**PROFILES, own.namespace: own})
    assert (parsed.message, parsed.profile) == (message, own)


@given(xml_texts())
def test_any_status_text_travels_without_the_space_around_it(text: str) -> None:
    message = replace(USUAL, status_text=text)
    assert message.status_text == text.strip(" \t\r\n")
    assert read(serialise(message, PROFILE)).status_text == message.status_text


@pytest.mark.parametrize("text", ["\x00", "a\x0bb", "\x1b[31m", "\ufffe", "\ud800"])
def test_a_status_text_that_no_xml_may_hold_is_no_message(text: str) -> None:
    with pytest.raises(UsageError, match=r"BIZ-1: status_text holds U\+"):
        replace(USUAL, status_text=text)


@pytest.mark.parametrize(
    "body",
    [
        '<a xmlns:i="urn:i"><b xmlns:x="urn:x" i:type="x:int"/></a>',
        '<a><b xmlns:soap="urn:x" t="soap:y"/></a>',
        '<a xmlns:soap="urn:x" xmlns:soap-env="urn:y" t="soap:y soap-env:y"/>',
        f'<a xmlns:q="{SOAP}" t="q:Fault"/>',
        f'<a xmlns:scoi="{NS}" t="scoi:y"/>',
        f'<a xmlns:q="{NS}" t="q:y"><b xmlns:q="urn:x" t="q:y"/></a>',
        '<a xmlns="urn:a"><b xmlns=""><c xmlns="urn:a"/></b></a>',
    ],
)
def test_prefixes_that_only_content_uses_stay(body: str) -> None:
    message = replace(USUAL, body=normal_body(body))
    declared = body.count("xmlns")
    assert message.body.count(b"xmlns") == declared
    assert read(serialise(message, PROFILE)) == message


def test_every_moment_of_a_message_is_in_utc() -> None:
    with pytest.raises(UsageError, match="UTC"):
        replace(USUAL, timestamp=NOW.replace(tzinfo=None))


@pytest.mark.parametrize("field", ["service", "message_id", "sender", "receiver", "ref_to"])
@pytest.mark.parametrize("value", ["", " ", "a b", "a\n", "é", "款", "x" * 129])
def test_ids_are_visible_ascii(field: str, value: str) -> None:
    with pytest.raises(UsageError, match="visible ASCII"):
        replace(USUAL, **{field: value})


# bodies


@pytest.mark.parametrize("body", ["", b"", "  \r\n\t", b"\n"])
def test_no_body_is_nothing(body: str | bytes) -> None:
    assert normal_body(body) == b""
    assert read(serialise(replace(USUAL, body=b""), PROFILE)).body == b""


def test_text_bytes_and_element_are_one_body() -> None:
    text = '<?xml version="1.0" encoding="UTF-8"?>\n<Pay z="2" a="1">\r\n款<x/></Pay>'
    element = etree.fromstring(text.encode())
    form = '<Pay a="1" z="2">\n款<x></x></Pay>'.encode()
    assert {normal_body(body) for body in (text, text.encode(), element)} == {form}


def test_an_element_is_taken_out_of_its_tree_with_its_namespaces() -> None:
    tree = etree.fromstring('<a xmlns:p="urn:p" xmlns="urn:a"><b t="p:x"/>tail</a>')
    assert normal_body(tree[0]) == b'<b xmlns="urn:a" xmlns:p="urn:p" t="p:x"></b>'


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("text", "not well-formed"),
        ("<a/><b/>", "not well-formed"),
        ("<a><!-- no --></a>", "comments"),
        ("<!DOCTYPE a><a/>", "DOCTYPE"),
        ('<?xml version="1.0" encoding="big5"?><a/>', "not UTF-8"),
        ("<a>\ud800</a>", "half of a pair"),
        (b"<a>\xff</a>", "not UTF-8"),
        ('<a xmlns="relative"/>', "relative"),
    ],
)
def test_what_cannot_be_a_body_is_refused(body: str | bytes, said: str) -> None:
    with pytest.raises(InvalidBody, match=said):
        normal_body(body)


@pytest.mark.parametrize(
    "make",
    [
        lambda n: "<a>" * n + "</a>" * n,
        lambda n: "<a " + " ".join(f'xmlns:p{i}="urn:x"' for i in range(n)) + "/>",
        lambda n: "<a>" + "<b/>" * (n * 1_900) + "</a>",
    ],
    ids=["depth", "namespaces", "elements"],
)
def test_what_may_be_a_body_can_be_read_within_its_envelope(make) -> None:
    accepted = 0
    for size in range(8, 36):
        try:
            body = normal_body(make(size))
        except InvalidBody:
            continue
        accepted += 1
        assert read(serialise(replace(USUAL, body=body), PROFILE)).body == body
    assert 4 <= accepted < 26


# envelopes of others


def test_a_foreign_envelope_is_read() -> None:
    assert read(envelope(body='<Pay xmlns="urn:x"><Amt>1</Amt></Pay>')) == USUAL


def test_an_envelope_without_prefixes_is_read() -> None:
    header = HEADER.replace("<s:", "<").replace("</s:", "</")
    wire = (
        f'<Envelope xmlns="{SOAP}"><Header><MessageHeader xmlns="{NS}">{header}</MessageHeader>'
        '</Header><Body><Pay xmlns="urn:x"><Amt>1</Amt></Pay></Body></Envelope>'
    ).encode()
    assert read(wire) == USUAL


def test_the_published_sample_of_a_service_id_is_read() -> None:
    header = HEADER.replace("<s:SvcId>PS810FTRQ</s:SvcId>", "<s:SvcId>\nPS810FTRQ </s:SvcId>")
    assert read(envelope(header)).service == "PS810FTRQ"


def test_only_what_xml_calls_white_space_is_trimmed() -> None:
    for space in "\u3000\xa0\u2003":
        assert "form" in refused(envelope(HEADER.replace(">BIZ-1<", f">BIZ-1{space}<")))


@pytest.mark.parametrize("written", ["<![CDATA[BIZ-1]]>", "&#66;IZ-1", "BI<![CDATA[Z]]>-1"])
def test_a_value_may_be_written_in_any_way_of_xml(written: str) -> None:
    assert read(envelope(HEADER.replace(">BIZ-1<", f">{written}<"))) == replace(USUAL, body=b"")


def test_white_space_between_the_parts_is_nothing() -> None:
    wire = envelope(body="<p/>").replace(b"><", b">\r\n\t <")
    assert read(wire) == replace(USUAL, body=b"<p></p>")


def test_prefixes_declared_on_the_envelope_stay_with_the_body() -> None:
    more = 'xmlns:xsi="urn:xsi" xmlns:xs="urn:xs" xmlns:d="urn:d"'
    body = '<d:Pay><Amt xsi:type="xs:int">1</Amt></d:Pay>'
    assert read(envelope(body=body, more=more)).body == (
        b'<d:Pay xmlns:d="urn:d" xmlns:xs="urn:xs" xmlns:xsi="urn:xsi">'
        b'<Amt xsi:type="xs:int">1</Amt></d:Pay>'
    )


def test_one_declared_inside_stays_although_the_header_declares_none() -> None:
    wire = envelope(body='<Pay><b xmlns:x="urn:x" t="x:y"/></Pay>')
    assert read(wire).body == b'<Pay><b xmlns:x="urn:x" t="x:y"></b></Pay>'


def test_the_same_body_is_the_same_bytes_whatever_the_envelopes_prefix() -> None:
    wire = envelope(body="<Pay/>")
    assert read(wire.replace(b"E:", b"SOAP-ENV:").replace(b":E=", b":SOAP-ENV=")) == read(wire)


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2026-11-21T09:02:03.456+08:00", NOW),
        ("2026-11-20T20:02:03.456-05:00", NOW),
        ("2026-11-21T09:02:03.456+0800", NOW),
        ("2026-11-21T01:02:03Z", NOW.replace(microsecond=0)),
        ("2026-11-21T01:02:03.4561239Z", NOW.replace(microsecond=456123)),
        (" 2026-11-21T01:02:03.456Z\n", NOW),
        ("9999-12-31T23:59:59.999999Z", datetime.max.replace(tzinfo=UTC)),
    ],
)
def test_moments_are_read_in_any_zone(written: str, moment: datetime) -> None:
    wire = envelope(f"{HEADER}<s:TimeToLive>{written}</s:TimeToLive>")
    message = read(wire)
    assert message.expires == moment
    assert message.expires.tzinfo is UTC


def test_header_blocks_of_others_are_left_alone() -> None:
    blocks = (
        '<t:trace xmlns:t="urn:t">1</t:trace><t:x xmlns:t="urn:t" E:mustUnderstand="0"/>'
        '<t:y xmlns:t="urn:t" E:mustUnderstand="1" E:actor="urn:somebody-else"/>'
    )
    assert read(envelope(blocks=blocks)) == replace(USUAL, body=b"")


def test_our_own_block_may_say_it_must_be_understood() -> None:
    wire = envelope().replace(b"<s:MessageHeader>", b'<s:MessageHeader E:mustUnderstand="1">')
    assert read(wire) == replace(USUAL, body=b"")


def test_a_reply_carries_status_text_and_reference() -> None:
    header = (
        f"{HEADER}<s:RefToMsgId>PSP-7</s:RefToMsgId><s:StatusCode>PSPBK0005E</s:StatusCode>"
        "<s:StatusText> 存款戶餘額不足 </s:StatusText>"
    )
    message = read(envelope(header))
    assert (message.ref_to, str(message.status)) == ("PSP-7", "PSPBK0005E")
    assert message.status_text == "存款戶餘額不足"


# faults


def test_a_fault_carries_reason_and_code() -> None:
    status = msh.StatusCode.parse("PSPPM0001S")
    root = etree.fromstring(fault('<"reason"> & more', PROFILE, status))
    assert root.tag == f"{{{SOAP}}}Envelope"
    assert root.findtext(f"{{{SOAP}}}Body/{{{SOAP}}}Fault/faultcode") == "soap:Client"
    assert root.findtext(".//faultstring") == '<"reason"> & more'
    assert root.findtext(f".//detail/{{{NS}}}StatusCode") == "PSPPM0001S"


@pytest.mark.parametrize("profile", [None, PROFILE])
def test_a_fault_without_a_code_has_no_detail(profile: msh.Profile | None) -> None:
    root = etree.fromstring(fault("no", profile))
    assert root.find(".//detail") is None


def test_a_fault_is_no_message() -> None:
    assert "Header" in refused(fault("no", PROFILE))
