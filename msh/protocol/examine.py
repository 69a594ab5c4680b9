"""The inbound checks as one pure function, for looking at bytes without taking them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from msh.agreement import Agreement, Agreements
from msh.catalog import StatusCode
from msh.envelope import Parsed, parse
from msh.errors import MalformedMessage, NoKey, NotAuthentic
from msh.message import Message
from msh.profile import Check
from msh.protocol.checks import Judged, broken_rules, fits_schema, judge

#: The message of an agreement, if it is authentic (see `msh.security.base.Security.verify`).
Verify = Callable[[Agreement, Parsed], Awaitable[Message]]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a body: the code answered for it, the rule, and what breaks it.

    ``rule`` is ``schema`` where the body does not fit its schema.
    """

    status: StatusCode
    rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class Examined:
    """What the checks say: ``status`` is the code that would be answered, None for a reply.

    ``message_id`` and ``service`` are None where the bytes could not be read. ``faults`` are all
    that the body has, also behind another refusal; the reply carries one code only.
    """

    accepted: bool
    status: StatusCode | None
    reason: str
    message_id: str | None = None
    service: str | None = None
    faults: tuple[Fault, ...] = ()


async def examine(wire: bytes, agreements: Agreements, verify: Verify, now: datetime) -> Examined:
    """Judge ``wire`` as the receiving side of ``agreements`` would judge a new message at ``now``.

    In the order of the checks: size, parse, parties, protection, time to live, known service,
    right, body. What needs a store is left out: repeats, suspension, references used before.
    """
    first = next(iter(agreements))
    try:
        parsed = parse(wire, {a.profile.namespace: a.profile for a in agreements})
    except MalformedMessage as error:
        return Examined(False, first.own_codes[Check.FORMAT], error.reason)
    claimed = parsed.message
    names = claimed.message_id, claimed.service
    agreement = agreements.get(claimed.sender)
    if (
        agreement is None
        or claimed.receiver != agreements.own
        or agreement.profile is not parsed.profile
    ):
        reason = _strangers(claimed.sender, claimed.receiver, agreements)
        return Examined(False, first.own_codes[Check.RIGHT], reason, *names)
    try:
        message = await verify(agreement, parsed)
    except NotAuthentic as error:
        check = Check.KEY if isinstance(error, NoKey) else Check.MAC
        return Examined(False, agreement.own_codes[check], error.reason, *names)
    request = agreement.profile.catalog.request_for(message.service)
    if request is not None:
        return _reply(message, agreement, request)
    judged = Judged(message, agreement, now)
    refusal = judge(judged)
    if refusal is not None:
        status = refusal.status(agreement)
        return Examined(False, status, refusal.reason, *names, _faults(judged))
    return Examined(True, agreement.own_codes[Check.DONE], "passes every check", *names)


def _faults(judged: Judged) -> tuple[Fault, ...]:
    codes = judged.agreement.own_codes
    misfit = fits_schema(judged)
    if misfit is not None:  # rules are for bodies that fit
        return (Fault(codes[misfit.check], "schema", misfit.reason),)
    return tuple(
        Fault(codes.of_rule(broken.rule), broken.rule.name, broken.reason)
        for broken in broken_rules(judged)
    )


def _strangers(sender: str, receiver: str, agreements: Agreements) -> str:
    if receiver == agreements.own:
        return f"no agreement with {sender}, which it says it is from, under this profile"
    # Most likely one of our own, checked at the wrong end.
    return f"it is from {sender}, addressed to {receiver}, and this is {agreements.own}"


def _reply(message: Message, agreement: Agreement, request: str) -> Examined:
    """A reply is not judged but matched with its request, and nothing is answered to it."""
    names = message.message_id, message.service
    if request not in agreement.sends:
        return Examined(False, None, f"a reply to {request}, which is not sent from here", *names)
    if message.ref_to is None or message.status is None:
        return Examined(False, None, "a reply without RefToMsgId or status code", *names)
    reason = f"a reply; taken if {message.ref_to} was sent from here and has the same parties"
    return Examined(True, None, reason, *names)
