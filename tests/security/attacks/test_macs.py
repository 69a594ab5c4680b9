"""Messages under MACs: forged, cut, moved, under other keys, and without any."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from lxml import etree

from msh.catalog import StatusCode
from msh.envelope import enclose, header_block, parse, serialise, with_mac
from msh.errors import NotAuthentic
from msh.security.mac import MAC_BYTES, KeyedMac
from msh.security.maced import bound
from tests.security.attacks.target import ALGORITHMS, BODY, FORMAT, KEY, MAC, RIGHT, SECRETS, Target
from tests.security.certificates import NOW, PROFILE, PROFILES

pytestmark = pytest.mark.asyncio(loop_scope="module")

PARTIES = list(ALGORITHMS)
NS = PROFILE.namespace


def _cut(wire: bytes) -> tuple[bytes, bytes, bytes]:
    """``wire`` in front of the text of its MAC, that text, and what is behind."""
    start, end = wire.index(b"<scoi:MAC>") + len(b"<scoi:MAC>"), wire.index(b"</scoi:MAC>")
    return wire[:start], wire[start:end], wire[end:]


def _with(wire: bytes, mac: bytes) -> bytes:
    front, _, behind = _cut(wire)
    return front + mac + behind


@pytest.mark.parametrize("party", PARTIES)
async def test_a_genuine_message(target: Target, party: str) -> None:
    await target.serves(party)


# the MAC itself


@pytest.mark.parametrize(
    ("party", "length"),
    [(party, n) for party in PARTIES for n in range(MAC_BYTES[ALGORITHMS[party]])],
)
async def test_a_truncated_mac(target: Target, party: str, length: int) -> None:
    wire = await target.genuine(party)
    mac = base64.b64decode(_cut(wire)[1])
    await target.refuses(_with(wire, base64.b64encode(mac[:length])), MAC)


FORMS = {
    "longer": lambda text: base64.b64encode(base64.b64decode(text) + b"\0"),
    "twice": lambda text: base64.b64encode(base64.b64decode(text) * 2),
    "zeros": lambda text: base64.b64encode(bytes(len(base64.b64decode(text)))),
    "reversed": lambda text: base64.b64encode(base64.b64decode(text)[::-1]),
    "inverted": lambda text: base64.b64encode(bytes(b ^ 255 for b in base64.b64decode(text))),
    "first-bit": lambda text: base64.b64encode(_flip(base64.b64decode(text), 0, 128)),
    "last-bit": lambda text: base64.b64encode(_flip(base64.b64decode(text), -1, 1)),
    "hexadecimal": lambda text: base64.b64decode(text).hex().encode(),
    "without-padding": lambda text: text.rstrip(b"="),
    "with-more-padding": lambda text: text + b"=",
    "with-more-behind": lambda text: text + b"AAAA",
    "with-a-line-break-within": lambda text: text[:4] + b"\n" + text[4:],
    "with-a-space-within": lambda text: text[:4] + b" " + text[4:],
    "in-the-url-alphabet": lambda text: b"-_" + text[2:],
    "in-full-width": lambda text: "Ａ".encode() + text[1:],
    "with-a-no-break-space": lambda text: text + b"\xc2\xa0",
    "nothing": lambda text: b"",
    "a-megabyte": lambda text: b"A" * 900_000,
    "with-bits-behind-the-end": lambda text: (
        text.replace(b"=", b"")[:-1]
        + bytes([text.replace(b"=", b"")[-1] + 1])
        + b"=" * text.count(b"=")
    ),
}


def _flip(data: bytes, at: int, bit: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= bit
    return bytes(changed)


@pytest.mark.parametrize("party", PARTIES)
@pytest.mark.parametrize("name", FORMS)
async def test_another_form_of_the_mac(target: Target, name: str, party: str) -> None:
    wire = await target.genuine(party)
    changed = FORMS[name](_cut(wire)[1])
    await target.refuses(_with(wire, changed), MAC)


GUESSES = {
    "the-hash-alone": lambda data, secret: hashlib.sha256(data).digest(),
    "key-then-data": lambda data, secret: hashlib.sha256(secret + data).digest(),
    "no-key": lambda data, secret: hmac.digest(b"", data, "sha256"),
    "key-of-zeros": lambda data, secret: hmac.digest(bytes(32), data, "sha256"),
    "the-key-id": lambda data, secret: hmac.digest(b"HMAC", data, "sha256"),
    "sha-1": lambda data, secret: hmac.digest(secret, data, "sha1"),
    "md5": lambda data, secret: hmac.digest(secret, data, "md5"),
    "sha-512": lambda data, secret: hmac.digest(secret, data, "sha512"),
    "sha-512-cut": lambda data, secret: hmac.digest(secret, data, "sha512")[:32],
    "half-the-key": lambda data, secret: hmac.digest(secret[:16], data, "sha256"),
    "the-key-in-hexadecimal": lambda data, secret: hmac.digest(
        secret.hex().encode(), data, "sha256"
    ),
    "the-data-without-lengths": lambda data, secret: hmac.digest(
        secret, data.split(b":", 1)[1], "sha256"
    ),
    "the-key-itself": lambda data, secret: secret,
}


@pytest.mark.parametrize("name", GUESSES)
async def test_a_mac_by_another_rule(target: Target, name: str) -> None:
    message = target.message("HMAC")
    block = header_block(message, PROFILE, "HMAC")
    mac = GUESSES[name](bound(block, message.body), SECRETS["HMAC"])
    wire = enclose(with_mac(block, base64.b64encode(mac).decode(), PROFILE), message.body)
    await target.refuses(wire, MAC)


@pytest.mark.parametrize("covered", ["header", "body", "nothing", "turned-round", "another-length"])
async def test_a_mac_over_less(target: Target, covered: str) -> None:
    message = target.message("HMAC")
    block = header_block(message, PROFILE, "HMAC")
    data = {
        "header": bound(block, b""),
        "body": bound(b"", message.body),
        "nothing": b"",
        "turned-round": bound(message.body, block),
        "another-length": bound(block[:-1], block[-1:] + message.body),
    }[covered]
    mac = KeyedMac(ALGORITHMS["HMAC"], SECRETS["HMAC"]).compute(data)
    wire = enclose(with_mac(block, base64.b64encode(mac).decode(), PROFILE), message.body)
    await target.refuses(wire, MAC)


# keys


@pytest.mark.parametrize("party", PARTIES)
async def test_the_same_key_id_and_another_secret(target: Target, party: str) -> None:
    secret = bytes.fromhex("fedcba98765432100123456789abcdef") * 2
    secret = secret[: len(SECRETS[party])]
    other = target.maced(party, secret=secret)
    wire = (await other.protect(target.message(party), PROFILE)).wire
    await target.refuses(wire, MAC)


@pytest.mark.parametrize(
    "key_id", ["K2", "hmac", "HMAC2", "CMAC", "BIZ", "x" * 128, "../HMAC", "%00", "'OR'1'='1"]
)
async def test_a_key_that_is_not_known(target: Target, key_id: str) -> None:
    """0003E: no key exchanged. Also the key of another party is none of this one's."""
    other = target.maced("HMAC", key_id=key_id)
    wire = (await other.protect(target.message("HMAC"), PROFILE)).wire
    await target.refuses(wire, KEY)


