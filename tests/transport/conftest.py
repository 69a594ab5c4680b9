"""What the tests of the transports share."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from msh.testing.contracts.transport import Inbox, ready
from msh.transport.base import Accept
from msh.transport.http import HttpTransport, ListenLimits
from tests.transport.requests import SOON, Server, Start

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
#: Limits that a test can wait for.
TINY = ListenLimits(
    max_bytes=1000, header_seconds=0.2, body_seconds=0.4, grace_seconds=0.2, least_rate=1000.0
)


@pytest.fixture
def free_port() -> int:
    """A port of loopback on which nobody listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
async def client() -> AsyncIterator[HttpTransport]:
    """A transport to send with, which takes answers of up to 1000 bytes."""
    transport = HttpTransport(ListenLimits(max_bytes=1000))
    yield transport
    await transport.close()


@pytest.fixture
async def raw_server() -> AsyncIterator[Callable[[Serve], Awaitable[str]]]:
    """Starts servers that speak HTTP by hand: a coroutine per connection; gives their URL."""
    servers: list[asyncio.Server] = []
    tasks: set[asyncio.Task[None]] = set()

    async def start(serve: Serve) -> str:
        async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            try:
                await serve(reader, writer)
            except (ConnectionError, asyncio.IncompleteReadError):
                pass  # the client has gone
            finally:
                writer.close()
                tasks.discard(task)

        server = await asyncio.start_server(connection, "127.0.0.1", 0)
        servers.append(server)
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/sms"

    yield start
    for server in servers:
        server.close()
    for task in list(tasks):
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


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
