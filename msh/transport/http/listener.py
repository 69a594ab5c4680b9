"""The listening side over HTTP, on aiohttp's low-level server."""

from __future__ import annotations

import asyncio
import logging
import ssl
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit, urlunsplit

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from msh.errors import ConfigurationError
from msh.protocol.source import Network, neighbourhood
from msh.transport import http_rules as rules
from msh.transport.base import ANYBODY, Accept, Gate, Peer
from msh.transport.http.acceptor import CLOSE_SECONDS, Acceptor, fitting
from msh.transport.http.guard import HeadGuard
from msh.transport.http_rules import Answer, ListenLimits
from msh.transport.shares import Places, Share
from msh.transport.telling import Telling

_log = logging.getLogger("msh.transport.http")

KEEP_ALIVE = 30.0
READY_SECONDS = 2.0
# aiohttp's own lines quote what a peer sent.
_quiet = logging.Logger("msh.transport.http.aiohttp", level=logging.CRITICAL + 1)


class _Connection(RequestHandler):
    """aiohttp's side of a connection, without its words about requests it cannot parse."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """An empty answer, after which the connection closes; what was sent is quoted nowhere."""
        if request.writer.output_size > 0:
            raise ConnectionError("a response has begun already")
        return _response(Answer(status, close=True), closing=True)


class HttpListener:
    """One listening address. aiohttp parses; everything it leaves open is decided here."""

    def __init__(
        self,
        accept: Accept,
        ready: Callable[[], Awaitable[bool]],
        limits: ListenLimits,
        tls: ssl.SSLContext | None = None,
        proxies: Sequence[Network] = (),
        gate: Gate = ANYBODY,
    ) -> None:
        self._accept = accept
        self._ready = ready
        self._limits = limits
        self._tls = tls
        self._proxies = proxies
        self._gate = gate
        self._unfinished = Share(limits.unfinished_each)
        self._contradicted = Telling("messages refused with 400")
        self._path = "/"
        self._guards: dict[object, HeadGuard] = {}
        # Held here, so that work whose connection has gone is kept to its end.
        self._in_hand: set[asyncio.Task[object] | None] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        # The waits for bodies under way, which stopping shortens.
        self._reading: set[asyncio.Timeout] = set()
        self._cut: float | None = None
        self._acceptor: Acceptor | None = None
        self._server = web.Server(self._handle)

    async def start(self, url: str) -> str:
        """Bind; returns the URL with the port in use. Raises `ConfigurationError`."""
        parts = urlsplit(url)
        try:
            host, port = parts.hostname or "", parts.port
        except ValueError:
            host, port = "", None
        beside = parts.username or parts.password or parts.query or parts.fragment
        if not host or beside or parts.scheme not in ("http", "https"):
            raise ConfigurationError(url, ["listen: http://HOST:PORT/PATH is wanted"])
        if port is None:
            port = 80 if parts.scheme == "http" else 443
        if (parts.scheme == "https") != (self._tls is not None):
            raise ConfigurationError(
                url, ["listen: https needs a certificate, and http takes none"]
            )
        self._path = parts.path or "/"
        places = Places(fitting(self._limits), self._gate.expects, self._proxies)
        acceptor = Acceptor(places, self._connection, self._tls, self._limits.header_seconds)
        try:
            port = await acceptor.start(host, port)
        except OSError as error:
            raise ConfigurationError(
                url,
                [
                    f"listen: {host}:{port} cannot be used ({error.strerror}); see what else "
                    "uses it, or choose another address"
                ],
            ) from None
        self._acceptor = acceptor
        name = f"[{host}]" if ":" in host else host
        return urlunsplit((parts.scheme, f"{name}:{port}", self._path, "", ""))

    async def stop(self) -> None:
        """Take nothing new; finish and answer what is in hand.

        Bodies still on their way get a short time more: a peer that drips one does not hold it up.
        """
        if self._acceptor is None:
            return
        acceptor, self._acceptor = self._acceptor, None
        self._cut = asyncio.get_running_loop().time() + self._limits.stopping_seconds
        for wait in self._reading:
            if not wait.expired():
                wait.reschedule(min(wait.when() or self._cut, self._cut))
        for guard in list(self._guards.values()):
            if not guard.busy:
                guard.close()
        await acceptor.close()
        await self._idle.wait()
        await self._server.shutdown(CLOSE_SECONDS)
        for guard in list(self._guards.values()):
            guard.abort()
        while self._guards:
            await asyncio.sleep(0)

    def _connection(self, leave: Callable[[], None]) -> HeadGuard:
        inner = _Connection(
            self._server,
            loop=asyncio.get_running_loop(),
            access_log=_quiet,
            keepalive_timeout=KEEP_ALIVE,
            lingering_time=1.0,
            auto_decompress=False,
            logger=_quiet,
        )
        return HeadGuard(inner, self._limits, self._guards, lambda: self._cut is None, leave)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        guard = self._guards.get(request.protocol)
        if guard is not None:
            guard.head_seen()
        task = asyncio.current_task()
        self._in_hand.add(task)
        self._idle.clear()
        try:
            answer = await self._answer(request, guard.peer if guard is not None else Peer(""))
            if answer is None:
                if guard is not None:
                    guard.abort()
                answer = rules.FAILED
            # No other protocol is spoken: what follows the request would be taken for it.
            closing = self._acceptor is None or "Upgrade" in request.headers
            return _response(answer, closing=closing)
        finally:
            if guard is not None:
                guard.done()
            self._in_hand.discard(task)
            if not self._in_hand:
                self._idle.set()

    async def _answer(self, request: web.BaseRequest, direct: Peer) -> Answer | None:
        version = f"{request.version.major}.{request.version.minor}"
        if version not in ("1.0", "1.1"):
            return rules.OTHER_VERSION
        path = _path_of(request)
        if path in (rules.LIVE, rules.READY) and request.method == "GET":
            return rules.health(path, path == rules.LIVE or await self._is_ready())
        headers = request.headers

        def header(name: str) -> Sequence[str]:
            return headers.getall(name, ())

        refusal = rules.refuse_head(request.method, path, self._path, header, self._limits, version)
        if refusal is not None:
            return refusal
        peer = rules.peer_behind(direct, header, self._proxies)
        if isinstance(peer, Answer):
            self._contradicted.tell(rules.CONTRADICTION, direct.address)
            return peer
        try:
            if not self._gate.admits(peer):
                return rules.FORBIDDEN
            wire = await self._body(request, peer)
            if isinstance(wire, Answer):
                return wire
            # Never cancelled: aiohttp lets a handler go on when its connection has gone.
            acceptance = await self._accept(wire, peer, _nothing)
        except Exception as error:
            at = traceback.extract_tb(error.__traceback__)[-1]
            # Not the error's text, which may quote the message.
            _log.critical(
                "a defect in msh itself: %s at %s:%s", type(error).__name__, at.filename, at.lineno
            )
            return rules.FAILED
        return rules.answer_to(acceptance)

    async def _body(self, request: web.BaseRequest, peer: Peer) -> bytes | Answer:
        """The body, counted whatever Content-Length says, and neither too slow nor too large."""
        content = request.content
        began = asyncio.get_running_loop().time()
        chunks: list[bytes] = []
        received = kept = 0
        holder = ""
        try:
            if content.is_eof():  # it came together with the head: nothing to wait for
                wire = content.read_nowait()
                return wire if len(wire) <= self._limits.max_bytes else rules.TOO_LARGE
            if "Expect" in request.headers:
                await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            holder = neighbourhood(peer.address)
            while True:
                deadline = began + self._limits.body_deadline(received)
                async with self._until(deadline):
                    chunk = await content.readany()
                if not chunk:
                    return b"".join(chunks)
                received += len(chunk)
                if received > self._limits.max_bytes:
                    return rules.TOO_LARGE
                if not self._unfinished.take(holder, len(chunk)):
                    return rules.CROWDED
                kept = received
                chunks.append(chunk)
        except TimeoutError:
            return rules.TOO_SLOW if self._cut is None else rules.STOPPING
        except (web.RequestPayloadError, ConnectionError, asyncio.IncompleteReadError):
            return Answer(400, close=True)  # cut off, or badly chunked: nobody may be listening
        finally:
            if kept:
                self._unfinished.give_back(holder, kept)

    @asynccontextmanager
    async def _until(self, deadline: float) -> AsyncIterator[None]:
        """A wait that ends at ``deadline``, or soon if the listener stops."""
        ends = deadline if self._cut is None else min(deadline, self._cut)
        async with asyncio.timeout_at(ends) as wait:
            self._reading.add(wait)
            try:
                yield
            finally:
                self._reading.discard(wait)

    async def _is_ready(self) -> bool:
        with suppress(Exception):
            async with asyncio.timeout(READY_SECONDS):
                return await self._ready()
        return False


def _path_of(request: web.BaseRequest) -> str:
    """The path as it was sent: what a proxy in front compared with its own rules."""
    target = request.raw_path
    if target.startswith("/"):
        return target.partition("?")[0]
    return request.rel_url.raw_path  # the absolute form (RFC 9112, 3.2.2)


def _nothing() -> None:
    """Over HTTP nothing is settled when the request is stored: the reply comes with it."""


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
