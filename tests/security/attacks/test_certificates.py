"""Whose key it is: stolen names, substituted certificates, keys that may not sign."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from lxml import etree

from tests.security.attacks.forge import (
    DS,
    MORE,
    RSA_SHA256,
    Form,
    by_hmac,
    certificate_info,
    signed,
)
from tests.security.attacks.target import MAC, RIGHT, Target, expired_authority
from tests.security.certificates import DAY, NOW, Identity, authority, identity

pytestmark = pytest.mark.asyncio(loop_scope="module")

EC = f"{MORE}ecdsa-sha256"


# HMAC keyed with what everybody knows


SECRETS = [
    "key-der",
    "key-pem",
    "certificate-der",
    "certificate-pem",
    "certificate-base64",
    "fingerprint",
    "fingerprint-bytes",
    "nothing",
    "pkcs1-der",
    "pkcs1-pem",
    "modulus",
]


def _public(one: Identity) -> dict[str, bytes]:
    key = one.certificate.public_key()
    found = {
        "key-der": key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "key-pem": key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "certificate-der": one.der,
        "certificate-pem": one.certificate_pem,
        "certificate-base64": base64.b64encode(one.der),
        "fingerprint": one.fingerprint.encode(),
        "fingerprint-bytes": bytes.fromhex(one.fingerprint),
        "nothing": b"",
    }
    if isinstance(key, rsa.RSAPublicKey):
        found["pkcs1-der"] = key.public_bytes(Encoding.DER, PublicFormat.PKCS1)
        found["pkcs1-pem"] = key.public_bytes(Encoding.PEM, PublicFormat.PKCS1)
        modulus = key.public_numbers().n
        found["modulus"] = modulus.to_bytes(256, "big")
    return found


@pytest.mark.parametrize(
    "method", [f"{DS}hmac-sha1", *(f"{MORE}hmac-sha{n}" for n in (224, 256, 512))]
)
@pytest.mark.parametrize("secret", SECRETS)
async def test_hmac_with_the_public_key(target: Target, secret: str, method: str) -> None:
    form = Form(method=method, make=by_hmac(_public(target.biz)[secret], method))
    await target.refuses(signed(target.message(), target.biz, form), MAC)


@pytest.mark.parametrize("secret", SECRETS)
async def test_hmac_that_calls_itself_rsa(target: Target, secret: str) -> None:
    form = Form(make=by_hmac(_public(target.biz)[secret], RSA_SHA256))
    await target.refuses(signed(target.message(), target.biz, form), MAC)


@pytest.mark.parametrize("keep", [0, 1, 4, 8, 10, 16])
async def test_a_truncated_hmac_with_the_public_key(target: Target, keep: int) -> None:
    """CVE-2009-0217: HMACOutputLength lets an empty or short value pass."""
    method = f"{MORE}hmac-sha256"
    form = Form(
        method=method,
        method_content=f"<ds:HMACOutputLength>{keep * 8}</ds:HMACOutputLength>",
        make=by_hmac(_public(target.biz)["key-der"], method, keep),
    )
    await target.refuses(signed(target.message(), target.biz, form), MAC)


# trivial values, which a broken verifier takes

TRIVIAL = {
    "one": (1).to_bytes(256, "big"),
    "zero": bytes(256),
    "all-ones": b"\xff" * 256,
    "short": b"\1",
    "long": bytes(1024),
    "too-long": bytes(1025),
    "r-and-s-zero": bytes(64),
    "r-and-s-one": bytes(31) + b"\1" + bytes(31) + b"\1",
    "r-and-s-of-the-order": bytes.fromhex(
        "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551" * 2
    ),
    "odd": bytes(63),
}


@pytest.mark.parametrize("value", TRIVIAL)
@pytest.mark.parametrize("party", ["BIZ", "BANK"])
async def test_a_trivial_value(target: Target, party: str, value: str) -> None:
    one, method = {"BIZ": (target.biz, RSA_SHA256), "BANK": (target.bank, EC)}[party]
    form = Form(method=method, make=lambda data: TRIVIAL[value])
    await target.refuses(signed(target.message(party), one, form), MAC)


# somebody else's key


@pytest.mark.parametrize("kind", ["rsa", "p256"])
@pytest.mark.parametrize("name", ["BIZ", "Mallory", "PSP"])
@pytest.mark.parametrize("shown", ["its-own", "the-party's", "both", "both-turned-round"])
async def test_the_key_of_a_stranger(target: Target, kind: str, name: str, shown: str) -> None:
    """Whatever name its certificate bears, and whichever certificates it shows."""
    stranger = identity(kind, 70, name=name)
    method = RSA_SHA256 if kind == "rsa" else EC
    info = {
        "its-own": certificate_info(stranger.der),
        "the-party's": certificate_info(target.biz.der),
        "both": certificate_info(target.biz.der, stranger.der),
        "both-turned-round": certificate_info(stranger.der, target.biz.der),
    }[shown]
    wire = signed(target.message(), stranger, Form(method=method, key_info=info))
    await target.refuses(wire, MAC)


PARTIES = ["BIZ", "BANK", "CHAIN", "OLD", "PSP"]


def _identity(target: Target, name: str) -> Identity:
    found = {
        "BIZ": target.biz,
        "BANK": target.bank,
        "CHAIN": target.chain,
        "OLD": target.expired,
        "PSP": target.psp,
    }
    return found[name]


@pytest.mark.parametrize("signer", PARTIES)
@pytest.mark.parametrize("claimed", PARTIES)
async def test_a_message_of_one_party_signed_by_another(
    target: Target, claimed: str, signer: str
) -> None:
    """Nobody signs for another, the platform's own key included; nobody is the platform."""
    one = _identity(target, signer)
    form = Form(method=RSA_SHA256 if signer == "BIZ" else EC)
    message = target.message(claimed)
    wire = signed(message, one, form)
    if claimed == signer and claimed in ("BIZ", "BANK", "CHAIN"):
        await target.takes(wire, message)
    else:
        await target.refuses(wire, RIGHT if claimed == "PSP" else MAC)


