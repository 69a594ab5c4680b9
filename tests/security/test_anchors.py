"""Certificates that an authority issued: which count, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from msh.envelope import parse
from msh.errors import KeyUnusable, NotAuthentic
from msh.security.certificates import Anchors
from msh.security.signature import Signed
from tests.security.certificates import (
    DAY,
    NOW,
    PROFILE,
    PROFILES,
    USUAL,
    Identity,
    Party,
    SetClock,
    authority,
    identity,
    private_key,
)

SECOND = timedelta(seconds=1)
Open = Callable[..., Signed]


async def accepts(receiver: Signed, wire: bytes) -> str:
    """The fingerprint that verified, or why it did not."""
    try:
        return (await receiver.verify(parse(wire, PROFILES))).key
    except NotAuthentic as error:
        return error.reason


async def sent(sender: Signed) -> bytes:
    return (await sender.protect(USUAL, PROFILE)).wire


# anchors

SUBJECT = "CN=BIZ,C=TW"


async def test_a_certificate_that_an_anchor_issued_to_the_subject_agreed(
    biz: Party, psp: Party, clock: SetClock, opened: Open
) -> None:
    ca = authority()
    ours = identity("p256", issuer=ca)
    biz.hold(ours)
    receiver = opened(psp, anchors=(authority("Other", 91), ca), subject=SUBJECT)
    wire = await sent(opened(biz))
    for _ in range(2):  # the second time, the chain is known
        assert await accepts(receiver, wire) == ours.fingerprint
    clock.time = NOW + 301 * DAY
    assert "expired" in await accepts(receiver, wire)
    clock.time = NOW - 2 * DAY
    assert "not valid yet" in await accepts(receiver, wire)


@pytest.mark.parametrize(
    ("case", "why"),
    [
        ("another subject", "another subject"),
        ("another authority", "no valid chain"),
        ("an authority of that name, not that key", "no valid chain"),
        ("self-signed", "no valid chain"),
        ("expired", "no valid chain"),
        ("an expired authority", "no valid chain"),
        ("itself an authority", "is that of an authority"),
        ("wrong usage", "not for digital signatures"),
        ("small", "RSA key that is shorter than 2048"),
        ("p521", "neither RSA nor on the curves"),
    ],
)
async def test_an_anchored_certificate_that_does_not_count(
    case: str, why: str, biz: Party, psp: Party, clock: SetClock, opened: Open
) -> None:
    ca, ours = anchored(case)
    receiver = opened(psp, anchors=(ca,), subject=SUBJECT)
    biz.hold(identity("p256"))
    wire = await sent(opened(biz))
    # The certificate alone decides: its place is looked at before the signature is.
    assert why in await accepts(receiver, with_certificate(wire, ours))


def anchored(case: str) -> tuple[Identity, Identity]:
    """An anchor, and a certificate that does not count although it was issued somehow."""
    ca = authority()
    match case:
        case "another subject":
            return ca, identity("p256", name="BIX", issuer=ca)
        case "another authority":
            return ca, identity("p256", issuer=authority("Other", 91))
        case "an authority of that name, not that key":
            return ca, identity("p256", issuer=authority("CA", 91))
        case "self-signed":
            return ca, identity("p256")
        case "expired":
            return ca, identity("p256", issuer=ca, ends=NOW - SECOND)
        case "an expired authority":
            ended = identity(
                "p256", 90, name="CA", usage="key_cert_sign", authority=True, ends=NOW - DAY / 2
            )
            return ended, identity("p256", issuer=ended)
        case "itself an authority":
            return ca, identity("p256", issuer=ca, authority=True)
        case "wrong usage":
            return ca, identity("p256", issuer=ca, usage="key_encipherment")
        case "small":
            return ca, identity("rsa-1024", issuer=ca)
        case _:
            return ca, identity("p521", issuer=ca)


@pytest.mark.parametrize(
    ("usage", "is_authority", "why"),
    [
        ("digital_signature", True, "keyUsage must have keyCertSign"),
        (None, True, "keyUsage must have keyCertSign"),
        ("key_cert_sign", False, "basicConstraints must say CA:TRUE"),
    ],
)
async def test_an_anchor_that_may_not_issue_is_told_when_it_is_read(
    usage: str | None,
    is_authority: bool,
    why: str,
    psp: Party,
    clock: SetClock,
    opened: Open,
    caplog: pytest.LogCaptureFixture,
) -> None:
    odd = identity("p256", 92, name="Odd", usage=usage, authority=is_authority)
    with pytest.raises(KeyUnusable) as caught:
        opened(psp, anchors=(authority(), odd), subject=SUBJECT)
    assert why in str(caught.value)
    assert f"{psp.anchors}: the certificate CN=Odd,C=TW " in str(caught.value)
    # Put there while it runs, it is told; the others go on counting.
    receiver = opened(psp, anchors=(authority(),), subject=SUBJECT)
    psp.anchors.write_bytes(authority().certificate_pem + odd.certificate_pem)
    clock.time += SECOND
    assert [one.subject for one in receiver.listed()] == ["CN=CA,C=TW"]
    assert why in caplog.text


@pytest.mark.parametrize(
    "written", ["CN=BIZ, C=TW", "cn = BIZ , c = TW", "2.5.4.3=BIZ,C=TW", "C = TW, CN = BIZ"]
)
async def test_the_subject_however_it_is_written(
    written: str, biz: Party, psp: Party, opened: Open
) -> None:
    ca = authority()
    ours = identity("p256", issuer=ca)
    biz.hold(ours)
    wire = await sent(opened(biz))
    receiver = opened(psp, anchors=(ca,), subject=written)
    assert await accepts(receiver, wire) == ours.fingerprint


def with_certificate(wire: bytes, one: Identity) -> bytes:
    """``wire`` with another certificate in its signature."""
    start, rest = wire.split(b"<ds:X509Certificate>")
    written = b"".join(one.certificate_pem.splitlines()[1:-1])
    return start + b"<ds:X509Certificate>" + written + rest[rest.index(b"</") :]


async def test_what_is_no_certificate(biz: Party, psp: Party, opened: Open) -> None:
    biz.hold(identity("p256"))
    start, rest = (await sent(opened(biz))).split(b"<ds:X509Certificate>")
    odd = start + b"<ds:X509Certificate>AAAA" + rest[rest.index(b"</") :]
    assert "not the peer's" in await accepts(opened(psp), odd)
    receiver = opened(psp, anchors=(authority(),), subject=SUBJECT)
    assert "cannot be read" in await accepts(receiver, odd)


async def test_anchors_change_without_a_restart(
    biz: Party, psp: Party, clock: SetClock, opened: Open
) -> None:
    ca, next_ca = authority(), authority("Next", 91)
    ours = identity("p256", issuer=next_ca)
    biz.hold(ours)
    receiver = opened(psp, anchors=(ca,), subject=SUBJECT)
    wire = await sent(opened(biz))
    assert "no valid chain" in await accepts(receiver, wire)
    psp.anchors.write_bytes(ca.certificate_pem + next_ca.certificate_pem)
    clock.time += SECOND
    assert await accepts(receiver, wire) == ours.fingerprint
    psp.anchors.write_bytes(b"")
    clock.time += SECOND
    assert "no anchor can be read" in await accepts(receiver, wire)


def test_anchors_need_a_subject(psp: Party) -> None:
    with pytest.raises(KeyUnusable, match="need the subject"):
        psp.open(anchors=(authority(),))
    with pytest.raises(KeyUnusable, match="is not a name as in RFC 4514"):
        psp.open(anchors=(authority(),), subject="PSP")


def test_no_stranger_makes_reasons_of_his_own(psp: Party, clock: SetClock) -> None:
    """A reason is a counter and a line in the log, and there are only so many of them."""
    ca, signing = authority(), private_key("rsa")
    psp.anchors.write_bytes(ca.certificate_pem)
    anchors = Anchors(psp.anchors, lambda problem: None)
    subject = x509.Name.from_rfc4514_string(SUBJECT)
    reasons = set()
    for bits in (*range(1100, 2000, 99), *range(9000, 15_000, 999)):
        public = rsa.RSAPublicNumbers(65537, (1 << (bits - 1)) | 0x1234567 << 8 | 1).public_key()
        builder = x509.CertificateBuilder(subject, subject, public, bits, NOW - DAY, NOW + DAY)
        der = builder.sign(signing, hashes.SHA256()).public_bytes(Encoding.DER)
        with pytest.raises(NotAuthentic) as caught:
            anchors.issued(der, str(bits), subject, NOW)
        reasons.add(caught.value.reason)
    (reason,) = reasons
    assert "RSA key" in reason
