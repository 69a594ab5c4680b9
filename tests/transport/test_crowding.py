"""Somebody who takes all he can get of a listener: places, memory, descriptors."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from msh.protection import PeerCertificate, Source
from msh.protocol.source import anyone_admits, anyone_expects, read_network
from msh.testing.contracts.transport import Inbox, ready, soon
from msh.transport.base import ANYBODY, Gate, Peer
from msh.transport.http import HttpTransport, ListenLimits
from msh.transport.tls import Tls, client_context, server_context
from tests.transport.certificates import identity
from tests.transport.conftest import TINY
from tests.transport.requests import SOON, XML, Server, post, read_answer

HERE, THERE = "127.0.0.1", "127.0.0.2"
LIVE = b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n"


class Listed:
    """A `Gate` for the peers of some sources, as the receiver keeps it."""

    def __init__(self, *sources: Source) -> None:
        self._sources = sources
        self.refused = 0

    def expects(self, address: str) -> bool:
        return anyone_expects(self._sources, address)

    def admits(self, peer: Peer) -> bool:
        admitted = anyone_admits(self._sources, peer.address, peer.certificate)
        self.refused += not admitted
        return admitted


def only(address: str) -> Listed:
    network = read_network(address)
    assert network is not None
    return Listed(Source((network,)))


Opened = Callable[..., Awaitable[tuple[Server, Inbox]]]


@pytest.fixture
async def opened() -> AsyncIterator[Opened]:
    """Starts listeners behind a gate."""
    transports: list[HttpTransport] = []

    async def start(limits: ListenLimits, gate: Gate = ANYBODY) -> tuple[Server, Inbox]:
        transport, inbox = HttpTransport(limits), Inbox()
        transports.append(transport)
        url = await transport.listen("http://127.0.0.1:0/sms", inbox, ready, gate)
        return Server(transport, url), inbox

    yield start
    for transport in transports:
        async with asyncio.timeout(SOON):
            await transport.close()


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect(server: Server, address: str = HERE) -> Connection:
    """A connection from ``address``, one of this machine's own."""
    return await asyncio.open_connection("127.0.0.1", server.port, local_addr=(address, 0))


async def asked(connection: Connection, request: bytes) -> int:
    """The status of the answer, 0 if the connection closes without one."""
    reader, writer = connection
    with suppress(ConnectionError, asyncio.IncompleteReadError):
        writer.write(request)
        async with asyncio.timeout(SOON):
            return (await read_answer(reader))[0]
    return 0


def let_go(*connections: Connection) -> None:
    for _, writer in connections:
        writer.close()


# places


async def test_one_address_leaves_places_to_others(
    opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    server, _ = await opened(ListenLimits(connections_each=3))
    held = [await connect(server) for _ in range(3)]
    assert [await asked(one, post(XML)) for one in held] == [200] * 3
    for _ in range(20):
        one = await connect(server)
        assert await asked(one, post(XML)) == 0
        let_go(one)
    other = await connect(server, THERE)
    assert await asked(other, post(XML)) == 200
    # one line, however many are closed
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        "connections not taken: one address has 3 already (1 so far, the last from 127.0.0.1)"
    ]
    let_go(*held, other)
    await soon(lambda: not server.transport._listener._guards)  # type: ignore[union-attr]
    again = await connect(server)
    assert await asked(again, post(XML)) == 200
    let_go(again)


async def test_who_is_not_expected_has_few_places_and_may_ask_for_health(opened: Opened) -> None:
    gate = only(THERE)
    server, inbox = await opened(ListenLimits(connections=4, strangers_each=2), gate)
    strangers = [await connect(server) for _ in range(10)]
    assert [await asked(one, LIVE) for one in strangers] == [200] * 2 + [0] * 8
    genuine = [await connect(server, THERE) for _ in range(2)]
    assert [await asked(one, post(XML)) for one in genuine] == [200] * 2
    assert await asked(strangers[0], post(XML)) == 403
    assert (len(inbox.wires), gate.refused) == (2, 1)
    let_go(*strangers, *genuine)


async def test_nothing_is_read_of_who_is_not_admitted(opened: Opened) -> None:
    server, inbox = await opened(ListenLimits(), only(THERE))
    head = post(XML, "Expect: 100-continue", "Content-Length: 1048576", body=b"", length=False)
    stranger = await connect(server)
    assert await asked(stranger, head) == 403  # and not asked to go on with the body
    assert inbox.wires == []
    let_go(stranger)


async def test_a_certificate_is_asked_for_at_the_head_and_not_before(opened: Opened) -> None:
    server, inbox = await opened(
        ListenLimits(strangers_each=1),
        Listed(Source(certificates=(PeerCertificate("0A", "CN=a"),))),
    )
    held = [await connect(server) for _ in range(3)]
    assert [await asked(one, post(XML)) for one in held] == [403] * 3
    assert inbox.wires == []
    let_go(*held)


# memory


async def unfinished(server: Server, body: int, address: str = HERE) -> Connection:
    """A message whose last byte does not come."""
    connection = await connect(server, address)
    connection[1].write(post(XML, body=b"x" * body)[:-1])
    return connection


