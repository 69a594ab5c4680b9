"""The checks of an inbound message, in their order, as pure functions.

Before these come size, address, the hardened parse, which parties, protection and the repeat
check; those need bytes, peers or the store. Here stand the ones that judge an authentic, new
message. Each returns a refusal or None; the first refusal is the reply.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Protocol

from msh.agreement import Agreement
from msh.catalog import KEY_CHANGE, StatusCode
from msh.content import Body, Broken, References
from msh.errors import InvalidBody
from msh.hours import Matter
from msh.message import Message
from msh.profile import Check
from msh.xml import STANDARD_SHAPE, Element, Shape


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
    """What a check looks at: the message, its agreement and when it was first received.

    ``repeat``: it was asked for again, so that its time to live may have passed.
    """

    message: Message
    agreement: Agreement
    received: datetime
    repeat: bool = False
    #: The element that was read as the body, while it is there: it need not be read again.
    element: Element | None = None

    @cached_property
    def body(self) -> Body | None:
        """The body, parsed once for all checks that look into it."""
        agreement = self.agreement
        looks = agreement.checks_content or agreement.hours is not None
        content = agreement.profile.content if looks else None
        if content is None:
            return None
        if self.element is not None:
            return Body(self.element, len(self.message.body))
        return content.look_again(self.message.body)


def in_time(judged: Judged) -> Refusal | None:
    """Time to live, with the agreed clock skew (ebXML MS 2.0, 4.2.2, TimeToLive)."""
    message, agreement = judged.message, judged.agreement
    if not judged.repeat and past_time_to_live(message.expires, agreement, judged.received):
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


def open_now(judged: Judged) -> Refusal | None:
    """Within the hours of the service, as it was first received (TDCC PSP 9.6).

    Results are taken at any hour: refusing one would lose the outcome of an executed payment.
    """
    agreement, service = judged.agreement, judged.message.service
    hours = agreement.hours
    if hours is None or agreement.profile.catalog.is_result(service):
        return None
    matter = matter_of(agreement, service, judged.body, sends=False)
    if matter is None or hours.open_at(matter, judged.received):
        return None
    return Refusal(Check.HOURS, "outside service hours")


def matter_of(
    agreement: Agreement, service: str, body: Body | None, *, sends: bool
) -> Matter | None:
    """What hours are told by; None for what may come at any hour.

    The body is looked at before its schema is: what is missing in it decides nothing. A key
    exchange that was begun in hours may finish after them (TDCC PSP 9.6.1).
    """
    profile = agreement.profile
    if service in profile.key_exchange.requests:
        offers = service == profile.key_exchange.offer
        return Matter(KEY_CHANGE, sends=sends) if offers else None
    if body is None or profile.content is None:
        return Matter(service, sends=sends)
    names = profile.content.names
    business_type, kind = body.text(names.business_type), body.text(names.message_kind)
    return Matter(service, business_type, kind, sends)


def opening(agreement: Agreement, service: str, body: bytes, now: datetime) -> datetime | None:
    """When ``service`` may first be sent: ``now``, or when it opens; None if not in a year.

    Hours gate the first attempt only, never a resend (TDCC PSP 9.6).
    """
    hours, content = agreement.hours, agreement.profile.content
    if hours is None or agreement.profile.catalog.is_result(service):
        return now
    seen = content.look(body) if content else None
    matter = matter_of(agreement, service, seen, sends=True)
    return now if matter is None else hours.next_opening(matter, now)


def fits_schema(judged: Judged) -> Refusal | None:
    """The body is what the schema of its service says."""
    content = judged.agreement.content
    if content is None:
        return None
    fault = content.fault(judged.message.service, judged.body)
    return Refusal(Check.FORMAT, fault) if fault else None


def keeps_the_rules(judged: Judged) -> Refusal | None:
    """The body breaks no business rule; else the first one by the order of the code table."""
    broken = next(broken_rules(judged), None)
    return _refused(broken, judged.agreement) if broken else None


def broken_rules(judged: Judged) -> Iterator[Broken]:
    """Every business rule that the body breaks."""
    agreement = judged.agreement
    content, body = agreement.content, judged.body
    if content is None or body is None:
        return iter(())
    return content.broken(
        judged.message.service, body, judged.received, agreement.days, agreement.bank
    )


def references_of(judged: Judged) -> References | None:
    """The references that must be those of no other message; the store looks."""
    content, body = judged.agreement.content, judged.body
    return content.references(judged.message.service, body) if content and body else None


def reused_references(agreement: Agreement) -> Refusal | None:
    """Refused because another message holds one of the references (TDCC PSP 9.2, 0129E)."""
    return _refused(agreement.content.reused, agreement) if agreement.content else None


def _refused(broken: Broken, agreement: Agreement) -> Refusal:
    code = agreement.own_codes.of_rule(broken.rule)
    reason = broken.reason
    if code != broken.rule.code:  # the code alone does not tell which rule it was
        reason = f"{reason} (rule {broken.rule.name})"
    return Refusal(Check(broken.rule.check), reason, code)


#: In the order of the specification. The store looks at suspension, between hours and schema.
CHECKS: tuple[Callable[[Judged], Refusal | None], ...] = (
    in_time,
    known_service,
    may_use,
    open_now,
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
            if judged.element is None:
                return refusal
            # Where something stands in the body is told by a body that stands alone.
            return judge(replace(judged, element=None))
    return None


def require_content(
    agreement: Agreement,
    service: str,
    body: bytes,
    now: datetime,
    shape: Shape = STANDARD_SHAPE,
) -> Body | None:
    """The body as it was looked at, if it was.

    Raises `InvalidBody` for one that the other side would have to refuse.
    """
    content = agreement.content
    if content is None:
        return None
    seen = content.look(body, shape)
    fault = content.fault(service, seen)
    if fault:
        raise InvalidBody(f"{service}: {fault}; see `msh check`")
    broken = list(content.broken(service, seen, now, agreement.days)) if seen else []
    if broken:
        told = "; ".join(f"{b.reason} (rule {b.rule.name}, {b.rule.code})" for b in broken)
        raise InvalidBody(f"{service}: {told}")
    return seen


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
