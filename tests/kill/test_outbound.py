"""SIGKILL at every step of a message's way out: each is answered once after the restart."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

import msh
from msh.envelope import parse, serialise
from msh.profiles import standard_profile
from tests.kill.test_inbound import post

PROFILE = standard_profile()
KEYS = "a b c"


def settle(business, count: int) -> list[str]:
    """The states that the business system prints, until all is settled."""
    lines: list[str] = []
    until = time.monotonic() + 30
    while not lines or lines[-1] != "all settled":
        assert time.monotonic() < until, lines
        line = business.read_line(20)
        assert line, business.log()
        lines.append(line)
    assert len(lines) == count + 1
    return lines[:-1]


@pytest.mark.parametrize("step", ["queued", "attempt-begun", "attempt-failed", "answered"])
def test_killed_while_sending(program, msh_counterparty, step):
    platform = msh_counterparty()
    platform.lose_reply(2).lose_reply(3)
    business = program("biz", platform.url, KEYS=KEYS)
    business.start(step)
    assert business.is_dead(20)
    business.start()
    assert settle(business, 3) == ["answered PSPPM0000I"] * 3
    assert sorted(message.message_id for message in platform.messages) == [
        "BIZ-a",
        "BIZ-b",
        "BIZ-c",
    ]


@pytest.mark.parametrize("step", ["given-up", "resend-asked"])
def test_killed_when_the_schedule_ends(program, msh_counterparty, step):
    platform = msh_counterparty()
    for copy in range(1, 9):  # four attempts, each perhaps with a second copy on a fresh connection
        platform.lose_reply(copy)
    business = program("biz", platform.url, KEYS="resend")
    business.start(step)
    assert business.is_dead(20)
    business.start()
    (state,) = settle(business, 1)
    assert state in ("answered PSPPM0000I", "in-doubt None")
    assert len(platform.messages) == 1


def late(platform, business, **changes: object) -> None:
    """Bring a reply to the business system as a message of its own."""
    (message,) = platform.messages
    reply = msh.Message(
        service="PS810FTRS",
        message_id="LATE-1",
        sender="PSP",
        receiver="BIZ",
        timestamp=message.timestamp,
        ref_to=message.message_id,
        status=msh.StatusCode.parse("PSPPM0000I"),
    )
    post(business.url, serialise(replace(reply, **changes), PROFILE))


@pytest.mark.parametrize(
    ("step", "changes"),
    [
        ("answer-repeated", {}),
        ("answer-differs", {"status": msh.StatusCode.parse("PSPBK0005E")}),
        ("answer-ignored", {"service": "PS811FTRRS"}),
    ],
)
def test_killed_over_a_reply_that_changes_nothing(program, msh_counterparty, step, changes):
    platform = msh_counterparty()
    business = program("biz", platform.url, KEYS="a")
    business.start(step)
    assert settle(business, 1) == ["answered PSPPM0000I"]
    late(platform, business, **changes)
    assert business.is_dead(5)
    business.start()
    assert settle(business, 1) == ["answered PSPPM0000I"]
    assert len(platform.messages) == 1


def test_killed_when_a_result_resolves_the_doubt(program, msh_counterparty):
    platform = msh_counterparty()
    for copy in range(1, 9):
        platform.lose_reply(copy)
    business = program("biz", platform.url, KEYS="a")
    business.start("resolved")
    until = time.monotonic() + 10
    while not platform.messages and time.monotonic() < until:
        time.sleep(0.01)
    result = msh.Message(
        service="PS811FTRRQ",
        message_id="PSP-RESULT",
        sender="PSP",
        receiver="BIZ",
        timestamp=platform.messages[0].timestamp,
        ref_to="BIZ-a",
    )
    wire = serialise(result, PROFILE)
    assert post(business.url, wire) is None
    assert business.is_dead(5)
    business.start()
    assert settle(business, 1) == ["resolved None"]
    answer = post(business.url, wire)
    assert answer is not None
    assert str(parse(answer, {PROFILE.namespace: PROFILE}).message.status) == "PSPPM0000I"
    assert len(platform.messages) == 1
