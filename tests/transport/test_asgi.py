"""The receiver's acceptance as an ASGI application, called as a host calls it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from msh.testing.contracts.transport import Gatekeeper, Inbox, ready
from msh.transport.asgi import Application, asgi_app
from msh.transport.base import (
    Acceptance,
    NotNow,
    Peer,
    Reply,
    Silence,
    Taken,
    Unreadable,
)
from msh.transport.http_rules import ListenLimits
from tests.transport.conftest import TINY

XML = ("content-type", "text/xml; charset=utf-8")
Event = MutableMapping[str, Any]


@dataclass
class Given:
    """What the application sent to the host."""

    status: int
    headers: dict[str, str]
    body: bytes


def app(
    inbox: Inbox,
    limits: ListenLimits = TINY,
    ready: Callable[[], Awaitable[bool]] = ready,
) -> Application:
    """The application under test."""
    return asgi_app(inbox, path="/sms", ready=ready, limits=limits)


def body_of(*parts: bytes, pause: float = 0.0, last: bool = True) -> Callable[[], Awaitable[Event]]:
    """A host's ``receive``: the body in ``parts``, then a disconnect (nothing without ``last``)."""
    events: list[Event] = [
        {"type": "http.request", "body": part, "more_body": True} for part in parts
    ]
    if last:
        events[-1]["more_body"] = False

    async def receive() -> Event:
        await asyncio.sleep(pause)
        if events:
            return events.pop(0)
        if not last:
            await asyncio.sleep(10)
        return {"type": "http.disconnect"}

    return receive


async def call(
    application: Application,
    *headers: tuple[str, str],
    body: bytes = b"<a/>",
    method: str = "POST",
    path: str = "/sms",
    receive: Callable[[], Awaitable[Event]] | None = None,
    **scope: object,
) -> Given:
    """One request, as a host passes it on."""
    sent: list[Event] = []

    async def send(event: Event) -> None:
        sent.append(event)

    request: Event = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "headers": [(name.encode(), value.encode()) for name, value in headers],
        "client": ("192.0.2.7", 40000),
        **scope,
    }
    await application(request, receive or body_of(body), send)
    assert [event["type"] for event in sent] == ["http.response.start", "http.response.body"]
    given = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    assert int(given["content-length"]) == len(sent[1]["body"])
    return Given(sent[0]["status"], given, sent[1]["body"])


@pytest.mark.parametrize(
    ("decision", "status", "body", "headers"),
    [
        (Reply(b"<b/>"), 200, b"<b/>", {"content-type": "text/xml; charset=utf-8"}),
        (Taken(), 202, b"", {}),
        (NotNow(timedelta(seconds=4.5)), 503, b"", {"retry-after": "5"}),
        (Silence(), 503, b"", {}),
        (Unreadable(b"<f/>"), 400, b"<f/>", {"content-type": "text/xml; charset=utf-8"}),
    ],
)
async def test_decisions(
    decision: Acceptance, status: int, body: bytes, headers: dict[str, str]
) -> None:
    given = await call(app(Inbox(lambda wire: decision)), XML)
    assert (given.status, given.body) == (status, body)
    assert given.headers == {"content-length": str(len(body)), **headers}


async def test_the_body_and_the_peer_arrive() -> None:
    inbox = Inbox()
    given = await call(app(inbox), XML, receive=body_of(b"<a", b"", b"/>"))
    assert given.body == b"<a/>"
    assert inbox.wires == [b"<a/>"]
    assert inbox.peers == [Peer("192.0.2.7")]


@pytest.mark.parametrize(
    ("headers", "scope", "status"),
    [
        ([], {}, 415),
        ([("content-type", "text/plain")], {}, 415),
        ([("content-type", "text/xml; charset=big5")], {}, 415),
        ([XML, ("content-encoding", "gzip")], {}, 415),
        ([XML, ("transfer-encoding", "gzip, chunked")], {}, 400),
        ([XML, ("transfer-encoding", "chunked"), ("content-length", "4")], {}, 400),
        ([XML, ("transfer-encoding", "chunked")], {"http_version": "1.0"}, 400),
        ([XML, ("content-length", "4"), ("content-length", "4")], {}, 400),
        ([XML, ("content-length", "x")], {}, 400),
        ([XML, ("content-length", "1001")], {}, 413),
        ([XML], {"method": "GET"}, 405),
        ([XML], {"path": "/health/ready"}, 405),
        ([XML], {"path": "/other"}, 404),
        ([XML], {"path": "/sms/"}, 404),
    ],
)
async def test_refused_by_the_head(
    headers: list[tuple[str, str]], scope: dict[str, Any], status: int
) -> None:
    inbox = Inbox()

    async def receive() -> Event:
        raise AssertionError("the body was asked for")

    given = await call(app(inbox), *headers, receive=receive, **scope)
    assert (given.status, given.body) == (status, b"")
    assert given.headers["connection"] == "close"
    assert ("allow" in given.headers) == (status == 405)
    assert inbox.wires == []


