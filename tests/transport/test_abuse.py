"""Everything that is wrong with HTTP on purpose: refused in time, while others are served."""

from __future__ import annotations

import asyncio
import gzip
import socket
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest

from msh.testing.contracts.transport import Inbox
from msh.transport.base import Reply
from msh.transport.http import ListenLimits
from tests.transport.conftest import TINY
from tests.transport.requests import SOON, XML, Server, Start, chunked, post, read_answer
from tests.transport.shapes import SHAPES, TE

SMUGGLED = post(XML, "Connection: close", body=b"<smuggled/>")
HONEST = b"<honest/>"
LIVE = b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n"
# One loop serves and attacks here, so that an honest head may come a little late by itself.
CALM = replace(TINY, header_seconds=2.0)

# one place may be read in two ways


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_shape_is_refused_and_nothing_behind_it_is_read(start: Start, shape: str) -> None:
    inbox = Inbox()
    server = await start(inbox, TINY)
    for behind in (b"", SMUGGLED):
        answer = await server.ask(SHAPES[shape] + behind)
        assert answer == b"" or answer.split()[1][:1] == b"4" or answer.split()[1] == b"505"
        assert answer.count(b"HTTP/") <= 1
    assert inbox.wires == []
    assert await server.status(post(XML, "Connection: close")) == 200


@pytest.mark.parametrize("shape", ["line: not HTTP", "length: two lengths, others", "line: TLS"])
async def test_what_cannot_be_parsed_gets_an_empty_400(start: Start, shape: str) -> None:
    answer = await (await start(limits=TINY)).ask(SHAPES[shape])
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split()[1] == b"400"
    assert body == b""
    assert b"content-type" not in head.lower()


async def test_in_pieces_the_shapes_are_refused_too(start: Start) -> None:
    inbox = Inbox()
    server = await start(inbox, replace(TINY, header_seconds=2.0, grace_seconds=2.0))

    async def in_pieces(request: bytes) -> None:
        reader, writer = await server.connect()
        with suppress(ConnectionError):
            for at in range(0, min(len(request), 400), 7):
                writer.write(request[at : at + 7])
                await writer.drain()
                await asyncio.sleep(0.001)
            writer.write(request[400:] + SMUGGLED)
            await reader.read()
        writer.close()

    async with asyncio.timeout(4 * SOON):
        await asyncio.gather(*map(in_pieces, SHAPES.values()))
    assert inbox.wires == []


@pytest.mark.parametrize(
    "headers",
    [
        ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"),
        ("Connection: Upgrade", "Upgrade: websocket"),
        ("Upgrade: TLS/1.2",),
    ],
)
async def test_an_upgrade_is_not_taken_up(start: Start, headers: tuple[str, ...]) -> None:
    """The message is (RFC 9110, 7.8); the connection closes, and what follows is not read."""
    inbox = Inbox()
    server = await start(inbox, TINY)
    request = post(XML, *headers)
    for parts in ((request + SMUGGLED,), (request[:-4], request[-4:], SMUGGLED)):
        assert await server.status(*parts, pause=0.02) == 200
    assert inbox.wires == [b"<a/>", b"<a/>"]


# sizes


