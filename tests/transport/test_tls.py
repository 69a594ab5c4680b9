"""TLS as configured, both ways: who is let in, what names a peer, handshakes that fail or stall."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives import serialization

from msh.errors import ConfigurationError, NoAnswer, NotSent, TransportError
from msh.testing.contracts.transport import Inbox, Parties, TransportContract, ready
from msh.transport import Settings, open_transport
from msh.transport.http import HttpTransport
from msh.transport.tls import (
    ClientCertificates,
    Tls,
    client_context,
    peer_certificate,
    server_context,
)
from tests.transport.certificates import HOUR, Identity, identity
from tests.transport.conftest import TINY
from tests.transport.requests import XML, post

SOON = 5.0
ASKED = [ClientCertificates.OPTIONAL, ClientCertificates.REQUIRED]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Two authorities, and whom they issued certificates to."""
    folder = tmp_path_factory.mktemp("tls")
    authority = identity(folder, "authority", authority=True)
    other = identity(folder, "other", authority=True)
    return SimpleNamespace(
        authority=authority,
        other=other,
        bank=identity(folder, "bank", authority),
        platform=identity(folder, "platform", authority),
        stranger=identity(folder, "stranger", other),
        lapsed=identity(folder, "lapsed", authority, begins=-2 * HOUR, ends=-HOUR),
        early=identity(folder, "early", authority, begins=HOUR, ends=2 * HOUR),
        alone=identity(folder, "alone"),
    )


def tls(
    own: Identity | None,
    trust: Identity | None,
    asked: ClientCertificates = ClientCertificates.NONE,
) -> Tls:
    """The settings of one side."""
    return Tls(
        own.certificate if own else None,
        own.key if own else None,
        trust.certificate if trust else None,
        asked,
    )


Listen = Callable[[Tls], Awaitable[tuple[str, Inbox]]]
Send = Callable[[Tls | None], HttpTransport]


@pytest.fixture
async def opened() -> AsyncIterator[Callable[[Tls | None], HttpTransport]]:
    """Transports as a handler opens them, closed at the end."""
    transports: list[HttpTransport] = []

    def open_one(settings: Tls | None) -> HttpTransport:
        transport = open_transport("https", Settings(settings))
        assert isinstance(transport, HttpTransport)
        transports.append(transport)
        return transport

    yield open_one
    for transport in transports:
        await transport.close()


@pytest.fixture
def listen(opened: Send) -> Listen:
    """Starts a listener; gives its URL, and what it takes."""

    async def listen(settings: Tls) -> tuple[str, Inbox]:
        inbox = Inbox()
        return await opened(settings).listen("https://localhost:0/sms", inbox, ready), inbox

    return listen


# who is let in


@pytest.mark.parametrize("asked", ClientCertificates)
async def test_a_certificate_of_the_authority_is_let_in_and_named(
    listen: Listen, opened: Send, made: SimpleNamespace, asked: ClientCertificates
) -> None:
    url, inbox = await listen(tls(made.bank, made.authority, asked))
    sender = opened(tls(made.platform, made.authority))
    for wire in (b"<a/>", b"<b/>"):
        assert (await sender.exchange(url, wire, SOON)).wire == wire
    named = None if asked is ClientCertificates.NONE else made.platform.named
    assert [peer.certificate for peer in inbox.peers] == [named] * 2
    assert {peer.address for peer in inbox.peers} <= {"127.0.0.1", "::1"}


@pytest.mark.parametrize("who", ["stranger", "lapsed", "early", "alone"])
@pytest.mark.parametrize("asked", ASKED)
async def test_any_other_certificate_is_refused(
    listen: Listen, opened: Send, made: SimpleNamespace, asked: ClientCertificates, who: str
) -> None:
    url, inbox = await listen(tls(made.bank, made.authority, asked))
    with pytest.raises(TransportError):
        await opened(tls(getattr(made, who), made.authority)).exchange(url, b"<a/>", SOON)
    assert inbox.wires == []
    # and nobody else is kept from it
    sender = opened(tls(made.platform, made.authority))
    assert (await sender.exchange(url, b"<b/>", SOON)).wire == b"<b/>"


