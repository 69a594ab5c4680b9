"""What the HTTP client makes of every answer, and of none."""

from __future__ import annotations

import asyncio
import gzip
import socket

import pytest

from msh.errors import Busy, NoAnswer, NotSent, Rejected, TransportError
from msh.transport.http import HttpTransport
from tests.transport.answers import SOON, WIRE, Peer, Start, answer, outcome, read_request


async def test_the_request(client: HttpTransport, raw_server: Start) -> None:
    peer = Peer(answer())
    response = await client.exchange(await raw_server(peer), WIRE, SOON)
    assert response.wire == b"<b/>"
    head = peer.heads[0].decode().splitlines()
    assert head[0] == "POST /sms HTTP/1.1"
    assert "Content-Type: text/xml; charset=utf-8" in head
    assert 'SOAPAction: ""' in head
    assert f"Content-Length: {len(WIRE)}" in head
    names = {line.partition(":")[0].lower() for line in head[1:] if line}
    assert names == {"host", "accept", "content-type", "soapaction", "content-length"}
    assert peer.bodies == [WIRE]


@pytest.mark.parametrize(
    ("given", "error", "told"),
    [
        (answer(b"", "200 OK"), NoAnswer, "200"),
        (answer(b"", "202 Accepted"), NoAnswer, "202"),
        (answer(b"", "204 No Content"), NoAnswer, "204"),
        (answer(b"secret", "502 Bad Gateway"), Busy, "502"),
        (answer(b"secret", "503 Service Unavailable", "Retry-After: 1"), Busy, "503"),
        (answer(b"secret", "504 Gateway Timeout"), Busy, "504"),
        (answer(b"secret", "500 Internal Server Error"), Rejected, "500"),
        (answer(b"secret", "501 Not Implemented"), Rejected, "501"),
        (answer(b"secret", "400 Bad Request"), Rejected, "400"),
        (answer(b"secret", "401 Unauthorized"), Rejected, "401"),
        (answer(b"secret", "404 Not Found"), Rejected, "404"),
        (answer(b"secret", "413 Too Large"), Rejected, "413"),
        (answer(b"secret", "200 OK", "Content-Type: text/html"), Rejected, "text/xml"),
        (answer(b"secret", "200 OK", "Content-Encoding: br"), Rejected, "compressed"),
        (
            answer(gzip.compress(b"<b/>", mtime=0), "200 OK", "Content-Encoding: gzip"),
            Rejected,
            "compressed",
        ),
        (answer(b"x" * 1001), NoAnswer, "1000"),
        (b"nonsense\r\n\r\n", NoAnswer, "not HTTP"),
        (answer(b"<b/>")[:-1], NoAnswer, "cut off"),
        (answer(b"<b/>")[:20], NoAnswer, "closed"),
    ],
)
async def test_an_answer_that_is_none(
    client: HttpTransport,
    raw_server: Start,
    given: bytes,
    error: type[TransportError],
    told: str,
) -> None:
    peer = Peer(given)
    caught = await outcome(client, await raw_server(peer))
    assert type(caught) is error
    assert told in str(caught)
    assert "secret" not in str(caught)
    assert not caught.reconnected
    assert len(peer.bodies) == 1


async def test_an_oversized_answer_without_a_length(
    client: HttpTransport, raw_server: Start
) -> None:
    chunk = b"400\r\n" + b"x" * 1024 + b"\r\n"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nTransfer-Encoding: chunked\r\n\r\n"
    caught = await outcome(client, await raw_server(Peer(head + chunk * 10)))
    assert type(caught) is NoAnswer
    assert "1000" in str(caught)


async def test_the_largest_answer(client: HttpTransport, raw_server: Start) -> None:
    url = await raw_server(Peer(answer(b"x" * 1000)))
    assert (await client.exchange(url, WIRE, SOON)).wire == b"x" * 1000


async def test_a_redirect_is_not_followed(client: HttpTransport, raw_server: Start) -> None:
    elsewhere = Peer(answer())
    location = f"Location: {await raw_server(elsewhere)}"
    for status in ("301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"):
        url = await raw_server(Peer(answer(b"", status, location)))
        assert type(await outcome(client, url)) is Rejected
    assert elsewhere.connections == 0


async def test_cookies_are_not_kept(client: HttpTransport, raw_server: Start) -> None:
    peer = Peer(answer(b"<b/>", "200 OK", "Set-Cookie: a=b"), answer())
    url = await raw_server(peer)
    for _ in range(2):
        await client.exchange(url, WIRE, SOON)
    assert b"cookie" not in peer.heads[1].lower()


async def test_a_proxy_named_by_the_environment_is_not_used(
    client: HttpTransport, raw_server: Start, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port}")
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port}")
    assert (await client.exchange(await raw_server(Peer(answer())), WIRE, SOON)).wire == b"<b/>"


# surely not sent


async def test_nobody_listens(client: HttpTransport, free_port: int) -> None:
    caught = await outcome(client, f"http://127.0.0.1:{free_port}/sms")
    assert type(caught) is NotSent
    assert not caught.reconnected


async def test_no_such_host(client: HttpTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(*arguments: object, **options: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    assert type(await outcome(client, "http://nowhere.invalid/sms")) is NotSent


@pytest.mark.parametrize("url", ["", "nonsense", "http://", "http:///sms", "ftp://a/b"])
async def test_no_url(client: HttpTransport, url: str) -> None:
    assert type(await outcome(client, url)) is NotSent


async def test_no_connection_in_time(client: HttpTransport) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(3)]
        try:
            for one in waiting:  # the queue of connections not yet accepted is full after these
                one.setblocking(False)
                one.connect_ex(address)
            caught = await outcome(client, f"http://127.0.0.1:{address[1]}/sms", 0.1)
        finally:
            for one in waiting:
                one.close()
    assert type(caught) is NotSent
    assert "0.1 s" in str(caught)


async def test_no_tls_on_the_other_side(client: HttpTransport, raw_server: Start) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    url = (await raw_server(plain)).replace("http:", "https:")
    assert type(await outcome(client, url)) is NotSent


async def test_a_tls_handshake_that_stalls(client: HttpTransport, raw_server: Start) -> None:
    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(10)

    url = (await raw_server(stall)).replace("http:", "https:")
    assert type(await outcome(client, url, 0.1)) is NotSent


# in doubt


async def test_no_answer_in_time(client: HttpTransport, raw_server: Start) -> None:
    peer = Peer("wait")
    caught = await outcome(client, await raw_server(peer), 0.1)
    assert type(caught) is NoAnswer
    assert not caught.reconnected
    assert peer.bodies == [WIRE]


async def test_an_answer_that_drips(client: HttpTransport, raw_server: Start) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        for byte in answer(b"x" * 900):
            writer.write(bytes([byte]))
            await asyncio.sleep(0.01)

    caught = await outcome(client, await raw_server(drip), 0.2)
    assert type(caught) is NoAnswer


@pytest.mark.parametrize("closing", [None, "reset"])
async def test_a_fresh_connection_that_closes_is_not_tried_again(
    client: HttpTransport, raw_server: Start, closing: str | None
) -> None:
    peer = Peer(closing, answer())
    caught = await outcome(client, await raw_server(peer))
    assert type(caught) is NoAnswer
    assert not caught.reconnected
    assert (peer.connections, peer.bodies) == (1, [WIRE])
