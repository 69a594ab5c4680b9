"""The bank's handler in the demonstration: books each payment by ``apply``."""

import msh


def register(handler: msh.MessageServiceHandler) -> None:
    handler.on("PS810FTRQ")(transfer)


def transfer(request: msh.Message) -> msh.Reply:
    def book(connection) -> None:
        # No unique key: if a payment took effect twice, it would stand here twice.
        connection.execute("CREATE TABLE IF NOT EXISTS ledger (message_id TEXT, booked TEXT)")
        connection.execute("INSERT INTO ledger VALUES (?, datetime('now'))", (request.message_id,))

    return msh.Reply(msh.Status.PSPBK0000I, apply=book)
