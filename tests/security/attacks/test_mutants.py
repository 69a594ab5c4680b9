"""Random mutants of genuine messages: refused, or the very same message to whoever handles it."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from msh.transport.base import Reply, Taken
from tests.security.attacks.mutants import mutant
from tests.security.attacks.target import DONE, FORMAT, KEY, MAC, RIGHT, Target, refusal

pytestmark = pytest.mark.asyncio(loop_scope="module")

SIZE = 100
SIGNED = [(sender, seed) for sender in ("BIZ", "BANK") for seed in range(10)]  # 2,000
MACED = [(sender, seed) for sender in ("HMAC", "CMAC", "RETAIL") for seed in range(2)]  # 600


@pytest.mark.parametrize(("sender", "seed"), SIGNED + MACED)
async def test_mutants(target: Target, sender: str, seed: int) -> None:
    """Each of a message of its own, so that whatever is taken takes effect and can be seen."""
    random = Random(f"{sender} {seed}")
    # Genuine too, but for somebody else: a mutant that becomes it is not for us.
    other = await target.genuine(sender, receiver="BANK", body=b"<Pay></Pay>")
    found: Counter[str] = Counter()
    for _ in range(SIZE):
        found[await _outcome(target, sender, random, other)] += 1
    await target.serves(sender)
    # The mutants are of every kind: not all fail to parse, and not all verify.
    assert min(found[FORMAT], found[MAC]) >= SIZE // 10
    assert found[DONE] <= SIZE // 2


async def _outcome(target: Target, sender: str, random: Random, other: bytes) -> str:
    message = target.message(sender)
    genuine = await target.protected(message)
    wire = mutant(random, genuine, other)
    calls, last = len(target.calls), await target.store.last_entry()
    acceptance, stored = await target.accept(wire)
    if stored:
        assert target.calls[calls:] == [message]
        target.accepted.add(message.message_id)
        assert isinstance(acceptance, Reply)
        assert f">{DONE}<".encode() in acceptance.wire
        return DONE
    assert len(target.calls) == calls
    assert await target.store.last_entry() == last
    if isinstance(acceptance, Taken):  # it calls itself a reply, and is none of ours
        return "taken"
    code = refusal(acceptance)
    assert code in (FORMAT, RIGHT, KEY, MAC)
    return code


async def test_the_mutants_are_the_same_each_time() -> None:
    wire = b'<a xmlns:p="urn:p"><p:b>1</p:b><c d="1">2</c></a>'
    first, second = ([mutant(Random(n), wire, wire) for n in range(50)] for _ in range(2))
    assert first == second
    assert len(set(first)) > 30
