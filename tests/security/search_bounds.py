"""A search for the messages of at most 1,048,576 bytes that cost a receiver the most.

``python -m tests.security.search_bounds [SECONDS]`` (``make search``) tries shapes at random,
changes and crosses the worst that it has found, under each kind of protection, and prints them with
their processor time and their memory. What it found stands in ``test_bounds.py``.
"""

from __future__ import annotations

import random
import sys
import time
from dataclasses import fields

from tests.security.hostile import Hostile, changed, crossed
from tests.security.measuring import SENDERS, Cost, Meter

KEPT = 12  # of each kind, to be changed further
SHOWN = 4

Found = list[tuple[Cost, Hostile]]


def search(seconds: float, seed: int) -> dict[tuple[str, str], Found]:
    """The worst shapes by (protection, ``"seconds"`` or ``"memory"``), worst first."""
    chance = random.Random(seed)
    worst: dict[tuple[str, str], Found] = {
        (sender, what): [] for sender in SENDERS for what in ("seconds", "memory")
    }
    tried, until, meter = 0, time.monotonic() + seconds, Meter()
    try:
        while time.monotonic() < until:
            sender, what = chance.choice(list(worst))
            shape = _next([one for _, one in worst[sender, what]], chance)
            cost = meter.cost(shape, sender)
            tried += 1
            for kind in ("seconds", "memory"):
                found = worst[sender, kind]
                if all(shape != other for _, other in found):
                    found.append((cost, shape))
                    found.sort(key=lambda one: -getattr(one[0], kind))
                    del found[KEPT:]
    finally:
        meter.close()
    print(f"{tried} shapes tried, seed {seed}")
    return worst


def _next(parents: list[Hostile], chance: random.Random) -> Hostile:
    if len(parents) < KEPT or chance.random() < 0.15:
        return changed(Hostile(), chance, chance.randint(3, 12))
    if chance.random() < 0.3:
        return crossed(*chance.sample(parents, 2), chance)
    return changed(chance.choice(parents), chance, chance.randint(1, 3))


def main() -> None:
    """Search for a while, and tell."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 120.0
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(2**32)
    for (sender, what), found in search(seconds, seed).items():
        print(f"\n{sender}, by {what}")
        for cost, shape in found[:SHOWN]:
            print(
                f"  {cost.seconds * 1000:6.0f} ms {cost.memory / 1e6:6.1f} MB {cost.size:8} bytes  "
                f"{cost.outcome[:70]}\n    {_written(shape)}"
            )


def _written(shape: Hostile) -> str:
    usual = Hostile()
    chosen = (
        f"{field.name}={getattr(shape, field.name)!r}"
        for field in fields(Hostile)
        if getattr(shape, field.name) != getattr(usual, field.name)
    )
    return f"Hostile({', '.join(chosen)})"


if __name__ == "__main__":
    main()