@pytest.mark.parametrize("party", PARTIES)
@pytest.mark.parametrize("other", PARTIES)
async def test_the_key_of_another_party(target: Target, party: str, other: str) -> None:
    """With that party's key id, or this one's: neither its own name nor its key helps."""
    if party == other:
        await target.serves(party)
        return
    wire = await target.protected(target.message(party), by=other)
    await target.refuses(wire, KEY)
    lent = target.maced(other, key_id=party)
    wire = (await lent.protect(target.message(party), PROFILE)).wire
    await target.refuses(wire, MAC)


@pytest.mark.parametrize("algorithm", ["CMAC", "RETAIL"])
async def test_another_algorithm_under_the_right_secret(target: Target, algorithm: str) -> None:
    """The agreement says which, whatever the MAC's length."""
    secret = SECRETS["HMAC"] if algorithm == "CMAC" else SECRETS["RETAIL"]
    message = target.message("HMAC")
    block = header_block(message, PROFILE, "HMAC")
    mac = KeyedMac(ALGORITHMS[algorithm], secret).compute(bound(block, message.body))
    wire = enclose(with_mac(block, base64.b64encode(mac).decode(), PROFILE), message.body)
    await target.refuses(wire, MAC)


async def test_the_key_of_the_exchange_protects_no_payment(target: Target) -> None:
    """And no working key vouches for its successor."""
    for key_id, service in (("exchange", "PS810FTRQ"), ("HMAC", "IS990KEORQ")):
        message = target.message("HMAC", service=service)
        block = header_block(message, PROFILE, key_id)
        for secret in (SECRETS["HMAC"], bytes(32)):
            mac = KeyedMac(ALGORITHMS["HMAC"], secret).compute(bound(block, message.body))
            text = base64.b64encode(mac).decode()
            await target.refuses(enclose(with_mac(block, text, PROFILE), message.body), MAC)


