"""A handler in a process of its own that kills itself at a named step.

    python -m tests.kill.program psp|biz FOLDER PORT [PEER_URL]

``KILL_AT`` names a step of the journal, or `handling` or `applying` for the moments inside a
handler; it is obeyed once per start. The business system sends one message per key in ``KEYS``.
With ``KEK``, the file of a key-encryption key, messages carry MACs, and the business system
exchanges a working key first.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

import msh
from msh.profile import Role
from msh.profiles import standard_profile
from msh.protection import PLAIN, Mac

KEK = os.environ.get("KEK", "")
FOLDER, KILL_AT = sys.argv[2], os.environ.get("KILL_AT", "")
BODY = "<Pay xmlns='urn:test'><Amount>100</Amount></Pay>"


def die(step: str) -> None:
    if step == KILL_AT:
        os.kill(os.getpid(), signal.SIGKILL)


def terms(own: str, peer: str, url: str | None) -> msh.Agreement:
    roles = {"BIZ": Role.BUSINESS, "PSP": Role.PSP}
    services = frozenset({"PS810FTRQ" if own == "BIZ" else "PS811FTRRQ"})
    accepted = frozenset({"PS811FTRRQ" if own == "BIZ" else "PS810FTRQ"})
    return msh.Agreement(
        own=own,
        own_role=roles[own],
        peer=peer,
        peer_role=roles[peer],
        profile=standard_profile(),
        checks_content=False,
        endpoint=url,
        sends=services if url else frozenset(),
        accepts=accepted,
        outbound=msh.Reliability(3, timedelta(seconds=0.1), 1, timedelta(seconds=0.4)),
        handling=msh.Handling(
            runs=9,  # so that dead processes alone set no message aside
            lease=timedelta(seconds=0.5),
            retry_after=timedelta(seconds=0.05),
            patience=timedelta(seconds=3),
        ),
        protection=Mac(f"file:{KEK}") if KEK else PLAIN,
    )


def first_time(message_id: str) -> bool:
    mark = Path(FOLDER, message_id)
    if mark.exists():
        return False
    mark.touch()
    return True


def is_mended() -> bool:
    return Path(FOLDER, "mended").exists()


def handler(own: str, peer: str, url: str | None, port: str) -> msh.MessageServiceHandler:
    made = msh.MessageServiceHandler(
        msh.Agreements.of(own, [terms(own, peer, url)]),
        f"sqlite:///{FOLDER}/{own}.db",
        listen=f"http://127.0.0.1:{port}/sms",
    )
    made.observe(lambda entry: die(str(entry.step)))
    return made


def platform(port: str) -> msh.MessageServiceHandler:
    made = handler("PSP", "BIZ", None, port)

    @made.on("PS810FTRQ")
    async def transfer(message: msh.Message) -> msh.Reply:
        die("handling")
        if "fail-always" in message.message_id:
            raise ValueError
        if "fail-until" in message.message_id and not is_mended():
            raise ValueError
        if "fail-once" in message.message_id and first_time(message.message_id):
            raise ValueError
        if "refuse" in message.message_id:
            raise msh.Refuse("PSPBK0005E")

        def book(connection):
            connection.execute("CREATE TABLE IF NOT EXISTS ledger (message TEXT)")
            connection.execute("INSERT INTO ledger VALUES (?)", (message.message_id,))
            die("applying")

        return msh.Reply("PSPPM0000I", apply=book)

    return made


async def business(port: str, url: str) -> None:
    made = handler("BIZ", "PSP", url, port)

    @made.on("PS811FTRRQ")
    async def result(message: msh.Message) -> msh.Reply:
        return msh.Reply("PSPPM0000I")

    async with made:
        print(f"listening on {made.url}", flush=True)
        if KEK:
            await made.exchange_key("PSP")
        for key in os.environ["KEYS"].split():
            receipt = await made.send("PS810FTRQ", BODY, key=key, message_id=f"BIZ-{key}")
            delivery = await receipt.settled()
            if delivery.state == "in-doubt" and "resend" in key:
                receipt = await made.sender.resend(receipt.message_id)
                delivery = await receipt.settled()
            print(delivery.state, delivery.status, flush=True)
        print("all settled", flush=True)
        await asyncio.Event().wait()


async def main() -> None:
    if sys.argv[1] == "biz":
        await business(sys.argv[3], sys.argv[4])
        return
    made = platform(sys.argv[3])
    async with made:
        print(f"listening on {made.url}", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
