"""The receiver that is measured: msh with a SQLite file, answering every PS810FTRQ.

``python -m tests.bench.receiver FILE [checked|signature KEYS|mac KEYS]``; ``checked`` looks into
bodies, by schema and rules.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msh
from msh.profile import Role
from msh.profiles import standard_profile
from tests.bench import prepared

SENDS = frozenset({"PS810FTRQ"})


def agreement(own: str, peer: str, endpoint: str | None = None) -> msh.Agreement:
    """Business system and platform, one service, room for every client of the measurement."""
    roles = {"BIZ": Role.BUSINESS, "PSP": Role.PSP}
    return msh.Agreement(
        own=own,
        own_role=roles[own],
        peer=peer,
        peer_role=roles[peer],
        profile=standard_profile(),
        checks_content=False,
        endpoint=endpoint,
        sends=SENDS if endpoint else frozenset(),
        accepts=SENDS if not endpoint else frozenset(),
        limits=msh.Limits(running=64, waiting=256, sending=64),
    )


async def serve(path: str, kind: str = "", keys: str = "") -> None:
    """Serve until killed; prints the address."""
    terms = agreement("PSP", "BIZ")
    terms = replace(terms, checks_content=kind == "checked")
    protection = prepared.protection(kind, Path(keys), "PSP")
    if protection is not None:
        terms = replace(terms, protection=protection)
    if kind == "mac":
        await prepared.keep_key(f"sqlite:///{path}", Path(keys), "BIZ")
    agreements = msh.Agreements.of("PSP", [terms])
    handler = msh.MessageServiceHandler(
        agreements, f"sqlite:///{path}", listen="http://127.0.0.1:0/sms"
    )

    @handler.on("PS810FTRQ")
    async def transfer(message: msh.Message) -> msh.Reply:
        return msh.Reply("PSPPM0000I")

    async with handler:
        print(f"listening on {handler.url}", flush=True)
        await asyncio.Event().wait()


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's if it is installed, as `msh serve` does; the floor does the same."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(serve(*sys.argv[1:]))
