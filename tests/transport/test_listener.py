"""What the HTTP listener takes, refuses and answers, over real connections."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from urllib.parse import urlsplit

import pytest

from msh.errors import ConfigurationError
from msh.testing.contracts.transport import Inbox, ready
from msh.transport.base import (
    Accept,
    Acceptance,
    NotNow,
    Peer,
    Reply,
    Silence,
    Taken,
    Unreadable,
)
from msh.transport.http import HttpTransport, ListenLimits
from tests.transport.conftest import TINY

SOON = 1.5
XML = "Content-Type: text/xml; charset=utf-8"


def post(*headers: str, body: bytes = b"<a/>", path: str = "/sms", length: bool = True) -> bytes:
    """A request by hand."""
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", *headers]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunked(*chunks: bytes) -> bytes:
    """A body in ``chunks``, and its end."""
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))


class Server:
    """A listener under test, and raw connections to it."""

    def __init__(self, transport: HttpTransport, url: str) -> None:
        self.transport = transport
        self.url = url
        self.port = urlsplit(url).port

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def ask(self, *parts: bytes, pause: float = 0.0) -> bytes:
        """Everything that comes until the connection closes."""
        reader, writer = await self.connect()
        try:
            async with asyncio.timeout(SOON):
                for part in parts:
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(pause)
                return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()

    async def status(self, *parts: bytes, pause: float = 0.0) -> int:
        """The status of one request, after which the connection must close."""
        reader, writer = await self.connect()
        try:
            async with asyncio.timeout(SOON):
                for part in parts:
                    writer.write(part)
                    await asyncio.sleep(pause)
                status, headers, _ = await read_answer(reader)
            # aiohttp answers what it could not parse as HTTP/1.0, which closes by itself
            assert headers.get("connection", headers["version"]) in ("close", "HTTP/1.0")
            return status
        finally:
            writer.close()


Start = Callable[..., Awaitable[Server]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts listeners: ``start(accept, limits=..., ready=...)``."""
    transports: list[HttpTransport] = []

    async def start(
        accept: Accept | None = None,
        limits: ListenLimits | None = None,
        ready: Callable[[], Awaitable[bool]] = ready,
        url: str = "http://127.0.0.1:0/sms",
    ) -> Server:
        transport = HttpTransport(limits)
        transports.append(transport)
        return Server(transport, await transport.listen(url, accept or Inbox(), ready))

    yield start
    for transport in transports:
        async with asyncio.timeout(SOON):
            await transport.close()


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """One response from a connection that is kept."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    version, status, _ = head[0].split(maxsplit=2)
    headers = {"version": version}
    for line in head[1:]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return int(status), headers, body


# what the receiver decides


@pytest.mark.parametrize(
    ("decision", "status", "body", "headers"),
    [
        (Reply(b"<b/>"), 200, b"<b/>", {"content-type": "text/xml; charset=utf-8"}),
        (Taken(), 202, b"", {}),
        (NotNow(timedelta(seconds=5)), 503, b"", {"retry-after": "5"}),
        (NotNow(timedelta(seconds=1.2)), 503, b"", {"retry-after": "2"}),
        (NotNow(timedelta(0)), 503, b"", {"retry-after": "1"}),
        (Unreadable(b"<f/>"), 400, b"<f/>", {"content-type": "text/xml; charset=utf-8"}),
    ],
)
async def test_decisions(
    start: Start, decision: Acceptance, status: int, body: bytes, headers: dict[str, str]
) -> None:
    server = await start(Inbox(lambda wire: decision))
    reader, writer = await server.connect()
    for _ in range(2):  # and the connection is kept
        writer.write(post(XML))
        given = await read_answer(reader)
        assert (given[0], given[2]) == (status, body)
        assert headers.items() <= given[1].items()
        assert ("content-type" in given[1]) == bool(body)
    writer.close()


async def test_silence_is_no_byte(start: Start) -> None:
    server = await start(Inbox(lambda wire: Silence()))
    assert await server.ask(post(XML)) == b""


async def test_a_defect_is_500_and_not_quoted(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(wire: bytes, peer: Peer, stored: Callable[[], None]) -> Acceptance:
        raise ValueError(f"account {wire!r}")

    server = await start(broken)
    answer = await server.ask(post(XML, body=b"<secret/>"))
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert answer.endswith(b"\r\n\r\n")
    assert "ValueError" in caplog.text
    assert "secret" not in caplog.text


# what a request must be


@pytest.mark.parametrize(
    "content_type",
    [
        "text/xml",
        "TEXT/XML",
        "text/xml;charset=utf-8",
        'text/xml; charset="UTF-8"',
        "text/xml; action=x; charset=utf-8",
        "text/xml;",
    ],
)
async def test_types_that_are_taken(start: Start, content_type: str) -> None:
    request = post(f"Content-Type: {content_type}", "Connection: close")
    assert await (await start()).status(request) == 200


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (post(), 415),
        (post("Content-Type: application/soap+xml"), 415),
        (post("Content-Type: text/xml; charset=big5"), 415),
        (post("Content-Type: text/xml; charset=utf-16"), 415),
        (post("Content-Type: text/xmlx"), 415),
        (post(XML, "Content-Type: text/xml"), 400),
        (post(XML, "Content-Encoding: gzip", body=gzip.compress(b"<a/>")), 415),
        (post(XML, "Content-Encoding: identity, gzip"), 415),
        (post(XML, path="/other"), 404),
        (post(XML, path="/"), 404),
        (post(XML, path="/sms/"), 404),
        (b"GET /sms HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"PUT /sms HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 405),
        (post(XML, path="/health/live"), 405),
        (post(XML, "Expect: magic"), 417),
        # where one message ends and the next begins must be beyond doubt
        (post(XML, "Content-Length: 4"), 400),
        (post(XML, "Content-Length: 3"), 400),
        (post(XML, "Content-Length: 4, 4", length=False), 400),
        (post(XML, "Content-Length: +4", length=False), 400),
        (post(XML, "Content-Length: -4", length=False), 400),
        (post(XML, "Content-Length: 0x4", length=False), 400),
        (post(XML, "Transfer-Encoding: chunked", body=chunked(b"<a/>")), 400),
        (post(XML, "Transfer-Encoding: gzip, chunked", body=chunked(b"a"), length=False), 400),
        (post(XML, "Transfer-Encoding: chunked, chunked", body=chunked(b"a"), length=False), 400),
        (post(XML, "Transfer-Encoding: identity", body=chunked(b"a"), length=False), 400),
        (post(XML, "Transfer-Encoding: xchunked", body=chunked(b"a"), length=False), 400),
        (post(XML, "Transfer-Encoding : chunked", body=chunked(b"a"), length=False), 400),
        (
            post(XML, "Transfer-Encoding: chunked", body=b"zz\r\n<a/>\r\n0\r\n\r\n", length=False),
            400,
        ),
        (b"nonsense\r\n\r\n", 400),
        (post(XML, "X: " + "x" * 9000), 400),
        # too large
        (post(XML, "Content-Length: 1001", body=b"", length=False), 413),
        (post(XML, "Content-Length: " + "9" * 12, body=b"", length=False), 413),
        (post(XML, "Content-Length: " + "9" * 30, body=b"", length=False), 400),
        (post(XML, body=b"x" * 1001), 413),
        (post(XML, "Transfer-Encoding: chunked", body=chunked(b"x" * 1001), length=False), 413),
        (post(XML, "Transfer-Encoding: chunked", body=chunked(*[b"x"] * 1001), length=False), 413),
        (post(XML, "Transfer-Encoding: chunked", body=b"ffffffff\r\nx", length=False), 408),
    ],
)
async def test_refusals(start: Start, request_bytes: bytes, status: int) -> None:
    inbox = Inbox()
    server = await start(inbox, TINY)
    smuggled = post(XML, "Connection: close", body=b"<smuggled/>")
    assert await server.status(request_bytes) == status
    assert inbox.wires == []
    # and whatever stands behind the request is never read as another one
    await server.ask(request_bytes + smuggled)
    assert inbox.wires == []


@pytest.mark.parametrize("parts", [1, 7])
async def test_largest_bodies(start: Start, parts: int) -> None:
    inbox = Inbox()
    server = await start(inbox, TINY)
    body = b"x" * 1000
    for request in (
        post(XML, "Connection: close", body=body),
        post(
            XML,
            "Connection: close",
            "Transfer-Encoding: chunked",
            body=chunked(body[:1], body[1:]),
            length=False,
        ),
    ):
        step = len(request) // parts + 1
        pieces = [request[at : at + step] for at in range(0, len(request), step)]
        assert await server.status(*pieces, pause=0.005) == 200
    assert inbox.wires == [body, body]


async def test_a_refusal_names_what_is_allowed(start: Start) -> None:
    server = await start()
    assert b"Allow: POST\r\n" in await server.ask(b"GET /sms HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b"Allow: GET\r\n" in await server.ask(post(XML, path="/health/ready"))


async def test_413_comes_before_the_body(start: Start) -> None:
    server = await start(limits=TINY)
    reader, writer = await server.connect()
    writer.write(post(XML, "Content-Length: 5000", body=b"", length=False))
    async with asyncio.timeout(SOON):
        assert (await read_answer(reader))[0] == 413
    writer.close()


async def test_expect_continue(start: Start) -> None:
    server = await start(Inbox(lambda wire: Reply(wire)))
    reader, writer = await server.connect()
    for _ in range(2):
        request = post(XML, "Expect: 100-continue", body=b"<later/>")
        writer.write(request.removesuffix(b"<later/>"))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"<later/>")
        assert (await read_answer(reader))[::2] == (200, b"<later/>")
    writer.close()


async def test_pipelined_requests_are_answered_in_order(start: Start) -> None:
    server = await start()
    reader, writer = await server.connect()
    writer.write(b"".join(post(XML, body=b"<a>%d</a>" % number) for number in range(5)))
    for number in range(5):
        assert (await read_answer(reader))[2] == b"<a>%d</a>" % number
    writer.close()


async def test_nothing_of_a_request_is_logged(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = await start(limits=TINY)
    await server.ask(post(XML, "Connection: close", "X-Token: secret", body=b"<secret/>"))
    await server.ask(b"POST /secret HTTP/1.1\r\nsecret : secret\r\n\r\n")
    await server.ask(post(XML, "X: secret" + "x" * 9000))
    assert "secret" not in caplog.text


# deadlines


async def closed_after(reader: asyncio.StreamReader) -> float:
    """Seconds until the connection closes without a byte."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.timeout(SOON):
        with suppress(ConnectionError):
            assert await reader.read() == b""
    return loop.time() - began


