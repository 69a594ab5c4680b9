"""A business system that sends one payment request and learns what became of it.

msh init biz --role business && cd biz
python ../examples/sender.py invoice-17
"""

import asyncio
import sys
from contextlib import suppress
from pathlib import Path

import msh

handler = msh.MessageServiceHandler.from_config("msh.toml", listen=False)


def payment(invoice: str) -> bytes:
    """The sample, with references of its own: those of another payment would be refused."""
    values = msh.bodies.of().read("PS810FTRQ", Path("messages/PS810FTRQ.xml").read_bytes())
    return msh.bodies.build("PS810FTRQ", values | {"SSNID": invoice, "SVCREFID": invoice})


async def main(invoice: str) -> None:
    body = payment(invoice)
    async with handler:
        receipt = await handler.send(msh.Service.PS810FTRQ, body, to="PSP", key=invoice)
        print(receipt.message_id, "is on disk")
        if (await receipt.delivery()).state is msh.DeliveryState.NOT_SENT:  # given up before
            receipt = await handler.resend(receipt.message_id)  # the same message, not a new one
        try:
            reply = await receipt.reply()
        except msh.Undelivered:
            print("surely not sent: run this again, with the same invoice")
        except msh.InDoubt as doubt:
            print("may have taken effect, so never send it as a new payment:", doubt)
        except msh.Resolved as result:
            print("executed:", result)
        else:
            print(reply.status, reply.status_text, f"({reply.status.meaning})")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python sender.py INVOICE")
    with suppress(KeyboardInterrupt):  # what is on disk is kept, and delivered when a handler runs
        asyncio.run(main(sys.argv[1]))
