"""Pooled connections that turn out closed: once more, on a fresh one."""

from __future__ import annotations

import asyncio

import pytest

from msh.errors import Busy, NoAnswer, Rejected, TransportError
from msh.transport.http import HttpTransport
from tests.transport.answers import SOON, WIRE, Peer, Start, answer, outcome, read_request


async def warmed(client: HttpTransport, url: str, connections: int = 1) -> None:
    """Leave ``connections`` idle connections in the pool."""
    await asyncio.gather(*(client.exchange(url, b"<w/>", SOON) for _ in range(connections)))


@pytest.mark.parametrize("closing", [None, "reset"])
async def test_a_pooled_connection_that_closes_is_tried_once_more(
    client: HttpTransport, raw_server: Start, closing: str | None
) -> None:
    peer = Peer(answer(), closing, answer(b"<again/>"))
    url = await raw_server(peer)
    await warmed(client, url)
    response = await client.exchange(url, WIRE, SOON)
    assert (response.wire, response.reconnected) == (b"<again/>", True)
    assert peer.bodies == [b"<w/>", WIRE, WIRE]
    assert peer.connections == 2


async def test_the_second_try_takes_no_other_pooled_connection(
    client: HttpTransport, raw_server: Start
) -> None:
    """Where one idle connection was closed, so may all the others be."""
    connections: list[int] = []
    together = asyncio.Barrier(3)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(connections)
        connections.append(0)
        while True:
            _, body = await read_request(reader)
            connections[number] += 1
            if body == b"<w/>":
                await together.wait()
            elif number < 3:
                return
            writer.write(answer())

    url = await raw_server(serve)
    await warmed(client, url, 3)
    response = await client.exchange(url, WIRE, SOON)
    assert response.reconnected
    assert sorted(connections) == [1, 1, 1, 2]
    assert connections[3] == 1


@pytest.mark.parametrize(
    ("second", "error"),
    [
        (None, NoAnswer),
        ("reset", NoAnswer),
        ("wait", NoAnswer),
        (answer(b"", "503 Service Unavailable"), Busy),
        (answer(b"", "404 Not Found"), Rejected),
        (answer(b"", "202 Accepted"), NoAnswer),
        (answer(b"<b/>")[:-1], NoAnswer),
    ],
)
async def test_the_second_try_is_the_last(
    client: HttpTransport,
    raw_server: Start,
    second: bytes | str | None,
    error: type[TransportError],
) -> None:
    peer = Peer(answer(), None, second, answer())
    url = await raw_server(peer)
    await warmed(client, url)
    caught = await outcome(client, url, 0.2)
    assert type(caught) is error
    assert caught.reconnected
    assert peer.bodies == [b"<w/>", WIRE, WIRE]


async def test_after_the_second_try_nothing_is_surely_unsent(
    client: HttpTransport, raw_server: Start
) -> None:
    servers: list[asyncio.Server] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer())
        await read_request(reader)
        servers[0].close()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    servers.append(server)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/sms"
    await warmed(client, url)
    caught = await outcome(client, url)
    assert type(caught) is NoAnswer
    assert not caught.reconnected  # no second copy left


async def test_both_tries_share_the_time(client: HttpTransport, raw_server: Start) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, body = await read_request(reader)
        if body == b"<w/>":
            writer.write(answer())
            await read_request(reader)
            await asyncio.sleep(0.3)
        else:
            await asyncio.sleep(10)

    url = await raw_server(serve)
    await warmed(client, url)
    loop = asyncio.get_running_loop()
    began = loop.time()
    caught = await outcome(client, url, 0.8)
    assert type(caught) is NoAnswer
    assert caught.reconnected
    assert loop.time() - began < 1.0


@pytest.mark.parametrize("part", [b"H", b"HTTP/1.1 200 OK\r\nConte", answer()[:-1]])
async def test_a_pooled_connection_that_began_to_answer_is_not_tried_again(
    client: HttpTransport, raw_server: Start, part: bytes
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer())
        bodies.append((await read_request(reader))[1])
        writer.write(part)
        await writer.drain()

    bodies: list[bytes] = []
    url = await raw_server(serve)
    await warmed(client, url)
    caught = await outcome(client, url)
    assert type(caught) is NoAnswer
    assert not caught.reconnected
    assert bodies == [WIRE]


async def test_a_pooled_connection_known_to_be_closed_is_not_used(
    client: HttpTransport, raw_server: Start
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer())

    url = await raw_server(serve)
    for _ in range(3):
        assert not (await client.exchange(url, WIRE, SOON)).reconnected
        await asyncio.sleep(0.02)


async def test_connections_are_kept(client: HttpTransport, raw_server: Start) -> None:
    peer = Peer(*[answer()] * 5)
    url = await raw_server(peer)
    for _ in range(5):
        await client.exchange(url, WIRE, SOON)
    assert peer.connections == 1


async def test_closing_ends_what_is_under_way(client: HttpTransport, raw_server: Start) -> None:
    peer = Peer(answer(), "wait")
    url = await raw_server(peer)
    await warmed(client, url)
    exchange = asyncio.ensure_future(client.exchange(url, WIRE, SOON))
    while len(peer.bodies) < 2:
        await asyncio.sleep(0.005)
    await client.close()
    with pytest.raises(NoAnswer):
        await exchange