async def test_a_silent_connection_is_closed(start: Start) -> None:
    reader, writer = await (await start(limits=TINY)).connect()
    assert 0.1 < await closed_after(reader) < 0.5
    writer.close()


async def test_a_head_that_drips_is_closed(start: Start) -> None:
    reader, writer = await (await start(limits=TINY)).connect()

    async def drip() -> None:
        for byte in post(XML):
            writer.write(bytes([byte]))
            await asyncio.sleep(0.02)

    dripping = asyncio.ensure_future(drip())
    assert 0.1 < await closed_after(reader) < 0.5
    dripping.cancel()
    writer.close()


async def test_the_next_head_has_the_same_time_from_its_first_byte(start: Start) -> None:
    reader, writer = await (await start(limits=TINY)).connect()
    writer.write(post(XML))
    assert (await read_answer(reader))[0] == 200
    await asyncio.sleep(0.3)  # an idle connection is kept for longer than a head may take
    writer.write(post(XML))
    assert (await read_answer(reader))[0] == 200
    writer.write(b"POST /s")
    assert 0.1 < await closed_after(reader) < 0.5
    writer.close()


async def test_handling_may_take_longer_than_a_head(start: Start) -> None:
    async def slow(wire: bytes, peer: Peer, stored: Callable[[], None]) -> Acceptance:
        await asyncio.sleep(0.5)
        return Reply(wire)

    server = await start(slow, TINY)
    assert await server.status(post(XML, "Connection: close")) == 200


