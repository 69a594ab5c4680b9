"""The business system in the demonstration: sends payments, one after the other.

Killed and started again, it simply asks for the same again: what was queued before is not queued
twice. It runs beside `msh serve`, which takes the outcomes, on the same store.
"""

import asyncio
import sys
from datetime import date
from decimal import Decimal

import msh
from msh.businessdays import USUAL
from msh.cli.samples import sample_body

SALARIES = 300


async def pay(handler: msh.MessageServiceHandler, message_ids: list[str]) -> None:
    """Each payment, once the one before it is answered."""
    for message_id in message_ids:
        # The same number gives the same references, whoever asks: killed or not.
        body = sample_body("PS810FTRQ", number=int(message_id.rpartition("-")[2]))
        receipt = await handler.send("PS810FTRQ", body, to="PSP", message_id=message_id)
        await receipt.reply()


async def refused(handler: msh.MessageServiceHandler, message_ids: list[str]) -> None:
    """A new message with the references of an earlier payment: the platform refuses it."""
    new, earlier = message_ids
    body = sample_body("PS810FTRQ", number=int(earlier.rpartition("-")[2]))
    receipt = await handler.send("PS810FTRQ", body, to="PSP", message_id=new)
    reply = await receipt.reply()
    print(f"{new}, with the references of {earlier}: {reply.status} {reply.status_text}")


async def doubt(handler: msh.MessageServiceHandler, message_ids: list[str]) -> None:
    """A payment to which no reply ever comes: its outcome ends the doubt."""
    (message_id,) = message_ids
    body = sample_body("PS810FTRQ", number=int(message_id.rpartition("-")[2]))
    receipt = await handler.send("PS810FTRQ", body, to="PSP", message_id=message_id)
    outcome = await receipt.outcome()
    status = msh.bodies.read(outcome)["Status"]
    delivery = await receipt.delivery()
    print(f"{message_id}, whose replies are all lost: {delivery.state} by its outcome, {status}")


async def split(handler: msh.MessageServiceHandler, message_ids: list[str]) -> None:
    """A batch that is too large for one message: several, queued and followed as one."""
    (key,) = message_ids
    batch = await handler.send_split("PS810FTRQ", salaries(), to="PSP", key=key)
    replies = await batch.replies()
    statuses = {str(getattr(reply, "status", reply)) for reply in replies}
    print(f"{SALARIES} salaries in {batch.count} messages: {' '.join(sorted(statuses))}")


async def outcomes(handler: msh.MessageServiceHandler, message_ids: list[str]) -> None:
    """Until the outcome of every payment is known."""
    for message_id in message_ids:
        await (await handler.receipt(message_id)).outcome()
    print(f"the outcomes of {len(message_ids)} payments have come")


def salaries() -> bytes:
    """One group for each salary, in one request."""
    side = {"BANK": "999", "SWIFTCODE": "TESTTWTP", "Ccy": "TWD", "Amt": Decimal("52000.00")}
    return msh.bodies.build(
        "PS810FTRQ",
        {
            "SSNID": f"{date.today():%Y%m%d}900000",
            "SVCREFID": f"SA{date.today():%Y%m%d}900000",
            "BusType": "711",
            "FundPmtSvc": "OOOI",
            "SettleDate": USUAL.after(date.today()),
            "PmtSvc": [
                {
                    "PMTID": number,
                    "OUT": [{"PMTOUTID": 1, "Acct": "99900100000001", **side}],
                    "IN": [{"PMTINID": 1, "Acct": f"9990030000{number:04}", **side}],
                }
                for number in range(1, SALARIES + 1)
            ],
        },
    )


async def main(configuration: str, what: str, message_ids: list[str]) -> None:
    doing = {"pay": pay, "refused": refused, "doubt": doubt, "split": split, "outcomes": outcomes}
    async with msh.MessageServiceHandler.from_config(configuration, listen=False) as handler:
        await doing[what](handler, message_ids)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
