"""The demonstration: three parties, and everything that can go wrong in between.

A business system, the platform and a bank run as processes on loopback with a SQLite store each,
the retry schedule shortened by configuration. Business system and platform sign their messages;
platform and bank use MACs under a working key that they exchange first. On the way to the platform
one reply is lost and one connection cut while sending, the platform is killed while handling and
the business system while waiting; on the way to the bank one reply is lost too. A while after each
payment its outcome comes back from the bank. Then one message is refused by a business rule, a
batch is split, and a payment to which no reply ever comes is resolved by its outcome. Afterwards
all stores and both ledgers are compared.
"""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from parties import BANK, BUSINESS, HERE, PLATFORM, Programs, make_keys
from rich.console import Console
from rich.markup import escape

from msh.cli.timeline import styled, timeline
from msh.store import Delivery, Reception, Store, open_store
from msh.testing.faults import FaultProxy

SECONDS = 150
COUNT = 12
DAY = f"{datetime.now():%Y%m%d}"
IDS = [f"BIZ-{DAY}-{number:06}" for number in range(1, COUNT + 1)]
# What the proxies do to the n-th copy that they see. The first three payments arrive once each.
# When a kept-alive connection closes, one more copy leaves at once on a fresh one, so two are lost.
LOST_REPLIES, CUT_REQUESTS = (4, 5), (7, 8)
# The first two that the bank sees are the exchange of the key.
LOST_BY_BANK = (5, 6)
KILL_PLATFORM, KILL_SENDER = IDS[6], IDS[8]
REFUSED, DOUBTFUL = f"BIZ-{DAY}-{COUNT + 1:06}", f"BIZ-{DAY}-{COUNT + 2:06}"
BATCH = "salaries"
RESULT = "PS811FTRRQ"
DONE, DONE_BY_BANK, REUSED = "PSPPM0000I", "PSPBK0000I", "PSPBK0129E"
NEVER = 100  # copies of the doubtful payment whose replies are lost: more than there will be


async def appears(mark: Path) -> None:
    while not mark.exists():
        await asyncio.sleep(0.01)


async def story(folder: Path, console: Console) -> None:
    """Let everything happen, until the business system has an answer to every payment."""
    programs = Programs(
        folder, {"DEMO_KILL_PLATFORM": KILL_PLATFORM, "DEMO_KILL_SENDER": KILL_SENDER}
    )

    def write(name: str, text: str, **values: object) -> None:
        (folder / name).write_text(text.format(handlers=HERE, **values))

    make_keys(folder)
    psp_port, biz_port = free_port(), free_port()
    write("bank.toml", BANK, psp_port=psp_port)
    try:
        _, bank = programs.serve("bank.toml")
        async with FaultProxy(bank) as bank_proxy:
            for number in LOST_BY_BANK:
                bank_proxy.lose_reply(number)
            write("psp.toml", PLATFORM, bank=bank_proxy.url, psp_port=psp_port, biz_port=biz_port)
            platform, address = programs.serve("psp.toml")
            exchange = programs.msh
            printed = await asyncio.to_thread(exchange, "psp.toml", "keys", "exchange", "BANK")
            console.print(escape(printed.strip()))
            async with FaultProxy(address) as proxy:
                for number in LOST_REPLIES:
                    proxy.lose_reply(number)
                for number in CUT_REQUESTS:
                    proxy.cut_request(number)
                write("biz.toml", BUSINESS, psp=proxy.url, biz_port=biz_port)
                programs.serve("biz.toml")
                console.print(
                    f"{COUNT} payments from BIZ to PSP, signed, and on to BANK, with MACs; the "
                    "reply to the 4th is lost on the way, the connection of the 5th cut while "
                    "sending, and a reply of the bank is lost"
                )
                sender = programs.business("pay", *IDS)
                await appears(folder / "handling")
                programs.kill(platform)
                console.print(f"platform killed with SIGKILL while handling {KILL_PLATFORM}")
                await asyncio.to_thread(programs.serve, "psp.toml")
                await appears(folder / "waiting")
                programs.kill(sender)
                console.print(
                    f"business system killed with SIGKILL while waiting for {KILL_SENDER}"
                )

                async def does(what: str, *words: str) -> None:
                    printed = await asyncio.to_thread(
                        programs.done, programs.business(what, *words)
                    )
                    if printed:
                        console.print(escape(printed))

                await does("pay", *IDS)
                programs.start(str(HERE / "bank_results.py"), "bank.toml", "bank.db")
                await does("outcomes", *IDS)
                await does("refused", REFUSED, IDS[0])
                await does("split", BATCH)
                for number in range(proxy.seen + 1, proxy.seen + 1 + NEVER):
                    proxy.lose_reply(number)
                await does("doubt", DOUBTFUL)
                await told(folder)
    finally:
        programs.end()


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