async def test_a_body_that_stops_is_408(start: Start) -> None:
    inbox = Inbox()
    server = await start(inbox, TINY)
    request = post(XML, body=b"<a>" + b"x" * 200)
    assert await server.status(request[:-100]) == 408
    assert inbox.wires == []


async def test_a_body_slower_than_the_least_rate_is_408(start: Start) -> None:
    server = await start(limits=TINY)
    request = post(XML, body=b"x" * 200)
    parts = [request[:-200], *(request[-200:][at : at + 2] for at in range(0, 200, 2))]
    assert await server.status(*parts[:14], pause=0.02) == 408


async def test_a_body_that_takes_too_long_altogether_is_408(start: Start) -> None:
    limits = ListenLimits(body_seconds=0.3, grace_seconds=0.1, least_rate=1.0)
    server = await start(limits=limits)
    request = post(XML, body=b"x" * 20_000)
    parts = [request[at : at + 1000] for at in range(0, 10_000, 1000)]
    assert await server.status(*parts, pause=0.04) == 408


async def test_a_peer_that_does_not_read_its_answer_is_cut_off(start: Start) -> None:
    server = await start(Inbox(lambda wire: Reply(b"x" * 20_000_000)), TINY)
    reader, writer = await server.connect()
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    writer.write(post(XML))
    await asyncio.sleep(0.7)
    async with asyncio.timeout(SOON):
        await server.transport.stop_listening()  # would wait for the answer to be taken
    writer.transport.resume_reading()  # type: ignore[attr-defined]
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await read_answer(reader)
    writer.close()


