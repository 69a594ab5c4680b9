"""Peers that are silent, slow or too many, over real connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import cast

import pytest

from msh.testing.contracts.transport import Inbox
from msh.transport.base import (
    Acceptance,
    Peer,
    Reply,
)
from msh.transport.http import ListenLimits
from tests.transport.conftest import TINY
from tests.transport.requests import SOON, XML, Start, post, read_answer


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
    assert 0.1 < await closed_after(reader) < 2.0
    writer.close()


async def test_a_head_that_drips_is_closed(start: Start) -> None:
    reader, writer = await (await start(limits=TINY)).connect()

    async def drip() -> None:
        for byte in post(XML):
            writer.write(bytes([byte]))
            await asyncio.sleep(0.02)

    dripping = asyncio.ensure_future(drip())
    assert 0.1 < await closed_after(reader) < 2.0
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
    assert 0.1 < await closed_after(reader) < 2.0
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
    assert await server.status(*parts, pause=0.02) == 408


async def test_a_body_that_takes_too_long_altogether_is_408(start: Start) -> None:
    limits = ListenLimits(body_seconds=0.3, grace_seconds=0.1, least_rate=1.0)
    server = await start(limits=limits)
    request = post(XML, body=b"x" * 20_000)
    parts = [request[at : at + 1000] for at in range(0, 10_000, 1000)]
    assert await server.status(*parts, pause=0.04) == 408


async def test_a_peer_that_does_not_read_its_answer_is_cut_off(start: Start) -> None:
    server = await start(Inbox(lambda wire: Reply(b"x" * 20_000_000)), TINY)
    reader, writer = await server.connect()
    taking = cast(asyncio.ReadTransport, writer.transport)
    taking.pause_reading()
    writer.write(post(XML))
    await asyncio.sleep(0.7)
    async with asyncio.timeout(2.0):
        await server.transport.stop_listening()  # would wait for the answer to be taken
    taking.resume_reading()
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
