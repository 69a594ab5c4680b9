"""The business system's handler in the demonstration: takes the outcomes of its payments."""

import msh


def register(handler: msh.MessageServiceHandler) -> None:
    handler.on("PS811FTRRQ")(take)


async def take(result: msh.Message) -> msh.Reply:
    return msh.Reply(msh.Status.PSPPM0000I)
