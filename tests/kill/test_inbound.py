"""SIGKILL at every step of a message's way in: nothing is lost, all is answered, once."""

from __future__ import annotations

import http.client
import sqlite3
import time
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest

import msh
from msh.envelope import parse, serialise
from msh.profiles import standard_profile

PROFILE = standard_profile()

#: What each message must be answered with, after whatever happened.
ANSWERS = {
    "ordinary-1": "PSPPM0000I",
    "ordinary-2": "PSPPM0000I",
    "fail-once": "PSPPM0000I",
    "refuse": "PSPBK0005E",
    "fail-always": "PSPPM9999S",
}


def wire_of(message_id: str, body: bytes = b"<Pay></Pay>") -> bytes:
    now = datetime.now(UTC)
    message = msh.Message(
        service="PS810FTRQ",
        message_id=message_id,
        sender="BIZ",
        receiver="PSP",
        timestamp=now,
        expires=now + timedelta(hours=1),
        body=body,
    )
    return serialise(message, PROFILE)


def post(url: str, wire: bytes, seconds: float = 5) -> bytes | None:
    """One attempt; None if there was no answer."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=seconds)
    try:
        connection.request("POST", parts.path, wire, {"Content-Type": "text/xml; charset=utf-8"})
        response = connection.getresponse()
        body = response.read()
        return body if response.status == 200 else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def status(wire: bytes) -> str:
    return str(parse(wire, {PROFILE.namespace: PROFILE}).message.status)


def answered(platform, wires: dict[str, bytes], *, restart_with: list[str]) -> dict[str, bytes]:
    """Post everything until all is answered, starting the platform again whenever it died."""
    answers: dict[str, bytes] = {}
    until = time.monotonic() + 40
    while len(answers) < len(wires):
        assert time.monotonic() < until, f"unanswered after 40 s: {platform.log()}"
        for name, wire in wires.items():
            if name not in answers:
                answer = post(platform.url, wire)
                if answer is not None:
                    answers[name] = answer
            if platform.is_dead(0):
                platform.start(restart_with.pop(0) if restart_with else "")
    return answers


def ledger(folder) -> list[str]:
    connection = sqlite3.connect(folder / "PSP.db")
    try:
        return sorted(row[0] for row in connection.execute("SELECT message FROM ledger"))
    finally:
        connection.close()


@pytest.mark.parametrize(
    "kills",
    [
        ["received"],
        ["handling"],
        ["applying"],
        ["replied"],
        ["handler-failed"],
        ["run-begun"],
        ["refused"],
        ["set-aside"],
        ["handling", "taken-over"],
        ["handling", "taken-over", "run-begun", "replied"],
        ["received", "applying", "replied", "handler-failed"],
    ],
    ids="+".join,
)
def test_killed_while_receiving(program, tmp_path, kills):
    platform = program("psp")
    first, *rest = kills
    platform.start(first)
    wires = {name: wire_of(name) for name in ANSWERS}
    answers = answered(platform, wires, restart_with=rest)
    told = {name: status(wire) for name, wire in answers.items()}
    assert told == ANSWERS
    assert ledger(tmp_path) == ["fail-once", "ordinary-1", "ordinary-2"]
    for name, wire in wires.items():  # and each stored reply is repeated, byte for byte
        assert post(platform.url, wire) == answers[name]


@pytest.mark.parametrize("step", ["replayed", "conflict"])
def test_killed_while_answering_a_repeat(program, tmp_path, step):
    platform = program("psp")
    platform.start()
    wire = wire_of("ordinary-1")
    first = post(platform.url, wire)
    platform.start(step)
    again = wire if step == "replayed" else wire_of("ordinary-1", b"<Other></Other>")
    assert post(platform.url, again) is None
    assert platform.is_dead(5)
    platform.start()
    assert post(platform.url, wire) == first
    assert status(post(platform.url, wire_of("ordinary-1", b"<Other></Other>"))) == "PSPPM0002S"
    assert ledger(tmp_path) == ["ordinary-1"]


def test_fifty_copies_with_a_kill_between_and_two_servers_on_one_file(program, tmp_path):
    """Fifty connections to two processes, one of which dies in the middle of it."""
    from concurrent.futures import ThreadPoolExecutor

    first, second = program("psp"), program("psp")
    second.start()
    for number in range(5):
        first.start("handling" if number % 2 else "received")
        wire = wire_of(f"ordinary-{number}")
        with ThreadPoolExecutor(50) as pool:
            urls = [first.url, second.url] * 25
            answers = list(pool.map(lambda url, wire=wire: post(url, wire, 10), urls))
        until = time.monotonic() + 10
        final = None
        while final is None and time.monotonic() < until:
            final = post(second.url, wire)
        assert final is not None
        assert {answer for answer in answers if answer is not None} <= {final}
        assert status(final) == "PSPPM0000I"
    assert ledger(tmp_path) == [f"ordinary-{number}" for number in range(5)]