SUBSTITUTES = {
    "a-self-signed-one": lambda: identity("rsa", 71),
    "the-same-key-another-certificate": lambda: identity("rsa", name="BIZ"),
    "the-same-key-later-validity": lambda: identity("rsa", ends=NOW + 900 * DAY),
    "the-same-key-for-an-authority": lambda: identity("rsa", authority=True),
    "the-platform's": lambda: identity("p256", 1, name="PSP"),
}


@pytest.mark.parametrize("name", SUBSTITUTES)
async def test_another_certificate_in_a_genuine_signature(target: Target, name: str) -> None:
    """Also one for the very same key: only the pinned certificate itself counts."""
    root = etree.fromstring(await target.genuine())
    certificate = next(root.iter(f"{{{DS}}}X509Certificate"))
    certificate.text = base64.b64encode(SUBSTITUTES[name]().der).decode()
    await target.refuses(etree.tostring(root), MAC)


@pytest.mark.parametrize("at", [0, 1, 4, 20, 100, 200, -1])
async def test_a_byte_of_the_certificate_is_changed(target: Target, at: int) -> None:
    root = etree.fromstring(await target.genuine())
    der = bytearray(target.biz.der)
    der[at] ^= 1
    certificate = next(root.iter(f"{{{DS}}}X509Certificate"))
    certificate.text = base64.b64encode(bytes(der)).decode()
    await target.refuses(etree.tostring(root), MAC)


def _key_value(one: Identity) -> str:
    numbers = one.certificate.public_key().public_numbers()
    assert isinstance(numbers, rsa.RSAPublicNumbers)
    modulus = base64.b64encode(numbers.n.to_bytes(256, "big")).decode()
    return (
        f"<ds:KeyValue><ds:RSAKeyValue><ds:Modulus>{modulus}</ds:Modulus>"
        "<ds:Exponent>AQAB</ds:Exponent></ds:RSAKeyValue></ds:KeyValue>"
    )


