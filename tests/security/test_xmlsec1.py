"""Agreement with an independent implementation: Debian's ``xmlsec1``."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import HealthCheck, given, settings

from msh.envelope import enclose, header_block, normal_body, parse
from msh.errors import NotAuthentic
from msh.message import Message
from msh.security.signature import Signed, content_prefixes
from msh.testing.strategies import messages
from tests.security.certificates import (
    NOW,
    PROFILE,
    PROFILES,
    USUAL,
    Identity,
    Party,
    SetClock,
    identity,
)

KINDS = {"rsa": "rsa-sha256", "p256": "ecdsa-sha256", "p384": "ecdsa-sha384"}
MORE = "http://www.w3.org/2001/04/xmldsig-more#"
WITH_PREFIXES = replace(
    USUAL,
    body=normal_body(
        '<款 xmlns:i="urn:i" xmlns:x="urn:x" xmlns:ds="urn:d" xmlns="urn:b" t="ds:T" i:type="x:T">'
        "&lt;&#13;&#10;\t𠮷<y xmlns=''>]]&gt;</y></款>"
    ),
)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def ours(kind: str) -> Identity:
    return identity(kind)


@pytest.fixture
async def security(ours: Identity, tmp_path: Path) -> AsyncIterator[Signed]:
    """A party that is its own peer, so that it reads what it signs."""
    party = Party(tmp_path / "party", SetClock())
    party.hold(ours)
    party.pin(ours)
    security = party.open()
    yield security
    await security.close()


def xmlsec1(*arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    """Run it. Without it the tests fail: agreement that nobody checks is none."""
    try:
        return subprocess.run(
            ["xmlsec1", *map(str, arguments)],
            capture_output=True,
            timeout=30,
            env={"PATH": "/usr/bin:/bin:/usr/local/bin", "TZ": "UTC"},
        )
    except FileNotFoundError:
        pytest.fail("these tests need xmlsec1: apt-get install xmlsec1")


def they_verify(wire: bytes, ours: Identity, folder: Path) -> bool:
    """Whether xmlsec1 accepts the signature in ``wire`` as one of ``ours``."""
    message, certificate = folder / "message.xml", folder / "certificate.pem"
    message.write_bytes(wire)
    certificate.write_bytes(ours.certificate_pem)
    done = xmlsec1(
        "--verify",
        "--enabled-reference-uris",
        "empty",
        "--verification-time",
        f"{NOW:%Y-%m-%d %H:%M:%S}",
        "--trusted-pem",
        certificate,
        message,
    )
    assert (done.returncode == 0) == (b"\nOK" in b"\n" + done.stderr + done.stdout)
    return done.returncode == 0


def they_sign(template: bytes, ours: Identity, folder: Path) -> bytes:
    """``template`` with the values that xmlsec1 computes."""
    message, key, certificate, out = (
        folder / name for name in ("template.xml", "key.pem", "certificate.pem", "signed.xml")
    )
    message.write_bytes(template)
    key.write_bytes(ours.pem)
    certificate.write_bytes(ours.certificate_pem)
    done = xmlsec1("--sign", "--privkey-pem", f"{key},{certificate}", "--output", out, message)
    assert done.returncode == 0, done.stderr
    return out.read_bytes()


def template(message: Message, method: str) -> bytes:
    """A message with a signature whose values are to be computed, in other prefixes than ours."""
    exclusive = "http://www.w3.org/2001/10/xml-exc-c14n#"
    prefixes = content_prefixes(message.body)
    listed = (
        f"<e:InclusiveNamespaces xmlns:e={quoteattr(exclusive)} "
        f"PrefixList={quoteattr(' '.join(prefixes))}/>"
        if prefixes
        else ""
    )
    signature = f"""<Signature xmlns="http://www.w3.org/2000/09/xmldsig#">
  <SignedInfo>
    <CanonicalizationMethod Algorithm="{exclusive}"/>
    <SignatureMethod Algorithm="{MORE}{method}"/>
    <Reference URI="">
      <Transforms>
        <Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/>
        <Transform Algorithm="{exclusive}">{listed}</Transform>
      </Transforms>
      <DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/>
      <DigestValue/>
    </Reference>
  </SignedInfo>
  <SignatureValue/>
  <KeyInfo><X509Data><X509Certificate/></X509Data></KeyInfo>
