"""What refusing costs: one line and one counter per kind of refusal, however many there are."""

from __future__ import annotations

import base64

import pytest
from lxml import etree

from msh.transport.base import Reply
from tests.security.attacks.forge import DS
from tests.security.attacks.target import MAC, Target

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: The order of P-256.
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


async def test_refusals_are_counted_by_kind_not_by_place(
    target: Target, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever moves the fault by a byte each time fills neither the memory nor the log."""
    caplog.clear()
    before = len(target.handler.receiver.refused)
    for place in range(100):
        await target.code(b"<a>" + b" " * place + b"<")
        await target.code(b"<a>" + b"\n" * place + b"<")
        await target.code(b"<a>" + b" " * place + b"\xff")
    assert len(target.handler.receiver.refused) - before <= 3
    assert sum("refused unread" in record.message for record in caplog.records) <= 3


@pytest.mark.parametrize("again", ["the-same-bytes", "another-signature", "another-s"])
async def test_a_second_valid_signature_has_no_second_effect(target: Target, again: str) -> None:
    """ECDSA has many signatures for one message, and anybody can turn s round in a given one."""
    message = target.message("BANK")
    wire = await target.protected(message)
    await target.takes(wire, message)
    if again == "another-signature":
        wire = await target.protected(message)
    elif again == "another-s":
        root = etree.fromstring(wire)
        value = next(root.iter(f"{{{DS}}}SignatureValue"))
        raw = base64.b64decode(value.text or "")
        s = ORDER - int.from_bytes(raw[32:], "big")
        value.text = base64.b64encode(raw[:32] + s.to_bytes(32, "big")).decode()
        wire = etree.tostring(root)
    calls = len(target.calls)
    acceptance, _ = await target.accept(wire)
    assert isinstance(acceptance, Reply)
    assert b">PSPPM0000I<" in acceptance.wire
    assert len(target.calls) == calls


@pytest.mark.parametrize("how", ["changed", "wrapped", "cut"])
async def test_a_large_message_is_looked_at_as_closely(target: Target, how: str) -> None:
    """It is verified in another thread."""
    body = b'<Pay xmlns="urn:pay">' + b"<Amt>100</Amt>" * 9000 + b"</Pay>"
    message = target.message(body=body)
    wire = await target.protected(message)
    root = etree.fromstring(wire)
    if how == "wrapped":
        etree.SubElement(root[0], "Wrapper").append(etree.fromstring(wire))
    if how == "cut":
        root[1][0].remove(root[1][0][-1])
    else:
        root[1][0][0].text = "1000000"
    await target.refuses(etree.tostring(root), MAC)
    await target.takes(wire, message)