@pytest.mark.parametrize("asked", ClientCertificates)
async def test_no_certificate(
    listen: Listen,
    opened: Send,
    made: SimpleNamespace,
    asked: ClientCertificates,
    caplog: pytest.LogCaptureFixture,
) -> None:
    url, inbox = await listen(tls(made.bank, made.authority, asked))
    sender = opened(tls(None, made.authority))
    if asked is ClientCertificates.REQUIRED:
        for _ in range(2):
            with pytest.raises(TransportError):
                await sender.exchange(url, b"<a/>", SOON)
        assert inbox.wires == []
        assert caplog.text.count("TLS handshakes failed: ") == 1
        assert (
            "peer did not return a certificate (1 so far, the last from 127.0.0.1)" in caplog.text
        )
    else:
        assert (await sender.exchange(url, b"<a/>", SOON)).wire == b"<a/>"
        assert inbox.peers[0].certificate is None


async def test_a_single_certificate_can_be_trusted(
    listen: Listen, opened: Send, made: SimpleNamespace
) -> None:
    url, _ = await listen(tls(made.bank, made.platform, ClientCertificates.REQUIRED))
    assert await opened(tls(made.platform, made.bank)).exchange(url, b"<a/>", SOON)
    with pytest.raises(TransportError):  # another one of the same authority
        await opened(tls(made.bank, made.bank)).exchange(url, b"<a/>", SOON)


@pytest.mark.parametrize("who", ["stranger", "lapsed", "early", "alone"])
async def test_a_listener_that_is_not_trusted(
    listen: Listen, opened: Send, made: SimpleNamespace, who: str
) -> None:
    url, inbox = await listen(tls(getattr(made, who), None))
    with pytest.raises(NotSent):
        await opened(tls(None, made.authority)).exchange(url, b"<a/>", SOON)
    assert inbox.wires == []


@pytest.mark.parametrize("trusting_nobody", [None, Tls()])
async def test_without_trust_the_machine_decides(
    listen: Listen, opened: Send, made: SimpleNamespace, trusting_nobody: Tls | None
) -> None:
    url, inbox = await listen(tls(made.bank, None))
    with pytest.raises(NotSent):
        await opened(trusting_nobody).exchange(url, b"<a/>", SOON)
    assert inbox.wires == []


async def test_a_certificate_for_another_host(
    listen: Listen, opened: Send, made: SimpleNamespace
) -> None:
    url, _ = await listen(tls(made.bank, None))
    sender = opened(tls(None, made.authority))
    assert (await sender.exchange(url, b"<a/>", SOON)).wire == b"<a/>"
    by_address = f"https://127.0.0.1:{urlsplit(url).port}/sms"
    with pytest.raises(NotSent):
        await sender.exchange(by_address, b"<a/>", SOON)


async def test_versions_below_1_2_are_not_spoken(listen: Listen, made: SimpleNamespace) -> None:
    url, _ = await listen(tls(made.bank, None))
    port = urlsplit(url).port
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.load_verify_locations(made.authority.certificate)
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("localhost", port, ssl=old)
    assert server_context(tls(made.bank, None)).minimum_version is ssl.TLSVersion.TLSv1_2
    assert client_context(tls(None, None)).minimum_version is ssl.TLSVersion.TLSv1_2
    assert client_context(tls(None, None)).check_hostname


# what names a certificate


def test_a_certificate_is_named_by_serial_and_issuer(made: SimpleNamespace) -> None:
    named = peer_certificate(made.platform.x509.public_bytes(serialization.Encoding.DER))
    assert named == made.platform.named
    assert int(named.serial, 16) == made.platform.x509.serial_number
    assert named.issuer == "CN=authority,O=款項\\, 收付,C=TW"
    assert peer_certificate(b"") is None
    assert peer_certificate(b"\x30\x03\x02\x01\x01") is None


# handshakes that fail or stall


