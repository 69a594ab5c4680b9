"""Each fault of the proxy, seen from both of its sides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest

from msh.errors import Busy, ConfigurationError, NoAnswer, Rejected, UsageError
from msh.testing.contracts.transport import Inbox, ready, soon
from msh.testing.faults import FaultProxy
from msh.transport.base import Reply
from msh.transport.http import HttpTransport
from tests.transport.conftest import Serve

SOON = 5.0


@pytest.fixture
def inbox() -> Inbox:
    """What the target receives; it answers ``<to>`` and the message."""
    return Inbox(lambda wire: Reply(b"<to>" + wire))


@pytest.fixture
async def proxy(inbox: Inbox) -> AsyncIterator[FaultProxy]:
    """A proxy in front of a listener."""
    target = HttpTransport()
    async with FaultProxy(await target.listen("http://127.0.0.1:0/sms", inbox, ready)) as proxy:
        yield proxy
    inbox.let_go()
    await target.close()


async def send(client: HttpTransport, proxy: FaultProxy, wire: bytes = b"<a/>") -> bytes:
    """One exchange through the proxy; it is answered without a second try."""
    response = await client.exchange(proxy.url, wire, SOON)
    assert not response.reconnected
    return response.wire


async def test_without_a_fault_everything_passes(
    client: HttpTransport, proxy: FaultProxy, inbox: Inbox
) -> None:
    for number in range(3):
        assert await send(client, proxy, b"<%d/>" % number) == b"<to><%d/>" % number
    assert inbox.wires == [b"<0/>", b"<1/>", b"<2/>"]
    assert proxy.seen == 3
    assert proxy.log == ["1: passed", "2: passed", "3: passed"]


async def test_a_lost_request(client: HttpTransport, proxy: FaultProxy, inbox: Inbox) -> None:
    proxy.lose_request(1)
    with pytest.raises(NoAnswer):
        await send(client, proxy)
    assert inbox.wires == []
    assert proxy.log == ["1: request lost"]
    assert await send(client, proxy) == b"<to><a/>"


async def test_a_lost_reply(client: HttpTransport, proxy: FaultProxy, inbox: Inbox) -> None:
    proxy.lose_reply(1)
    with pytest.raises(NoAnswer):
        await send(client, proxy)
    assert inbox.wires == [b"<a/>"]
    assert inbox.ended == 1
    assert proxy.log == ["1: reply lost"]


async def test_a_cut_request(
    client: HttpTransport, raw_server: Callable[[Serve], Awaitable[str]]
) -> None:
    arrived: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        arrived.append(await reader.read())

    async with FaultProxy(await raw_server(serve)) as proxy:
        proxy.cut_request(1)
        with pytest.raises(NoAnswer):
            await send(client, proxy, b"0123456789")
        await soon(lambda: arrived == [b"01234"])
        assert proxy.log == ["1: request cut"]


async def test_a_cut_request_is_no_message(
    client: HttpTransport, proxy: FaultProxy, inbox: Inbox
) -> None:
    proxy.cut_request(1)
    with pytest.raises(NoAnswer):
        await send(client, proxy)
    assert await send(client, proxy, b"<b/>") == b"<to><b/>"
    assert inbox.wires == [b"<b/>"]


async def test_a_cut_reply(client: HttpTransport, proxy: FaultProxy, inbox: Inbox) -> None:
    proxy.cut_reply(1)
    with pytest.raises(NoAnswer, match="cut off"):
        await send(client, proxy)
    assert inbox.wires == [b"<a/>"]
    proxy.cut_reply(2)
    async with aiohttp.ClientSession() as session:
        headers = {"Content-Type": "text/xml"}
        async with session.post(proxy.url, data=b"<a/>", headers=headers) as response:
            assert response.headers["Content-Length"] == "8"
            assert await response.content.readany() == b"<to>"
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.content.readany()


@pytest.mark.parametrize("side", ["request", "reply"])
async def test_a_delay(client: HttpTransport, proxy: FaultProxy, inbox: Inbox, side: str) -> None:
    (proxy.delay_request if side == "request" else proxy.delay_reply)(1, 0.2)
    with pytest.raises(NoAnswer):
        await client.exchange(proxy.url, b"<a/>", 0.1)
    assert len(inbox.wires) == (0 if side == "request" else 1)
    await soon(lambda: proxy.log == ["1: passed"])  # also without its sender
    assert inbox.wires == [b"<a/>"]


async def test_a_delayed_one_is_overtaken(
    client: HttpTransport, proxy: FaultProxy, inbox: Inbox
) -> None:
    proxy.delay_request(1, 0.1)
    first = asyncio.ensure_future(send(client, proxy, b"<1/>"))
    await soon(lambda: proxy.seen == 1)
    await send(client, proxy, b"<2/>")
    assert await first == b"<to><1/>"
    assert inbox.wires == [b"<2/>", b"<1/>"]


async def test_repeats_arrive_at_once(
    client: HttpTransport, proxy: FaultProxy, inbox: Inbox
) -> None:
    held = Inbox(hold=True)
    target = HttpTransport()
    url = await target.listen("http://127.0.0.1:0/sms", held, ready)
    async with FaultProxy(url) as proxy:
        proxy.repeat(1, 5)
        exchange = asyncio.ensure_future(send(client, proxy))
        await soon(lambda: len(held.wires) == 5)
        held.let_go()
        assert await exchange == b"<a/>"
    assert held.wires == [b"<a/>"] * 5
    assert (proxy.seen, proxy.log) == (1, ["1: passed 5 times"])
    await target.close()


async def test_an_answer_of_ones_own(
    client: HttpTransport, proxy: FaultProxy, inbox: Inbox
) -> None:
    proxy.answer(1, 503).answer(2, 404)
    with pytest.raises(Busy):
        await send(client, proxy)
    with pytest.raises(Rejected):
        await send(client, proxy)
    assert inbox.wires == []
    assert proxy.log == ["1: answered 503", "2: answered 404"]


async def test_faults_go_together(client: HttpTransport, proxy: FaultProxy, inbox: Inbox) -> None:
    proxy.lose_request(1).repeat(1, 3).delay_request(1, 0.1).lose_reply(1)
    with pytest.raises(NoAnswer):
        await send(client, proxy)
    await soon(lambda: inbox.wires == [b"<a/>"] * 3)
    assert proxy.log == ["1: reply lost"]  # of two faults the later holds


async def test_what_the_target_says_passes(
    client: HttpTransport, raw_server: Callable[[Serve], Awaitable[str]]
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 Later\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    async with FaultProxy(await raw_server(serve)) as proxy, aiohttp.ClientSession() as session:
        for method in ("POST", "GET"):
            async with session.request(method, proxy.url) as response:
                assert (response.status, response.headers["Retry-After"]) == (503, "7")
        assert proxy.seen == 1  # only what may be a message counts


async def test_a_target_that_is_away(client: HttpTransport, free_port: int) -> None:
    async with FaultProxy(f"http://127.0.0.1:{free_port}/sms") as proxy:
        for n, fault in enumerate(("", "repeat", "cut_request"), start=1):
            if fault:
                getattr(proxy, fault)(n)
            with pytest.raises(NoAnswer):
                await send(client, proxy)


async def test_leaving_does_not_wait_for_the_delayed(client: HttpTransport, inbox: Inbox) -> None:
    target = HttpTransport()
    url = await target.listen("http://127.0.0.1:0/sms", inbox, ready)
    async with asyncio.timeout(SOON), FaultProxy(url) as proxy:
        proxy.delay_request(1, 60).delay_reply(2, 60)
        exchanges = [asyncio.ensure_future(send(client, proxy)) for _ in range(2)]
        await soon(lambda: proxy.seen == 2 and len(inbox.wires) == 1)
    given = await asyncio.gather(*exchanges, return_exceptions=True)
    assert [type(one) for one in given] == [NoAnswer, NoAnswer]
    await target.close()


async def test_wrong_use(client: HttpTransport, proxy: FaultProxy) -> None:
    await send(client, proxy)
    with pytest.raises(UsageError, match="past"):
        proxy.lose_reply(1)
    with pytest.raises(UsageError, match="0 times"):
        proxy.repeat(2, 0)
    with pytest.raises(UsageError, match="async with"):
        _ = FaultProxy("http://127.0.0.1:1/sms").url
    with pytest.raises(ConfigurationError):
        FaultProxy("https://127.0.0.1:1/sms")