@pytest.mark.parametrize("party", PARTIES)
@pytest.mark.parametrize(
    "service", [*PROFILE.key_exchange.requests, "PS810FTRQ", "PS990", "810FTRQ"]
)
async def test_nothing_goes_without_a_mac(target: Target, party: str, service: str) -> None:
    message = target.message(party, service=service)
    await target.refuses(serialise(message, PROFILE), MAC)
    for key_id in (party, "exchange"):
        block = header_block(message, PROFILE, key_id)
        await target.refuses(enclose(block, message.body), MAC)


@pytest.mark.parametrize("party", PARTIES)
@pytest.mark.parametrize("signer", ["BIZ", "BANK"])
async def test_a_signature_where_a_mac_is_agreed(target: Target, party: str, signer: str) -> None:
    await target.refuses(await target.protected(target.message(party), by=signer), MAC)


@pytest.mark.parametrize("party", ["BIZ", "BANK", "CHAIN", "OLD"])
@pytest.mark.parametrize("by", PARTIES)
async def test_a_mac_where_a_signature_is_agreed(target: Target, party: str, by: str) -> None:
    await target.refuses(await target.protected(target.message(party), by=by), MAC)


# what it covers

CHANGES: dict[str, dict[str, Any]] = {
    "service": {"service": "PS830INQRQ"},
    "message-id": {"message_id": "BIZ-evil"},
    "message-id-in-lower-case": {"message_id": "hmac-1"},
    "timestamp": {"timestamp": NOW + timedelta(microseconds=1)},
    "time-to-live": {"expires": NOW + timedelta(hours=2)},
    "no-time-to-live": {"expires": None},
    "a-reference": {"ref_to": "PSP-1"},
    "a-status": {"status": StatusCode.parse("PSPPM0000I")},
    "a-text": {"status_text": "x"},
    "a-digest": {"ref_digest": bytes(32)},
    "body": {"body": BODY.replace(b"100", b"1000000")},
    "body-namespace": {"body": BODY.replace(b"urn:pay", b"urn:pax")},
    "body-attribute": {"body": BODY.replace(b"<Amt>", b'<Amt a="">')},
    "body-space": {"body": BODY.replace(b"<Amt>", b"<Amt> ")},
    "no-body": {"body": b""},
}


@pytest.mark.parametrize("party", PARTIES)
@pytest.mark.parametrize("name", CHANGES)
async def test_a_value_is_changed(target: Target, name: str, party: str) -> None:
    message = target.message(party)
    mac = _cut(await target.protected(message))[1].decode()
    other = replace(message, **CHANGES[name])
    block = with_mac(header_block(other, PROFILE, party), mac, PROFILE)
    await target.refuses(enclose(block, other.body), MAC)


@pytest.mark.parametrize("party", PARTIES)
async def test_the_mac_of_another_message(target: Target, party: str) -> None:
    one, other = await target.genuine(party), await target.genuine(party)
    await target.refuses(_with(one, _cut(other)[1]), MAC)
    body = other[other.index(b"<soap:Body>") :].replace(b"100", b"200")
    await target.refuses(one[: one.index(b"<soap:Body>")] + body, MAC)


def _mac(root: Any) -> Any:
    return root[0][0].find(f"{{{NS}}}MAC")


def _key_id(root: Any) -> Any:
    return root[0][0].find(f"{{{NS}}}KeyId")


