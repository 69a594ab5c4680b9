"""Building the reply message to a request."""

from __future__ import annotations

from datetime import datetime

from msh.agreement import Agreement
from msh.catalog import StatusCode
from msh.ids import new_message_id
from msh.message import Message
from msh.protocol.digest import message_digest


def reply_message(
    agreement: Agreement,
    request: Message,
    code: StatusCode,
    now: datetime,
    *,
    text: str = "",
    body: bytes = b"",
) -> Message:
    """The RS to ``request``: paired service, turned parties, status code and its official text.

    ``text`` is the reason, shown behind the official text (TDCC PSP 9.2). Where messages are
    protected, the reply carries the digest of its request.
    """
    catalog = agreement.profile.catalog
    official = catalog.text_of(code)
    return Message(
        service=catalog.reply_for(request.service) or request.service,
        message_id=new_message_id(agreement.own, now),
        sender=agreement.own,
        receiver=request.sender,
        timestamp=now,
        body=body,
        ref_to=request.message_id,
        status=code,
        ref_digest=message_digest(request) if agreement.protected else None,
        status_text=f"{official}: {text}" if text and official else text or official,
    )