async def endless(server: Server, head: bytes, piece: bytes) -> int:
    """How many bytes are taken of a request that does not end by itself."""
    reader, writer = await server.connect()
    taken = len(head)
    writer.write(head)
    with suppress(ConnectionError):
        async with asyncio.timeout(SOON):
            while not writer.is_closing() and taken < 50_000_000:
                writer.write(piece)
                await writer.drain()
                taken += len(piece)
    del reader
    writer.close()
    return taken


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (post(XML, "Content-Length: 40000000000", body=b"", length=False), b"x" * 65536),
        (post(XML, "Content-Length: 1001", body=b"", length=False), b"x" * 65536),
        (post(XML, TE, body=b"", length=False), b"10000\r\n" + b"x" * 65536 + b"\r\n"),
        (post(XML, TE, body=b"", length=False), b"1\r\nx\r\n" * 10_000),
        (post(XML, TE, body=b"ffffffff\r\n", length=False), b"x" * 65536),
        (post(XML, TE, body=b"1;", length=False), b"x" * 65536),
        (post(XML, TE, body=b"", length=False), b"1;" + b"x" * 60_000 + b"\r\nx\r\n"),
        (post(XML, TE, body=b"0\r\n", length=False), b"X: y\r\n" * 10_000),
        (b"POST /sms HTTP/1.1\r\n", b"X: y\r\n" * 10_000),
        (b"POST /sms HTTP/1.1\r\nX: ", b"y" * 65536),
        (b"POST /", b"x" * 65536),
        (b"", b"\r\n" * 30_000),
    ],
)
async def test_what_does_not_end_is_cut_off(start: Start, head: bytes, piece: bytes) -> None:
    inbox = Inbox()
    server = await start(inbox, TINY)
    # What the sockets' buffers hold is sent before it is known that nobody reads it.
    assert await endless(server, head, piece) < 50_000_000
    assert inbox.wires == []


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(b"<a/>", mtime=0)),
        ("gzip", gzip.compress(bytes(900_000))),
        ("x-gzip", gzip.compress(b"<a/>", mtime=0)),
        ("deflate", zlib.compress(b"<a/>")),
        ("br", b"\x0b\x01\x80<a/>\x03"),
        ("zstd", b"\x28\xb5\x2f\xfd\x04\x00\x21\x00\x00<a/>"),
        ("identity, gzip", gzip.compress(b"<a/>", mtime=0)),
        ("GZIP", gzip.compress(b"<a/>", mtime=0)),
        ("unheard-of", b"<a/>"),
    ],
)
async def test_compressed_bodies(start: Start, coding: str, body: bytes) -> None:
    inbox = Inbox()
    server = await start(inbox, TINY)
    assert await server.status(post(XML, f"Content-Encoding: {coding}", body=body[:900])) == 415
    request = post(XML, f"Content-Encoding: {coding}", TE, body=chunked(body[:900]), length=False)
    assert await server.status(request) == 415
    assert inbox.wires == []


# while others are served


@asynccontextmanager
async def honest(server: Server) -> AsyncIterator[list[int]]:
    """Somebody who sends message after message meanwhile; at the end at least two were taken."""
    served: list[int] = []
    at_ease = asyncio.Event()

    async def go_on() -> None:
        reader, writer = await server.connect()
        while not at_ease.is_set() or len(served) < 2:
            writer.write(post(XML, body=HONEST))
            async with asyncio.timeout(SOON):
                status, _, body = await read_answer(reader)
            assert (status, body) == (200, HONEST)
            served.append(status)
            await asyncio.sleep(0.005)
        writer.close()

    going = asyncio.ensure_future(go_on())
    try:
        yield served
        at_ease.set()
        await going
    finally:
        going.cancel()


async def silent(server: Server) -> None:
    reader, writer = await server.connect()
    with suppress(ConnectionError):
        assert await reader.read() == b""
    writer.close()


async def half_open(server: Server) -> None:
    """A peer that sends half a head and says that it will send no more."""
    reader, writer = await server.connect()
    writer.write(post(XML)[:30])
    writer.write_eof()
    with suppress(ConnectionError):
        assert await reader.read() == b""
    writer.close()


async def half_a_body(server: Server) -> None:
    """The same in the middle of a body: the answer, if any, is no success."""
    reader, writer = await server.connect()
    writer.write(post(XML, body=b"x" * 500)[:-100])
    writer.write_eof()
    with suppress(ConnectionError):
        answer = await reader.read()
        assert not answer.startswith(b"HTTP/1.1 2")
    writer.close()


