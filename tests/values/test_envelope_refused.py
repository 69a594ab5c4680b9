"""What is no message, and how large one may be: refused with a reason that quotes nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from lxml import etree

from msh.envelope import SOAP, parse
from msh.errors import MalformedMessage
from tests.values.test_envelope import (
    HEADER,
    NS,
    PROFILE,
    PROFILES,
    envelope,
    read,
    refused,
)

GOOD = envelope(body="<p/>").decode()
MUST = '<t:x xmlns:t="urn:t" E:mustUnderstand="1" {}/>'
NEXT = 'E:actor="http://schemas.xmlsoap.org/soap/actor/next"'


@pytest.mark.parametrize(
    ("wire", "said"),
    [
        (GOOD.replace(SOAP, "http://www.w3.org/2003/05/soap-envelope"), "SOAP 1.1"),
        ("<a/>", "SOAP 1.1"),
        (GOOD.replace("<E:Body>", "<E:Header/><E:Body>"), "one Header, then one Body"),
        (GOOD.replace("<E:Body>", "<E:Body/><E:Body>"), "one Header, then one Body"),
        (GOOD.replace("<E:Body>", "<x/><E:Body>"), "one Header, then one Body"),
        (GOOD.replace("</E:Envelope>", "<x/></E:Envelope>"), "one Header, then one Body"),
        (f'<E:Envelope xmlns:E="{SOAP}"/>', "one Header, then one Body"),
        (f'<E:Envelope xmlns:E="{SOAP}"><E:Body/></E:Envelope>', "one Header, then one Body"),
        (
            f'<E:Envelope xmlns:E="{SOAP}"><E:Body/><E:Header/></E:Envelope>',
            "one Header, then one Body",
        ),
        (GOOD.replace("<E:Body>", "x<E:Body>"), "text stands between"),
        (GOOD.replace("<E:Body>", "\u3000<E:Body>"), "text stands between"),
        (GOOD.replace("<E:Header>", "x<E:Header>"), "text stands between"),
        (GOOD.replace("<E:Body>", "<E:Body>x"), "text stands between"),
        (GOOD.replace("</E:Body>", "x</E:Body>"), "text stands between"),
        (GOOD.replace("</E:Header>", "x</E:Header>"), "text stands between"),
        (GOOD.replace("</E:Header>", "<s:MessageHeader/></E:Header>"), "stands twice"),
        (GOOD.replace(NS, "urn:another"), "no header block"),
        (GOOD.replace("MessageHeader", "Header"), "no header block"),
        (envelope(blocks=MUST.format("")).decode(), "must be understood"),
        (envelope(blocks=MUST.format('E:actor=""')).decode(), "must be understood"),
        (envelope(blocks=MUST.format(NEXT)).decode(), "must be understood"),
        (GOOD.replace("</E:Body>", "<q/></E:Body>"), "more than one element"),
        (envelope(f"{HEADER}<s:MsgId>x</s:MsgId>").decode(), "stands twice"),
        (envelope(f"{HEADER}<s:Amount>x</s:Amount>").decode(), "not the profile's"),
        (envelope(f"{HEADER}<s:MessageHeader/>").decode(), "not the profile's"),
        (envelope(f"{HEADER}<Ref>x</Ref>").decode(), "not the profile's"),
        (envelope(f"{HEADER}<s:RefToMsgId><s:b/></s:RefToMsgId>").decode(), "not the profile's"),
        (envelope(f"{HEADER}BIZ").decode(), "text stands between"),
        (envelope(f"BIZ{HEADER}").decode(), "text stands between"),
        (envelope(body='<a xmlns="rel"/>').decode(), "relative"),
        (envelope(body="<a/>", more='xmlns:r="rel"').decode(), "relative"),
        (envelope(f"{HEADER}<s:StatusCode/>").decode(), "form that is not allowed"),
        (envelope(f"{HEADER}<s:StatusCode>OK</s:StatusCode>").decode(), "form that is not"),
        (envelope(f"{HEADER}<s:RefToMsgId>a b</s:RefToMsgId>").decode(), "form that is not"),
        (envelope(f"{HEADER}<s:TimeToLive/>").decode(), "TimeToLive is not a date"),
        (GOOD.replace(">BIZ-1<", f">{'x' * 129}<"), "form that is not allowed"),
        (GOOD.replace(">BIZ-1<", ">款<"), "form that is not allowed"),
    ],
)
def test_what_is_no_message_is_refused_with_its_reason(wire: str, said: str) -> None:
    assert said in refused(wire.encode())


@pytest.mark.parametrize("name", ["SvcId", "MsgId", "Sender", "Receiver", "Timestamp"])
def test_each_value_that_must_be_there_is_missed(name: str) -> None:
    root = etree.fromstring(GOOD)
    (element,) = root.iter(f"{{{NS}}}{name}")
    element.text = " "
    assert refused(etree.tostring(root)) == f"the header has no {name}"
    element.getparent().remove(element)
    assert refused(etree.tostring(root)) == f"the header has no {name}"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("2026-11-21T01:02:03", "no time zone"),
        ("2026-11-21T01:02:03.456", "no time zone"),
        ("2026-11-21", "not a date and time"),
        ("20261121T010203Z", "not a date and time"),
        ("2026-W47-6T01:02:03Z", "not a date and time"),
        ("2026-11-21 01:02:03Z", "not a date and time"),
        ("2026-02-30T01:02:03Z", "not a date and time"),
        ("2026-11-21T25:02:03Z", "not a date and time"),
        ("2026-11-21T01:02:03+99:00", "not a date and time"),
        ("0001-01-01T00:00:00+08:00", "not a date and time"),
        ("２０２６-11-21T01:02:03Z", "not a date and time"),
        ("now", "not a date and time"),
    ],
)
def test_a_moment_of_another_form_is_refused(written: str, said: str) -> None:
    wire = envelope(HEADER.replace("2026-11-21T01:02:03.456Z", written))
    assert refused(wire) == f"Timestamp {'has' if said.startswith('no ') else 'is'} {said}"


# size


def padded(size: int) -> bytes:
    start, end = GOOD.encode().split(b"<p/>")
    return start + b"<p>" + b"x" * (size - len(start) - len(end) - 7) + b"</p>" + end


def test_the_largest_message_is_read() -> None:
    wire = padded(1_048_576)
    assert len(wire) == 1_048_576
    assert len(read(wire).body) > 1_000_000


def test_one_byte_more_is_refused_before_it_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    def reached(*_: object, **__: object) -> None:
        pytest.fail("parsed")

    monkeypatch.setattr("msh.envelope.parse_xml", reached)
    monkeypatch.setattr(etree, "fromstring", reached)
    assert refused(padded(1_048_577)) == "larger than 1048576 bytes"


def test_each_profile_has_its_own_limit() -> None:
    wide = replace(PROFILE, namespace="urn:wide", max_bytes=2_000_000)
    profiles = {**PROFILES, wide.namespace: wide}
    assert parse(padded(1_500_000).replace(NS.encode(), b"urn:wide"), profiles).profile is wide
    with pytest.raises(MalformedMessage, match="larger than 1048576"):
        parse(padded(1_500_000), profiles)
