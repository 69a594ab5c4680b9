"""How far memory grows while strangers send names that were never seen: ``python -m ... KIND``.

Prints how many bytes were sent, and by how many the peak of memory grew meanwhile. Fails unless
ordinary messages are read all the same.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.security.measuring import Measured, decide, ordinary, peak, protected

_TIMES = {"large": 40, "small": 700, "broken": 700, "signed": 700}


def _named(number: int, count: int) -> bytes:
    stem = b"n" * 90
    return b"".join(b"<%b%d-%d/>" % (stem, number, place) for place in range(count))


def _frame(number: int, body: bytes, sender: str = "PLAIN") -> bytes:
    usual = ordinary(sender, number) if sender == "PLAIN" else ordinary("PLAIN", number)
    start, _, rest = usual.partition(b"<s:Body>")
    wire = start + b"<s:Body>" + body + rest[rest.index(b"</s:Body>") :]
    return wire.replace(b"PLAIN", sender.encode())


_KINDS: dict[str, Callable[[int], bytes]] = {
    "large": lambda number: _frame(number, b"<r>%b</r>" % _named(number, 9_000)),
    "small": lambda number: _frame(number, b"<r>%b</r>" % _named(number, 500)),
    # Names of end tags, of entities and of what is never closed are kept as well.
    "broken": lambda number: _frame(number, b"<r>%b</%b&%b" % ((b"m%d" % number * 9_000,) * 3)),
    # With a true signature, so that it is canonicalised too.
    "signed": lambda number: protected(
        _frame(number, b"<r>%b</r>" % _named(number, 500), "SIGNED"), "SIGNED", [], "sha256"
    ),
}


async def main(kind: str, folder: Path) -> None:
    """Send, and print."""
    logging.disable(logging.CRITICAL)
    handler = await Measured(folder).start()
    try:
        make, sent = _KINDS[kind], 0
        # Each wire is a stranger's that is refused, or one message that comes again and again.
        before = peak()
        for number in range(_TIMES[kind]):
            wire = make(number)
            sent += len(wire)
            await decide(handler, wire, f"10.0.{number // 200}.{number % 200}")
        grown = peak() - before
        assert "PSPPM0000I" in await decide(handler, ordinary("SIGNED", 999_999))
    finally:
        await handler.__aexit__(None, None, None)
    print(sent, grown)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(main(sys.argv[1], Path(name)))
