"""What the HTTP listener takes, refuses and answers, over real connections."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from collections.abc import Callable
from datetime import timedelta

import pytest

from msh.testing.contracts.transport import Inbox
from msh.transport.base import (
    Acceptance,
    NotNow,
    Peer,
    Reply,
    Silence,
    Taken,
    Unreadable,
)
from tests.transport.conftest import TINY
from tests.transport.requests import SOON, XML, Server, Start, chunked, post, read_answer

# what the receiver decides


@pytest.mark.parametrize(
    ("decision", "status", "body", "headers"),
    [
        (Reply(b"<b/>"), 200, b"<b/>", {"content-type": "text/xml; charset=utf-8"}),
        (Taken(), 202, b"", {}),
        (NotNow(timedelta(seconds=5)), 503, b"", {"retry-after": "5"}),
        (NotNow(timedelta(seconds=1.2)), 503, b"", {"retry-after": "2"}),
        (NotNow(timedelta(0)), 503, b"", {"retry-after": "1"}),
        (Unreadable(b"<f/>"), 400, b"<f/>", {"content-type": "text/xml; charset=utf-8"}),
    ],
)
async def test_decisions(
    start: Start, decision: Acceptance, status: int, body: bytes, headers: dict[str, str]
) -> None:
    server = await start(Inbox(lambda wire: decision))
    reader, writer = await server.connect()
    for _ in range(2):  # and the connection is kept
        writer.write(post(XML))
        given = await read_answer(reader)
        assert (given[0], given[2]) == (status, body)
        assert headers.items() <= given[1].items()
        assert ("content-type" in given[1]) == bool(body)
    writer.close()


async def test_silence_is_no_byte(start: Start) -> None:
    server = await start(Inbox(lambda wire: Silence()))
    assert await server.ask(post(XML)) == b""


async def test_a_defect_is_500_and_not_quoted(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(wire: bytes, peer: Peer, stored: Callable[[], None]) -> Acceptance:
        raise ValueError(f"account {wire!r}")

    server = await start(broken)
    answer = await server.ask(post(XML, body=b"<secret/>"))
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert answer.endswith(b"\r\n\r\n")
    assert "ValueError" in caplog.text
    assert "secret" not in caplog.text


# what a request must be


@pytest.mark.parametrize(
    "content_type",
    [
        "text/xml",
        "TEXT/XML",
        "text/xml;charset=utf-8",
        'text/xml; charset="UTF-8"',
        "text/xml; action=x; charset=utf-8",
        "text/xml;",
    ],
)
async def test_types_that_are_taken(start: Start, content_type: str) -> None:
    request = post(f"Content-Type: {content_type}", "Connection: close")
    assert await (await start()).status(request) == 200


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (post(), 415),
        (post("Content-Type: application/soap+xml"), 415),
        (post("Content-Type: text/xml; charset=big5"), 415),
        (post("Content-Type: text/xml; charset=utf-16"), 415),
        (post("Content-Type: text/xmlx"), 415),
        (post(XML, "Content-Type: text/xml"), 400),
        (post(XML, "Content-Encoding: gzip", body=gzip.compress(b"<a/>", mtime=0)), 415),
        (post(XML, "Content-Encoding: identity, gzip"), 415),
        (post(XML, path="/other"), 404),
        (post(XML, path="/"), 404),
        (post(XML, path="/sms/"), 404),
        (b"GET /sms HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"PUT /sms HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 405),
        (post(XML, path="/health/live"), 405),
        (post(XML, "Expect: magic"), 417),
        # too large
        (post(XML, "Content-Length: 1001", body=b"", length=False), 413),
        (post(XML, "Content-Length: " + "9" * 12, body=b"", length=False), 413),
        (post(XML, "Content-Length: " + "9" * 30, body=b"", length=False), 400),
        (post(XML, body=b"x" * 1001), 413),
        (post(XML, "Transfer-Encoding: chunked", body=chunked(b"x" * 1001), length=False), 413),
        (post(XML, "Transfer-Encoding: chunked", body=chunked(*[b"x"] * 1001), length=False), 413),
        (post(XML, "Transfer-Encoding: chunked", body=b"ffffffff\r\nx", length=False), 408),
    ],
)
async def test_refusals(start: Start, request_bytes: bytes, status: int) -> None:
    inbox = Inbox()
    server = await start(inbox, TINY)
    smuggled = post(XML, "Connection: close", body=b"<smuggled/>")
    assert await server.status(request_bytes) == status
    assert inbox.wires == []
    # and whatever stands behind the request is never read as another one
    await server.ask(request_bytes + smuggled)
    assert inbox.wires == []


@pytest.mark.parametrize("parts", [1, 7])
async def test_largest_bodies(start: Start, parts: int) -> None:
    inbox = Inbox()
    server = await start(inbox, TINY)
    body = b"x" * 1000
    for request in (
        post(XML, "Connection: close", body=body),
        post(
            XML,
            "Connection: close",
            "Transfer-Encoding: chunked",
            body=chunked(body[:1], body[1:]),
            length=False,
        ),
    ):
        step = len(request) // parts + 1
        pieces = [request[at : at + step] for at in range(0, len(request), step)]
        assert await server.status(*pieces, pause=0.005) == 200
    assert inbox.wires == [body, body]


@pytest.mark.parametrize("path", ["http://localhost/sms", "/sms?a=b"])
async def test_other_forms_of_the_path(start: Start, path: str) -> None:
    """The absolute form must be taken (RFC 9112, 3.2.2); a query changes nothing."""
    assert await (await start()).status(post(XML, "Connection: close", path=path)) == 200


async def test_a_refusal_names_what_is_allowed(start: Start) -> None:
    server = await start()
    assert b"Allow: POST\r\n" in await server.ask(b"GET /sms HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b"Allow: GET\r\n" in await server.ask(post(XML, path="/health/ready"))


async def test_413_comes_before_the_body(start: Start) -> None:
    server = await start(limits=TINY)
    reader, writer = await server.connect()
    writer.write(post(XML, "Content-Length: 5000", body=b"", length=False))
    async with asyncio.timeout(SOON):
        assert (await read_answer(reader))[0] == 413
    writer.close()


async def test_expect_continue(start: Start) -> None:
    server = await start(Inbox(lambda wire: Reply(wire)))
    reader, writer = await server.connect()
    for _ in range(2):
        request = post(XML, "Expect: 100-continue", body=b"<later/>")
        writer.write(request.removesuffix(b"<later/>"))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"<later/>")
        assert (await read_answer(reader))[::2] == (200, b"<later/>")
    writer.close()


async def test_pipelined_requests_are_answered_in_order(start: Start) -> None:
    server = await start()
    reader, writer = await server.connect()
    writer.write(b"".join(post(XML, body=b"<a>%d</a>" % number) for number in range(5)))
    for number in range(5):
        assert (await read_answer(reader))[2] == b"<a>%d</a>" % number
    writer.close()


async def test_nothing_of_a_request_is_logged(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = await start(limits=TINY)
    await server.ask(post(XML, "Connection: close", "X-Token: secret", body=b"<secret/>"))
    await server.ask(b"POST /secret HTTP/1.1\r\nsecret : secret\r\n\r\n")
    await server.ask(post(XML, "X: secret" + "x" * 9000))
    assert "secret" not in caplog.text


# health


async def health(server: Server, path: str) -> tuple[int, object]:
    """The status and the JSON of a health question."""
    answer = await server.ask(
        f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
    )
    return int(answer.split()[1]), json.loads(answer.partition(b"\r\n\r\n")[2])


async def test_health(start: Start) -> None:
    state = [True]

    async def ready() -> bool:
        return state[0]

    server = await start(ready=ready)
    assert await health(server, "/health/live") == (200, {"status": "alive"})
    assert await health(server, "/health/ready") == (200, {"status": "ready"})
    state[0] = False
    assert await health(server, "/health/live") == (200, {"status": "alive"})
    assert await health(server, "/health/ready") == (503, {"status": "not ready"})


async def test_a_readiness_question_that_fails_or_hangs_is_not_ready(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("msh.transport.http.listener.READY_SECONDS", 0.05)

    async def fails() -> bool:
        raise OSError

    async def hangs() -> bool:
        await asyncio.sleep(10)
        return True

    for question in (fails, hangs):
        assert (await health(await start(ready=question), "/health/ready"))[0] == 503
