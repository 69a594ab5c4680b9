"""The checks of an inbound message, in their order, as pure functions.

Before these come size, address, the hardened parse, which parties, protection and the repeat
check; those need bytes, peers or the store. Here stand the ones that judge an authentic, new
message. Each returns a refusal or None; the first refusal is the reply.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Protocol

from msh.agreement import Agreement
from msh.catalog import StatusCode
from msh.content import Body
from msh.errors import InvalidBody
from msh.message import Message
from msh.profile import Check


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a message is refused: the check, from which the role's code follows, and the reason.

    A business rule has a ``code`` of its own.
    """

    check: Check
    reason: str
    code: StatusCode | None = None

    def status(self, agreement: Agreement) -> StatusCode:
        """The code that this side of ``agreement`` answers with."""
        return self.code or agreement.own_codes[self.check]


@dataclass(frozen=True)
class Judged:
    """What a check looks at: the message, its agreement and when it was first received."""

    message: Message
    agreement: Agreement
    received: datetime

    @cached_property
    def body(self) -> Body | None:
        """The body, parsed once for all checks that look into it."""
        content = self.agreement.content
        return content.look(self.message.body) if content else None


def in_time(judged: Judged) -> Refusal | None:
    """Time to live, with the agreed clock skew (ebXML MS 2.0, 4.2.2, TimeToLive)."""
    message, agreement = judged.message, judged.agreement
    if past_time_to_live(message.expires, agreement, judged.received):
        return Refusal(Check.EXPIRED, "the time to live has passed")
    if message.timestamp < judged.received - agreement.ids_kept:
        # An older first copy may have been here and been forgotten.
        return Refusal(Check.EXPIRED, "the timestamp is older than message ids are kept")
    if message.timestamp > judged.received + agreement.clock_skew:
        # It would outlive the time for which its id is kept.
        return Refusal(Check.EXPIRED, "the timestamp is ahead of time")
    return None


def known_service(judged: Judged) -> Refusal | None:
    """The service is one of the profile's request services (TDCC PSP 9.1)."""
    catalog = judged.agreement.profile.catalog
    row = catalog.service(judged.message.service)
    if row is None or row.kind != "request":
        return Refusal(Check.SERVICE, "no such service")
    return None


def may_use(judged: Judged) -> Refusal | None:
    """The sender may use the service."""
    if not judged.agreement.takes(judged.message.service):
        return Refusal(Check.RIGHT, "no right to use this service")
    return None


def fits_schema(judged: Judged) -> Refusal | None:
    """The body is what the schema of its service says."""
    content = judged.agreement.content
    if content is None:
        return None
    fault = content.fault(judged.message.service, judged.body)
    return Refusal(Check.FORMAT, fault) if fault else None


def keeps_the_rules(judged: Judged) -> Refusal | None:
    """The body breaks no business rule; else the first one by the order of the code table."""
    agreement = judged.agreement
    content = agreement.content
    if content is None or judged.body is None:
        return None
    service = judged.message.service
    broken = next(content.broken(service, judged.body, judged.received, agreement.days), None)
    if broken is None:
        return None
    return Refusal(Check.RULE, broken.reason, agreement.own_codes.of_rule(broken.rule))


#: In the order of the specification. The store looks at suspension, between hours and schema.
CHECKS: tuple[Callable[[Judged], Refusal | None], ...] = (
    in_time,
    known_service,
    may_use,
    fits_schema,
    keeps_the_rules,
)
#: Checks that come after suspension, whose refusal therefore goes before theirs.
AFTER_SUSPENSION = frozenset({Check.FORMAT, Check.MESSAGE_KIND, Check.RULE})


def judge(judged: Judged) -> Refusal | None:
    """The first refusal, or None if the handler may run."""
    for check in CHECKS:
        refusal = check(judged)
        if refusal:
            return refusal
    return None


def require_content(agreement: Agreement, service: str, body: bytes, now: datetime) -> None:
    """Raise `InvalidBody` for a body that the other side would have to refuse."""
    content = agreement.content
    if content is None:
        return
    seen = content.look(body)
    fault = content.fault(service, seen)
    if fault:
        raise InvalidBody(f"{service}: {fault}; see `msh check`")
    broken = next(content.broken(service, seen, now, agreement.days), None) if seen else None
    if broken:
        rule = broken.rule
        raise InvalidBody(f"{service}: {broken.reason} (rule {rule.name}, {rule.code})")


def past_time_to_live(expires: datetime | None, agreement: Agreement, now: datetime) -> bool:
    """Whether no further run may begin: looked at again before each run of a handler."""
    # The moments are the peer's: adding to the latest one there is would overflow.
    return expires is not None and expires <= now - agreement.clock_skew


class Request(Protocol):
    """What a reply must fit: a message, or the delivery of one."""

    @property
    def service(self) -> str: ...
    @property
    def message_id(self) -> str: ...
    @property
    def sender(self) -> str: ...
    @property
    def receiver(self) -> str: ...


def unbound(
    request: Request, reply: Message, agreement: Agreement, digest: bytes | None = None
) -> str | None:
    """Why ``reply`` is not the answer to ``request``, or None if it is.

    RefToMsgId, the RQ/RS pairing and both parties must fit; where replies are protected, so must
    ``digest``, the request's own (`msh.protocol.digest.message_digest`).
    """
    if reply.ref_to != request.message_id:
        return "it refers to another message"
    if reply.service != agreement.profile.catalog.reply_for(request.service):
        return "its service is not the reply of the request's"
    if (reply.sender, reply.receiver) != (request.receiver, request.sender):
        return "its parties are not the request's"
    if reply.status is None:
        return "it has no status code"
    if digest is not None and reply.ref_digest != digest:
        return "it does not carry the digest of the request"
    return None
