"""Signing and verifying: any message, each algorithm, and what is refused."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from lxml import etree

from msh.envelope import Parsed, normal_body, parse, serialise
from msh.errors import CannotProtect, InvalidBody, NotAuthentic
from msh.message import Message
from msh.security.signature import Signed
from msh.security.signature_shape import DS
from msh.testing.strategies import messages
from tests.security.certificates import (
    PROFILE,
    PROFILES,
    USUAL,
    Identity,
    Party,
    SetClock,
    identity,
)


@pytest.fixture
async def pair(biz: Party, psp: Party) -> AsyncIterator[tuple[Signed, Signed]]:
    """Two parties that pinned each other: RSA for the one, P-256 for the other."""
    ours, theirs = identity("rsa"), identity("p256", name="PSP")
    biz.hold(ours)
    biz.pin(theirs)
    psp.hold(theirs)
    psp.pin(ours)
    both = biz.open(), psp.open()
    yield both
    for one in both:
        await one.close()


def read(wire: bytes) -> Parsed:
    return parse(wire, PROFILES)


async def refused(security: Signed, wire: bytes) -> str:
    """Why ``wire`` is refused; the reason quotes nothing of it."""
    with pytest.raises(NotAuthentic) as caught:
        await security.verify(read(wire))
    assert "BIZ-1" not in str(caught.value)
    assert "Amt" not in str(caught.value)
    assert caught.value.__cause__ is None
    return caught.value.reason


async def signed(security: Signed, message: Message = USUAL) -> bytes:
    return (await security.protect(message, PROFILE)).wire


# there and back


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(message=messages())
def test_any_message_signed_then_verified_is_the_same(
    message: Message, biz: Party, psp: Party, shared: dict[str, Signed]
) -> None:
    async def there_and_back() -> None:
        protected = await shared["biz"].protect(message, PROFILE)
        verified = await shared["psp"].verify(read(protected.wire))
        assert verified.message == message
        assert verified.key == protected.key
        assert len(protected.wire) - len(serialise(message, PROFILE)) <= Signed.overhead

    asyncio.run(there_and_back())


@pytest.fixture
def shared(biz: Party, psp: Party) -> Iterator[dict[str, Signed]]:
    ours = identity("p256")
    biz.hold(ours)
    psp.pin(ours)
    both = {"biz": biz.open(), "psp": psp.open()}
    yield both
    for one in both.values():
        asyncio.run(one.close())


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        ("rsa", "rsa-sha256"),
        ("rsa-3072", "rsa-sha256"),
        ("p256", "ecdsa-sha256"),
        ("p384", "ecdsa-sha384"),
    ],
)
async def test_each_algorithm(kind: str, method: str, biz: Party, psp: Party) -> None:
    ours = identity(kind)
    biz.hold(ours)
    psp.pin(ours)
    sender, receiver = biz.open(), psp.open()
    protected = await sender.protect(USUAL, PROFILE)
    assert f"#{method}".encode() in protected.wire
    verified = await receiver.verify(read(protected.wire))
    assert (verified.message, verified.key) == (USUAL, ours.fingerprint)
    assert protected.key == ours.fingerprint
    assert not verified.retired
    await sender.close()
    await receiver.close()


async def test_a_large_message_is_verified_too(pair: tuple[Signed, Signed]) -> None:
    body = normal_body("<a>" + "<b>款項</b>" * 20_000 + "</a>")
    message = replace(USUAL, body=body)
    wire = await signed(pair[0], message)
    assert (await pair[1].verify(read(wire))).message == message
    assert "not the one" in await refused(pair[1], wire.replace("款".encode(), "欵".encode(), 1))


async def test_prefixes_that_only_content_uses_are_signed(pair: tuple[Signed, Signed]) -> None:
    body = normal_body(
        '<a xmlns:i="urn:i" xmlns:x="urn:x" xmlns:ds="urn:d" t="ds:T" i:type="x:T"/>'
    )
    message = replace(USUAL, body=body)
    wire = await signed(pair[0], message)
    assert wire.count(b'PrefixList="ds i x"') == 1
    assert (await pair[1].verify(read(wire))).message == message
    changed = wire.replace(b'xmlns:x="urn:x"', b'xmlns:x="urn:y"')
    assert "not the one" in await refused(pair[1], changed)
    assert b"PrefixList" not in await signed(pair[0])


async def test_a_body_that_itself_uses_signatures_cannot_be_signed(
    pair: tuple[Signed, Signed],
) -> None:
    message = replace(USUAL, body=normal_body(f'<a><Signature xmlns="{DS}"/></a>'))
    with pytest.raises(CannotProtect, match=r"^its body holds elements of XML-DSig"):
        await signed(pair[0], message)


async def test_the_overhead_is_an_upper_bound(pair: tuple[Signed, Signed]) -> None:
    """With as many, and as long, prefixes in content as a body may have."""
    names = [f"{'𠮷' * 30}{number}" for number in range(10, 22)]
    declared = " ".join(f'xmlns:{name}="urn:u"' for name in names)
    message = replace(USUAL, body=normal_body(f'<a {declared} t="x"/>'))
    wire = await signed(pair[0], message)
    assert (await pair[1].verify(read(wire))).message == message
    added = len(wire) - len(serialise(message, PROFILE))
    variable = (
        between(b"<ds:X509Certificate>", wire, b"<"),
        between(b"<ds:SignatureValue>", wire, b"<"),
        between(b'PrefixList="', wire, b'"'),
    )
    largest = Signed.overhead - added + sum(map(len, variable))
    # What does not vary is exact to some hundred bytes; the rest is counted at its largest.
    assert 0 <= largest - (4096 + 1024) / 3 * 4 - 16 * 129 < 500


def between(start: bytes, wire: bytes, end: bytes) -> bytes:
    return wire.partition(start)[2].partition(end)[0]


@pytest.mark.parametrize(
    "make",
    [
        lambda n: "<a " + " ".join(f'xmlns:p{i}="urn:x"' for i in range(n)) + "/>",
        lambda n: "<a>" + "<b/>" * (60_000 - 50 + n) + "</a>",
        lambda n: "<a>" * (15 + n) + "</a>" * (15 + n),
    ],
    ids=["namespaces", "elements", "depth"],
)
async def test_what_may_be_a_body_can_be_signed_and_read(
    make: Callable[[int], str], pair: tuple[Signed, Signed]
) -> None:
    accepted = 0
    for size in range(5, 30):
        try:
            body = normal_body(make(size))
        except InvalidBody:
            continue
        accepted += 1
        message = replace(USUAL, body=body)
        assert (await pair[1].verify(read(await signed(pair[0], message)))).message == message
    assert 4 <= accepted < 25


# what is refused


async def test_without_a_signature(pair: tuple[Signed, Signed]) -> None:
    assert "no signature" in await refused(pair[1], serialise(USUAL, PROFILE))


async def test_changed_after_it_was_signed(pair: tuple[Signed, Signed]) -> None:
    wire = await signed(pair[0])
    for old, new in (
        (b"<Amt>1<", b"<Amt>2<"),
        (b"BIZ-1", b"BIZ-2"),
        (b"PS810FTRQ", b"PS850FTRQ"),
        (b">PSP<", b">PSQ<"),
        (b"<soap:Body>", b"<soap:Body a='1'>"),
        (b"<soap:Body>", b"<soap:Body> "),
        (b"</soap:Header>", b" </soap:Header>"),
        (b"<soap:Header>", b"<soap:Header Id='x'>"),
    ):
        changed = wire.replace(old, new, 1)
        assert changed != wire
        assert "not the one that was signed" in await refused(pair[1], changed)


async def test_any_byte_of_the_signature_value_changed(pair: tuple[Signed, Signed]) -> None:
    wire = await signed(pair[0])
    start = wire.index(b"<ds:SignatureValue>") + len(b"<ds:SignatureValue>")
    for offset in range(0, 340, 17):
        place = start + offset
        other = b"A" if wire[place : place + 1] != b"A" else b"B"
        changed = wire[:place] + other + wire[place + 1 :]
        assert "not that of the certificate's key" in await refused(pair[1], changed)


async def test_a_wrapped_body(pair: tuple[Signed, Signed]) -> None:
    """The signed message goes under a wrapper, and another stands in its place."""
    wire = await signed(pair[0])
    root = etree.fromstring(wire)
    original = etree.tostring(root[1])
    for place in ("in the header", "in the signature", "in the body"):
        tree = etree.fromstring(wire)
        header, body = tree
        wrapper = etree.Element("Wrapper")
        wrapper.append(etree.fromstring(original))
        {"in the header": header, "in the signature": header[1], "in the body": body[0]}[
            place
        ].append(wrapper)
        body[0][0].text = "1000000"
        await refused(pair[1], etree.tostring(tree))


async def test_two_signatures(pair: tuple[Signed, Signed]) -> None:
    wire = await signed(pair[0])
    start, end = wire.index(b"<ds:Signature "), wire.index(b"</soap:Header>")
    signature = wire[start:end]
    assert "nothing else" in await refused(pair[1], wire[:end] + signature + wire[end:])
    first = wire.index(b"<scoi:MessageHeader")
    assert "nothing else" in await refused(pair[1], wire[:first] + signature + wire[first:])
    body = wire.replace(b"<Amt>", signature + b"<Amt>")
    assert "outside the signature's place" in await refused(pair[1], body)
    moved = wire[:start] + wire[end:].replace(b"<Amt>", signature + b"<Amt>")
    assert "no signature" in await refused(pair[1], moved)


async def test_before_the_header_block(pair: tuple[Signed, Signed]) -> None:
    wire = await signed(pair[0])
    start, end = wire.index(b"<ds:Signature "), wire.index(b"</soap:Header>")
    first = wire.index(b"<scoi:MessageHeader")
    moved = wire[:first] + wire[start:end] + wire[first:start] + wire[end:]
    assert "then one signature" in await refused(pair[1], moved)


async def test_signed_by_another_party(
    pair: tuple[Signed, Signed], tmp_path: Path, clock: SetClock
) -> None:
    stranger = Party(tmp_path / "stranger", clock)
    stranger.hold(identity("rsa", 7))
    other = stranger.open()
    wire = await signed(other)
    assert "not the peer's" in await refused(pair[1], wire)
    # The peer's certificate in the stranger's signature, and our own message sent back to us.
    genuine = await signed(pair[0])
    assert "key" in await refused(pair[1], _with_certificate_of(genuine, wire))
    assert "not the peer's" in await refused(pair[0], genuine)
    await other.close()


def _with_certificate_of(one: bytes, other: bytes) -> bytes:
    tag = b"X509Certificate>"
    certificate = one.split(tag)[1]
    parts = other.split(tag)
    return tag.join([parts[0], certificate, parts[2]])


DIGEST = "http://www.w3.org/2000/09/xmldsig#sha1"
SHAPES = {
    "sha-1 signature": ("2001/04/xmldsig-more#rsa-sha256", "2000/09/xmldsig#rsa-sha1"),
    "hmac": ("2001/04/xmldsig-more#rsa-sha256", "2000/09/xmldsig#hmac-sha1"),
    "sha-224": ("xmldsig-more#rsa-sha256", "xmldsig-more#rsa-sha224"),
    "sha-1 digest": ("http://www.w3.org/2001/04/xmlenc#sha256", DIGEST),
    "inclusive c14n": (
        'CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"',
        'CanonicalizationMethod Algorithm="http://www.w3.org/TR/2001/REC-xml-c14n-20010315"',
    ),
    "with comments": ("xml-exc-c14n#", "xml-exc-c14n#WithComments"),
    "a reference by id": ('URI=""', 'URI="#x"'),
    "a reference elsewhere": ('URI=""', 'URI="http://127.0.0.1/x"'),
    "no URI": (' URI=""', ""),
    "a type": ('URI=""', 'URI="" Type="x"'),
    "an id": ("<ds:SignedInfo>", '<ds:SignedInfo Id="x">'),
    "no enveloped transform": (
        '<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/>',
        "",
    ),
    "another transform": (
        "</ds:Transforms>",
        '<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#base64"/></ds:Transforms>',
    ),
    "xslt": (
        'xmldsig#enveloped-signature"/>',
        'xmldsig#enveloped-signature"><x/></ds:Transform>',
    ),
    "no reference": ("<ds:Reference", "<ds:Manifest"),
    "an object": ("</ds:Signature>", "<ds:Object/></ds:Signature>"),
    "a key value": ("<ds:X509Data>", "<ds:KeyValue/><ds:X509Data>"),
    "a key name": ("<ds:KeyInfo>", "<ds:KeyInfo><ds:KeyName>a</ds:KeyName>"),
    "two certificates": (
        "</ds:X509Data>",
        "<ds:X509Certificate>AAAA</ds:X509Certificate></ds:X509Data>",
    ),
    "text": ("<ds:SignedInfo>", "<ds:SignedInfo>x"),
    "a space in a digest": ("<ds:DigestValue>", "<ds:DigestValue>="),
    "no value": ("</ds:SignatureValue>", "</ds:SignatureValue><ds:SignatureValue/>"),
    "an empty prefix list": (
        'xml-exc-c14n#"/></ds:Transforms>',
        'xml-exc-c14n#"><e:InclusiveNamespaces xmlns:e="http://www.w3.org/2001/10/xml-exc-c14n#" '
        'PrefixList=""/></ds:Transform></ds:Transforms>',
    ),
    "a long prefix list": (
        'xml-exc-c14n#"/></ds:Transforms>',
        'xml-exc-c14n#"><e:InclusiveNamespaces xmlns:e="http://www.w3.org/2001/10/xml-exc-c14n#" '
        f'PrefixList="{" ".join("abcdefghijklmnopq")}"/></ds:Transform></ds:Transforms>',
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
async def test_another_shape(shape: str, pair: tuple[Signed, Signed]) -> None:
    """Refused for its shape, before any digest or signature is computed."""
    old, new = SHAPES[shape]
    wire = (await signed(pair[0])).decode()
    changed = wire.replace(old, new)
    if shape == "no reference":
        changed = changed.replace("</ds:Reference", "</ds:Manifest")
    assert changed != wire
    reason = await refused(pair[1], changed.encode())
    assert not reason.startswith(("the signature is not", "the message is not", "the signature ca"))


async def test_another_reference_shape_that_is_allowed(pair: tuple[Signed, Signed]) -> None:
    """Line breaks in values and between elements are anybody's choice, outside SignedInfo."""
    wire = await signed(pair[0])
    spaced = wire.replace(b"<ds:X509Data>", b"\n <ds:X509Data>\n").replace(b"MII", b"\nMI\nI")
    assert (await pair[1].verify(read(spaced))).message == USUAL


# logs


async def test_nothing_of_a_message_or_key_is_logged(
    pair: tuple[Signed, Signed], caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("", "signxml", "signxml.processor", "msh"):
        caplog.set_level(logging.DEBUG, name)
    wire = await signed(pair[0])
    await pair[1].verify(read(wire))
    await refused(pair[1], wire.replace(b"<Amt>1<", b"<Amt>2<"))
    assert "Amt" not in caplog.text
    assert "BIZ-1" not in caplog.text


def test_a_private_key_is_never_shown(biz: Party) -> None:
    ours: Identity = identity("p256")
    biz.hold(ours)
    security = biz.open()
    credential = security._own.signing()
    assert "PrivateKey" not in repr(credential)
    assert credential.certificate.fingerprint == ours.fingerprint
    asyncio.run(security.close())
