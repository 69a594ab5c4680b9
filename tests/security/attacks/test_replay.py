"""Genuine bytes in the wrong place: to another party, changed, back to their sender."""

from __future__ import annotations

import pytest

from msh.envelope import parse
from msh.transport.base import Reply, Taken
from tests.security.attacks.target import BODY, MAC, RIGHT, Target
from tests.security.certificates import PROFILES

pytestmark = pytest.mark.asyncio(loop_scope="module")

SENDERS = ["BIZ", "BANK", "CHAIN", "HMAC", "CMAC", "RETAIL"]
RECEIVERS = ["BANK", "BIZ", "psp", "PSP2", "HMAC", "*"]


@pytest.mark.parametrize("receiver", RECEIVERS)
@pytest.mark.parametrize("sender", SENDERS)
async def test_a_message_to_another_party(target: Target, sender: str, receiver: str) -> None:
    """It is not for us; and it cannot be made to be."""
    wire = await target.genuine(sender, receiver=receiver)
    await target.refuses(wire, RIGHT)
    start, end = b"<scoi:Receiver>", b"</scoi:Receiver>"
    ours = wire.replace(start + receiver.encode() + end, start + b"PSP" + end)
    assert ours != wire
    await target.refuses(ours, MAC)


@pytest.mark.parametrize("sender", SENDERS)
async def test_another_message_id(target: Target, sender: str) -> None:
    """A captured payment cannot be made to take effect once more."""
    message = target.message(sender)
    wire = await target.protected(message)
    await target.takes(wire, message)
    for other in (f"{message.message_id}x", "X", message.message_id.lower()):
        again = wire.replace(f">{message.message_id}<".encode(), f">{other}<".encode())
        await target.refuses(again, MAC)


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize("other", SENDERS)
async def test_another_sender(target: Target, sender: str, other: str) -> None:
    if sender == other:
        await target.serves(sender)
        return
    wire = await target.genuine(sender)
    tag = b"<scoi:Sender>"
    claimed = wire.replace(tag + sender.encode(), tag + other.encode())
    assert await target.code(claimed) in (MAC, "PSPPM0003E")


@pytest.mark.parametrize("sender", SENDERS)
async def test_the_very_same_bytes_have_no_second_effect(target: Target, sender: str) -> None:
    message = target.message(sender)
    wire = await target.protected(message)
    await target.takes(wire, message)
    calls = len(target.calls)
    replies = {(await target.accept(wire))[0] for _ in range(3)}
    assert len(replies) == 1
    assert len(target.calls) == calls


@pytest.mark.parametrize("sender", SENDERS)
async def test_our_own_reply_comes_back_to_us(target: Target, sender: str) -> None:
    """As a reply to nothing, and with its parties turned round."""
    acceptance, _ = await target.accept(await _taken(target, sender))
    assert isinstance(acceptance, Reply)
    reply = acceptance.wire
    assert await target.code(reply) == RIGHT  # there is no agreement with ourselves
    turned = reply.replace(b"Sender>PSP<", f"Sender>{sender}<".encode())
    turned = turned.replace(f"Receiver>{sender}<".encode(), b"Receiver>PSP<")
    before = await target.store.last_entry()
    assert (await target.accept(turned))[0] == Taken()
    assert await target.store.last_entry() == before


async def _taken(target: Target, sender: str) -> bytes:
    message = target.message(sender)
    wire = await target.protected(message)
    await target.takes(wire, message)
    return wire


@pytest.mark.parametrize("sender", SENDERS)
async def test_a_genuine_reply_to_nothing(target: Target, sender: str) -> None:
    """It is taken for what it is, and leaves nothing."""
    for ref_to in ("PSP-1", None):
        reply = target.message(sender, service="PS810FTRS", ref_to=ref_to, expires=None)
        before, calls = await target.store.last_entry(), len(target.calls)
        assert (await target.accept(await target.protected(reply)))[0] == Taken()
        assert await target.store.last_entry() == before
        assert len(target.calls) == calls


@pytest.mark.parametrize("sender", SENDERS)
async def test_a_stranger_is_told_nothing_of_what_was_answered(target: Target, sender: str) -> None:
    """Whoever has only the ids of an answered message gets neither its reply nor its place."""
    wire = await _taken(target, sender)
    message = parse(wire, PROFILES).message
    for body in (BODY, b"", BODY.replace(b"100", b"200")):
        by = "BANK" if sender in ("BIZ", "CHAIN") else "BIZ"
        forged = await target.protected(
            target.message(sender, message_id=message.message_id, body=body), by=by
        )
        await target.refuses(forged, MAC)
    calls = len(target.calls)
    acceptance, _ = await target.accept(wire)
    assert isinstance(acceptance, Reply)
    assert b"PSPPM0000I" in acceptance.wire
    assert len(target.calls) == calls
