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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.security.measuring import Measured, decide, ordinary, peak, protected

_TIMES = {"large": 40, "small": 700, "broken": 1_500, "signed": 700}


def _named(number: int, count: int) -> bytes:
    stem = b"n" * 90
    return b"".join(b"<%b%d-%d/>" % (stem, number, place) for place in range(count))


def _from(sender: str, body: bytes) -> bytes:
    start, _, rest = ordinary("PLAIN").partition(b"<s:Body>")
    wire = start + b"<s:Body>" + body + rest[rest.index(b"</s:Body>") :]
    return wire.replace(b"PLAIN", sender.encode())


def _signed(number: int) -> bytes:
    """Truly signed, and changed afterwards: so that it is canonicalised, and refused."""
    wire = _from("SIGNED", b"<r>%b</r>" % _named(number, 500))
    with ThreadPoolExecutor(1) as pool:  # a thread takes the names it has read with it
        signed = pool.submit(protected, wire, "SIGNED", [], "sha256").result()
    return signed.replace(b"<r>", b"<r>x")


_KINDS: dict[str, Callable[[int], bytes]] = {
    "large": lambda number: _from("NOBODY", b"<r>%b</r>" % _named(number, 9_000)),
    "small": lambda number: _from("NOBODY", b"<r>%b</r>" % _named(number, 500)),
    # Names of end tags, of references and of what is never closed are kept as well.
    "broken": lambda number: _from("NOBODY", b"<r>%b</%b&%b" % ((b"m%d" % number * 9_000,) * 3)),
    "signed": _signed,
}


async def main(kind: str, folder: Path) -> None:
    """Send, and print."""
    logging.disable(logging.CRITICAL)
    handler = await Measured(folder).start()
    try:
        make, sent = _KINDS[kind], 0
        before = peak()
        for number in range(_TIMES[kind]):
            wire = make(number)
            sent += len(wire)
            await decide(handler, wire, f"10.0.{number // 200}.{number % 200}")
        grown = peak() - before
        assert "PSPPM0000I" in await decide(handler, ordinary("SIGNED", 1))
    finally:
        await handler.__aexit__(None, None, None)
    print(sent, grown)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(main(sys.argv[1], Path(name)))
