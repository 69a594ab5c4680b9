"""What became of a message, in plain words: what happened, what is known, what to do.

In doubt is a state of its own: nothing here says *refused* or *not executed* unless it is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from msh.catalog import Catalog, Meaning, StatusCode
from msh.cli.output import local
from msh.protocol import delivery as deliveries
from msh.protocol import reception as receptions
from msh.protocol.journal import Entry, Step
from msh.store import Attempt, Delivery, Reception

#: The reason that the journal gives where a party or service was suspended.
_SUSPENDED = "suspended"
_PURGED = "Its content and journal have been purged; ids and status are still kept."

# Answers to an inquiry, which say something of the transaction it asks about and settle nothing.
_IN_PROGRESS = (
    "The transaction it asks about is still being worked on there, so that one's outcome stays "
    "unknown. Ask again later, with a new message."
)
_NOT_FOUND = (
    "The transaction it asks about was not found there at that time. A copy of that one may still "
    "be on its way, so it stays in doubt unless its time to live had passed before this was asked."
)
_ABOUT_ANOTHER = {
    "PSPBK0107E": _IN_PROGRESS,
    "PSPBK0112E": _IN_PROGRESS,
    "PSPBK0105E": _NOT_FOUND,
    "PSPBK0110E": _NOT_FOUND,
}


def why_delivery(
    delivery: Delivery,
    attempts: Sequence[Attempt],
    catalog: Catalog,
    now: datetime,
    journal: Sequence[Entry] = (),
) -> str:
    """A paragraph about a message sent from here, for every state; ``journal`` tells of a hold."""
    head = (
        f"{delivery.service} {delivery.message_id} to {delivery.receiver} was queued here on "
        f"{local(delivery.queued)}."
    )
    tail = (_PURGED,) if delivery.purged else ()
    if reason := _held(delivery, journal):
        return " ".join((head, *_of_hold(delivery, reason), *tail))
    return " ".join((head, *_of_state(delivery, attempts, catalog, now), *tail))


def why_reception(
    reception: Reception, catalog: Catalog, now: datetime, journal: Sequence[Entry] = ()
) -> str:
    """A paragraph about a message received here, for every state; ``journal`` tells why refused."""
    head = (
        f"{reception.service} {reception.message_id} from {reception.sender} was received here on "
        f"{local(reception.received)}."
    )
    tail = (_PURGED,) if reception.purged else ()
    if reception.replays:
        tail = (
            f"Repeats of it came {_times(reception.replays)}; the same stored reply is the answer "
            "to each, and they had no further effect.",
            *tail,
        )
    reasons = [entry.details.get("reason") for entry in journal if entry.step is Step.REFUSED]
    if reasons and reasons[-1] == _SUSPENDED and reception.status is not None:
        return " ".join((head, *_of_suspension(reception, catalog), *tail))
    return " ".join((head, *_of_reception(reception, catalog, now), *tail))


# outbound


def _held(delivery: Delivery, journal: Sequence[Entry]) -> str:
    """Why the delivery is held, if it is: since then no attempt has begun."""
    if delivery.state not in (deliveries.State.QUEUED, deliveries.State.WAITING):
        return ""
    last = journal[-1] if journal else None
    return str(last.details.get("reason")) if last and last.step is Step.HELD else ""


def _of_hold(delivery: Delivery, reason: str) -> tuple[str, ...]:
    peer = delivery.receiver
    left = (
        "No attempt has begun yet, so nothing has left this machine."
        if not delivery.copies
        else _copies(delivery)
    )
    look = " `msh certs check` says what certificates lack." if "certificate" in reason else ""
    return (
        left,
        f"It is held, because it cannot be protected as agreed with {peer}: {reason.rstrip('.')}.",
        f"See to that.{look} Then it leaves by itself while `msh serve` runs; being held costs it "
        "no attempt.",
    )


def _of_state(
    delivery: Delivery, attempts: Sequence[Attempt], catalog: Catalog, now: datetime
) -> tuple[str, ...]:
    code = _quoted(delivery.status, catalog)
    tried = _tried(delivery, attempts)
    resend = f"`msh resend {delivery.message_id}`"
    result = catalog.result_for(delivery.service)
    match delivery.state:
        case deliveries.State.QUEUED:
            return (
                "No attempt has begun yet, so nothing has left this machine.",
                "It is safe on disk and is delivered as soon as `msh serve` runs with this "
                "configuration; if one runs, see whether its log tells of a trouble.",
            )
        case deliveries.State.SENDING:
            return (
                f"Attempt {delivery.attempts} is under way: bytes may have left, and no answer is "
                "recorded yet.",
                "Whether it has taken effect is not known at this moment.",
                "There is nothing to do: the attempt ends with an answer or at its time-out, also "
                "if the process that sends was killed.",
            )
        case deliveries.State.WAITING:
            return (*tried, _copies(delivery), *_next_attempt(delivery, now))
        case deliveries.State.ANSWERED:
            return _answered(delivery, catalog, result)
        case deliveries.State.OUTCOME_UNKNOWN:
            return (
                f"{delivery.receiver} answered with its system error, {code}.",
                "It may or may not have taken effect: that code says that the other side itself "
                "does not know.",
                *_ask(delivery, result),
                f"The same message may be repeated with {resend}; never send the request again as "
                "a new message.",
            )
        case deliveries.State.REFUSED_IN_DOUBT:
            return (
                f"A repeat of it was answered with {code}.",
                f"{_counted(delivery.copies, 'copy', 'copies')} may have arrived, and that answer "
                "says nothing of the first: it may have taken effect, or not.",
                *_ask(delivery, result),
                f"{resend} repeats the same message and may bring the first copy's own answer; "
                "never send the request again as a new message.",
            )
        case deliveries.State.NOT_SENT:
            return (
                *tried,
                "It was given up, and surely no copy has left this machine: it has had no effect.",
                f"See that {delivery.receiver} can be reached and that its endpoint in the "
                f"configuration is right; then {resend}, or leave it.",
            )
        case deliveries.State.IN_DOUBT:
            return (
                *tried,
                f"It was given up on {local(delivery.settled)}. {_copies(delivery)}",
                *_ask(delivery, result),
                f"{resend} repeats the very same message, which {delivery.receiver} recognises by "
                "its id; never send the request again as a new message. An answer that comes late "
                "is still recorded.",
            )
        case deliveries.State.NOT_EXECUTED:
            return _not_executed(delivery)
    return (
        *_resolved(delivery, catalog),
        "Nothing is in doubt and there is nothing to do; read that message for the outcome.",
    )


def _answered(delivery: Delivery, catalog: Catalog, result: str | None) -> tuple[str, ...]:
    assert delivery.status is not None
    by = "by the only attempt" if delivery.attempts == 1 else f"after {delivery.attempts} attempts"
    known = (
        f"{delivery.receiver} answered {_quoted(delivery.status, catalog)} on "
        f"{local(delivery.settled)}, {by}."
    )
    if (about := _ABOUT_ANOTHER.get(str(delivery.status))) is not None:
        return known, about
    match delivery.status.meaning:
        case Meaning.DONE if delivery.resolved_by:
            return known, f"Its result came in {delivery.resolved_by}. There is nothing to do."
        case Meaning.DONE if result:
            return (
                known,
                f"The request has passed its checks; its business outcome comes later, in a "
                f"{result} from {delivery.receiver}. There is nothing to do but await that.",
            )
        case Meaning.DONE:
            return known, "There is nothing to do."
        case Meaning.LATER:
            return (
                known,
                "The request was not taken now and has had no effect. Send it again later, as a "
                "new message.",
            )
    return (
        known,
        "The request was refused and has had no effect; the same request would be refused again. "
        "Correct what the code names and send it as a new message.",
    )


def _not_executed(delivery: Delivery) -> tuple[str, ...]:
    return (
        f"It left, and was not executed: that is known from {delivery.resolved_by}.",
        "If it is still wanted, send it again as a new message.",
    )


def _resolved(delivery: Delivery, catalog: Catalog) -> tuple[str, ...]:
    said = (
        f"The answer was {_quoted(delivery.status, catalog)}, which left doubt;"
        if delivery.status
        else "No answer to it was recorded;"
    )
    if " " in (delivery.resolved_by or ""):  # which no message id has
        return (f"{said} but {delivery.resolved_by} found that it was executed there.",)
    return (f"{said} but its result came in {delivery.resolved_by}, so it is known there.",)


def _tried(delivery: Delivery, attempts: Sequence[Attempt]) -> tuple[str, ...]:
    if not delivery.attempts:
        return ()
    made = f"{_counted(delivery.attempts, 'attempt', 'attempts')} got no answer"
    failed = [attempt for attempt in attempts if attempt.outcome]
    if not failed:
        return (f"{made}.",)
    last = failed[-1]
    said = f"{made}; the last began on {local(last.began)} and ended so: {_ended(last)}."
    return (said, *_stranger_there(delivery, failed))


def _stranger_there(delivery: Delivery, failed: Sequence[Attempt]) -> tuple[str, ...]:
    """Somebody answers there, but not as the peer would; most likely it does not know us."""
    if not any(attempt.unauthentic for attempt in failed):
        return ()
    return (
        f"So something does answer there, but not as agreed: most likely {delivery.receiver} does "
        "not know our certificate or key, or we not its. Compare what both sides have (`msh certs "
        "list`, `msh keys check`); the other side's log names what it refused.",
    )


def _ended(attempt: Attempt) -> str:
    outcome, detail = attempt.outcome or "", attempt.detail
    return detail if not outcome or detail.startswith(outcome) else f"{outcome}: {detail}"


def _copies(delivery: Delivery) -> str:
    if not delivery.copies:
        return "Surely no copy has left this machine so far."
    copies = _counted(delivery.copies, "copy", "copies")
    return f"{copies} may have arrived, so it may have taken effect: that is in doubt."


def _next_attempt(delivery: Delivery, now: datetime) -> tuple[str, ...]:
    if delivery.due is None or delivery.due <= now:
        return ("The next step is due now; it is taken as soon as `msh serve` runs.",)
    return (
        f"The next step, another attempt or giving up, is due on {local(delivery.due)} "
        f"(in {_lasting(delivery.due - now)}); it is taken by itself while `msh serve` runs.",
    )


def _ask(delivery: Delivery, result: str | None) -> tuple[str, ...]:
    if result:
        return (
            f"Ask {delivery.receiver} what became of it, or await its {result}, which ends the "
            f"doubt by itself. {_settle(delivery)}",
        )
    return (f"Ask {delivery.receiver} what became of it. {_settle(delivery)}",)


def _settle(delivery: Delivery) -> str:
    return f"`msh settle {delivery.message_id}` records what {delivery.receiver} says."


# inbound


def _of_reception(reception: Reception, catalog: Catalog, now: datetime) -> tuple[str, ...]:
    code = _quoted(reception.status, catalog)
    runs = _counted(reception.runs, "run", "runs")
    lapsed = reception.lease is not None and reception.lease <= now
    match reception.state:
        case receptions.State.CLAIMED:
            return (
                "It is on disk and waits for its handler to start"
                + (f", after {runs}." if reception.runs else "."),
                _holder(reception, lapsed),
            )
        case receptions.State.RUNNING:
            return (
                f"Run {reception.runs} of its handler has begun and has not ended; no reply is "
                "stored yet.",
                "Whatever the handler does outside of `apply` may have happened already.",
                _holder(reception, lapsed),
            )
        case receptions.State.RELEASED:
            return (
                f"Its handler has failed ({runs} so far), which is not an answer; no reply is "
                "stored.",
                f"The handler runs again from {local(reception.due)}, by itself while `msh serve` "
                f"runs. `msh show {reception.message_id}` names the error; mend what causes it.",
            )
        case receptions.State.PARKED:
            return (
                "It is parked: its answer depends on another message, and no handler waits for it.",
                "There is nothing to do here; it is answered when that message is.",
            )
        case receptions.State.CLOSED:
            return (f"It was set aside, and an operator has closed it; {code} is its reply.",)
        case receptions.State.SET_ASIDE if not reception.runs:
            return (
                "No run of its handler began in time, so nothing was done here; it was answered "
                f"with the system error, {code}, and set aside.",
                f"For {reception.sender} the outcome is unknown, and it is waiting for an operator:"
                f" tell {reception.sender} that nothing was done" + _by_result(reception, catalog),
            )
        case receptions.State.SET_ASIDE:
            return (
                f"No outcome could be reached ({runs} of its handler), so it was answered with the "
                f"system error, {code}, and set aside.",
                f"For {reception.sender} the outcome is unknown, and it is waiting for an operator:"
                " find out whether the work was done, whatever a handler did outside of `apply` "
                "may have happened.",
                f"`msh show {reception.message_id}` names the error. Tell {reception.sender} the "
                "outcome" + _by_result(reception, catalog),
            )
    assert reception.status is not None
    replied = f"{code} was stored as its reply on {local(reception.answered)}"
    if not reception.runs:
        return (f"{replied}, by the checks: no handler ran, and it has had no effect here.",)
    said = {
        Meaning.DONE: "it was handled, and there is nothing to do.",
        Meaning.SYSTEM_ERROR: "by its own handler: whether it took effect, that handler must say.",
    }.get(reception.status.meaning, "the handler did not accept it, and there is nothing to do.")
    return (f"{replied}, after {runs} of its handler: {said}",)


def _of_suspension(reception: Reception, catalog: Catalog) -> tuple[str, ...]:
    return (
        f"{reception.sender} or {reception.service} was suspended here, so it was answered with "
        f"{_quoted(reception.status, catalog)} on {local(reception.answered)}: no handler ran, and "
        "it has had no effect here.",
        f"`msh suspensions` says what still is, `msh resume` ends it. Then {reception.sender} may "
        "send it again, as a new message: resends of this one get the same reply.",
    )


def _holder(reception: Reception, lapsed: bool) -> str:
    if lapsed:
        return (
            f"The process that had it ({reception.owner}) has not been heard of since before "
            f"{local(reception.lease)}; any `msh serve` of this configuration takes it over."
        )
    return (
        f"Process {reception.owner} has it, and until {local(reception.lease)} nobody else takes "
        "it. There is nothing to do."
    )


def _by_result(reception: Reception, catalog: Catalog) -> str:
    name = reception.message_id
    then = f"`msh rerun {name}` has its handler run again, `msh close {name}` ends it."
    result = catalog.result_for(reception.service)
    if not result:
        return f". {then}"
    command = f"msh send {result} BODY.xml --to {reception.sender} --ref-to {reception.message_id}"
    return f", for instance by a {result} that refers to it: `{command}`. {then}"


# words


def _quoted(status: StatusCode | None, catalog: Catalog) -> str:
    if status is None:
        return "no status"
    row = catalog.statuses.get(str(status))
    return f"{status} ({row.text}, {row.gloss.lower()})" if row else f"{status}"


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _lasting(span: timedelta) -> str:
    seconds = max(1, round(span.total_seconds()))
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"
