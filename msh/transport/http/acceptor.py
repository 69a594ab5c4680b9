"""Connections from the moment they are accepted: counted, shared out, within the descriptors.

asyncio's own server shows a connection only after its TLS handshake, and without descriptors left
it logs a traceback a thousand times a second. This one counts first, and closes what is too many.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from msh.transport.http_rules import ListenLimits
from msh.transport.shares import Places
from msh.transport.telling import Telling

_log = logging.getLogger("msh.transport.http")

BACKLOG = 1024
#: Connections accepted in one go: more would keep the loop from those that are there.
AT_ONCE = 64
#: Seconds until the next try when none can be accepted.
TRY_AGAIN = 1.0
CLOSE_SECONDS = 5.0

#: Makes the protocol of a connection; what it is given is called once when that has ended.
Connect = Callable[[Callable[[], None]], asyncio.Protocol]


class Acceptor:
    """The listening sockets of one address."""

    def __init__(
        self,
        places: Places,
        connect: Connect,
        tls: ssl.SSLContext | None,
        handshake_seconds: float,
    ) -> None:
        self._places = places
        self._connect = connect
        self._tls = tls
        self._handshake_seconds = handshake_seconds
        self._sockets: list[socket.socket] = []
        self._accepting: set[asyncio.Task[None]] = set()
        self._beginning: set[asyncio.Task[None]] = set()
        self._closed = Telling("connections not taken")
        self._failed = Telling("TLS handshakes failed")

    async def start(self, host: str, port: int) -> int:
        """Listen at every address of ``host``; for port 0 at the first one alone, at a free port.

        Returns the port. Raises `OSError`.
        """
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        missing: OSError | None = None
        try:
            for family, _, _, _, address in dict.fromkeys(found if port else found[:1]):
                try:
                    listening = socket.create_server(address, family=family, backlog=BACKLOG)
                except OSError as error:
                    if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                        raise
                    missing = error  # one of IPv4 and IPv6 may be switched off here
                else:
                    listening.setblocking(False)
                    self._sockets.append(listening)
            if not self._sockets:
                raise missing or OSError(errno.EADDRNOTAVAIL, "")
        except OSError as error:
            self._let_go()
            raise OSError(error.errno, os.strerror(error.errno or 0)) from None
        self._accepting = {asyncio.create_task(self._accept(one)) for one in self._sockets}
        return int(self._sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Accept nothing more, and drop what has not begun: handshakes that are under way."""
        try:
            # One after the other, so that each connection that was accepted is being begun.
            for tasks in (self._accepting, self._beginning):
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            self._let_go()  # not before: until then the loop asks for these sockets

    def _let_go(self) -> None:
        for listening in self._sockets:
            listening.close()
        self._sockets = []

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            for _ in range(AT_ONCE):
                try:
                    connection, address = await loop.sock_accept(listening)
                except ConnectionAbortedError:
                    continue  # it went before it was taken
                except OSError as error:  # no descriptors, no memory: asking at once would spin
                    self._closed.tell(str(error.strerror))
                    await asyncio.sleep(TRY_AGAIN)
                else:
                    self._take(connection, str(address[0]))
            await asyncio.sleep(0)

    def _take(self, connection: socket.socket, address: str) -> None:
        leave = self._places.take(address)
        if isinstance(leave, str):
            connection.close()
            self._closed.tell(leave, address)
            return
        task = asyncio.create_task(self._begin(connection, address, leave))
        self._beginning.add(task)
        task.add_done_callback(self._beginning.discard)

    async def _begin(
        self, connection: socket.socket, address: str, leave: Callable[[], None]
    ) -> None:
        protocol = self._connect(leave)
        began = False
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: protocol,
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=self._handshake_seconds if self._tls else None,
                ssl_shutdown_timeout=CLOSE_SECONDS if self._tls else None,
            )
            began = True
        except ssl.SSLError as error:
            self._failed.tell(_handshake(error), str(address))
        except Exception as error:  # whatever a stranger may send, or one who only knocks
            _log.debug("a connection that did not begin: %s", type(error).__name__)
        finally:
            if not began:
                protocol.connection_lost(None)


def _handshake(error: ssl.SSLError) -> str:
    """Why a handshake failed; the words are OpenSSL's, and of a certificate its check's."""
    reason = error.reason or "no reason given"
    if reason == "HTTP_REQUEST":
        return "plain http came where https is spoken"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the peer's certificate: {error.verify_message}"
    return reason.lower().replace("_", " ")


def fitting(limits: ListenLimits) -> ListenLimits:
    """``limits`` with no more connections than this process has descriptors for.

    The shares shrink with them. A warning tells of it.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return limits
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    used = 0
    with suppress(OSError):
        used = len(os.listdir("/dev/fd"))
    room = max(1, allowed - used - limits.spare_descriptors)
    if allowed == resource.RLIM_INFINITY or room >= limits.connections:
        return limits
    _log.warning(
        "%d connections at once instead of %d: this process may open %d files, has opened %d and "
        "keeps %d for its own work; raise its limit (ulimit -n, LimitNOFILE=)",
        room,
        limits.connections,
        allowed,
        used,
        limits.spare_descriptors,
    )

    def part(number: int) -> int:
        return max(1, number * room // limits.connections)

    return replace(
        limits,
        connections=room,
        connections_each=part(limits.connections_each),
        strangers=part(limits.strangers),
        strangers_each=part(limits.strangers_each),
    )
