"""What is stored is read again: by a later run of the handler, and by the caller.

An enveloped signature with exclusive c14n covers no declaration that only content uses, unless a
PrefixList names it, so whoever sits between can add one or bind it otherwise. The first run of the
handler sees what was signed; so must every other reader.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import msh
from msh.envelope import parse
from msh.message import Message
from msh.protection import Signature
from msh.store import open_store
from msh.transport.base import Peer
from tests.handler.conftest import World
from tests.security.attacks.forge import Form, signed
from tests.security.certificates import DAY, NOW, PROFILES, Identity, Party, SetClock, identity

TIMES: Any = {"begins": NOW - 30 * DAY, "ends": NOW + 300 * DAY}


@cache
def _identity(name: str) -> Identity:
    return identity("rsa", {"BIZ": 30, "PSP": 31}[name], name=name, **TIMES)


BODY = b'<Pay xmlns="urn:pay" kind="t:credit"><Amt>100</Amt></Pay>'


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        yield World(stack)


@pytest.fixture
def parties(tmp_path: Path) -> tuple[Party, Party]:
    biz, psp = Party(tmp_path / "biz", SetClock()), Party(tmp_path / "psp", SetClock())
    biz.hold(_identity("BIZ"))
    biz.pin(_identity("PSP"))
    psp.hold(_identity("PSP"))
    psp.pin(_identity("BIZ"))
    return biz, psp


def _bound(wire: bytes) -> bytes:
    """The prefix in the content bound by somebody else."""
    changed = wire.replace(b"<soap:Envelope ", b'<soap:Envelope xmlns:t="urn:evil" ', 1)
    assert changed != wire
    return changed


async def test_a_later_run_sees_what_was_signed(world: World, parties: tuple[Party, Party]) -> None:
    runs: list[Message] = []

    def answer(message: Message) -> msh.Reply:
        runs.append(message)
        if len(runs) == 1:
            raise RuntimeError("not this time")
        return msh.Reply("PSPPM0000I")

    psp = parties[1]
    platform = await world.platform(answer, protection=Signature(psp.own, psp.peer))
    message = Message(
        service="PS810FTRQ",
        message_id="BIZ-1",
        sender="BIZ",
        receiver="PSP",
        timestamp=world.clock.now(),
        body=BODY,
    )
    wire = _bound(signed(message, _identity("BIZ")))
    task = asyncio.ensure_future(platform.accept(wire, Peer("10.0.0.1")))
    while not runs:
        await asyncio.sleep(0.001)
    await world.clock.advance(15)
    assert len(runs) == 2
    await task
    assert runs == [message, message]


async def test_the_caller_reads_what_was_signed_also_later(
    world: World, parties: tuple[Party, Party]
) -> None:
    """Told at once, or read from the store after a restart: the same reply."""
    biz, psp = parties
    store = open_store("sqlite::memory:")

    def forge(answer: bytes) -> bytes:
        reply = parse(answer, PROFILES).message
        return _bound(signed(replace(reply, body=BODY), _identity("PSP")))

    platform = await world.platform(protection=Signature(psp.own, psp.peer))
    assert platform
    business = await world.business(protection=Signature(biz.own, biz.peer), store=store)
    answered = asyncio.Event()

    def on_the_way(answer: bytes) -> bytes:
        answered.set()
        return forge(answer)

    world.network.forge = on_the_way
    receipt = await business.send("PS810FTRQ", b"<Pay/>")
    await answered.wait()
    await world.clock.advance(1)
    assert (await receipt.delivery()).state.value == "answered"
    assert (await receipt.reply()).body == BODY
    stored = await business.sender.reply_to(await receipt.delivery())  # as after a restart
    assert stored.body == BODY


def test_the_form_of_the_tests_has_no_prefix_list() -> None:
    assert "PrefixList" not in "".join(one.transforms or "" for one in Form().references)
