"""The business system in the demonstration: sends payments one after the other.

Killed and started again, it simply asks for the same payments again: what was queued before is
not queued twice.
"""

import asyncio
import sys

import msh
from msh.cli.samples import sample_body


async def main(configuration: str, message_ids: list[str]) -> None:
    handler = msh.MessageServiceHandler.from_config(configuration, listen=False)
    body = sample_body("PS810FTRQ")
    async with handler:
        for message_id in message_ids:
            receipt = await handler.send("PS810FTRQ", body, to="PSP", message_id=message_id)
            await receipt.reply()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2:]))
