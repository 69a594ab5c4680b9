"""Who is behind a proxy: believed from listed ones alone, by the listener and by ASGI alike."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import ip_network
from types import SimpleNamespace

import pytest

from msh.protection import PeerCertificate
from msh.testing.contracts.transport import Gatekeeper, Inbox, ready
from msh.transport.asgi import asgi_app
from msh.transport.base import Acceptance, Forbidden, Peer
from msh.transport.http import HttpTransport
from msh.transport.http_rules import Answer, peer_behind
from msh.transport.tls import ClientCertificates, Tls, client_context, server_context
from tests.transport.certificates import Identity, identity
from tests.transport.requests import XML, Server, post, read_answer
from tests.transport.test_asgi import call

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1"))
ELSEWHERE = (ip_network("10.9.0.0/16"), ip_network("fd00::/8"))
ISSUER = "CN=TWCA, O=款項, C=TW"
NAMED = ("X-CIP: 192.0.2.7", "X-CSN: 0A1B", f"X-ISR: {ISSUER}")
BEHIND = Peer("192.0.2.7", PeerCertificate("0A1B", ISSUER))

# the rule


def rule(direct: Peer, *lines: str) -> Peer | Answer:
    """What the rule makes of headers, where loopback is a listed proxy."""
    given = [line.partition(": ")[::2] for line in lines]
    return peer_behind(
        direct, lambda name: [value for key, value in given if key.lower() == name], LOOPBACK
    )


@pytest.mark.parametrize("proxy", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_a_listed_proxy_says_who_is_behind_it(proxy: str) -> None:
    assert rule(Peer(proxy), *NAMED) == BEHIND
    assert rule(Peer(proxy), "X-CIP: 2001:db8::1") == Peer("2001:db8::1")
    # what it leaves out is unknown, whatever its own connection shows
    own = PeerCertificate("1", "CN=proxy")
    assert rule(Peer(proxy, own), NAMED[0]) == Peer("192.0.2.7")
    assert rule(Peer(proxy, own), *NAMED[1:]) == Peer("", BEHIND.certificate)
    assert rule(Peer(proxy, own)) == Peer("")
    assert rule(Peer(proxy), "X-CIP: ", "X-CSN: ", "X-ISR: ") == Peer("")


@pytest.mark.parametrize("address", ["192.0.2.1", "128.0.0.1", "::2", "", "testclient"])
def test_nobody_else_is_believed(address: str) -> None:
    direct = Peer(address, PeerCertificate("1", "CN=me"))
    assert rule(direct, *NAMED) is direct
    assert rule(direct, "X-CIP: nonsense") is direct


@pytest.mark.parametrize(
    "lines",
    [
        (*NAMED, NAMED[0]),
        (*NAMED, NAMED[1]),
        (*NAMED, NAMED[2]),
        (NAMED[0], NAMED[1]),
        (NAMED[0], NAMED[2]),
        ("X-CIP: 192.0.2.7, 192.0.2.8",),
        ("X-CIP: 192.0.2.7:4711",),
        ("X-CIP: unknown",),
        ("X-CIP: 192.0.2.0/24",),
    ],
)
def test_what_a_client_may_have_slipped_in_is_refused(lines: tuple[str, ...]) -> None:
    answer = rule(Peer("127.0.0.1"), *lines)
    assert isinstance(answer, Answer)
    assert (answer.status, answer.close) == (400, True)


# the listener


@pytest.fixture
async def behind() -> AsyncIterator[Callable[..., Awaitable[tuple[Server, Inbox]]]]:
    """Starts a listener that lists ``proxies``."""
    transports: list[HttpTransport] = []

    async def start(proxies: object, decision: Acceptance | None = None) -> tuple[Server, Inbox]:
        transport = HttpTransport(proxies=proxies)  # type: ignore[arg-type]
        transports.append(transport)
        inbox = Inbox(lambda wire: decision) if decision else Inbox()
        url = await transport.listen("http://127.0.0.1:0/sms", inbox, ready)
        return Server(transport, url), inbox

    yield start
    for transport in transports:
        await transport.close()


Behind = Callable[..., Awaitable[tuple[Server, Inbox]]]


async def test_each_request_of_a_proxys_connection_is_of_its_own(behind: Behind) -> None:
    server, inbox = await behind(LOOPBACK)
    reader, writer = await server.connect()
    for lines in (NAMED, (), ("X-CIP: 192.0.2.8",)):
        writer.write(post(XML, *lines))
        assert (await read_answer(reader))[0] == 200
    writer.close()
    assert inbox.peers == [BEHIND, Peer(""), Peer("192.0.2.8")]


@pytest.mark.parametrize("proxies", [(), ELSEWHERE])
async def test_headers_of_anybody_else_are_ignored(behind: Behind, proxies: object) -> None:
    server, inbox = await behind(proxies)
    assert await server.status(post(XML, *NAMED, "Connection: close")) == 200
    assert await server.status(post(XML, *NAMED, *NAMED, "Connection: close")) == 200
    assert inbox.peers == [Peer("127.0.0.1")] * 2


async def test_doubt_is_refused_before_the_body(
    behind: Behind, caplog: pytest.LogCaptureFixture
) -> None:
    server, inbox = await behind(LOOPBACK)
    head = post(XML, *NAMED, NAMED[0], "Content-Length: 900", body=b"", length=False)
    for _ in range(2):
        assert await server.status(head) == 400
    assert inbox.wires == []
    assert caplog.text.count("a proxy's headers contradict themselves") == 1
    assert "the last from 127.0.0.1" in caplog.text


async def test_forbidden_is_403_and_the_connection_closes(behind: Behind) -> None:
    server, _ = await behind((), Forbidden())
    reader, writer = await server.connect()
    writer.write(post(XML))
    status, headers, body = await read_answer(reader)
    assert (status, headers["connection"], body) == (403, "close", b"")
    assert await reader.read() == b""
    writer.close()


async def test_the_gate_is_asked_who_is_behind_the_proxy() -> None:
    gate, inbox = Gatekeeper(), Inbox()
    transport = HttpTransport(proxies=LOOPBACK)
    try:
        url = await transport.listen("http://127.0.0.1:0/sms", inbox, ready, gate)
        server = Server(transport, url)
        head = post(XML, *NAMED, "Content-Length: 900", body=b"", length=False)
        # before the body; and the proxy is no stranger, however many connections it makes
        for _ in range(20):
            assert await server.status(head) == 403
        assert gate.asked == [BEHIND] * 20
        gate.open = True
        assert await server.status(post(XML, *NAMED, "Connection: close")) == 200
        assert inbox.peers == [BEHIND]
    finally:
        await transport.close()


# TLS on the way from the proxy


async def test_a_proxys_own_certificate_is_not_its_clients(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("proxy")
    authority = identity(folder, "authority", authority=True)
    made = SimpleNamespace(
        bank=identity(folder, "bank", authority), proxy=identity(folder, "proxy", authority)
    )

    def settings(own: Identity) -> Tls:
        required = ClientCertificates.REQUIRED
        return Tls(own.certificate, own.key, authority.certificate, required)

    inbox = Inbox()
    listener = HttpTransport(server_tls=server_context(settings(made.bank)), proxies=LOOPBACK)
    sender = HttpTransport(client_tls=client_context(settings(made.proxy)))
    try:
        url = await listener.listen("https://localhost:0/sms", inbox, ready)
        await sender.exchange(url, b"<a/>", 5.0)
    finally:
        await sender.close()
        await listener.close()
    assert inbox.peers == [Peer("")]


# ASGI


@pytest.mark.parametrize(
    ("client", "peer"), [("127.0.0.1", BEHIND), ("192.0.2.1", Peer("192.0.2.1"))]
)
async def test_asgi(client: str, peer: Peer) -> None:
    inbox = Inbox()
    application = asgi_app(inbox, path="/sms", ready=ready, proxies=LOOPBACK)
    headers = [("content-type", "text/xml")]
    headers += [(name.lower(), value) for name, _, value in (n.partition(": ") for n in NAMED)]
    assert (await call(application, *headers, client=(client, 4711))).status == 200
    assert inbox.peers == [peer]


async def test_asgi_refuses_doubt(caplog: pytest.LogCaptureFixture) -> None:
    inbox = Inbox()
    application = asgi_app(inbox, path="/sms", ready=ready, proxies=LOOPBACK)
    headers = [("content-type", "text/xml"), ("x-cip", "1.2.3.4"), ("x-cip", "1.2.3.5")]
    assert (await call(application, *headers, client=("127.0.0.1", 4711))).status == 400
    assert inbox.wires == []
    assert "a proxy's headers contradict themselves" in caplog.text


async def test_asgi_forbidden_is_403() -> None:
    application = asgi_app(Inbox(lambda wire: Forbidden()), path="/sms", ready=ready)
    given = await call(application, ("content-type", "text/xml"))
    assert (given.status, given.headers["connection"], given.body) == (403, "close", b"")


async def test_asgi_without_a_client_is_nobody() -> None:
    inbox = Inbox()
    application = asgi_app(inbox, path="/sms", ready=ready, proxies=LOOPBACK)
    await call(application, ("content-type", "text/xml"), ("x-cip", "1.2.3.4"), client=None)
    assert inbox.peers == [Peer("")]