</Signature>"""
    return enclose(header_block(message, PROFILE) + signature.encode(), message.body)


async def we_verify(security: Signed, wire: bytes) -> Message | None:
    """The message, if it is authentic."""
    try:
        return (await security.verify(parse(wire, PROFILES))).message
    except NotAuthentic:
        return None


TAMPERED = [
    (b"BIZ-1", b"BIZ-2"),
    (b">PSP<", b">PSQ<"),
    (b'xmlns:x="urn:x"', b'xmlns:x="urn:y"'),
    (b'xmlns:i="urn:i"', b'xmlns:i="urn:j"'),
    ("𠮷".encode(), "吉".encode()),
    (b"</soap:Body>", b" </soap:Body>"),
    (b"</soap:Header>", b" </soap:Header>"),
    (b"<soap:Body>", b'<soap:Body x="1">'),
    (b'URI=""', b'URI="" Type="urn:x"'),
    (b'PrefixList="ds i x"', b'PrefixList="ds i"'),
    (b"SignatureValue>", b"SignatureValue>AAAA"),
    (b"DigestValue>", b"DigestValue>AAAA"),
]


@pytest.mark.parametrize("message", [USUAL, WITH_PREFIXES], ids=["usual", "with prefixes"])
async def test_they_verify_what_we_sign(
    message: Message, ours: Identity, security: Signed, tmp_path: Path
) -> None:
    wire = (await security.protect(message, PROFILE)).wire
    assert they_verify(wire, ours, tmp_path)
    # It looks at the certificate, so the line above says something.
    assert not they_verify(wire, identity("p256", 5), tmp_path)


@pytest.mark.parametrize("message", [USUAL, WITH_PREFIXES], ids=["usual", "with prefixes"])
async def test_we_verify_what_they_sign(
    message: Message, kind: str, ours: Identity, security: Signed, tmp_path: Path
) -> None:
    wire = they_sign(template(message, KINDS[kind]), ours, tmp_path)
    assert they_verify(wire, ours, tmp_path)
    assert await we_verify(security, wire) == message


@pytest.mark.parametrize("signer", ["us", "them"])
async def test_both_refuse_the_same_tampered_ones(
    signer: str, kind: str, ours: Identity, security: Signed, tmp_path: Path
) -> None:
    if signer == "us":
        wire = (await security.protect(WITH_PREFIXES, PROFILE)).wire
    else:
        wire = they_sign(template(WITH_PREFIXES, KINDS[kind]), ours, tmp_path)
    assert they_verify(wire, ours, tmp_path)
    assert await we_verify(security, wire) == WITH_PREFIXES
    for old, new in TAMPERED:
        changed = wire.replace(old, new, 1)
        assert changed != wire, old
        assert not they_verify(changed, ours, tmp_path), old
        assert await we_verify(security, changed) is None, old


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("kind", ["rsa", "p256"])
async def test_the_longer_digests_of_theirs(kind: str, digest: str, tmp_path: Path) -> None:
    ours = identity(kind)
    party = Party(tmp_path / "party", SetClock())
    party.hold(ours)
    party.pin(ours)
    security = party.open()
    name = {"rsa": "rsa", "p256": "ecdsa"}[kind]
    long = f"{MORE}sha384" if digest == "sha384" else f"http://www.w3.org/2001/04/xmlenc#{digest}"
    asked = template(USUAL, f"{name}-{digest}").replace(
        b"http://www.w3.org/2001/04/xmlenc#sha256", long.encode()
    )
    assert await we_verify(security, they_sign(asked, ours, tmp_path)) == USUAL
    await security.close()


@pytest.mark.parametrize("method", ["sha1", "sha224"])
async def test_weak_signatures_of_theirs_are_refused(method: str, tmp_path: Path) -> None:
    """Genuine ones, which xmlsec1 itself accepts: the allow list alone refuses them."""
    ours = identity("rsa")
    party = Party(tmp_path / "party", SetClock())
    party.hold(ours)
    party.pin(ours)
    security = party.open()
    asked = template(USUAL, "rsa-sha256")
    uri = "http://www.w3.org/2000/09/xmldsig#rsa-sha1" if method == "sha1" else f"{MORE}rsa-sha224"
    weak = they_sign(asked.replace(f"{MORE}rsa-sha256".encode(), uri.encode()), ours, tmp_path)
    assert they_verify(weak, ours, tmp_path)
    with pytest.raises(NotAuthentic, match="algorithm of SignatureMethod is not allowed"):
        await security.verify(parse(weak, PROFILES))
    await security.close()


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(message=messages())
def test_they_verify_any_message_that_we_sign(
    message: Message, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("any")
    ours = identity("p256")
    party = Party(folder / "party", SetClock())
    party.hold(ours)
    security = party.open()
    wire = asyncio.run(security.protect(message, PROFILE)).wire
    asyncio.run(security.close())
    assert they_verify(wire, ours, folder)
