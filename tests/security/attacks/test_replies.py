"""The sender's side: what comes back is the answer, or it is no answer at all."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

import msh
from msh.envelope import parse, serialise
from msh.protection import Mac, Protection, Signature
from msh.transport.base import Peer, Taken
from tests.handler.conftest import BODY, World
from tests.security.attacks.target import refusal
from tests.security.certificates import DAY, NOW, PROFILE, PROFILES, Party, SetClock, identity

KINDS = ["signature", "mac"]


class Pair:
    """A business system and a platform that agreed on protection, and what went between them."""

    def __init__(
        self, world: World, business: msh.MessageServiceHandler, platform: msh.MessageServiceHandler
    ) -> None:
        self.world, self.business, self.platform = world, business, platform
        #: What the platform answered, in order, and what becomes of it on the way.
        self.answers: list[bytes] = []
        self.forge: Callable[[bytes], bytes] = lambda answer: answer
        world.network.forge = self._on_the_way

    def _on_the_way(self, answer: bytes) -> bytes:
        self.answers.append(answer)
        return self.forge(answer)

    async def send(self, service: str = "PS810FTRQ") -> msh.Receipt:
        """A request that was sent and answered once."""
        answered = len(self.answers)
        receipt = await self.business.send(service, BODY)
        while len(self.answers) == answered:  # signing has threads, which no clock knows of
            await asyncio.sleep(0.001)
        await self.world.clock.advance(1)
        return receipt

    async def exchanged(self, service: str = "PS810FTRQ") -> bytes:
        """The genuine answer to a request of its own."""
        receipt = await self.send(service)
        assert str((await receipt.reply()).status) == "PSPPM0000I"
        return self.answers[-1]


@pytest.fixture(params=KINDS)
async def pair(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        world = World(stack)
        ours, theirs = _protection(request.param, tmp_path)
        platform = await world.platform(protection=theirs)
        business = await world.business(protection=ours)
        if request.param == "mac":
            exchange = await _exchanged(world, business)
            assert exchange
        yield Pair(world, business, platform)


async def _exchanged(world: World, business: msh.MessageServiceHandler) -> object:
    task = asyncio.ensure_future(business.exchange_key("PSP"))
    await world.clock.advance(1)
    return await task


def _protection(kind: str, folder: Path) -> tuple[Protection, Protection]:
    if kind == "mac":
        file = folder / "kek"
        file.touch(0o600)
        file.write_text("5a3c" * 16)
        return Mac(f"file:{file}"), Mac(f"file:{file}")
    times: Any = {"begins": NOW - 30 * DAY, "ends": NOW + 300 * DAY}
    ours, theirs = identity("p256", 20, **times), identity("p256", 21, name="PSP", **times)
    biz, psp = Party(folder / "biz", SetClock()), Party(folder / "psp", SetClock())
    biz.hold(ours)
    biz.pin(theirs)
    psp.hold(theirs)
    psp.pin(ours)
    return Signature(biz.own, biz.peer), Signature(psp.own, psp.peer)


def _text(name: str, value: str) -> Callable[[bytes], bytes]:
    tag = f"scoi:{name}".encode()

    def change(wire: bytes) -> bytes:
        pattern = b"<%b>[^<]*</%b>" % (tag, tag)
        changed, count = re.subn(pattern, b"<%b>%b</%b>" % (tag, value.encode(), tag), wire)
        assert count == 1
        return changed

    return change


def _unprotected(wire: bytes) -> bytes:
    """The same answer, for which anybody could have asked."""
    return serialise(parse(wire, PROFILES).message, PROFILE)


def _wrapped(wire: bytes) -> bytes:
    root, original = etree.fromstring(wire), etree.fromstring(wire)
    root[0][0].find(f"{{{PROFILE.namespace}}}StatusCode").text = "PSPPM0001E"
    etree.SubElement(root[0], "Wrapper").append(original)
    return bytes(etree.tostring(root))


#: What a genuine answer to this very request is turned into.
CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "refused-instead": _text("StatusCode", "PSPPM0001E"),
    "system-error-instead": _text("StatusCode", "PSPPM9999S"),
    "another-request": _text("RefToMsgId", "BIZ-other"),
    "another-digest": _text("RefDigest", "0" * 64),
    "another-service": _text("SvcId", "PS830INQRS"),
    "another-sender": _text("Sender", "BANK"),
    "another-receiver": _text("Receiver", "BANK"),
    "another-text": _text("StatusText", "x"),
    "unprotected": _unprotected,
    "unprotected-and-refused": lambda wire: _text("StatusCode", "PSPPM0004E")(_unprotected(wire)),
    "wrapped": _wrapped,
    "cut": lambda wire: wire[:-1],
    "nothing": lambda wire: b"",
    "html": lambda wire: b"<html><body>502</body></html>",
    "with-a-doctype": lambda wire: wire.replace(b"<soap:Env", b"<!DOCTYPE x><soap:Env", 1),
    "with-a-comment": lambda wire: wire.replace(b"0000I", b"00<!-- -->00I"),
    "with-a-body": lambda wire: wire.replace(b"<soap:Body>", b"<soap:Body><Evil/>").replace(
        b"<soap:Body/>", b"<soap:Body><Evil/></soap:Body>"
    ),
    "a-fault": lambda wire: (
        b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/">'
        b"<s:Body><s:Fault/></s:Body></s:Envelope>"
    ),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_changed_answer_is_none(pair: Pair, change: str) -> None:
    """The payment took effect; whoever sits between cannot tell the caller otherwise."""
    pair.forge = CHANGES[change]
    receipt = await pair.send()
    delivery = await receipt.delivery()
    assert (delivery.state.value, delivery.status) == ("waiting", None)
    assert CHANGES[change](pair.answers[-1]) != pair.answers[-1]
    pair.forge = lambda answer: answer
    await pair.world.clock.advance(100)
    assert str((await receipt.reply()).status) == "PSPPM0000I"
    assert len(pair.platform.calls) == 1


@pytest.mark.parametrize("change", ["refused-instead", "unprotected-and-refused", "wrapped"])
async def test_without_a_genuine_answer_it_stays_in_doubt(pair: Pair, change: str) -> None:
    pair.forge = CHANGES[change]
    receipt = await pair.send()
    await pair.world.clock.advance(600)
    assert len(pair.answers) == 4
    with pytest.raises(msh.InDoubt):
        await receipt.reply()
    assert len(pair.platform.calls) == 1


@pytest.mark.parametrize("earlier", ["PS810FTRQ", "PS811FTRRQ", "PS830INQRQ"])
async def test_a_genuine_answer_to_another_request_is_none(pair: Pair, earlier: str) -> None:
    world = pair.world
    old = await pair.exchanged(earlier)
    pair.platform.calls.clear()
    pair.forge = lambda answer: old
    receipt = await pair.send()
    await world.clock.advance(600)
    with pytest.raises(msh.InDoubt):
        await receipt.reply()
    assert len(pair.platform.calls) == 1


async def test_a_refusal_given_to_a_stranger_is_no_answer(pair: Pair) -> None:
    """Somebody obtains a refusal for this MsgId, and passes it on in place of the answer."""
    world = pair.world
    refusals: list[bytes] = []

    async def ask(request: bytes) -> None:
        claimed = parse(request, PROFILES).message
        acceptance = await pair.platform.accept(serialise(claimed, PROFILE), Peer("10.9.9.9"))
        assert refusal(acceptance) == "PSPPM0004E"
        refusals.append(acceptance.wire)

    pair.forge = lambda answer: b""
    receipt = await pair.send()
    await ask(world.network.sent[-1])
    pair.forge = lambda answer: refusals[0]
    await world.clock.advance(600)
    with pytest.raises(msh.InDoubt):
        await receipt.reply()


async def test_the_request_itself_is_no_answer(pair: Pair) -> None:
    world = pair.world
    pair.forge = lambda answer: world.network.sent[-1]
    receipt = await pair.send()
    await world.clock.advance(600)
    with pytest.raises(msh.InDoubt):
        await receipt.reply()


@pytest.mark.parametrize("change", sorted(set(CHANGES) - {"cut", "nothing", "html", "a-fault"}))
async def test_a_changed_answer_that_comes_late_is_none(pair: Pair, change: str) -> None:
    """As a message of its own, to the business system's listener."""
    pair.forge = lambda answer: b""
    receipt = await pair.send()
    genuine = pair.answers[-1]
    acceptance = await pair.business.accept(CHANGES[change](genuine), Peer("10.9.9.9"))
    if not isinstance(acceptance, Taken):
        assert refusal_code(acceptance)
    assert (await receipt.delivery()).status is None
    assert await pair.business.accept(genuine, Peer("10.9.9.8")) == Taken()
    assert str((await receipt.reply()).status) == "PSPPM0000I"


def refusal_code(acceptance: object) -> str:
    """A business system refuses with the codes of its own role; nothing of it is protected."""
    wire = getattr(acceptance, "wire", None) or getattr(acceptance, "fault", b"")
    assert b"xmldsig" not in wire
    assert b"scoi:MAC" not in wire
    found = re.search(rb"PSP(?:PM|BK)[0-9]{4}[ISWE]", wire)
    assert found
    assert found[0] != b"PSPPM0000I"
    return found[0].decode()


async def test_an_answer_for_another_request_that_comes_late_is_none(pair: Pair) -> None:
    old = await pair.exchanged()
    pair.forge = lambda answer: b""
    receipt = await pair.send()
    assert await pair.business.accept(old, Peer("10.9.9.9")) == Taken()
    assert (await receipt.delivery()).status is None
