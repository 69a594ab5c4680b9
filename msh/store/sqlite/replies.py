"""What ends a delivery, or begins it anew: plain functions of a transaction."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msh.catalog import StatusCode
from msh.errors import UnknownMessage, UsageError
from msh.message import Message
from msh.profile import RoleCodes
from msh.protocol.delivery import (
    REPLACEABLE,
    TRANSITIONS,
    Event,
    State,
    exhausted,
    read_reply,
    step,
)
from msh.protocol.journal import Direction, Step
from msh.store.records import Delivery, Outbound
from msh.store.sqlite.outbound import as_delivery, end_attempt, find, held, journal
from msh.store.sqlite.outcomes import inquiry_replied
from msh.store.sqlite.repeating import repeated
from msh.store.sqlite.values import to_micros
from msh.store.sqlite.writer import Transaction


def record_reply(
    tx: Transaction,
    sender: str,
    reply: Message,
    wire: bytes,
    codes: RoleCodes,
    now: datetime,
    reconnected: bool,
    late: bool,
) -> Delivery | None:
    """A verified answer is recorded whoever holds the claim; the table says what it means."""
    assert reply.status is not None
    assert reply.ref_to is not None
    row = find(tx, sender, reply.ref_to)
    if row is None or row["receiver"] != reply.sender:
        return None
    state = State(row["state"])
    copies = row["copies"] + int(reconnected)
    event = read_reply(reply.status, codes, copies)
    if event not in TRANSITIONS[state]:
        return None  # nothing was sent yet, so this cannot be its answer
    following = step(state, event)
    at = to_micros(now)
    status = str(reply.status)
    details: dict[str, Any] = {"status": status}
    if row["attempts"]:
        details["attempt"] = row["attempts"]
    if late:
        details["late"] = True
    if reconnected:
        details["reconnected"] = True
    if _stands(row, event, codes):
        same = row["status"] == status
        kind = Step.ANSWER_REPEATED if same else Step.ANSWER_DIFFERS
        _tell_repeated(tx, now, kind, row, **details, kept=row["status"])
        return as_delivery(row)
    if state is State.SENDING:
        end_attempt(tx, row, at, "answered", status, reconnected)
    keeps_old = following is state is State.OUTCOME_UNKNOWN and event is Event.REPLY_SAYS_NOTHING
    row.update(state=following, copies=copies, settled=at)
    if not keeps_old:
        row.update(status=status)
        if not row["purged"]:  # else nothing would ever remove it again
            tx.execute(
                "INSERT INTO delivery_reply VALUES (?, ?)"
                " ON CONFLICT (delivery) DO UPDATE SET wire = excluded.wire",
                (row["id"], wire),
            )
    tx.execute(
        "UPDATE delivery SET state = ?, copies = ?, settled = ?, status = ?, lease = NULL,"
        " due = NULL, token = token + 1 WHERE id = ?",
        (following, copies, at, row["status"], row["id"]),
    )
    was = {"was": state} if state is State.NOT_EXECUTED else {}
    tell = _tell_repeated if following is state else journal  # 9999S may come again and again
    tell(tx, now, Step.ANSWERED, row, **details, state=following, **was)
    inquiry_replied(tx, row["id"], reply, now)
    return as_delivery(row)


def _stands(row: dict[str, Any], event: Event, codes: RoleCodes) -> bool:
    """Whether the reply recorded before keeps its place."""
    state = State(row["state"])
    if state in REPLACEABLE or row["status"] is None:
        return False
    if state is State.RESOLVED and event is Event.REPLY:
        # The result came over a 9999S or a refusal in doubt; those a reply replaces.
        earlier = StatusCode.parse(row["status"])
        return read_reply(earlier, codes, row["copies"]) is Event.REPLY
    return True


def ignore_reply(tx: Transaction, sender: str, message_id: str, now: datetime, reason: str) -> None:
    """A reply that is no answer leaves a line in the journal and changes nothing."""
    row = find(tx, sender, message_id)
    if row is not None:
        _tell_repeated(tx, now, Step.ANSWER_IGNORED, row, reason=reason)


def _tell_repeated(
    tx: Transaction, now: datetime, event: Step, row: dict[str, Any], **details: Any
) -> None:
    """Whoever has an old reply can send it without end, which must not fill the disk."""
    often = repeated(tx, now, Direction.OUTBOUND, row["id"], event)
    if often is not None:
        journal(tx, now, event, row, **details, **often)


def give_up(tx: Transaction, outbound: Outbound, now: datetime) -> Delivery:
    """The schedule is over."""
    row = held(tx, outbound, State.WAITING)
    at = to_micros(now)
    state = step(State(row["state"]), exhausted(row["copies"]))
    tx.execute(
        "UPDATE delivery SET state = ?, settled = ?, lease = NULL, due = NULL,"
        " token = token + 1 WHERE id = ?",
        (state, at, row["id"]),
    )
    row.update(state=state, settled=at, due=None)
    journal(tx, now, Step.GIVEN_UP, row, state=state, attempts=row["attempts"])
    return as_delivery(row)


def resend(tx: Transaction, sender: str, message_id: str, now: datetime) -> Delivery:
    """A new series of attempts, due at once, with the bytes of the first."""
    row = find(tx, sender, message_id)
    if row is None:
        raise UnknownMessage(f"{message_id}: no message of that id was sent from this store")
    state = State(row["state"])
    if Event.RESEND not in TRANSITIONS[state] or row["purged"]:
        reason = "its content was purged" if row["purged"] else f"it is {state}"
        raise UsageError(f"{message_id}: cannot be resent, because {reason}")
    following = step(state, Event.RESEND)
    at = to_micros(now)
    tx.execute(
        "UPDATE delivery SET state = ?, due = ?, lease = NULL, tries = 0, last = 0,"
        " series_began = NULL, settled = NULL, token = token + 1 WHERE id = ?",
        (following, at, row["id"]),
    )
    journal(tx, now, Step.RESEND_ASKED, row, was=state)
    row.update(state=following, due=at, tries=0, series_began=None, settled=None)
    return as_delivery(row)
