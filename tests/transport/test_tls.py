"""TLS in the process: the peer's certificate, and handshakes that fail or stall."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from msh.errors import ConfigurationError, NoAnswer, NotSent
from msh.testing.contracts.transport import Inbox, ready
from msh.transport.http import HttpTransport
from tests.transport.conftest import TINY

SOON = 5.0


@dataclass(frozen=True)
class Identity:
    """A key with a self-signed certificate for ``localhost``, in one PEM file."""

    file: Path
    der: bytes


def identity(folder: Path, name: str) -> Identity:
    """A new `Identity`."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / f"{name}.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return Identity(file, certificate.public_bytes(serialization.Encoding.DER))


def context(purpose: ssl.Purpose, own: Identity | None, trusted: Identity) -> ssl.SSLContext:
    """Who we are, and whom we trust."""
    made = ssl.create_default_context(purpose, cafile=str(trusted.file))
    if own is not None:
        made.load_cert_chain(own.file)
    return made


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    """The listener's identity."""
    return identity(tmp_path_factory.mktemp("bank"), "bank")


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    """The sender's identity."""
    return identity(tmp_path_factory.mktemp("platform"), "platform")


@pytest.fixture
async def listener(bank: Identity, platform: Identity) -> AsyncIterator[HttpTransport]:
    """A transport to listen with, which trusts the platform, and asks for no certificate."""
    tls = context(ssl.Purpose.CLIENT_AUTH, bank, platform)
    tls.verify_mode = ssl.CERT_OPTIONAL
    transport = HttpTransport(TINY, server_tls=tls)
    yield transport
    await transport.close()


@pytest.mark.parametrize("own", [True, False])
async def test_the_certificate_of_the_peer(
    listener: HttpTransport, bank: Identity, platform: Identity, own: bool
) -> None:
    inbox = Inbox()
    url = await listener.listen("https://localhost:0/sms", inbox, ready)
    tls = context(ssl.Purpose.SERVER_AUTH, platform if own else None, bank)
    sender = HttpTransport(client_tls=tls)
    for wire in (b"<a/>", b"<b/>"):
        assert (await sender.exchange(url, wire, SOON)).wire == wire
    assert [peer.certificate for peer in inbox.peers] == [platform.der if own else None] * 2
    await sender.close()


async def test_a_listener_that_is_not_trusted(listener: HttpTransport) -> None:
    inbox = Inbox()
    url = await listener.listen("https://localhost:0/sms", inbox, ready)
    sender = HttpTransport()
    with pytest.raises(NotSent):
        await sender.exchange(url, b"<a/>", SOON)
    assert inbox.wires == []
    await sender.close()


async def test_plain_http_to_a_tls_listener(listener: HttpTransport) -> None:
    url = await listener.listen("https://localhost:0/sms", Inbox(), ready)
    sender = HttpTransport()
    with pytest.raises(NoAnswer):
        await sender.exchange(url.replace("https", "http"), b"<a/>", SOON)
    await sender.close()


async def test_a_handshake_that_stalls_is_closed(listener: HttpTransport) -> None:
    url = await listener.listen("https://localhost:0/sms", Inbox(), ready)
    loop = asyncio.get_running_loop()
    began = loop.time()
    reader, writer = await asyncio.open_connection("localhost", urlsplit(url).port)
    async with asyncio.timeout(SOON):
        assert await reader.read() == b""
    assert 0.1 < loop.time() - began < 2.0
    writer.close()


async def test_http_at_a_transport_with_a_certificate(listener: HttpTransport) -> None:
    with pytest.raises(ConfigurationError):
        await listener.listen("http://localhost:0/sms", Inbox(), ready)
