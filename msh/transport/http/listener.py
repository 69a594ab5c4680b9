"""The listening side over HTTP, on aiohttp's low-level server."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from urllib.parse import urlsplit, urlunsplit

from aiohttp import web

from msh.errors import ConfigurationError
from msh.transport import http_rules as rules
from msh.transport.base import Accept, Peer
from msh.transport.http.guard import HeadGuard
from msh.transport.http_rules import Answer, ListenLimits

_log = logging.getLogger("msh.transport.http")

KEEP_ALIVE = 30.0
READY_SECONDS = 2.0


class HttpListener:
    """One listening address. aiohttp parses; everything it leaves open is decided here."""

    def __init__(
        self,
        accept: Accept,
        ready: Callable[[], Awaitable[bool]],
        limits: ListenLimits,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._accept = accept
        self._ready = ready
        self._limits = limits
        self._tls = tls
        self._path = "/"
        self._guards: dict[object, HeadGuard] = {}
        self._in_hand = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._sockets: asyncio.Server | None = None
        self._server = web.Server(
            self._handle,
            access_log=None,
            keepalive_timeout=KEEP_ALIVE,
            lingering_time=1.0,
            auto_decompress=False,
        )

    async def start(self, url: str) -> str:
        """Bind; returns the URL with the port in use. Raises `ConfigurationError`."""
        parts = urlsplit(url)
        try:
            host, port = parts.hostname, parts.port
        except ValueError:
            host = port = None
        if not host or parts.scheme not in ("http", "https"):
            raise ConfigurationError(url, ["listen: http://HOST:PORT/PATH is wanted"])
        if (parts.scheme == "https") != (self._tls is not None):
            raise ConfigurationError(
                url, ["listen: https needs a certificate, and http takes none"]
            )
        self._path = parts.path or "/"
        loop = asyncio.get_running_loop()
        try:
            self._sockets = await loop.create_server(
                self._connection,
                host,
                port or 0,
                ssl=self._tls,
                ssl_handshake_timeout=self._limits.header_seconds if self._tls else None,
                backlog=1024,
            )
        except OSError as error:
            raise ConfigurationError(
                url,
                [
                    f"listen: {host}:{port or 0} cannot be used ({error.strerror}); see what else "
                    "uses it, or choose another address"
                ],
            ) from None
        port = self._sockets.sockets[0].getsockname()[1]
        name = f"[{host}]" if ":" in host else host
        return urlunsplit((parts.scheme, f"{name}:{port}", self._path, "", ""))

    async def stop(self) -> None:
        """Take nothing new; finish and answer what is in hand."""
        if self._sockets is None:
            return
        self._sockets.close()
        self._sockets = None
        for guard in list(self._guards.values()):
            if not guard.busy:
                guard.abort()
        await self._idle.wait()
        await self._server.shutdown(1.0)

    def _connection(self) -> HeadGuard:
        limits = self._limits
        return HeadGuard(self._server(), limits.header_seconds, self._guards, limits.connections)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        guard = self._guards.get(request.protocol)
        if guard is not None:
            guard.head_seen()
        self._in_hand += 1
        self._idle.clear()
        try:
            answer = await self._answer(request)
            if answer is None:
                if guard is not None:
                    guard.abort()
                answer = rules.FAILED
            return _response(answer, closing=self._sockets is None)
        finally:
            if guard is not None:
                guard.done()
            self._in_hand -= 1
            if not self._in_hand:
                self._idle.set()

    async def _answer(self, request: web.BaseRequest) -> Answer | None:
        path = request.rel_url.raw_path
        if path in (rules.LIVE, rules.READY) and request.method == "GET":
            return rules.health(path, path == rules.LIVE or await self._is_ready())
        headers = request.headers
        refusal = rules.refuse_head(
            request.method,
            path,
            self._path,
            lambda name: headers.getall(name, ()),
            self._limits,
        )
        if refusal is not None:
            return refusal
        wire = await self._body(request)
        if isinstance(wire, Answer):
            return wire
        try:
            acceptance = await self._accept(wire, _peer(request), _nothing)
        except Exception as error:
            _log.critical("a defect in msh itself: %s", type(error).__name__, exc_info=error)
            return rules.FAILED
        return rules.answer_to(acceptance)

    async def _body(self, request: web.BaseRequest) -> bytes | Answer:
        """The body, counted whatever Content-Length says, and neither too slow nor too large."""
        content = request.content
        if content.is_eof():  # it came together with the head: nothing to wait for
            wire = content.read_nowait()
            return wire if len(wire) <= self._limits.max_bytes else rules.TOO_LARGE
        began = asyncio.get_running_loop().time()
        chunks: list[bytes] = []
        received = 0
        try:
            while True:
                async with asyncio.timeout_at(began + self._limits.body_deadline(received)):
                    chunk = await content.readany()
                if not chunk:
                    return b"".join(chunks)
                received += len(chunk)
                if received > self._limits.max_bytes:
                    return rules.TOO_LARGE
                chunks.append(chunk)
        except TimeoutError:
            return rules.TOO_SLOW
        except (web.RequestPayloadError, ConnectionError, asyncio.IncompleteReadError):
            return Answer(400, close=True)  # cut off, or badly chunked: nobody may be listening

    async def _is_ready(self) -> bool:
        with suppress(Exception):
            async with asyncio.timeout(READY_SECONDS):
                return await self._ready()
        return False


def _nothing() -> None:
    """Over HTTP nothing is settled when the request is stored: the reply comes with it."""


def _peer(request: web.BaseRequest) -> Peer:
    certificate = None
    if request.transport is not None:
        tls = request.transport.get_extra_info("ssl_object")
        if tls is not None:
            certificate = tls.getpeercert(binary_form=True)
    return Peer(request.remote or "", certificate)


def _response(answer: Answer, *, closing: bool) -> web.Response:
    response = web.Response(status=answer.status, body=answer.body)
    if answer.content_type:
        response.headers["Content-Type"] = answer.content_type
    elif not answer.body:
        response.headers.pop("Content-Type", None)
    for name, value in answer.headers:
        response.headers[name] = value
    if answer.close or closing:
        response.force_close()
    return response
