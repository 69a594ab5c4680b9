"""The reply to a request: building it, and telling whether a message is it."""

from __future__ import annotations

from datetime import datetime

from msh.agreement import Agreement
from msh.catalog import StatusCode
from msh.envelope import Parsed
from msh.ids import new_message_id
from msh.message import Message
from msh.protocol.checks import unbound
from msh.protocol.digest import message_digest
from msh.security import Verified
from msh.store import Delivery


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
    protected, the reply carries the digest of its request; where bodies are checked, one without
    ``body`` has the least that its schema asks for.
    """
    catalog = agreement.profile.catalog
    official = catalog.text_of(code)
    service = catalog.reply_for(request.service) or request.service
    if not body and agreement.content is not None:
        body = agreement.content.checked(service, code)
    return Message(
        service=service,
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


def claims(message: Message) -> str:
    """What an answer that is not authentic says of itself, for whoever looks for the cause."""
    if message.status is None:
        return ""
    return f" (it says {message.status}, which anybody could have written)"


def unanswered(
    agreement: Agreement, request: Delivery, verified: Verified, form: Parsed | None
) -> str | None:
    """Why ``verified`` is not the answer to ``request``, or None if it is.

    ``form`` is what left, or None if nothing has left or its content is gone since it ended.
    """
    reply = verified.message
    if not agreement.protected:
        return unbound(request, reply, agreement)
    reason = unbound(request, reply, agreement, message_digest(form.message) if form else b"")
    if reason is None and verified.retired and form and form.key_id not in verified.until:
        # Whoever stole a key must not answer what is protected under its successors.
        return "it is under a retired key, and the request under a later one"
    return reason
