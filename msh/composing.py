"""Building the message of a request as it leaves."""

from __future__ import annotations

from datetime import datetime

from msh.agreement import Agreement
from msh.message import Message, Outgoing


def message_of(
    agreement: Agreement, outgoing: Outgoing, message_id: str, body: bytes, now: datetime
) -> Message:
    """The message as it leaves now: timestamp and time to live are set here."""
    return Message(
        service=outgoing.service,
        message_id=message_id,
        sender=agreement.own,
        receiver=agreement.peer,
        timestamp=now,
        body=body,
        ref_to=outgoing.ref_to,
        expires=now + agreement.time_to_live if agreement.time_to_live else None,
    )
