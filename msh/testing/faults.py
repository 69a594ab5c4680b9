"""A proxy that loses, cuts, delays or repeats the n-th message, over real connections.

::

    async with FaultProxy("http://127.0.0.1:8710/sms") as proxy:
        proxy.lose_reply(1).delay_request(2, 0.5)
        ...  # send to proxy.url
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from types import TracebackType
from typing import Self
from urllib.parse import SplitResult, urlsplit

import aiohttp
from aiohttp import web

from msh.errors import ConfigurationError, UsageError

# Headers of one connection, not of the message: each side of the proxy makes its own.
_OF_THE_CONNECTION = frozenset(
    ("connection", "keep-alive", "transfer-encoding", "content-length", "host", "date", "server")
)
# aiohttp's own lines about connections that break, which is what this proxy is for.
_quiet = logging.Logger("msh.testing.faults", level=logging.CRITICAL + 1)


class _Fault(StrEnum):
    LOSE_REQUEST = "request lost"
    LOSE_REPLY = "reply lost"
    CUT_REQUEST = "request cut"
    CUT_REPLY = "reply cut"


@dataclass(frozen=True, slots=True)
class _Plan:
    """What happens to one message. Delays in seconds."""

    fault: _Fault | None = None
    status: int | None = None
    before: float = 0.0
    after: float = 0.0
    times: int = 1


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...]


class FaultProxy:
    """An HTTP proxy on loopback in front of ``target``, an ``http`` URL.

    Messages are the POST requests that arrive, counted from 1; others pass. What is to happen to
    the n-th may be said at any time before it arrives, from any thread; delays go together with
    every fault, and of two faults for one message the later holds. ``seen`` is how many have
    arrived, ``log`` what became of each (``"2: reply lost"``). Every message travels on a
    connection of its own to the target. Raises `ConfigurationError` for another kind of URL.
    """

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        if parts.scheme != "http" or not parts.hostname:
            raise ConfigurationError(target, ["a fault proxy wants http://HOST:PORT/PATH"])
        self._target: SplitResult = parts
        self._plans: dict[int, _Plan] = {}
        self._copies: set[asyncio.Task[_Answer]] = set()
        self._server: web.Server | None = None
        self._sockets: asyncio.Server | None = None
        self._session: aiohttp.ClientSession | None = None
        self._url = ""
        self.seen = 0
        self.log: list[str] = []

    @property
    def url(self) -> str:
        """Where to send. Raises `UsageError` outside of ``async with``."""
        if not self._url:
            raise UsageError("the fault proxy does not run; use it in `async with`")
        return self._url

    # what is to happen

    def lose_request(self, n: int) -> Self:
        """Nothing of the n-th message arrives; its connection closes."""
        return self._plan(n, fault=_Fault.LOSE_REQUEST)

    def lose_reply(self, n: int) -> Self:
        """The n-th message is answered, and the connection closes instead of the answer."""
        return self._plan(n, fault=_Fault.LOSE_REPLY)

    def cut_request(self, n: int) -> Self:
        """The first half of the n-th message arrives; then both connections close."""
        return self._plan(n, fault=_Fault.CUT_REQUEST)

    def cut_reply(self, n: int) -> Self:
        """The first half of the n-th message's answer comes back; then the connection closes."""
        return self._plan(n, fault=_Fault.CUT_REPLY)

    def delay_request(self, n: int, seconds: float) -> Self:
        """The n-th message arrives late, also if its sender has gone by then."""
        return self._plan(n, before=seconds)

    def delay_reply(self, n: int, seconds: float) -> Self:
        """The n-th message's answer comes back late."""
        return self._plan(n, after=seconds)

    def repeat(self, n: int, times: int = 2) -> Self:
        """The n-th message arrives ``times`` times at once; the first answer comes back."""
        if times < 1:
            raise UsageError(f"repeat: {times} times is not possible; 1 or more is")
        return self._plan(n, times=times)

    def answer(self, n: int, status_code: int) -> Self:
        """The n-th message does not arrive; HTTP ``status_code`` with no body comes back."""
        return self._plan(n, status=status_code)

    def _plan(
        self,
        n: int,
        *,
        fault: _Fault | None = None,
        status: int | None = None,
        before: float | None = None,
        after: float | None = None,
        times: int | None = None,
    ) -> Self:
        if n <= self.seen:
            raise UsageError(f"message {n} is past: {self.seen} have arrived")
        plan = self._plans.get(n, _Plan())
        if fault is not None or status is not None:
            plan = replace(plan, fault=fault, status=status)
        self._plans[n] = replace(
            plan,
            before=plan.before if before is None else before,
            after=plan.after if after is None else after,
            times=plan.times if times is None else times,
        )
        return self

    # the way of a message through

    async def _pass(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method != "POST":
            answer = await self._forward(request.method, request.path_qs, b"", ())
            return _response(answer)
        self.seen += 1
        n = self.seen
        plan = self._plans.pop(n, _Plan())
        wire = await request.content.read()
        headers = _kept(request.headers.items())
        path = request.path_qs
        await asyncio.sleep(plan.before)
        if plan.status is not None:
            self._note(n, f"answered {plan.status}")
            return web.Response(status=plan.status)
        if plan.fault is _Fault.LOSE_REQUEST:
            return self._abort(n, plan.fault, request)
        if plan.fault is _Fault.CUT_REQUEST:
            await self._forward_half(path, wire, headers)
            return self._abort(n, plan.fault, request)
        try:
            answer = await self._first_answer(path, wire, headers, plan.times)
        except aiohttp.ClientError as error:
            return self._abort(n, f"target gave no answer ({type(error).__name__})", request)
        await asyncio.sleep(plan.after)
        if plan.fault is _Fault.LOSE_REPLY:
            return self._abort(n, plan.fault, request)
        if plan.fault is _Fault.CUT_REPLY:
            self._note(n, plan.fault)
            return await _send_half(request, answer)
        self._note(n, "passed" if plan.times == 1 else f"passed {plan.times} times")
        return _response(answer)

    async def _first_answer(
        self, path: str, wire: bytes, headers: tuple[tuple[str, str], ...], times: int
    ) -> _Answer:
        copies: set[asyncio.Task[_Answer]] = {
            asyncio.ensure_future(self._forward("POST", path, wire, headers)) for _ in range(times)
        }
        # The other copies go on to their end; here they are only kept from being forgotten.
        self._copies.update(copies)
        for copy in copies:
            copy.add_done_callback(self._forget)
        while True:
            done, copies = await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
            answered = [copy for copy in done if copy.exception() is None]
            if answered or not copies:
                return (answered or list(done))[0].result()

    def _forget(self, copy: asyncio.Task[_Answer]) -> None:
        self._copies.discard(copy)
        if not copy.cancelled():
            copy.exception()  # looked at, or asyncio would complain of the copies that failed

    async def _forward(
        self, method: str, path: str, wire: bytes, headers: tuple[tuple[str, str], ...]
    ) -> _Answer:
        assert self._session is not None
        url = f"http://{self._target.netloc}{path}"
        async with self._session.request(
            method, url, data=wire, headers=headers, allow_redirects=False
        ) as response:
            return _Answer(
                response.status, await response.content.read(), _kept(response.headers.items())
            )

    async def _forward_half(
        self, path: str, wire: bytes, headers: tuple[tuple[str, str], ...]
    ) -> None:
        lines = [
            f"POST {path} HTTP/1.1",
            f"Host: {self._target.netloc}",
            f"Content-Length: {len(wire)}",
            *(f"{name}: {value}" for name, value in headers),
        ]
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        host, port = self._target.hostname, self._target.port or 80
        try:
            _, writer = await asyncio.open_connection(host, port)
            writer.write(head + wire[: len(wire) // 2])
            await writer.drain()
            writer.close()  # and not abort: what was sent is to arrive
            await writer.wait_closed()
        except OSError:
            return  # the target is away, or closed first: half or less of it arrived

    def _abort(self, n: int, what: str, request: web.BaseRequest) -> web.StreamResponse:
        self._note(n, what)
        if request.transport is not None:
            request.transport.abort()
        return web.Response()  # to nobody: aiohttp wants one

    def _note(self, n: int, what: str) -> None:
        self.log.append(f"{n}: {what}")

    # its life

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
        )
        self._server = web.Server(
            self._pass, access_log=None, auto_decompress=False, logger=_quiet, lingering_time=0.0
        )
        loop = asyncio.get_running_loop()
        self._sockets = await loop.create_server(self._server, "127.0.0.1", 0)
        port = self._sockets.sockets[0].getsockname()[1]
        self._url = self._target._replace(netloc=f"127.0.0.1:{port}").geturl()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._sockets is not None
        assert self._server is not None
        assert self._session is not None
        self._sockets.close()
        copies = list(self._copies)
        for copy in copies:
            copy.cancel()
        await asyncio.gather(*copies, return_exceptions=True)
        await self._server.shutdown(0.01)  # delayed messages are not waited for
        await self._session.close()
        self._url = ""


def _kept(headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in headers if name.lower() not in _OF_THE_CONNECTION)


def _response(answer: _Answer) -> web.Response:
    response = web.Response(status=answer.status, body=answer.body)
    response.headers.popall("Content-Type", None)
    response.headers.extend(answer.headers)
    return response


async def _send_half(request: web.BaseRequest, answer: _Answer) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status)
    response.headers.extend(answer.headers)
    response.content_length = len(answer.body)
    response.force_close()
    await response.prepare(request)
    await response.write(answer.body[: len(answer.body) // 2])
    if request.transport is not None:
        request.transport.close()  # and not abort: what was sent is to arrive
    return response
