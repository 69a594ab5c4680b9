"""The sending side over HTTP, on aiohttp's client."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import aiohttp

from msh.errors import Busy, NoAnswer, NotSent, Rejected, TransportError
from msh.transport.base import Response

#: Idle connections are given up before most peers do, so that few are found closed.
KEEP_ALIVE = 4.0
_HEADERS = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '""'}
_CLOSED = (
    aiohttp.ServerDisconnectedError,
    aiohttp.ClientOSError,
    ConnectionError,
)


@dataclass(slots=True)
class _Try:
    """What became of one try's connection."""

    connected: bool = False
    pooled: bool = False
    answered: bool = False


class HttpClient:
    """Posts messages and tells the outcomes apart."""

    def __init__(self, max_bytes: int, tls: ssl.SSLContext | None = None) -> None:
        self._max_bytes = max_bytes
        self._tls = tls
        self._pooled: aiohttp.ClientSession | None = None
        self._fresh: aiohttp.ClientSession | None = None

    async def exchange(self, endpoint: str, wire: bytes, timeout: float) -> Response:
        """See `msh.transport.base.Transport.exchange`."""
        ends = asyncio.get_running_loop().time() + timeout
        if self._pooled is None:
            self._pooled, self._fresh = self._session(False), self._session(True)
        assert self._fresh is not None
        fresh, first = self._fresh, _Try()
        try:
            return Response(await self._post(self._pooled, endpoint, wire, ends, timeout, first))
        except _CLOSED as error:
            if not first.pooled or first.answered or _began_to_answer(error) or fresh.closed:
                raise NoAnswer(_closed(error)) from None
        # An idle connection that the peer had closed, as far as can be known: once more, at once.
        second = _Try()
        try:
            answer = await self._post(fresh, endpoint, wire, ends, timeout, second)
        except _CLOSED as error:
            raise NoAnswer(_closed(error), reconnected=True) from None
        except NotSent as error:
            raise NoAnswer(
                f"connection closed, and then {error}", reconnected=second.connected
            ) from None
        except TransportError as error:
            error.reconnected = True
            raise
        return Response(answer, reconnected=True)

    async def _post(
        self,
        session: aiohttp.ClientSession,
        endpoint: str,
        wire: bytes,
        ends: float,
        timeout: float,
        attempt: _Try,
    ) -> bytes:
        try:
            async with (
                asyncio.timeout_at(ends),
                session.post(
                    endpoint,
                    data=wire,
                    headers=_HEADERS,
                    allow_redirects=False,
                    trace_request_ctx=attempt,
                ) as response,
            ):
                attempt.answered = True
                return await self._read(response)
        except aiohttp.InvalidURL:
            raise NotSent("the endpoint is not a URL that can be sent to") from None
        except TimeoutError:
            if not attempt.connected:
                raise NotSent(f"no connection within {timeout:g} s") from None
            raise NoAnswer(f"no answer within {timeout:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            if not attempt.connected:
                raise NotSent(f"no connection ({_kind(error)})") from None
            raise _outcome(error) from None

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        """The answer's bytes, counted; every other outcome is raised."""
        status = response.status
        if not 200 <= status < 300:
            response.close()  # rather than wait until the rest of the request is taken
        if status in (502, 503, 504):
            raise Busy(f"HTTP {status}: the other side asked to come back later")
        if not 200 <= status < 300:
            raise Rejected(f"HTTP {status}: refused by the other side's HTTP")
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise Rejected("the answer is compressed, which was not asked for")
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > self._max_bytes:
                response.close()
                raise NoAnswer(f"the answer is larger than {self._max_bytes} bytes")
        if not body:
            raise NoAnswer(f"HTTP {status} without an answer; it may come by itself")
        if response.content_type != "text/xml":
            raise Rejected(f"HTTP {status}: the answer is not text/xml")
        return bytes(body)

    def _session(self, fresh: bool) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=0,
            force_close=fresh,
            keepalive_timeout=None if fresh else KEEP_ALIVE,
            ssl=self._tls if self._tls is not None else True,
        )
        return aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            skip_auto_headers=("Accept-Encoding", "User-Agent"),
            trace_configs=[_tracing()],
        )

    async def close(self) -> None:
        """Close every connection."""
        for session in (self._pooled, self._fresh):
            if session is not None:
                await session.close()
        self._pooled = self._fresh = None


def _tracing() -> aiohttp.TraceConfig:
    """Tells a pooled connection from a fresh one, which aiohttp shows in no other way."""

    async def reused(session: Any, context: SimpleNamespace, parameters: Any) -> None:
        attempt: _Try = context.trace_request_ctx
        attempt.connected = attempt.pooled = True

    async def created(session: Any, context: SimpleNamespace, parameters: Any) -> None:
        context.trace_request_ctx.connected = True

    tracing = aiohttp.TraceConfig()
    tracing.on_connection_reuseconn.append(reused)
    tracing.on_connection_create_end.append(created)
    return tracing


def _outcome(error: Exception) -> Exception:
    """What an error after the connection was made means; a closed connection stays what it is."""
    if isinstance(error, aiohttp.ClientPayloadError):
        return NoAnswer("the answer was cut off")
    if isinstance(error, _CLOSED):
        return error
    return NoAnswer(f"the answer is not HTTP ({type(error).__name__})")


def _began_to_answer(error: Exception) -> bool:
    """Whether part of a response's head had come; after a reset that cannot be known."""
    return isinstance(error, aiohttp.ServerDisconnectedError) and not isinstance(error.message, str)


def _closed(error: Exception) -> str:
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "connection closed"
    return f"connection closed ({_kind(error)})"


def _kind(error: Exception) -> str:
    """The kind of network error, without addresses."""
    reason = getattr(error, "os_error", None) or error
    text = getattr(reason, "strerror", None)
    return text if isinstance(text, str) and text else type(error).__name__
