"""The platform's handler in the demonstration: books each payment by ``apply``, and sends it on.

What goes to the bank is queued in the very transaction that books the payment and stores the
reply; the outcome that the bank tells goes back to the business system in the same way.

Two files in ``DEMO_FOLDER`` let the demonstration see where it is: `handling`, while the message
that the platform is killed over is handled, and `waiting`, while the one that its sender is
killed over is.
"""

import os
import time
from pathlib import Path

import msh

FOLDER = Path(os.environ["DEMO_FOLDER"])


def register(handler: msh.MessageServiceHandler) -> None:
    handler.on("PS810FTRQ")(transfer)
    handler.on("PS811FTRRQ")(outcome)


def transfer(request: msh.Message) -> msh.Reply:
    pause(request, os.environ["DEMO_KILL_PLATFORM"], FOLDER / "handling", 30)
    pause(request, os.environ["DEMO_KILL_SENDER"], FOLDER / "waiting", 1)

    def book(connection) -> None:
        # No unique key: if a payment took effect twice, it would stand here twice.
        connection.execute("CREATE TABLE IF NOT EXISTS ledger (message_id TEXT, booked TEXT)")
        connection.execute("INSERT INTO ledger VALUES (?, datetime('now'))", (request.message_id,))

    onward = msh.Outgoing(
        "PS810FTRQ", request.body, to="BANK", message_id=f"PSP-{request.message_id}"
    )
    return msh.Reply(msh.Status.PSPPM0000I, apply=book, then=(onward,))


def outcome(result: msh.Message) -> msh.Reply:
    """What the bank tells of a payment is told to the business system, under the id it knows."""
    if result.ref_to is None:
        raise msh.Refuse(msh.Status.PSPPM0001S, "it names no payment")
    original = result.ref_to.removeprefix("PSP-")
    onward = msh.Outgoing(
        "PS811FTRRQ", result.body, to="BIZ", ref_to=original, key=f"outcome-{original}"
    )
    return msh.Reply(msh.Status.PSPPM0000I, then=(onward,))


def pause(request: msh.Message, message_id: str, mark: Path, seconds: float) -> None:
    """The first time this message comes, show it and take long."""
    if request.message_id == message_id and not mark.exists():
        mark.touch()
        time.sleep(seconds)
