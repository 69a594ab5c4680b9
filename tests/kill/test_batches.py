"""SIGKILL while a batch is queued: all of its parts are there, or none."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from msh.store.sqlite import SqliteStore
from msh.testing.contracts.samples import NOW, OWN, Notified
from msh.testing.contracts.store_batches import batch

ROOT = Path(__file__).resolve().parents[2]
PARTS = 40

PROGRAM = """
import asyncio, os, signal, sys
from msh.store.sqlite import SqliteStore, outbound
from msh.store.sqlite import batches
from msh.testing.contracts.samples import NOW
from msh.testing.contracts.store_batches import batch

number = 0
enqueue = outbound.enqueue

def killed(*arguments):
    global number
    number += 1
    if number == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    return enqueue(*arguments)

async def main():
    store = SqliteStore(sys.argv[1])
    await store.open(lambda entries: None)
    outbound.enqueue = killed
    await store.enqueue_all(batch(*(f"D-{n}" for n in range(PARTS)), body=b"x" * 100_000), NOW)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def kill(path: Path, at: int) -> None:
    """Queue a batch in another process, which is killed at the part of this number."""
    program = PROGRAM.replace("PARTS", str(PARTS))
    done = subprocess.run(
        [sys.executable, "-c", program, str(path), str(at)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize(("at", "left"), [(1, 0), (2, 0), (PARTS, 0), (PARTS + 1, PARTS)])
async def test_killed_while_queueing(tmp_path: Path, at: int, left: int) -> None:
    path = tmp_path / "biz.db"
    kill(path, at)
    store = SqliteStore(str(path))
    await store.open(Notified())
    try:
        assert len(await store.deliveries()) == left
        stored = await store.batch(OWN, "k")
        assert (stored is not None) == bool(left)
        # The caller, started again, asks for the same and gets all of it, once.
        again = batch(*(f"D-{n}" for n in range(PARTS)), body=b"x" * 100_000)
        found, created = await store.enqueue_all(again, NOW)
        assert created == (not left)
        assert len(found.parts) == len(await store.deliveries()) == PARTS
    finally:
        await store.close()