@pytest.mark.parametrize("ending", ["comes", "is cut off", "is too slow"])
async def test_bodies_under_way_of_one_address_are_bounded(opened: Opened, ending: str) -> None:
    limits = ListenLimits(body_seconds=1.0 if ending == "is too slow" else 30.0)
    server, inbox = await opened(replace(limits, unfinished_each=2_500))
    held = [await unfinished(server, 1_000) for _ in range(2)]
    await asyncio.sleep(0.05)
    for _ in range(3):
        crowded = await unfinished(server, 1_000)
        status, headers, _ = await read_answer(crowded[0])
        assert (status, headers["retry-after"], headers["connection"]) == (503, "5", "close")
        let_go(crowded)
    # of another address, and one that comes at once, as most do
    other = await unfinished(server, 1_000, THERE)
    assert await asked(other, b"x") == 200
    whole = await connect(server)
    assert await asked(whole, post(XML, body=b"x" * 2_600)) == 200
    # what ends leaves its room to the next
    if ending == "comes":
        assert [await asked(one, b"x") for one in held] == [200] * 2
    elif ending == "is cut off":
        let_go(*held)
        await asyncio.sleep(0.05)
    else:
        assert [(await read_answer(reader))[0] for reader, _ in held] == [408] * 2
    last = [await unfinished(server, 1_000) for _ in range(2)]
    await asyncio.sleep(0.05)
    assert [await asked(one, b"x") for one in last] == [200] * 2
    assert len(inbox.wires) == (6 if ending == "comes" else 4)
    let_go(*held, other, whole, *last)


# TLS


async def test_a_handshake_counts_as_a_connection(tmp_path: Path) -> None:
    own = identity(tmp_path, "bank")
    limits = replace(TINY, header_seconds=1.0, connections_each=5)
    listener = HttpTransport(limits, server_tls=server_context(Tls(own.certificate, own.key)))
    sender = HttpTransport(client_tls=client_context(Tls(trust=own.certificate)))
    try:
        url = await listener.listen("https://localhost:0/sms", Inbox(), ready)
        silent = [await asyncio.open_connection("localhost", Server(listener, url).port)]
        host = silent[0][1].get_extra_info("peername")[0]
        port = Server(listener, url).port
        silent += [await asyncio.open_connection(host, port) for _ in range(4)]
        await soon(lambda: len(listener._listener._guards) == 5)  # type: ignore[union-attr]
        reader, writer = await asyncio.open_connection(host, port)
        with suppress(ConnectionError):
            assert await reader.read() == b""  # at once, and not when it has been silent for long
        writer.close()
        async with asyncio.timeout(SOON):
            for silent_reader, _ in silent:
                assert await silent_reader.read() == b""
        let_go(*silent)
        assert (await sender.exchange(url, b"<a/>", SOON)).wire == b"<a/>"
    finally:
        await sender.close()
        await listener.close()


async def test_stopping_does_not_wait_for_handshakes(tmp_path: Path) -> None:
    own = identity(tmp_path, "bank")
    listener = HttpTransport(server_tls=server_context(Tls(own.certificate, own.key)))
    url = await listener.listen("https://localhost:0/sms", Inbox(), ready)
    silent = await asyncio.open_connection("localhost", Server(listener, url).port)
    await soon(lambda: bool(listener._listener._guards))  # type: ignore[union-attr]
    async with asyncio.timeout(2.0):
        await listener.close()
        with suppress(ConnectionError):
            assert await silent[0].read() == b""
    let_go(silent)


# descriptors

PROGRAM = """
import asyncio, logging, os, resource, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
logging.basicConfig(level=logging.WARNING, stream=sys.stdout, format="%(name)s %(message)s")
from msh.testing.contracts.transport import Inbox, ready
from msh.transport.http import HttpTransport, ListenLimits
from tests.transport.requests import XML, post

async def main():
    listener = HttpTransport(ListenLimits(spare_descriptors=int(sys.argv[1])))
    url = await listener.listen("http://127.0.0.1:0/sms", Inbox(), ready)
    port = int(url.split(":")[2].split("/")[0])
    peers = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
    for peer in peers:
        peer.sendall(post(XML))
        peer.setblocking(False)
    files = []
    try:
        while True:
            files.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass
    await asyncio.sleep(0.3)
    for file in files:
        os.close(file)
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(5):
        asked = (loop.sock_recv(peer, 12) for peer in peers)
        answers = await asyncio.gather(*asked, return_exceptions=True)
    print("answered", sum(answer == b"HTTP/1.1 200" for answer in answers))
    for peer in peers:
        peer.close()
    await listener.close()

asyncio.run(main())
"""


def ran(spare: int) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(spare)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_without_descriptors_it_waits_and_says_so_once() -> None:
    assert ran(-1000) == [
        "msh.transport.http connections not taken: Too many open files (1 so far)",
        "answered 20",
    ]


def test_no_more_connections_than_descriptors() -> None:
    told, *_, last = ran(150)
    words = told.split()
    assert words[2:8] == ["connections", "at", "once", "instead", "of", "800:"]
    assert "may open 200 files" in told
    room = int(words[1])
    assert 25 < room < 50
    assert last == f"answered {200 * room // 800}"  # the share of one address shrinks too


def test_enough_descriptors_are_not_spoken_of(caplog: pytest.LogCaptureFixture) -> None:
    from msh.transport.http.acceptor import fitting

    limits = ListenLimits(connections=2, spare_descriptors=0)
    with caplog.at_level(logging.DEBUG):
        assert fitting(limits) is limits
    assert caplog.records == []