def _spki(one: Identity) -> str:
    key = one.certificate.public_key()
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return (
        '<k:DEREncodedKeyValue xmlns:k="http://www.w3.org/2009/xmldsig11#">'
        f"{base64.b64encode(der).decode()}</k:DEREncodedKeyValue>"
    )


def _data(one: Identity) -> str:
    der = base64.b64encode(one.der).decode()
    return f"<ds:X509Data><ds:X509Certificate>{der}</ds:X509Certificate></ds:X509Data>"


#: What KeyInfo can hold; ``{genuine}`` is the party's own X509Data.
KEY_INFOS = {
    "empty": "",
    "a-key-name": "<ds:KeyName>BIZ</ds:KeyName>",
    "a-key-name-beside": "<ds:KeyName>BIZ</ds:KeyName>{genuine}",
    "a-key-value": "{value}",
    "a-key-value-beside": "{genuine}{value}",
    "a-key-value-in-front": "{value}{genuine}",
    "a-der-key-value-beside": "{genuine}{spki}",
    "another-data-beside": "{genuine}{other}",
    "another-data-in-front": "{other}{genuine}",
    "the-same-data-twice": "{genuine}{genuine}",
    "a-retrieval-method": '<ds:RetrievalMethod URI="#x"/>',
    "a-retrieval-method-beside": '{genuine}<ds:RetrievalMethod URI="http://127.0.0.1:1/"/>',
    "a-subject-name": "<ds:X509Data><ds:X509SubjectName>CN=BIZ,C=TW</ds:X509SubjectName>"
    "</ds:X509Data>",
    "an-issuer-serial": "<ds:X509Data><ds:X509IssuerSerial><ds:X509IssuerName>CN=BIZ,C=TW"
    "</ds:X509IssuerName><ds:X509SerialNumber>1</ds:X509SerialNumber></ds:X509IssuerSerial>"
    "</ds:X509Data>",
    "an-ski": "<ds:X509Data><ds:X509SKI>AAAA</ds:X509SKI></ds:X509Data>",
    "a-crl": "<ds:X509Data><ds:X509CRL>AAAA</ds:X509CRL></ds:X509Data>",
    "an-empty-data": "<ds:X509Data/>",
    "an-empty-certificate": "<ds:X509Data><ds:X509Certificate/></ds:X509Data>",
    "pgp": "<ds:PGPData><ds:PGPKeyID>AAAA</ds:PGPKeyID></ds:PGPData>",
    "spki": "<ds:SPKIData><ds:SPKISexp>AAAA</ds:SPKISexp></ds:SPKIData>",
    "management": "<ds:MgmtData>x</ds:MgmtData>{genuine}",
    "a-token-reference": '<w:SecurityTokenReference xmlns:w="urn:wsse"><w:Reference URI="#x"/>'
    "</w:SecurityTokenReference>",
    "an-encrypted-key": '<e:EncryptedKey xmlns:e="http://www.w3.org/2001/04/xmlenc#"/>{genuine}',
}


@pytest.mark.parametrize("signer", ["the-party", "a-stranger"])
@pytest.mark.parametrize("name", KEY_INFOS)
async def test_another_key_info(target: Target, name: str, signer: str) -> None:
    """Refused whoever signed it: KeyInfo must hold the one certificate, and is never believed."""
    stranger = identity("rsa", 70)
    one = stranger if signer == "a-stranger" else target.biz
    info = KEY_INFOS[name].format(
        genuine=_data(target.biz), other=_data(stranger), value=_key_value(one), spki=_spki(one)
    )
    form = Form(key_info=f"<ds:KeyInfo>{info}</ds:KeyInfo>")
    await target.refuses(signed(target.message(), one, form), MAC)


@pytest.mark.parametrize("count", [0, 2])
async def test_no_key_info_or_two(target: Target, count: int) -> None:
    info = certificate_info(target.biz.der) * count
    await target.refuses(signed(target.message(), target.biz, Form(key_info=info)), MAC)


# certificates of an authority that is agreed on


def _issued(**changes: object) -> Identity:
    return identity(
        **{"kind": "p256", "number": 3, "name": "CHAIN", "issuer": authority()} | changes
    )


