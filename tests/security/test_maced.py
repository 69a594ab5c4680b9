"""Messages under a MAC: what is accepted, under which keys, and that nothing can be changed."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from lxml import etree

from msh.catalog import StatusCode
from msh.envelope import Parsed, enclose, header_block, parse, serialise, with_mac
from msh.errors import MalformedMessage, NoKey, NotAuthentic
from msh.message import Message
from msh.profile import HeaderNames, Profile
from msh.profiles import standard_profile
from msh.protection import MacAlgorithm
from msh.protocol.keys import State
from msh.security.keyring import KeyRing, WorkingKey
from msh.security.mac import KeyedMac, new_key
from msh.security.maced import Maced, bound
from msh.testing.strategies import identifiers, messages
from msh.xml import canonical

PROFILE = standard_profile()
HMAC = MacAlgorithm.HMAC_SHA256
PROFILES = {PROFILE.namespace: PROFILE}
NOW = datetime(2026, 11, 21, 1, 2, 3, 456000, UTC)
USUAL = Message(
    service="PS810FTRQ",
    message_id="BIZ-1",
    sender="BIZ",
    receiver="PSP",
    timestamp=NOW,
    ref_to="PSP-1",
    expires=NOW + timedelta(minutes=9),
    status=StatusCode.parse("PSPPM0000I"),
    status_text="ok & fine",
    ref_digest=bytes(32),
    body=b'<Pay xmlns="urn:x"><Amt>1</Amt></Pay>',
)
# A slow machine is no failure.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
SECRETS = {algorithm: new_key(algorithm) for algorithm in MacAlgorithm}


def maced(algorithm: MacAlgorithm = HMAC, key_id: str = "K1", profile: Profile = PROFILE) -> Maced:
    """Protection under one active key, which is the same each time."""
    key = WorkingKey(key_id, SECRETS[algorithm], State.ACTIVE, NOW, NOW)
    ring = KeyRing(bytes(range(32)), timedelta(minutes=15), (key,))
    return keyed(ring, algorithm, profile)


def keyed(ring: KeyRing, algorithm: MacAlgorithm = HMAC, profile: Profile = PROFILE) -> Maced:
    """Protection under the keys of ``ring``."""
    return Maced(algorithm, ring, profile, lambda: NOW, lambda *_: None)


async def wire_of(message: Message, security: Maced | None = None) -> bytes:
    return (await (security or maced()).protect(message, PROFILE)).wire


async def refused(wire: bytes, security: Maced | None = None) -> str:
    """Why ``wire`` is refused; the reason never quotes what the message holds."""
    with pytest.raises(NotAuthentic) as caught:
        await (security or maced()).verify(parse(wire, PROFILES))
    assert type(caught.value) is NotAuthentic
    assert not any(word in str(caught.value) for word in ("BIZ", "PSP", "K1", "Amt"))
    return caught.value.reason


def parts(wire: bytes) -> tuple[bytes, bytes, bytes]:
    """``wire`` cut into what is before the text of its MAC, that text, and what is behind."""
    start, end = wire.index(b"<scoi:MAC>") + len(b"<scoi:MAC>"), wire.index(b"</scoi:MAC>")
    return wire[:start], wire[start:end], wire[end:]


# there and back


@pytest.mark.parametrize("algorithm", MacAlgorithm)
@settings(PATIENT, max_examples=60)
@given(message=messages(), key_id=identifiers().filter(lambda name: name != "exchange"))
async def test_what_is_protected_verifies(
    algorithm: MacAlgorithm, message: Message, key_id: str
) -> None:
    security = maced(algorithm, key_id)
    protected = await security.protect(message, PROFILE)
    assert protected.key == key_id
    parsed = parse(protected.wire, PROFILES)
    verified = await security.verify(parsed)
    assert (verified.message, verified.key, verified.retired) == (message, key_id, False)
    assert len(protected.wire) - len(serialise(message, PROFILE)) <= security.overhead


NAMES = st.lists(
    st.sampled_from(["Hdr", "MAC", "KeyId", "Svc", "_x", "a.b-c", "說明", "é", "soap", "M" * 128]),
    min_size=13,
    max_size=13,
).map(lambda names: HeaderNames(*[f"{name[:120]}{n}" for n, name in enumerate(names)]))


@settings(PATIENT, max_examples=200)
@given(
    message=messages(),
    key_id=st.just("") | identifiers(),
    names=st.just(HeaderNames()) | NAMES,
    prefix=st.sampled_from(["scoi", "p", "soap", "soap-env", "_x", "命", "xsi"]),
    namespace=st.sampled_from([PROFILE.namespace, "urn:own?a=1", "urn:a'b", "http://x/#y;z,%20"]),
)
async def test_the_header_block_is_written_in_canonical_form(
    message: Message, key_id: str, names: HeaderNames, prefix: str, namespace: str
) -> None:
    own = replace(PROFILE, namespace=namespace, prefix=prefix, names=names)
    written = header_block(message, own, key_id)
    block = parse(enclose(written, message.body), {namespace: own}).block
    assert canonical(block) == written
    # The MAC is taken out of the tree here, and out of the bytes where it is verified.
    wire = enclose(with_mac(written, "QUJD", own), message.body)
    parsed = parse(wire, {namespace: own})
    assert (parsed.mac, parsed.key_id) == ("QUJD", key_id)
    parsed.block.remove(parsed.block[-1])
    assert canonical(parsed.block) == written
    security = maced(profile=own)
    protected = await security.protect(message, own)
    assert (await security.verify(parse(protected.wire, {namespace: own}))).message == message
    assert len(protected.wire) - len(serialise(message, own)) <= security.overhead


FOREIGN = """
  <s:Sender>BIZ</s:Sender> <s:KeyId> K1 </s:KeyId>
  <s:MsgId> BIZ-1 </s:MsgId><s:Timestamp>2026-11-21T09:02:03.456+08:00</s:Timestamp>
  <s:SvcId>
    PS810FTRQ </s:SvcId><s:Receiver ours="">PSP</s:Receiver>"""


def foreign(header: str, behind: str = "\n ", change: Callable[[str], str] = str) -> bytes:
    """What an implementation that shares no code with this one sends."""
    envelope = (
        '<E:Envelope xmlns:E="http://schemas.xmlsoap.org/soap/envelope/" xmlns:s="{ns}">'
        '<E:Header><s:MessageHeader E:mustUnderstand="1">{header}</s:MessageHeader></E:Header>'
        "<E:Body>\n<q:Pay xmlns:q='urn:x' b='2'\n a='1'/>\n</E:Body></E:Envelope>"
    )
    block = etree.fromstring(envelope.format(ns=PROFILE.namespace, header=header + behind))[0][0]
    form = etree.tostring(block, method="c14n", exclusive=True)
    body = b'<q:Pay xmlns:q="urn:x" a="1" b="2"></q:Pay>'
    data = f"{len(form)}:".encode() + form + f"{len(body)}:".encode() + body
    mac = hmac.digest(SECRETS[MacAlgorithm.HMAC_SHA256], data, hashlib.sha256)
    text = base64.b64encode(mac).decode()
    changed = change(f"{header}<s:MAC>{text}</s:MAC>{behind}")
    return envelope.format(ns=PROFILE.namespace, header=changed).encode()


async def test_a_foreign_header_with_white_space_and_attributes_verifies() -> None:
    verified = await maced().verify(parse(foreign(FOREIGN), PROFILES))
    assert (verified.message.sender, verified.message.timestamp) == ("BIZ", NOW)
    assert verified.message.body == b'<q:Pay xmlns:q="urn:x" a="1" b="2"></q:Pay>'


async def test_the_mac_element_may_have_a_prefix_of_its_own() -> None:
    own = f'm:MAC xmlns:m="{PROFILE.namespace}"'
    wire = foreign(
        FOREIGN, change=lambda h: h.replace("<s:MAC", f"<{own}").replace("/s:MAC", "/m:MAC")
    )
    assert (await maced().verify(parse(wire, PROFILES))).message.message_id == "BIZ-1"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (" BIZ-1 ", "BIZ-1"),
        ("\n  <s:MsgId>", "<s:MsgId>"),
        (' ours=""', ""),
        (' ours=""', ' ours="1"'),
        ("</s:MAC>\n ", "</s:MAC>\n"),
        ("<s:MAC>", " <s:MAC>"),
        ("09:02:03.456+08:00", "01:02:03.456Z"),
    ],
)
async def test_also_what_means_the_same_cannot_be_changed(old: str, new: str) -> None:
    def change(header: str) -> str:
        assert old in header
        return header.replace(old, new)

    assert await refused(foreign(FOREIGN, change=change)) == "the MAC does not fit the message"


# changes


@pytest.mark.parametrize("algorithm", MacAlgorithm)
@pytest.mark.parametrize(
    "changes",
    [
        {"service": "PS830INQRQ"},
        {"message_id": "BIZ-2"},
        {"sender": "BIZ2"},
        {"receiver": "BANK"},
        {"timestamp": NOW + timedelta(microseconds=1)},
        {"ref_to": "PSP-2"},
        {"ref_to": None},
        {"expires": NOW + timedelta(minutes=10)},
        {"expires": None},
        {"status": StatusCode.parse("PSPPM0001E")},
        {"status": None},
        {"status_text": "ok"},
        {"status_text": ""},
        {"ref_digest": bytes(31) + b"\1"},
        {"ref_digest": None},
        {"body": b'<Pay xmlns="urn:x"><Amt>10</Amt></Pay>'},
        {"body": b'<Pay xmlns="urn:y"><Amt>1</Amt></Pay>'},
        {"body": b""},
    ],
    ids=lambda changes: "-".join(changes),
)
async def test_no_value_can_be_changed(algorithm: MacAlgorithm, changes: dict[str, Any]) -> None:
    security = maced(algorithm)
    mac = parse(await wire_of(USUAL, security), PROFILES).mac
    other = replace(USUAL, **changes)
    block = with_mac(header_block(other, PROFILE, "K1"), mac, PROFILE)
    reason = await refused(enclose(block, other.body), security)
    assert reason == "the MAC does not fit the message"


@settings(PATIENT, max_examples=100)
@given(messages(), messages(), st.sampled_from(MacAlgorithm))
async def test_no_message_has_the_mac_of_another(
    one: Message, other: Message, algorithm: MacAlgorithm
) -> None:
    assume(one != other)
    security = maced(algorithm)
    mac = parse(await wire_of(one, security), PROFILES).mac
    block = with_mac(header_block(other, PROFILE, "K1"), mac, PROFILE)
    assert await refused(enclose(block, other.body), security)


@settings(PATIENT, max_examples=300)
@given(st.data())
async def test_any_changed_byte_is_refused_or_changes_nothing(data: st.DataObject) -> None:
    security = maced(data.draw(st.sampled_from(MacAlgorithm)))
    wire = await wire_of(USUAL, security)
    place = data.draw(st.integers(0, len(wire) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != wire[place]))
    changed = wire[:place] + bytes([byte]) + wire[place + 1 :]
    try:
        verified = await security.verify(parse(changed, PROFILES))
    except (MalformedMessage, NotAuthentic):
        return
    assert verified.message == USUAL  # a byte around the message, such as the line break


@pytest.mark.parametrize("key_id", ["K2", "k1", "K1x", ""])
async def test_the_key_id_cannot_be_changed(key_id: str) -> None:
    """Also not to another id of the same secret."""
    keys = [
        WorkingKey(name, SECRETS[MacAlgorithm.HMAC_SHA256], State.ACTIVE, NOW, NOW)
        for name in ("K1", "K2", "k1", "K1x")
    ]
    ring = KeyRing(bytes(32), timedelta(), tuple(keys))
    security = keyed(ring)
    wire = (await wire_of(USUAL, security)).replace(b">K1<", f">{key_id}<".encode())
    said = "the MAC does not fit the message" if key_id else "the header names no key for its MAC"
    assert await refused(wire, security) == said


@PATIENT
@given(st.lists(st.tuples(st.binary(), st.binary()), min_size=2, max_size=2, unique=True))
def test_no_two_pairs_of_header_and_body_are_bound_alike(pairs: list[tuple[bytes, bytes]]) -> None:
    one, other = pairs
    assert bound(*one) != bound(*other)


@PATIENT
@given(st.data())
def test_no_byte_can_move_between_header_and_body(data: st.DataObject) -> None:
    joined = data.draw(st.binary(min_size=1, max_size=40))
    places = st.lists(st.integers(0, len(joined)), min_size=2, max_size=2, unique=True)
    one, other = data.draw(places)
    mac = KeyedMac(MacAlgorithm.RETAIL_MAC, SECRETS[MacAlgorithm.RETAIL_MAC])
    first = mac.compute(bound(joined[:one], joined[one:]))
    assert not mac.verify(first, bound(joined[:other], joined[other:]))


async def test_zeros_at_the_end_do_not_pass_for_padding() -> None:
    mac = KeyedMac(MacAlgorithm.RETAIL_MAC, SECRETS[MacAlgorithm.RETAIL_MAC])
    assert mac.compute(b"x") == mac.compute(b"x\0")  # what padding method 1 does
    assert mac.compute(bound(b"x", b"y")) != mac.compute(bound(b"x", b"y\0"))


# the MAC element


async def test_without_a_mac_or_a_key_id_nothing_is_believed() -> None:
    wire = await wire_of(USUAL)
    before, _, behind = parts(wire)
    assert await refused(serialise(USUAL, PROFILE)) == "the header has no MAC"
    assert await refused(enclose(header_block(USUAL, PROFILE, "K1"), USUAL.body)) == (
        "the header has no MAC"
    )
    assert await refused(before + behind) == "the header has no MAC"
    without = wire.replace(b"<scoi:KeyId>K1</scoi:KeyId>", b"")
    assert await refused(without) == "the header names no key for its MAC"


@pytest.mark.parametrize("algorithm", MacAlgorithm)
async def test_a_truncated_mac_is_wrong_at_each_length(algorithm: MacAlgorithm) -> None:
    security = maced(algorithm)
    before, text, behind = parts(await wire_of(USUAL, security))
    mac = base64.b64decode(text)
    for length in range(1, len(mac)):
        wire = before + base64.b64encode(mac[:length]) + behind
        assert await refused(wire, security) == "the MAC does not fit the message"
        assert await refused(before + text[:length] + behind, security)
    longer = before + base64.b64encode(mac + b"\0") + behind
    assert await refused(longer, security) == "the MAC does not fit the message"


@pytest.mark.parametrize("algorithm", MacAlgorithm)
async def test_a_mac_has_one_form_in_base64(algorithm: MacAlgorithm) -> None:
    security = maced(algorithm)
    before, text, behind = parts(await wire_of(USUAL, security))
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    padding = text.count(b"=")
    last = len(text) - padding - 1
    unused = [  # bits behind the last byte, which a lax reader ignores
        text[:last] + alphabet[place : place + 1] + b"=" * padding
        for place in range(alphabet.index(text[last]) + 1, 64)
        if place >> 2 * padding == alphabet.index(text[last]) >> 2 * padding
    ]
    assert unused
    for form in [
        *unused,
        text.rstrip(b"="),
        text + b"=",
        b" " + text,
        text + b"\n",
        text[:4] + b"\n" + text[4:],
        text[:4] + b"=" + text[4:],
        text + b"AAAA",
        "\uff21".encode() + text,
        b"====",
        b"=",
    ]:
        said = await refused(before + form + behind, security)
        assert said == "the MAC is not in canonical base64"
    assert (await security.verify(parse(before + text + behind, PROFILES))).message == USUAL


async def test_the_mac_is_the_last_element_once_and_without_attributes() -> None:
    wire = await wire_of(USUAL)
    start, end = wire.index(b"<scoi:MAC>"), wire.index(b"</scoi:MessageHeader>")
    element = wire[start:end]
    first = wire[:start].replace(b"<scoi:SvcId>", element + b"<scoi:SvcId>") + wire[end:]
    assert await refused(first) == "the MAC is not the last element of the header"
    attribute = wire.replace(b"<scoi:MAC>", b'<scoi:MAC a="">')
    assert await refused(attribute) == "the MAC element has an attribute"
    with pytest.raises(MalformedMessage, match="twice"):
        parse(wire[:end] + element + wire[end:], PROFILES)
    with pytest.raises(MalformedMessage):
        parse(wire.replace(b"</scoi:MAC>", b"<a/></scoi:MAC>"), PROFILES)


async def test_a_header_that_cannot_be_canonical_is_refused() -> None:
    wire = (await wire_of(USUAL)).replace(b"<scoi:SvcId>", b'<scoi:SvcId xmlns:r="r" r:a="">')
    assert await refused(wire) == "the header has no canonical form"


async def test_verifying_leaves_the_tree_as_it_was_read() -> None:
    parsed: Parsed = parse(await wire_of(USUAL), PROFILES)
    before = etree.tostring(parsed.root)
    await maced().verify(parsed)
    assert etree.tostring(parsed.root) == before


async def test_a_key_of_the_same_id_but_another_secret_is_wrong() -> None:
    wire = await wire_of(USUAL)
    key = WorkingKey("K1", new_key(MacAlgorithm.HMAC_SHA256), State.ACTIVE, NOW, NOW)
    ring = KeyRing(bytes(32), timedelta(), (key,))
    security = keyed(ring)
    assert await refused(wire, security) == "the MAC does not fit the message"
    ring.keys = (replace(key, secret=SECRETS[MacAlgorithm.HMAC_SHA256]),)
    assert (await security.verify(parse(wire, PROFILES))).message == USUAL


async def test_a_key_that_is_not_known_is_another_refusal() -> None:
    with pytest.raises(NoKey) as caught:
        await maced(key_id="K2").verify(parse(await wire_of(USUAL), PROFILES))
    assert "K1" not in str(caught.value)
