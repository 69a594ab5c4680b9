"""Where the HTTP listener listens, and how it stops."""

from __future__ import annotations

import asyncio
import socket

import pytest

from msh.errors import ConfigurationError
from msh.testing.contracts.transport import Inbox, ready
from msh.transport.http import HttpTransport, ListenLimits
from tests.transport.requests import SOON, XML, Start, post, read_answer

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
    async with asyncio.timeout(1.5):
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
    idle, its_writer = await server.connect()
    await asyncio.sleep(0.02)
    stopping = asyncio.ensure_future(server.transport.stop_listening())
    async with asyncio.timeout(SOON):
        assert await idle.read() == b""  # idle connections do not wait for what is in hand
    its_writer.close()
    inbox.let_go()
    status, headers, body = await read_answer(reader)
    assert (status, headers["connection"], body) == (200, "close", b"<a/>")
    assert await reader.read() == b""
    await stopping
    writer.close()


@pytest.mark.parametrize("ending", ["drips", "stands still"])
async def test_a_body_under_way_does_not_hold_up_stopping(start: Start, ending: str) -> None:
    inbox = Inbox()
    server = await start(inbox, ListenLimits(stopping_seconds=0.2, least_rate=1.0))
    reader, writer = await server.connect()
    request = post(XML, body=b"x" * 10_000)
    writer.write(request[:-9_000])
    await asyncio.sleep(0.05)

    async def drip() -> None:
        while not writer.is_closing():
            writer.write(b"x")
            await asyncio.sleep(0.02)

    dripping = asyncio.ensure_future(drip() if ending == "drips" else asyncio.sleep(0))
    async with asyncio.timeout(SOON):
        stopping = asyncio.ensure_future(server.transport.stop_listening())
        # not refused for good: the sender's schedule brings it again
        status, headers, _ = await read_answer(reader)
        assert (status, headers["connection"], headers["retry-after"]) == (503, "close", "5")
        await stopping
    dripping.cancel()
    writer.close()
    assert inbox.wires == []


async def test_a_body_that_comes_soon_is_taken_while_stopping(start: Start) -> None:
    inbox = Inbox()
    server = await start(inbox, ListenLimits(stopping_seconds=SOON))
    reader, writer = await server.connect()
    request = post(XML, body=b"x" * 100)
    writer.write(request[:-10])
    await asyncio.sleep(0.05)
    stopping = asyncio.ensure_future(server.transport.stop_listening())
    await asyncio.sleep(0.05)
    writer.write(request[-10:])
    async with asyncio.timeout(SOON):
        assert (await read_answer(reader))[0] == 200
        await stopping
    writer.close()
    assert inbox.wires == [b"x" * 100]