async def told(folder: Path) -> None:
    """Until the platform has told the outcome of whatever was not refused."""
    platform = await opened(folder / "psp.db")
    try:
        while True:
            paid = [one for one in (await taken_by(platform)).values() if str(one.status) == DONE]
            results = [one for one in await platform.deliveries() if one.service == RESULT]
            if len(results) == len(paid) and all(one.status is not None for one in results):
                return
            await asyncio.sleep(0.1)
    finally:
        await platform.close()


async def opened(path: Path) -> Store:
    store = open_store(f"sqlite:///{path}")
    await store.open(lambda entries: None)
    return store


async def sent_by(store: Store) -> dict[str, Delivery]:
    """The payments sent from a store, by message id."""
    found = await store.deliveries()
    return {one.message_id: one for one in found if one.service == "PS810FTRQ"}


async def taken_by(store: Store) -> dict[str, Reception]:
    """The payments received by a store, by message id."""
    found = await store.receptions()
    return {one.message_id: one for one in found if one.service == "PS810FTRQ"}


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
    """All stores and ledgers, message by message; True if nothing is lost or doubled."""
    business = await opened(folder / "biz.db")
    platform = await opened(folder / "psp.db")
    bank = await opened(folder / "bank.db")
    try:
        asked, passed_on = await sent_by(business), await sent_by(platform)
        sent = asked | passed_on
        taken = await taken_by(platform) | await taken_by(bank)
        booked = effects(folder / "psp.db") | effects(folder / "bank.db")
        told = [
            one
            for store in (bank, platform)
            for one in await store.deliveries()
            if one.service == RESULT
        ]
        for message_id in (*IDS, REFUSED, DOUBTFUL):
            await show(business, sent[message_id], taken.get(message_id), console)
        for message_id in (f"PSP-{one}" for one in IDS):
            await show(platform, sent[message_id], taken.get(message_id), console)
    finally:
        for store in (business, platform, bank):
            await store.close()
    paid = set(asked) - {REFUSED}
    onward = {f"PSP-{message_id}" for message_id in paid}
    outcomes = {one.ref_to for one in told if one.state == "answered"}
    wanted = dict.fromkeys(paid, ("answered", DONE))
    wanted |= dict.fromkeys(onward, ("answered", DONE_BY_BANK))
    wanted |= {DOUBTFUL: ("resolved", "None"), REFUSED: ("answered", REUSED)}
    lost = [
        message_id
        for message_id, (state, status) in wanted.items()
        if message_id not in sent
        or (sent[message_id].state, str(sent[message_id].status)) != (state, status)
        or taken[message_id].state != "answered"
        or (message_id in booked) == (message_id == REFUSED)
        or (message_id in outcomes) == (message_id == REFUSED)
    ]
    twice = [message_id for message_id, count in booked.items() if count > 1]
    deliveries = [*sent.values(), *told]
    resends = sum(delivery.attempts - 1 for delivery in deliveries)
    replays = sum(reception.replays for reception in taken.values())
    ok = not lost and not twice and set(sent) == set(wanted)
    console.print()
    for message_id in (*lost, *twice):
        console.print(escape(f"wrong: {message_id}"))
    print(
        f"demo {'ok' if ok else 'FAILED'}: exchanges={len(deliveries)} resends={resends} "
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