async def test_sizes_are_counted() -> None:
    inbox = Inbox(lambda wire: Reply(b"<b/>"))
    assert (await call(app(inbox), XML, body=b"x" * 1000)).status == 200
    assert (await call(app(inbox), XML, body=b"x" * 1001)).status == 413
    assert (await call(app(inbox), XML, receive=body_of(*[b"x" * 100] * 11))).status == 413
    assert len(inbox.wires) == 1


async def test_a_body_that_stops_is_408() -> None:
    inbox = Inbox()
    assert (await call(app(inbox), XML, receive=body_of(b"<a", last=False))).status == 408
    assert inbox.wires == []


async def test_a_body_slower_than_the_least_rate_is_408() -> None:
    receive = body_of(*[b"x"] * 100, pause=0.02)
    async with asyncio.timeout(1.5):
        assert (await call(app(Inbox()), XML, receive=receive)).status == 408


async def test_a_client_that_leaves_while_sending() -> None:
    inbox = Inbox()

    async def receive() -> Event:
        return {"type": "http.disconnect"}

    await call(app(inbox), XML, receive=receive)
    assert inbox.wires == []


async def test_a_defect_is_500_and_not_quoted(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(wire: bytes, peer: Peer, stored: Callable[[], None]) -> Acceptance:
        raise ValueError(f"account {wire!r}")

    given = await call(asgi_app(broken, path="/sms", ready=ready), XML, body=b"<secret/>")
    assert (given.status, given.body) == (500, b"")
    assert "ValueError" in caplog.text
    assert "secret" not in caplog.text


async def test_work_outlives_a_host_that_cancels() -> None:
    inbox = Inbox(hold=True)
    request = asyncio.ensure_future(call(app(inbox), XML))
    await inbox.entered.wait()
    request.cancel()
    await asyncio.wait([request])
    inbox.let_go()
    await asyncio.sleep(0.01)
    assert (request.cancelled(), inbox.ended) == (True, 1)


async def test_mounted_under_a_prefix() -> None:
    given = await call(app(Inbox()), XML, path="/bank/sms", root_path="/bank")
    assert given.status == 200


async def test_health() -> None:
    state = [True]

    async def ready() -> bool:
        if not state[0]:
            raise OSError
        return True

    application = app(Inbox(), ready=ready)
    for path, up, down in (("/health/live", 200, 200), ("/health/ready", 200, 503)):
        for state[0], status in ((True, up), (False, down)):
            given = await call(application, method="GET", path=path)
            assert given.status == status
            assert given.headers["content-type"] == "application/json"


async def test_lifespan_ends_after_what_is_in_hand() -> None:
    inbox = Inbox(hold=True)
    application = app(inbox)
    sent: list[str] = []
    events: asyncio.Queue[Event] = asyncio.Queue()

    async def send(event: Event) -> None:
        sent.append(event["type"])

    lifespan = asyncio.ensure_future(application({"type": "lifespan"}, events.get, send))
    events.put_nowait({"type": "lifespan.startup"})
    request = asyncio.ensure_future(call(application, XML))
    await inbox.entered.wait()
    events.put_nowait({"type": "lifespan.shutdown"})
    await asyncio.sleep(0.01)
    assert sent == ["lifespan.startup.complete"]
    inbox.let_go()
    await asyncio.wait_for(lifespan, 1)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert (await request).status == 200


async def test_nothing_is_read_of_who_is_not_admitted() -> None:
    async def receive() -> Event:
        raise AssertionError("nothing may be read")

    inbox, gate = Inbox(), Gatekeeper()
    application = asgi_app(inbox, path="/sms", ready=ready, admits=gate.admits)
    given = await call(application, XML, receive=receive)
    assert (given.status, given.headers["connection"]) == (403, "close")
    assert gate.asked == [Peer("192.0.2.7")]
    gate.open = True
    assert (await call(application, XML)).status == 200
    assert inbox.wires == [b"<a/>"]


async def test_bodies_under_way_of_one_address_are_bounded() -> None:
    application = app(Inbox(), ListenLimits(unfinished_each=2_500))

    def unfinished() -> Callable[[], Awaitable[Event]]:
        return body_of(b"x" * 1000, last=False)

    held = [asyncio.ensure_future(call(application, XML, receive=unfinished())) for _ in range(2)]
    await asyncio.sleep(0.02)
    crowded = await call(application, XML, receive=unfinished())
    assert (crowded.status, crowded.headers["retry-after"]) == (503, "5")
    assert (await call(application, XML, body=b"x" * 2_600)).status == 200
    other = asyncio.ensure_future(
        call(application, XML, receive=unfinished(), client=("192.0.2.8", 1))
    )
    await asyncio.sleep(0.02)
    assert not any(task.done() for task in (*held, other))
    for task in (*held, other):
        task.cancel()
    await asyncio.wait([*held, other])
    # what ends leaves its room to the next
    last = asyncio.ensure_future(call(application, XML, receive=unfinished()))
    await asyncio.sleep(0.02)
    assert not last.done()
    last.cancel()
    await asyncio.wait([last])
