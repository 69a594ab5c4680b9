"""A business system that sends one payment request and learns what became of it.

msh init biz --role business && cd biz
python ../examples/sender.py invoice-17
"""

import asyncio
import sys
from pathlib import Path

import msh

handler = msh.MessageServiceHandler.from_config("msh.toml", listen=False)


async def main(invoice: str) -> None:
    body = Path("messages/PS810FTRQ.xml").read_bytes()
    async with handler:
        receipt = await handler.send(msh.Service.PS810FTRQ, body, to="PSP", key=invoice)
        print(receipt.message_id, "is on disk")
        try:
            reply = await receipt.reply()
        except msh.Undelivered:
            print("surely not sent: try again with a new key")
        except msh.InDoubt as doubt:
            print("may have taken effect, so never send it as a new payment:", doubt)
        except msh.Resolved as result:
            print("executed:", result)
        else:
            print(reply.status, reply.status_text, f"({reply.status.meaning})")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
