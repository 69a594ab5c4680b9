"""The demonstration: business system and platform, and everything that can go wrong in between.

Two processes on loopback with a SQLite store each, the retry schedule shortened by configuration.
One reply is lost, one connection cut while sending, the platform killed while handling, the
business system killed while waiting. Afterwards both stores and the ledger are compared.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from msh.cli.timeline import styled, timeline
from msh.store import Delivery, Reception, Store, open_store
from msh.testing.faults import FaultProxy

HERE = Path(__file__).resolve().parent
SECONDS = 90
COUNT = 12
DAY = f"{datetime.now():%Y%m%d}"
IDS = [f"BIZ-{DAY}-{number:06}" for number in range(1, COUNT + 1)]
# What the proxy does to the n-th copy that it sees. The first three payments arrive once each. When
# a kept-alive connection closes, one more copy leaves at once on a fresh one, so two are lost.
LOST_REPLIES, CUT_REQUESTS = (4, 5), (7, 8)
KILL_PLATFORM, KILL_SENDER = IDS[6], IDS[8]

BUSINESS = """
store = "sqlite:///biz.db"
[party]
id = "BIZ"
role = "business"
[agreements.PSP]
role = "psp"
endpoint = "{url}"
protection = "none"
sends = ["PS810FTRQ"]
[agreements.PSP.outbound]
resends = 8
interval = 0.5
factor = 1.5
timeout = 2
"""

PLATFORM = """
store = "sqlite:///psp.db"
handlers = "{handlers}"
[party]
id = "PSP"
role = "psp"
[listen]
url = "http://127.0.0.1:{port}/sms"
[agreements.BIZ]
role = "business"
protection = "none"
accepts = ["PS810FTRQ"]
[agreements.BIZ.inbound]
timeout = 2
[agreements.BIZ.handling]
lease = 1
retry_after = 0.5
patience = 1.5
"""


class Programs:
    """The two programs, each started, killed and started again by its own process id."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: list[subprocess.Popen[str]] = []
        self.environment = {
            **os.environ,
            "DEMO_FOLDER": str(folder),
            "DEMO_KILL_PLATFORM": KILL_PLATFORM,
            "DEMO_KILL_SENDER": KILL_SENDER,
        }

    def start(self, *words: str) -> subprocess.Popen[str]:
        program = subprocess.Popen(
            [sys.executable, *words],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=(self.folder / "log").open("a"),
            text=True,
        )
        self.running.append(program)
        return program

    def platform(self) -> tuple[subprocess.Popen[str], str]:
        """`msh serve`, once it listens, and where."""
        program = self.start("-m", "msh.cli", "--config", "psp.toml", "serve")
        assert program.stdout is not None
        line = program.stdout.readline()
        if not line.startswith("listening on "):
            raise SystemExit(f"the platform did not start; see {self.folder / 'log'}")
        return program, line.split()[-1]

    def business(self) -> subprocess.Popen[str]:
        return self.start(str(HERE / "business.py"), "biz.toml", *IDS)

    def kill(self, program: subprocess.Popen[str]) -> None:
        program.send_signal(signal.SIGKILL)
        program.wait()

    def end(self) -> None:
        for program in self.running:
            if program.poll() is None:
                program.terminate()
                try:
                    program.wait(10)
                except subprocess.TimeoutExpired:
                    program.kill()
                    program.wait()


async def appears(mark: Path) -> None:
    while not mark.exists():
        await asyncio.sleep(0.01)


async def story(folder: Path, console: Console) -> None:
    """Let everything happen, until the business system has an answer to every payment."""
    programs = Programs(folder)
    (folder / "psp.toml").write_text(
        PLATFORM.format(handlers=HERE / "platform_handlers.py", port=0)
    )
    try:
        platform, address = programs.platform()
        port = address.rpartition(":")[2].partition("/")[0]
        (folder / "psp.toml").write_text(
            PLATFORM.format(handlers=HERE / "platform_handlers.py", port=port)
        )
        async with FaultProxy(address) as proxy:
            for number in LOST_REPLIES:
                proxy.lose_reply(number)
            for number in CUT_REQUESTS:
                proxy.cut_request(number)
            (folder / "biz.toml").write_text(BUSINESS.format(url=proxy.url))
            console.print(
                f"{COUNT} payments from BIZ to PSP; the reply to the 4th is lost on the way, the "
                "connection of the 5th cut while sending"
            )
            sender = programs.business()
            await appears(folder / "handling")
            programs.kill(platform)
            console.print(f"platform killed with SIGKILL while handling {KILL_PLATFORM}")
            platform, _ = await asyncio.to_thread(programs.platform)
            await appears(folder / "waiting")
            programs.kill(sender)
            console.print(f"business system killed with SIGKILL while waiting for {KILL_SENDER}")
            sender = programs.business()
            if await asyncio.to_thread(sender.wait) != 0:
                raise SystemExit(f"the business system failed; see {folder / 'log'}")
    finally:
        programs.end()


async def opened(path: Path) -> Store:
    store = open_store(f"sqlite:///{path}")
    await store.open(lambda entries: None)
    return store


async def show(
    store: Store, delivery: Delivery, reception: Reception | None, console: Console
) -> None:
    drawn = timeline(
        delivery,
        await store.journal(message_id=delivery.message_id),
        await store.attempts(delivery.id),
        stored_reply=reception is not None and reception.replays > 0,
    )
    console.print()
    console.print(styled(drawn))


def effects(path: Path) -> dict[str, int]:
    """How many committed ledger rows each payment has."""
    connection = sqlite3.connect(path)
    try:
        rows: Sequence[tuple[str, int]] = connection.execute(
            "SELECT message_id, count(*) FROM ledger GROUP BY message_id"
        ).fetchall()
        return dict(rows)
    finally:
        connection.close()


async def compare(folder: Path, console: Console) -> bool:
    """Both stores and the ledger, message by message; True if nothing is lost or doubled."""
    business, platform = await opened(folder / "biz.db"), await opened(folder / "psp.db")
    try:
        sent = {delivery.message_id: delivery for delivery in await business.deliveries()}
        taken = {reception.message_id: reception for reception in await platform.receptions()}
        booked = effects(folder / "psp.db")
        for message_id in IDS:
            if message_id in sent:
                await show(business, sent[message_id], taken.get(message_id), console)
    finally:
        await business.close()
        await platform.close()
    lost = [
        message_id
        for message_id in IDS
        if message_id not in booked
        or sent[message_id].state != "answered"
        or str(sent[message_id].status) != "PSPPM0000I"
        or taken[message_id].state != "answered"
    ]
    twice = [message_id for message_id, count in booked.items() if count > 1]
    resends = sum(delivery.attempts - 1 for delivery in sent.values())
    replays = sum(reception.replays for reception in taken.values())
    ok = not lost and not twice and len(sent) == COUNT and set(booked) == set(IDS)
    console.print()
    for message_id in (*lost, *twice):
        console.print(escape(f"wrong: {message_id}"))
    print(
        f"demo {'ok' if ok else 'FAILED'}: exchanges={len(sent)} resends={resends} "
        f"replays={replays} lost={len(lost)} handled_twice={len(twice)}"
    )
    return ok


async def main() -> int:
    console = Console(highlight=False, soft_wrap=True)
    with tempfile.TemporaryDirectory(prefix="msh-demo-") as name:
        folder = Path(name)
        try:
            async with asyncio.timeout(SECONDS):
                await story(folder, console)
        except TimeoutError:
            print((folder / "log").read_text(), file=sys.stderr)
            print(f"demo FAILED: not done within {SECONDS} s")
            return 1
        return 0 if await compare(folder, console) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
