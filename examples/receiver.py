"""A platform that receives payment requests and books each exactly once.

msh init psp --role psp && cd psp
python ../examples/receiver.py
"""

import asyncio
import signal

import msh

handler = msh.MessageServiceHandler.from_config("msh.toml")
others = {s for a in handler.agreements for s in a.accepts} - {msh.Service.PS810FTRQ}


@handler.on(msh.Service.PS810FTRQ)
def transfer(request: msh.Message) -> msh.Reply:
    def book(connection):  # in the transaction that records the reply: both, or neither
        connection.execute("CREATE TABLE IF NOT EXISTS ledger (message_id TEXT PRIMARY KEY)")
        connection.execute("INSERT INTO ledger VALUES (?)", (request.message_id,))

    return msh.Reply(msh.Status.PSPPM0000I, apply=book)


@handler.on(*others)
async def acknowledge(request: msh.Message) -> msh.Reply:
    return msh.Reply(msh.Status.PSPPM0000I)


async def main() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
    async with handler:
        print("listening on", handler.url, flush=True)
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
