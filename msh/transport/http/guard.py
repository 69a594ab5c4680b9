"""The deadlines of a connection: a protocol around aiohttp's, which has none.

It aborts a connection on which no whole request head arrives in time: silent ones, dripping
ones, and on a kept-alive connection the next head, counted from its first byte; and one whose
peer does not take the answer. One that wraps its body in more than any honest peer would is
aborted too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from aiohttp.web_protocol import RequestHandler

from msh.transport.base import Peer
from msh.transport.http_rules import ListenLimits
from msh.transport.tls import peer_certificate

#: Bytes on the wire for each byte that a body may have: chunks of one byte take six.
RAW_FACTOR = 8


class HeadGuard(asyncio.Protocol):
    """Delegates everything to ``inner``, and watches the time until `head_seen`."""

    def __init__(
        self,
        inner: RequestHandler,
        limits: ListenLimits,
        guards: dict[object, HeadGuard],
        listening: Callable[[], bool],
        leave: Callable[[], None],
    ) -> None:
        self._inner = inner
        self._limits = limits
        self._guards = guards
        self._listening = listening
        self._leave = leave
        self._made = False
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._busy = False
        self._raw = 0
        self._peer: Peer | None = None
        guards[inner] = self  # from the moment it is accepted: a TLS handshake counts too

    @property
    def peer(self) -> Peer:
        """Who is at the other end, asked of the socket once per connection."""
        if self._peer is None:
            assert self._transport is not None
            address = self._transport.get_extra_info("peername")
            tls = self._transport.get_extra_info("ssl_object")
            der = tls.getpeercert(binary_form=True) if tls is not None else None
            self._peer = Peer(
                str(address[0]) if address else "", peer_certificate(der) if der else None
            )
        return self._peer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Watch from the first moment; what begins after listening has ended is aborted."""
        self._transport = cast(asyncio.Transport, transport)
        if not self._listening():
            self._transport.abort()
            return
        self._made = True
        # No byte is held back unseen: `pause_writing` tells of a peer that does not read.
        self._transport.set_write_buffer_limits(high=0)
        self._inner.connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """The first byte of a next head starts the watch again."""
        # What surrounds bodies is bounded too (RFC 9112, 2.2 and 7.1.1: empty lines, extensions).
        self._raw += len(data)
        if self._raw > RAW_FACTOR * self._limits.max_bytes:
            self.abort()
            return
        if self._timer is None and not self._busy:
            self._watch()
        self._inner.data_received(data)

    def head_seen(self) -> None:
        """The handler has a whole head."""
        self._busy = True
        self._raw = 0
        self._rest()

    def done(self) -> None:
        """The request is answered; the connection may bring another."""
        self._busy = False

    @property
    def busy(self) -> bool:
        """Whether a request is being handled."""
        return self._busy

    def close(self) -> None:
        """Close, after what was written has left."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close without another byte."""
        if self._transport is not None:
            self._transport.abort()

    def eof_received(self) -> bool | None:
        """Delegated."""
        self._inner.eof_received()
        return None

    def connection_lost(self, exc: BaseException | None) -> None:
        """Delegated, and forgotten: also a connection that never was made."""
        self._rest()
        self._read()
        if self._guards.pop(self._inner, None) is not None:
            self._leave()
            if self._made:
                self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        """The peer does not take the answer: for as long as it may send a body, no longer."""
        if self._unread is None:
            self._unread = asyncio.get_running_loop().call_later(
                self._limits.body_seconds, self.abort
            )
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """The peer has taken everything."""
        self._read()
        self._inner.resume_writing()

    def _watch(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._limits.header_seconds, self.abort)

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
