"""Drafts: what is to be sent, checked before anything of it is stored."""

from __future__ import annotations

from collections.abc import Callable

from msh.agreement import Agreement, Agreements
from msh.clock import Clock
from msh.composing import message_of
from msh.content.splitting import whole_shape
from msh.envelope import normal_body, serialise
from msh.errors import InvalidBody, MessageTooLarge, NotAgreed, NotOpen, UsageError
from msh.ids import new_message_id
from msh.message import Outgoing, is_identifier
from msh.protocol.checks import opening, require_content
from msh.protocol.digest import content_digest
from msh.resulting import references_in
from msh.security import Security
from msh.store import Draft

#: More bytes than any envelope around a body takes.
ENVELOPE = 8192

_SMALLEST = b"<a></a>"
_EMPTY = (
    "the body is empty, as of an export that failed; give one XML element, or None for a message "
    "that is meant to have no body"
)


class Drafting:
    """Makes drafts under agreements. It stores nothing, so any thread may call it."""

    def __init__(
        self, agreements: Agreements, security: Callable[[Agreement], Security], clock: Clock
    ) -> None:
        self._agreements = agreements
        self._security = security
        self._clock = clock

    def draft(self, outgoing: Outgoing, *, new: bool = True) -> Draft:
        """Check what is to be sent; raises before anything is stored.

        What is not ``new`` was checked on the day it was queued: here it is only to be found again.
        """
        agreement = self.agreement(outgoing)
        now = self._clock.now()
        body = b"" if outgoing.body is None else self._body(agreement, outgoing)
        seen = require_content(agreement, outgoing.service, body, now) if new else None
        opens = opening(agreement, outgoing.service, body, now) if new else now
        if opens is None:
            raise NotOpen(outgoing.service, None)
        message_id = outgoing.message_id or new_message_id(agreement.own, now)
        for name, text in (("message_id", message_id), ("ref_to", outgoing.ref_to)):
            if text is not None and not is_identifier(text):
                raise UsageError(f"{name} {text!r}: must be 1 to 128 visible ASCII characters")
        size = len(body) + self._security(agreement).overhead
        if size + ENVELOPE > agreement.max_bytes:  # near enough to the limit to be counted exactly
            message = message_of(agreement, outgoing, message_id, body, now)
            size += len(serialise(message, agreement.profile)) - len(body)
        if size > agreement.max_bytes:
            raise too_large(agreement, outgoing.service, size)
        return Draft(
            message_id=message_id,
            service=outgoing.service,
            sender=agreement.own,
            receiver=agreement.peer,
            body=body,
            digest=content_digest(outgoing.service, agreement.peer, outgoing.ref_to, body),
            key=outgoing.key,
            ref_to=outgoing.ref_to,
            due=None if opens == now else opens,
            references=references_in(agreement, seen),
        )

    def agreement(self, outgoing: Outgoing) -> Agreement:
        """The agreement to send under. Raises `NotAgreed`, or `UsageError` for wrong arguments."""
        _require_texts(outgoing)
        agreement = self._agreements.to_send(outgoing.service, outgoing.to or None)
        if agreement.endpoint is None:
            raise NotAgreed(
                f"the agreement with {agreement.peer} has no endpoint; set "
                f"agreements.{agreement.peer}.endpoint"
            )
        if outgoing.key is not None and not 1 <= len(outgoing.key) <= 200:
            raise UsageError("a key must be 1 to 200 characters")
        return agreement

    def whole(self, agreement: Agreement, body: bytes | str) -> bytes:
        """A body of any size in its normal form. Raises `InvalidBody`."""
        normal = normal_body(body, whole_shape(agreement.profile.shape))
        if not normal:
            raise InvalidBody(_EMPTY)
        return normal

    def room(self, agreement: Agreement, service: str, message_id: str) -> int:
        """How many bytes a body may have in a message whose id is as long as ``message_id``.

        The largest protection of the agreement included, so that it is the same at any time.
        """
        # As long as a moment can be written.
        now = self._clock.now().replace(microsecond=1)
        outgoing = Outgoing(service, _SMALLEST, agreement.peer)
        message = message_of(agreement, outgoing, message_id, _SMALLEST, now)
        around = len(serialise(message, agreement.profile)) - len(_SMALLEST)
        return agreement.max_bytes - self._security(agreement).overhead - around

    def _body(self, agreement: Agreement, outgoing: Outgoing) -> bytes:
        given = outgoing.body
        if isinstance(given, (bytes, str)) and len(given) > agreement.max_bytes:
            # Else a body with too many elements would be called one that has a wrong form.
            given = self.whole(agreement, given)
            if len(given) > agreement.max_bytes:
                raise too_large(agreement, outgoing.service, len(given))
        assert given is not None
        body = normal_body(given, agreement.profile.shape)
        if not body:
            raise InvalidBody(_EMPTY)
        return body


def too_large(agreement: Agreement, service: str, size: int) -> MessageTooLarge:
    """What is told of a message that is over the limit."""
    content = agreement.profile.content
    how = "it holds nothing by which it could be split"
    if content is not None and service in content.splitting.repeats:
        how = "`send_split`, or `msh send --split`, makes several requests of it"
    return MessageTooLarge(
        f"{service} to {agreement.peer} would be {size:,} bytes, over the limit of"
        f" {agreement.max_bytes:,} (TDCC PSP 9.7.5); {how}"
    )


def _require_texts(outgoing: Outgoing) -> None:
    for name, text in (
        ("key", outgoing.key),
        ("message_id", outgoing.message_id),
        ("ref_to", outgoing.ref_to),
    ):
        if text is not None and not isinstance(text, str):
            raise UsageError(f"{name} must be a text, not {type(text).__name__}")