async def dripping(server: Server, request: bytes, whole: int) -> None:
    """The first ``whole`` bytes at once, the others one by one until the connection closes."""
    reader, writer = await server.connect()
    ended = asyncio.ensure_future(reader.read())
    writer.write(request[:whole])
    for byte in request[whole:]:
        if ended.done():
            break
        writer.write(bytes([byte]))
        await asyncio.sleep(0.02)
    with suppress(ConnectionError):
        assert not (await ended).startswith(b"HTTP/1.1 2")
    writer.close()


async def slow_head(server: Server) -> None:
    await dripping(server, post(XML, "X: " + "y" * 900), 0)


async def slow_body(server: Server) -> None:
    request = post(XML, body=b"x" * 900)
    await dripping(server, request, len(request) - 900)


async def slow_chunks(server: Server) -> None:
    request = post(XML, TE, body=chunked(*[b"x"] * 200), length=False)
    await dripping(server, request, request.index(b"\r\n\r\n") + 4)


async def slow_extension(server: Server) -> None:
    request = post(XML, TE, body=b"4;" + b"x" * 900 + b"\r\n<a/>\r\n0\r\n\r\n", length=False)
    await dripping(server, request, request.index(b"\r\n\r\n") + 4)


async def oversize(server: Server) -> None:
    await server.status(post(XML, body=b"x" * 1001))
    await server.status(post(XML, TE, body=chunked(b"x" * 1001), length=False))


async def deaf(server: Server) -> None:
    """A peer that asks again and again, and never reads an answer."""
    reader, writer = await server.connect()
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    with suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(SOON):
            while not writer.is_closing():
                writer.write(post(XML, body=b"x" * 900))
                await writer.drain()
                await asyncio.sleep(0.001)
    del reader
    writer.transport.abort()


async def test_requests_whose_answers_nobody_reads_do_not_pile_up(start: Start) -> None:
    """One after the other on one connection (RFC 9112, 9.3.2): no more is read than is answered.

    aiohttp before 3.14.1 read on, and kept every request: gigabytes in seconds.
    """
    server = await start(limits=ListenLimits(body_seconds=3.0))
    # Small buffers in the kernel, so that what is taken is what was read.
    listening = server.transport._listener._acceptor._sockets  # type: ignore[union-attr]
    listening[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    reader, writer = await server.connect()
    own = writer.get_extra_info("socket")
    own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    taken = 0
    with suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(2.0):
            while taken < 5_000_000:
                writer.write(LIVE * 2000)
                await writer.drain()
                taken += len(LIVE) * 2000
    assert taken < 2_000_000
    del reader
    writer.transport.abort()


Attack = Callable[[Server], Awaitable[None]]


@pytest.mark.parametrize(
    "attack",
    [
        silent,
        half_open,
        half_a_body,
        slow_head,
        slow_body,
        slow_chunks,
        slow_extension,
        oversize,
    ],
)
async def test_many_at_once(start: Start, attack: Attack) -> None:
    inbox = Inbox()
    server = await start(inbox, CALM)
    async with honest(server) as served:
        async with asyncio.timeout(2 * SOON):
            await asyncio.gather(*(attack(server) for _ in range(50)))
        before = len(served)
    assert len(served) >= max(before, 2)
    assert set(inbox.wires) == {HONEST}


async def test_many_that_never_read(start: Start) -> None:
    big = b"y" * 1_000_000
    server = await start(
        Inbox(lambda wire: Reply(wire if wire == HONEST else big)),
        replace(CALM, body_seconds=0.3),
    )
    async with honest(server):
        async with asyncio.timeout(2 * SOON):
            await asyncio.gather(*(deaf(server) for _ in range(10)))


async def test_all_shapes_at_once(start: Start) -> None:
    inbox = Inbox()
    server = await start(inbox, CALM)
    async with honest(server):
        async with asyncio.timeout(4 * SOON):
            for _ in range(3):
                await asyncio.gather(
                    *(server.ask(request + SMUGGLED) for request in SHAPES.values())
                )
    assert set(inbox.wires) == {HONEST}