CHAINS = {
    "expired": lambda: _issued(begins=NOW - 9 * DAY, ends=NOW - timedelta(seconds=1)),
    "not-valid-yet": lambda: _issued(begins=NOW + timedelta(seconds=2)),
    "for-encipherment": lambda: _issued(usage="key_encipherment"),
    "for-agreement": lambda: _issued(usage="key_agreement"),
    "for-certificates": lambda: _issued(usage="key_cert_sign"),
    "for-revocation-lists": lambda: _issued(usage="crl_sign"),
    "for-commitment": lambda: _issued(usage="content_commitment"),
    "an-authority-itself": lambda: _issued(authority=True),
    "of-another-subject": lambda: _issued(name="BANK"),
    "of-the-subject-in-lower-case": lambda: _issued(name="chain"),
    "of-the-subject-and-more": lambda: _issued(name="CHAIN "),
    "of-the-subject-with-a-nul": lambda: _issued(name="CHAIN\0.evil"),
    "of-the-subject-in-full-width": lambda: _issued(name="ＣＨＡＩＮ"),
    "self-signed": lambda: identity("p256", 3, name="CHAIN"),
    "of-another-authority": lambda: _issued(issuer=authority("Other", 91)),
    "of-another-authority-of-that-name": lambda: _issued(issuer=authority("CA", 92)),
    "of-no-authority": lambda: _issued(issuer=identity("p256", 95, name="CA")),
    "of-a-party": lambda: _issued(issuer=identity("p256", 2, name="BANK")),
    "of-an-expired-authority": lambda: _issued(issuer=expired_authority()),
    "rsa-1024": lambda: _issued(kind="rsa-1024"),
    "p-521": lambda: _issued(kind="p521"),
    "ed25519": lambda: _issued(kind="ed25519"),
}
METHODS = {"rsa-1024": RSA_SHA256, "p-521": f"{MORE}ecdsa-sha512"}


async def test_a_certificate_of_the_authority_is_taken(target: Target) -> None:
    message = target.message("CHAIN")
    await target.takes(signed(message, _issued(), Form(method=EC)), message)


@pytest.mark.parametrize("name", CHAINS)
async def test_a_certificate_that_the_authority_does_not_vouch_for(
    target: Target, name: str
) -> None:
    form = Form(method=METHODS.get(name, EC))
    await target.refuses(signed(target.message("CHAIN"), CHAINS[name](), form), MAC)


async def test_an_intermediate_authority_is_not_taken_from_the_message(target: Target) -> None:
    between = identity(
        "p256", 94, name="Between", issuer=authority(), usage="key_cert_sign", authority=True
    )
    leaf = _issued(issuer=between)
    for info in (certificate_info(leaf.der), certificate_info(leaf.der, between.der)):
        form = Form(method=EC, key_info=info)
        await target.refuses(signed(target.message("CHAIN"), leaf, form), MAC)


@pytest.mark.parametrize("name", ["expired", "future"])
async def test_a_pinned_certificate_that_is_not_valid_now(target: Target, name: str) -> None:
    """The message's own timestamp does not count."""
    one: Identity = getattr(target, name)
    then = one.certificate.not_valid_before_utc + DAY
    for moment in (NOW, then):
        message = target.message("OLD", timestamp=moment, expires=moment + DAY)
        await target.refuses(signed(message, one, Form(method=EC)), MAC)


@pytest.mark.parametrize("size", [0, 1, 1000, 4097, 60_000])
async def test_a_certificate_that_is_none(target: Target, size: int) -> None:
    form = Form(key_info=certificate_info(b"0" * size))
    for party in ("BIZ", "CHAIN"):
        await target.refuses(signed(target.message(party), target.biz, form), MAC)


async def test_the_pinned_certificates_are_what_the_test_thinks(target: Target) -> None:
    assert target.biz.certificate.public_key().key_size == 2048
    assert isinstance(target.chain.certificate, x509.Certificate)
    assert target.chain.certificate.issuer == target.authority.certificate.subject
