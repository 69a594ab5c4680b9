"""A platform that receives payment requests and books each exactly once.

msh init psp --role psp && cd psp
python ../examples/receiver.py          (instead of `msh serve`)
"""

import asyncio
import sys

import msh

handler = msh.MessageServiceHandler.from_config("msh.toml")
others = {s for a in handler.agreements for s in a.accepts} - {msh.Service.PS810FTRQ}


@handler.on(msh.Service.PS810FTRQ)
def transfer(request: msh.Message) -> msh.Reply:
    def book(connection):  # in the transaction that records the reply: both, or neither
        connection.execute(
            "CREATE TABLE IF NOT EXISTS payment (sender TEXT, message_id TEXT,"
            " PRIMARY KEY (sender, message_id))"
        )
        connection.execute(
            "INSERT INTO payment (sender, message_id) VALUES (?, ?)",
            (request.sender, request.message_id),
        )

    return msh.Reply(msh.Status.PSPPM0000I, apply=book)


@handler.on(*others)
async def acknowledge(request: msh.Message) -> msh.Reply:
    return msh.Reply(msh.Status.PSPPM0000I)


async def main() -> None:
    async with handler:
        print("listening on", handler.url, flush=True)
        await asyncio.Event().wait()  # for ever: Ctrl-C ends it cleanly


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
    except msh.MshError as error:
        sys.exit(str(error))