async def test_one_connection_too_many_is_closed(start: Start) -> None:
    server = await start(limits=ListenLimits(connections=2))
    kept = [await server.connect() for _ in range(2)]
    for reader, writer in kept:
        writer.write(post(XML))
        assert (await read_answer(reader))[0] == 200
    assert await server.ask(post(XML)) == b""
    for reader, writer in kept:
        writer.write(post(XML))
        assert (await read_answer(reader))[0] == 200
    kept[0][1].close()
    await kept[0][1].wait_closed()
    await asyncio.sleep(0.02)
    assert await server.status(post(XML, "Connection: close")) == 200
    kept[1][1].close()


# health


async def health(server: Server, path: str) -> tuple[int, object]:
    """The status and the JSON of a health question."""
    answer = await server.ask(
        f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
    )
    return int(answer.split()[1]), json.loads(answer.partition(b"\r\n\r\n")[2])


async def test_health(start: Start) -> None:
    state = [True]

    async def ready() -> bool:
        return state[0]

    server = await start(ready=ready)
    assert await health(server, "/health/live") == (200, {"status": "alive"})
    assert await health(server, "/health/ready") == (200, {"status": "ready"})
    state[0] = False
    assert await health(server, "/health/live") == (200, {"status": "alive"})
    assert await health(server, "/health/ready") == (503, {"status": "not ready"})


async def test_a_readiness_question_that_fails_or_hangs_is_not_ready(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("msh.transport.http.listener.READY_SECONDS", 0.05)

    async def fails() -> bool:
        raise OSError

    async def hangs() -> bool:
        await asyncio.sleep(10)
        return True

    for question in (fails, hangs):
        assert (await health(await start(ready=question), "/health/ready"))[0] == 503


# the address


async def test_a_free_port_is_chosen_and_told(start: Start) -> None:
    server = await start(url="http://localhost:0/a/b")
    assert server.port
    assert server.url == f"http://localhost:{server.port}/a/b"


async def test_an_address_in_use(start: Start) -> None:
    server = await start()
    with pytest.raises(ConfigurationError) as caught:
        await start(url=server.url)
    assert f"127.0.0.1:{server.port}" in str(caught.value)
    assert "choose another" in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "http://",
        "http:///sms",
        "http://127.0.0.1:x/sms",
        "http://127.0.0.1:99999/sms",
        "ftp://127.0.0.1:0/sms",
        "http://user:word@127.0.0.1:0/sms",
        "http://127.0.0.1:0/sms?a=b",
        "https://127.0.0.1:0/sms",
        "http://nowhere.invalid:8710/sms",
        "http://192.0.2.1:0/sms",
    ],
)
async def test_a_bad_address(start: Start, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if "invalid" in url:

        async def unknown(*arguments: object, **options: object) -> object:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    with pytest.raises(ConfigurationError):
        await start(url=url)


async def test_a_failed_listen_may_be_tried_again(start: Start, free_port: int) -> None:
    busy = await start()
    transport = HttpTransport()
    with pytest.raises(ConfigurationError):
        await transport.listen(busy.url, Inbox(), ready)
    assert await transport.listen(f"http://127.0.0.1:{free_port}/sms", Inbox(), ready)
    await transport.close()


# stopping


async def test_stopping_closes_idle_connections_at_once(start: Start) -> None:
    server = await start()
    idle, silent = await server.connect(), await server.connect()
    idle[1].write(post(XML))
    assert (await read_answer(idle[0]))[0] == 200
    async with asyncio.timeout(0.5):
        await server.transport.stop_listening()
    for reader, writer in (idle, silent):
        assert await reader.read() == b""
        writer.close()
    with pytest.raises(ConnectionError):
        await server.connect()


async def test_what_is_in_hand_is_answered_and_its_connection_closed(start: Start) -> None:
    inbox = Inbox(hold=True)
    server = await start(inbox)
    reader, writer = await server.connect()
    writer.write(post(XML))
    await inbox.entered.wait()
    stopping = asyncio.ensure_future(server.transport.stop_listening())
    await asyncio.sleep(0.02)
    inbox.let_go()
    status, headers, body = await read_answer(reader)
    assert (status, headers["connection"], body) == (200, "close", b"<a/>")
    assert await reader.read() == b""
    await stopping
    writer.close()