async def test_plain_http_to_a_tls_listener(
    listen: Listen, opened: Send, made: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    url, _ = await listen(tls(made.bank, None))
    with pytest.raises(NoAnswer):
        await opened(None).exchange(url.replace("https", "http"), b"<a/>", SOON)
    assert "TLS handshakes failed: plain http came where https is spoken" in caplog.text


def test_a_private_key_that_others_may_use_is_refused(made: SimpleNamespace) -> None:
    usual = tls(made.bank, None)
    assert usual.key is not None
    usual.key.chmod(0o640)
    try:
        with pytest.raises(ConfigurationError, match=r"tls\.key: .*mode 0640.*chmod 600"):
            server_context(usual)
    finally:
        usual.key.chmod(0o600)


async def test_a_handshake_that_stalls_is_closed(made: SimpleNamespace) -> None:
    listener = HttpTransport(
        replace(TINY, header_seconds=1.0), server_tls=server_context(tls(made.bank, None))
    )
    sender = HttpTransport(client_tls=client_context(tls(None, made.authority)))
    try:
        url = await listener.listen("https://localhost:0/sms", Inbox(), ready)
        loop = asyncio.get_running_loop()
        began = loop.time()
        stalled = [
            await asyncio.open_connection("localhost", urlsplit(url).port) for _ in range(20)
        ]
        for number, (_, writer) in enumerate(stalled):
            writer.write(b"\x16\x03\x01\x02\x00\x01"[: number % 7])  # a part of a client's hello
        assert (await sender.exchange(url, b"<a/>", SOON)).wire == b"<a/>"
        async with asyncio.timeout(SOON):
            for reader, writer in stalled:
                assert await reader.read() == b""
                writer.close()
        assert 0.5 < loop.time() - began < 4.0
    finally:
        await sender.close()
        await listener.close()


async def test_a_handshake_that_ends_after_listening_has_is_too_late(
    opened: Send, made: SimpleNamespace
) -> None:
    listener, inbox = opened(tls(made.bank, None)), Inbox()
    url = await listener.listen("https://localhost:0/sms", inbox, ready)
    reader, writer = await asyncio.open_connection("localhost", urlsplit(url).port)
    await asyncio.sleep(0.05)
    await listener.stop_listening()
    with suppress(ConnectionError, ssl.SSLError):
        async with asyncio.timeout(SOON):
            context = client_context(tls(None, made.authority))
            await writer.start_tls(context, server_hostname="localhost")
            writer.write(post(XML))
            assert await reader.read() == b""
    writer.close()
    assert inbox.wires == []


# where it cannot work


async def test_http_at_a_transport_with_a_certificate(made: SimpleNamespace) -> None:
    listener = HttpTransport(server_tls=server_context(tls(made.bank, None)))
    with pytest.raises(ConfigurationError):
        await listener.listen("http://localhost:0/sms", Inbox(), ready)


async def test_https_without_a_certificate(opened: Send, made: SimpleNamespace) -> None:
    with pytest.raises(ConfigurationError, match="https needs a certificate"):
        await opened(tls(None, made.authority)).listen("https://localhost:0/sms", Inbox(), ready)


def test_every_file_at_fault_is_told(tmp_path: Path, made: SimpleNamespace) -> None:
    def problems(settings: Tls) -> list[str]:
        with pytest.raises(ConfigurationError) as caught:
            server_context(settings)
        return [problem.partition(": ")[0] for problem in caught.value.problems]

    nothing, empty = tmp_path / "none.pem", tmp_path / "empty.pem"
    empty.write_bytes(b"")
    asked = ClientCertificates.OPTIONAL
    assert problems(Tls(nothing, nothing, nothing)) == [
        "tls.certificate",
        "tls.key",
        "tls.trust",
    ]
    assert problems(Tls(made.bank.certificate, made.platform.key)) == ["tls.key"]
    assert problems(Tls(made.bank.certificate)) == ["tls.certificate"]
    assert problems(Tls(made.bank.certificate, made.bank.key, empty)) == ["tls.trust"]
    assert problems(Tls(made.bank.certificate, made.bank.key, None, asked)) == ["tls.trust"]
    assert problems(Tls(None, made.bank.key)) == ["tls.certificate", "tls.key"]
    assert problems(Tls()) == ["tls.certificate"]


def test_an_encrypted_key_is_refused_and_nobody_asked_for_a_password(
    tmp_path: Path, made: SimpleNamespace
) -> None:
    key = tmp_path / "encrypted.key"
    key.write_bytes(
        made.bank.secret.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"word"),
        )
    )
    with pytest.raises(ConfigurationError, match="unencrypted private key"):
        server_context(Tls(made.bank.certificate, key))


def test_key_and_certificate_may_share_a_file(tmp_path: Path, made: SimpleNamespace) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(made.bank.key.read_bytes() + made.bank.certificate.read_bytes())
    assert server_context(Tls(both))
    assert client_context(Tls(both))


class TestHttps(TransportContract):
    """The contract of a transport, kept over TLS with certificates on both sides."""

    @pytest.fixture
    async def parties(self, made: SimpleNamespace, free_port: int) -> AsyncIterator[Parties]:
        required = ClientCertificates.REQUIRED
        listener = open_transport("https", Settings(tls(made.bank, made.authority, required)))
        sender = open_transport("https", Settings(tls(made.platform, made.authority)))
        nobody = f"https://localhost:{free_port}/sms"
        yield Parties(
            sender, listener, "https://localhost:0/sms", nobody, certificate=made.platform.named
        )
        await sender.close()
        await listener.close()
