"""The receiver's acceptance as an ASGI application, for people who have a web framework.

The same rules as the listener of msh decide, except for what an application cannot see: header
deadlines, the number of connections and TLS are the host's. Behind a proxy that ends TLS and is
listed, the headers that it sets tell the client's address and certificate.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from contextlib import suppress
from typing import Any

from msh.protocol.source import Network, neighbourhood
from msh.transport import http_rules as rules
from msh.transport.base import ANYBODY, Accept, Peer
from msh.transport.http_rules import Answer, ListenLimits
from msh.transport.shares import Share
from msh.transport.telling import Telling

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_log = logging.getLogger("msh.transport.asgi")

READY_SECONDS = 2.0
# An application cannot close a connection without an answer, so silence is an empty 503.
_SILENCE = Answer(503)


def asgi_app(
    accept: Accept,
    *,
    path: str,
    ready: Callable[[], Awaitable[bool]],
    limits: ListenLimits | None = None,
    proxies: Sequence[Network] = (),
    admits: Callable[[Peer], bool] = ANYBODY.admits,
) -> Application:
    """An ASGI 3 application that takes messages at ``path`` and answers the health questions.

    Hosts in ``proxies`` are believed when they say who is behind them
    (`msh.transport.http_rules.peer_behind`); the host server must not itself replace the client's
    address by what a header says. Of a peer whom ``admits`` does not let in, no body is read.
    """
    bounds = limits or ListenLimits()
    unfinished = Share(bounds.unfinished_each)
    contradicted = Telling("messages refused with 400")
    in_hand: set[asyncio.Task[Any]] = set()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send, in_hand)
        elif scope["type"] == "http":
            await _send(send, await answer(scope, receive))

    async def answer(scope: Scope, receive: Receive) -> Answer:
        # A framework that mounts the application under a prefix leaves it in `path`.
        asked = scope["path"].removeprefix(scope.get("root_path", "").rstrip("/"))
        if asked in (rules.LIVE, rules.READY) and scope["method"] == "GET":
            found = rules.health(asked, asked == rules.LIVE or await _is_ready(ready))
            assert found is not None
            return found
        headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            # As the listener of msh reads them: an issuer may be written in UTF-8.
            text = value.decode("utf-8", "surrogateescape")
            headers.setdefault(name.decode("latin-1").lower(), []).append(text)

        def header(name: str) -> list[str]:
            return headers.get(name, [])

        version = scope.get("http_version", "1.1")
        refusal = rules.refuse_head(scope["method"], asked, path, header, bounds, version)
        if refusal is not None:
            return refusal
        direct = Peer((scope.get("client") or ("",))[0])
        peer = rules.peer_behind(direct, header, proxies)
        if isinstance(peer, Answer):
            contradicted.tell(rules.CONTRADICTION, direct.address)
            return peer
        try:
            if not admits(peer):
                return rules.FORBIDDEN
            wire = await _body(receive, bounds, unfinished, neighbourhood(peer.address))
            if isinstance(wire, Answer):
                return wire
            # Shielded: what a request began outlives its connection.
            task = asyncio.ensure_future(accept(wire, peer, lambda: None))
            in_hand.add(task)
            task.add_done_callback(in_hand.discard)
            acceptance = await asyncio.shield(task)
        except Exception as error:
            # Not the error's text, which may quote the message.
            _log.critical("a defect in msh itself: %s", type(error).__name__)
            return rules.FAILED
        return rules.answer_to(acceptance) or _SILENCE

    return application


async def _body(
    receive: Receive, limits: ListenLimits, unfinished: Share, holder: str
) -> bytes | Answer:
    began = asyncio.get_running_loop().time()
    chunks: list[bytes] = []
    received = kept = 0
    try:
        while True:
            async with asyncio.timeout_at(began + limits.body_deadline(received)):
                event = await receive()
            if event["type"] == "http.disconnect":
                return Answer(400, close=True)
            chunk = event.get("body", b"")
            received += len(chunk)
            if received > limits.max_bytes:
                return rules.TOO_LARGE
            chunks.append(chunk)
            if not event.get("more_body", False):
                return b"".join(chunks)
            if not unfinished.take(holder, len(chunk)):
                return rules.CROWDED
            kept = received
    except TimeoutError:
        return rules.TOO_SLOW
    finally:
        unfinished.give_back(holder, kept)


async def _send(send: Send, answer: Answer) -> None:
    headers = [(name.lower().encode(), value.encode()) for name, value in answer.headers]
    headers.append((b"content-length", str(len(answer.body)).encode()))
    if answer.content_type:
        headers.append((b"content-type", answer.content_type.encode()))
    if answer.close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


async def _is_ready(ready: Callable[[], Awaitable[bool]]) -> bool:
    with suppress(Exception):
        async with asyncio.timeout(READY_SECONDS):
            return await ready()
    return False


async def _lifespan(receive: Receive, send: Send, in_hand: set[asyncio.Task[Any]]) -> None:
    while True:
        event = await receive()
        if event["type"] == "lifespan.shutdown" and in_hand:
            await asyncio.wait(in_hand)
        await send({"type": f"{event['type']}.complete"})
        if event["type"] == "lifespan.shutdown":
            return
