"""The HTTP transport: client and listener together."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Self

from msh.errors import UsageError
from msh.protocol.source import Network
from msh.transport.base import ANYBODY, Accept, Gate, Response, Settings
from msh.transport.http.client import HttpClient
from msh.transport.http.listener import HttpListener
from msh.transport.http_rules import ListenLimits
from msh.transport.tls import client_context, server_context


class HttpTransport:
    """A `msh.transport.base.Transport` over HTTP: POST, ``text/xml``, SOAPAction.

    With ``server_tls`` it listens at https URLs, else at http ones. Peers in ``proxies`` are
    believed when they say who is behind them (`msh.transport.http_rules.peer_behind`).
    """

    def __init__(
        self,
        limits: ListenLimits | None = None,
        *,
        server_tls: ssl.SSLContext | None = None,
        client_tls: ssl.SSLContext | None = None,
        proxies: Sequence[Network] = (),
    ) -> None:
        self._limits = limits or ListenLimits()
        self._server_tls = server_tls
        self._proxies = tuple(proxies)
        self._client = HttpClient(self._limits.max_bytes, client_tls)
        self._listener: HttpListener | None = None

    @classmethod
    def of(cls, scheme: str, settings: Settings) -> Self:
        """The transport for ``scheme``, http or https, as configured.

        Raises `ConfigurationError` if the files of ``settings.tls`` cannot be used.
        """
        tls = settings.tls if scheme == "https" else None
        listens = tls is not None and tls.certificate is not None
        return cls(
            server_tls=server_context(tls) if tls is not None and listens else None,
            client_tls=client_context(tls) if tls is not None else None,
            proxies=settings.proxies,
        )

    async def exchange(self, endpoint: str, wire: bytes, timeout: float) -> Response:
        """See `msh.transport.base.Transport.exchange`."""
        return await self._client.exchange(endpoint, wire, timeout)

    async def listen(
        self,
        url: str,
        accept: Accept,
        ready: Callable[[], Awaitable[bool]],
        gate: Gate = ANYBODY,
    ) -> str:
        """See `msh.transport.base.Transport.listen`."""
        if self._listener is not None:
            raise UsageError("this transport listens already")
        listener = HttpListener(accept, ready, self._limits, self._server_tls, self._proxies, gate)
        address = await listener.start(url)
        self._listener = listener
        return address

    async def stop_listening(self) -> None:
        """See `msh.transport.base.Transport.stop_listening`."""
        listener, self._listener = self._listener, None
        if listener is not None:
            await listener.stop()

    async def close(self) -> None:
        """See `msh.transport.base.Transport.close`."""
        await self.stop_listening()
        await self._client.close()
