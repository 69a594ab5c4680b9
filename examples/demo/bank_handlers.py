"""The bank's handler in the demonstration: books each payment by ``apply``.

What becomes of the payments is told later, by `bank_results.py`.
"""

import msh


def register(handler: msh.MessageServiceHandler) -> None:
    handler.on("PS810FTRQ")(transfer)


def transfer(request: msh.Message) -> msh.Reply:
    payment = msh.bodies.read(request)
    row = (request.message_id, payment["SSNID"], payment["SVCREFID"], payment["BusType"])

    def book(connection) -> None:
        # No unique key: if a payment took effect twice, it would stand here twice.
        connection.execute(
            "CREATE TABLE IF NOT EXISTS ledger (message_id TEXT, ssnid TEXT, svcrefid TEXT,"
            " bustype TEXT, booked TEXT)"
        )
        connection.execute("INSERT INTO ledger VALUES (?, ?, ?, ?, datetime('now'))", row)

    return msh.Reply(msh.Status.PSPBK0000I, apply=book)