def _copy(element: Any) -> Any:
    return etree.fromstring(etree.tostring(element, with_tail=False))


SHAPES = {
    "mac-first": (lambda root: root[0][0].insert(0, _mac(root)), MAC),
    "mac-before-the-key-id": (lambda root: _key_id(root).addprevious(_mac(root)), MAC),
    "mac-twice": (lambda root: root[0][0].append(_copy(_mac(root))), FORMAT),
    "mac-twice-empty-first": (
        lambda root: root[0][0].insert(0, etree.Element(_mac(root).tag)),
        FORMAT,
    ),
    "mac-with-an-attribute": (lambda root: _mac(root).set("Algorithm", "none"), MAC),
    "mac-with-a-child": (lambda root: _mac(root).append(etree.Element("a")), FORMAT),
    "mac-of-another-namespace": (lambda root: setattr(_mac(root), "tag", "{urn:x}MAC"), FORMAT),
    "mac-in-lower-case": (lambda root: setattr(_mac(root), "tag", f"{{{NS}}}mac"), FORMAT),
    "mac-in-the-header": (lambda root: root[0].append(_mac(root)), MAC),
    "mac-in-the-body": (lambda root: root[1].append(_mac(root)), FORMAT),
    "mac-in-the-content": (lambda root: root[1][0].append(_mac(root)), MAC),
    "no-mac": (lambda root: root[0][0].remove(_mac(root)), MAC),
    "key-id-twice": (lambda root: root[0][0].insert(0, _copy(_key_id(root))), FORMAT),
    "no-key-id": (lambda root: root[0][0].remove(_key_id(root)), MAC),
    "key-id-behind-the-mac": (lambda root: root[0][0].append(_key_id(root)), MAC),
    "key-id-empty": (lambda root: setattr(_key_id(root), "text", ""), MAC),
    "block-with-an-attribute": (lambda root: root[0][0].set("Id", "x"), MAC),
    "block-with-a-namespace-used": (lambda root: root[0][0].set("{urn:x}a", "x"), MAC),
    "value-with-an-attribute": (lambda root: root[0][0][0].set("Id", "x"), MAC),
    "values-turned-round": (lambda root: root[0][0].insert(0, root[0][0][1]), MAC),
    "white-space-in-a-value": (
        lambda root: setattr(root[0][0][1], "text", f" {root[0][0][1].text}"),
        MAC,
    ),
    "white-space-between": (lambda root: setattr(root[0][0][1], "tail", "\n"), MAC),
    "white-space-in-the-block": (lambda root: setattr(root[0][0], "text", " "), MAC),
    "white-space-behind-the-mac": (lambda root: setattr(_mac(root), "tail", " "), MAC),
    "an-empty-value-more": (
        lambda root: root[0][0].insert(0, etree.Element(f"{{{NS}}}StatusText")),
        MAC,
    ),
    "a-value-that-is-not-the-profile's": (
        lambda root: root[0][0].insert(0, etree.Element(f"{{{NS}}}Priority")),
        FORMAT,
    ),
}


@pytest.mark.parametrize("party", PARTIES)
@pytest.mark.parametrize("name", SHAPES)
async def test_another_shape(target: Target, name: str, party: str) -> None:
    root = etree.fromstring(await target.genuine(party))
    change, code = SHAPES[name]
    change(root)
    await target.refuses(etree.tostring(root), code)


async def test_a_stranger_to_everybody(target: Target) -> None:
    """0001E, whatever protects it."""
    for sender in ("Mallory", "psp", "biz", "BIZ2", "*", "PSP"):
        message = target.message(sender)
        for wire in (
            serialise(message, PROFILE),
            await target.protected(message, by="BIZ"),
            await target.protected(message, by="HMAC"),
        ):
            await target.refuses(wire, RIGHT)


async def test_a_refusal_is_not_believed_by_the_party(target: Target) -> None:
    """What a stranger is told is no answer to anybody who agreed on protection."""
    for party in ("BIZ", "HMAC"):
        acceptance, _ = await target.accept(serialise(target.message(party), PROFILE))
        parsed = parse(acceptance.wire, PROFILES)
        assert str(parsed.message.status) == MAC
        with pytest.raises(NotAuthentic):
            await target.parties[party].security.verify(parsed)
