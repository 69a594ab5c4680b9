"""The header deadline: a protocol around aiohttp's, which has none.

It aborts a connection on which no whole request head arrives in time: silent ones, dripping
ones, and on a kept-alive connection the next head, counted from its first byte.
"""

from __future__ import annotations

import asyncio
from typing import cast

from aiohttp.web_protocol import RequestHandler


class HeadGuard(asyncio.Protocol):
    """Delegates everything to ``inner``, and watches the time until `head_seen`."""

    def __init__(
        self,
        inner: RequestHandler,
        seconds: float,
        guards: dict[object, HeadGuard],
        most: int,
    ) -> None:
        self._inner = inner
        self._seconds = seconds
        self._guards = guards
        self._most = most
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Watch from the first moment; one connection too many is aborted at once."""
        self._transport = cast(asyncio.Transport, transport)
        if len(self._guards) >= self._most:
            self._transport.abort()
            return
        self._guards[self._inner] = self
        self._inner.connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """The first byte of a next head starts the watch again."""
        if self._timer is None and not self._busy:
            self._watch()
        self._inner.data_received(data)

    def head_seen(self) -> None:
        """The handler has a whole head."""
        self._busy = True
        self._rest()

    def done(self) -> None:
        """The request is answered; the connection may bring another."""
        self._busy = False

    @property
    def busy(self) -> bool:
        """Whether a request is being handled."""
        return self._busy

    def abort(self) -> None:
        """Close without another byte."""
        if self._transport is not None:
            self._transport.abort()

    def eof_received(self) -> bool | None:
        """Delegated."""
        self._inner.eof_received()
        return None

    def connection_lost(self, exc: BaseException | None) -> None:
        """Delegated, and forgotten."""
        self._rest()
        if self._guards.pop(self._inner, None) is not None:
            self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        """Delegated."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Delegated."""
        self._inner.resume_writing()

    def _watch(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self.abort)

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
