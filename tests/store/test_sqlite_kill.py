"""A process that is killed: what it was told is stored, is stored."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from msh.protocol import delivery, reception
from msh.store.sqlite import SqliteStore
from msh.testing.contracts.samples import (
    DONE,
    Notified,
    status,
    steps,
    the_delivery,
    the_reception,
)

KILLED = """
import asyncio, os, signal, sys
from msh.store.sqlite import SqliteStore
from msh.testing.contracts import samples
from msh.testing.contracts.samples import *

async def main():
    store = SqliteStore(sys.argv[1])
    await store.open(lambda entries: None)
    {step}
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def kill_after(path: Path, step: str) -> None:
    """Run another process on the file, which is killed right after ``step``."""
    script = KILLED.replace("{step}", step.strip())
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=30
    )
    assert done.stderr == ""
    assert done.returncode == -signal.SIGKILL


async def after_kill(path: Path, step: str) -> SqliteStore:
    """The store that such a process leaves."""
    kill_after(path, step)
    store = SqliteStore(str(path))
    await store.open(Notified())
    return store


async def test_what_was_received_is_there(path: Path) -> None:
    store = await after_kill(path, "await receive_new(store, begin=True)")
    stored = await the_reception(store)
    assert (stored.state, stored.runs) == (reception.State.RUNNING, 1)
    assert [str(step) for step in await steps(store)] == ["received"]
    await store.close()


async def test_what_was_answered_is_there_with_its_writes(path: Path) -> None:
    step = """
    claim = await receive_new(store)
    book = lambda connection: connection.execute("CREATE TABLE ledger AS SELECT 100 AS amount")
    await store.answer(claim, Answer(status(DONE), b"<reply/>", apply=book), NOW)
    """
    store = await after_kill(path, step)
    stored = await the_reception(store)
    assert (stored.state, stored.status) == (reception.State.ANSWERED, status(DONE))
    reply = await store.reply_of(stored.id)
    assert reply is not None
    assert reply.plain == b"<reply/>"
    await store.close()


async def test_what_apply_was_writing_is_not(path: Path) -> None:
    step = """
    claim = await receive_new(store)
    def apply(connection):
        connection.execute("CREATE TABLE ledger AS SELECT 100 AS amount")
        os.kill(os.getpid(), signal.SIGKILL)
    await store.answer(claim, Answer(status(DONE), b"<reply/>", apply=apply), NOW)
    """
    store = await after_kill(path, step)
    stored = await the_reception(store)
    assert stored.state is reception.State.CLAIMED
    assert await store.reply_of(stored.id) is None
    await store.close()


@pytest.mark.parametrize(
    ("step", "state"),
    [
        ("await store.enqueue(draft(), NOW)", delivery.State.QUEUED),
        ("await store.enqueue(draft(), NOW); await begin(store)", delivery.State.SENDING),
        (
            "await delivery_in(store, samples.delivery.State.SENDING); await replied(store)",
            delivery.State.ANSWERED,
        ),
    ],
)
async def test_what_was_sent_is_there(path: Path, step: str, state: delivery.State) -> None:
    store = await after_kill(path, step)
    assert (await the_delivery(store)).state is state
    await store.close()
