"""The outbound operations: plain functions of a transaction."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from msh.catalog import StatusCode
from msh.errors import KeyReused, UnknownMessage, UsageError
from msh.message import Message
from msh.profile import RoleCodes
from msh.protocol.delivery import (
    OPEN,
    REPLACEABLE,
    TRANSITIONS,
    Event,
    State,
    exhausted,
    read_reply,
    step,
)
from msh.protocol.journal import Direction, Step
from msh.store.base import Delivery, Draft, Outbound, Outbounds
from msh.store.sqlite.opening import claim_lost
from msh.store.sqlite.values import to_micros, to_moment
from msh.store.sqlite.writer import Transaction

COLUMNS = (
    "id, msg_id, service, sender, receiver, ref_to, caller_key, state, queued, size, due, attempts,"
    " tries, copies, series_began, status, settled, resolved_by, purged, token, last, digest"
)
_NAMES = tuple(COLUMNS.replace(" ", "").split(","))


def enqueue(tx: Transaction, draft: Draft, now: datetime) -> tuple[Delivery, bool]:
    """One row per key and per message id, and the same answer to the same question."""
    at = to_micros(now)
    cursor = tx.execute(
        "INSERT INTO delivery (sender, msg_id, receiver, service, ref_to, caller_key, digest,"
        " state, queued, size, due) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        (
            draft.sender,
            draft.message_id,
            draft.receiver,
            draft.service,
            draft.ref_to,
            draft.key,
            draft.digest,
            State.QUEUED,
            at,
            len(draft.body),
            at,
        ),
    )
    if not cursor.rowcount:
        return _queued_before(tx, draft), False
    assert cursor.lastrowid is not None
    tx.execute(
        "INSERT INTO delivery_request (delivery, body) VALUES (?, ?)",
        (cursor.lastrowid, draft.body),
    )
    details: dict[str, Any] = {"bytes": len(draft.body)}
    if draft.key is not None:
        details["key"] = draft.key
    _journal_draft(tx, now, draft, details)
    row = {
        **dict.fromkeys(_NAMES),
        "id": cursor.lastrowid,
        "msg_id": draft.message_id,
        "service": draft.service,
        "sender": draft.sender,
        "receiver": draft.receiver,
        "ref_to": draft.ref_to,
        "caller_key": draft.key,
        "state": State.QUEUED,
        "queued": at,
        "size": len(draft.body),
        "due": at,
        "attempts": 0,
        "tries": 0,
        "copies": 0,
    }
    return as_delivery(row), True


def _queued_before(tx: Transaction, draft: Draft) -> Delivery:
    """The delivery that has the key, else the one that has the id; same content or an error."""
    values = tx.execute(
        f"SELECT {COLUMNS} FROM delivery WHERE sender = ? AND (caller_key = ? OR msg_id = ?)"
        " ORDER BY caller_key IS ? DESC LIMIT 1",
        (draft.sender, draft.key, draft.message_id, draft.key),
    ).fetchone()
    row = named(values)
    if row["digest"] != draft.digest or (draft.key is not None and row["caller_key"] != draft.key):
        what = (
            f"key {draft.key!r}"
            if draft.key is not None and row["caller_key"] == draft.key
            else f"message id {draft.message_id}"
        )
        raise KeyReused(
            f"{what} already names message {row['msg_id']} with other content or under another "
            "key; a new payment needs a new key"
        )
    return as_delivery(row)


def claim(
    tx: Transaction,
    owner: str,
    receiver: str,
    now: datetime,
    lease: timedelta,
    limit: int,
    only: int | None,
) -> Outbounds:
    """Lease what is due; an attempt whose lease lapsed counts as unanswered."""
    at = to_micros(now)
    found = tx.execute(
        f"SELECT {COLUMNS} FROM delivery WHERE receiver = ?"
        " AND state IN ('queued', 'sending', 'waiting') AND due <= ?"
        " AND (lease IS NULL OR lease <= ?) AND (? IS NULL OR id = ?) ORDER BY due, id LIMIT ?",
        (receiver, at, at, only, only, max(limit, 0)),
    ).fetchall()
    work = []
    for values in found:
        row = named(values)
        state = State(row["state"])
        if state is State.SENDING:
            state = step(state, Event.ATTEMPT_FAILED)
            _end_attempt(tx, row, at, "no answer", "the process that sent it ended", False)
            _journal(
                tx,
                now,
                Step.ATTEMPT_FAILED,
                row,
                attempt=row["attempts"],
                outcome="no answer",
                detail="the process that sent it ended",
            )
        token = row["token"] + 1
        tx.execute(
            "UPDATE delivery SET state = ?, owner = ?, token = ?, lease = ? WHERE id = ?",
            (state, owner, token, to_micros(now + lease), row["id"]),
        )
        body, wire = tx.execute(
            "SELECT body, wire FROM delivery_request WHERE delivery = ?", (row["id"],)
        ).fetchone()
        row.update(state=state, token=token)
        work.append(Outbound(as_delivery(row), token, body, wire, bool(row["last"])))
    # With the limit reached more may be due now, and the caller asks again anyway.
    more_may_be_due = len(work) >= limit or only is not None
    next_due = at if more_may_be_due else _next_due(tx, receiver, at)
    return Outbounds(tuple(work), to_moment(next_due))


def _next_due(tx: Transaction, receiver: str, at: int) -> int | None:
    """When more falls due, once all that is due at ``at`` is leased to somebody."""
    moments = tx.execute(
        "SELECT * FROM (SELECT due FROM delivery WHERE receiver = ?1"
        " AND state IN ('queued', 'sending', 'waiting') AND due > ?2 ORDER BY due LIMIT 1)"
        " UNION ALL SELECT min(lease) FROM delivery WHERE receiver = ?1"
        " AND state IN ('queued', 'sending', 'waiting') AND due <= ?2 AND lease > ?2",
        (receiver, at),
    ).fetchall()
    return min((moment for (moment,) in moments if moment is not None), default=None)


def begin(
    tx: Transaction,
    outbound: Outbound,
    wire: bytes,
    now: datetime,
    due: datetime,
    last: bool,
    lease: timedelta,
) -> None:
    """Form, attempt, next due time and one more copy that may have arrived."""
    row = _held(tx, outbound, State.QUEUED, State.WAITING)
    state = step(State(row["state"]), Event.ATTEMPT_BEGUN)
    at = to_micros(now)
    number = row["attempts"] + 1
    # The first form stays. It holds the body, so the body alone is not kept twice.
    tx.execute(
        "UPDATE delivery_request SET wire = ?, body = x'' WHERE delivery = ? AND wire IS NULL",
        (wire, row["id"]),
    )
    tx.execute(
        "UPDATE delivery SET state = ?, due = ?, last = ?, lease = ?, attempts = ?,"
        " tries = tries + 1, copies = copies + 1, series_began = coalesce(series_began, ?),"
        " size = ? WHERE id = ?",
        (
            state,
            to_micros(due),
            last,
            to_micros(now + lease),
            number,
            at,
            len(wire),
            row["id"],
        ),
    )
    tx.execute(
        "INSERT INTO attempt (delivery, number, began) VALUES (?, ?, ?)", (row["id"], number, at)
    )
    _journal(tx, now, Step.ATTEMPT_BEGUN, row, attempt=number, bytes=len(wire))


def record_failure(
    tx: Transaction,
    outbound: Outbound,
    now: datetime,
    outcome: str,
    detail: str,
    sent: bool,
    reconnected: bool,
) -> None:
    """The attempt's end, and the claim's; the due time was set when it began and does not move."""
    row = _held(tx, outbound, State.SENDING)
    # After a reconnection bytes may have left, whatever became of the second connection.
    copies = row["copies"] + (1 if reconnected else 0 if sent else -1)
    tx.execute(
        "UPDATE delivery SET state = ?, lease = NULL, copies = ?, token = token + 1 WHERE id = ?",
        (step(State.SENDING, Event.ATTEMPT_FAILED), copies, row["id"]),
    )
    _end_attempt(tx, row, to_micros(now), outcome, detail, reconnected)
    details: dict[str, Any] = {"attempt": row["attempts"], "outcome": outcome, "detail": detail}
    if reconnected:
        details["reconnected"] = True
    _journal(tx, now, Step.ATTEMPT_FAILED, row, **details)


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
        _journal(tx, now, kind, row, **details, kept=row["status"])
        return as_delivery(row)
    if state is State.SENDING:
        _end_attempt(tx, row, at, "answered", status, reconnected)
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
    _journal(tx, now, Step.ANSWERED, row, **details, state=following)
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
        _journal(tx, now, Step.ANSWER_IGNORED, row, reason=reason)


def give_up(tx: Transaction, outbound: Outbound, now: datetime) -> Delivery:
    """The schedule is over."""
    row = _held(tx, outbound, State.WAITING)
    at = to_micros(now)
    state = step(State(row["state"]), exhausted(row["copies"]))
    tx.execute(
        "UPDATE delivery SET state = ?, settled = ?, lease = NULL, due = NULL,"
        " token = token + 1 WHERE id = ?",
        (state, at, row["id"]),
    )
    row.update(state=state, settled=at, due=None)
    _journal(tx, now, Step.GIVEN_UP, row, state=state, attempts=row["attempts"])
    return as_delivery(row)


def resolve(
    tx: Transaction, sender: str, message_id: str, receiver: str, by: str, now: datetime
) -> bool:
    """The result message ends resending and every doubt."""
    row = find(tx, sender, message_id)
    if row is None or row["receiver"] != receiver or row["resolved_by"] is not None:
        return False
    state = step(State(row["state"]), Event.RESULT)
    at = to_micros(now)
    # A doubt is settled now, so that its content is kept for as long as any other from here on.
    settled = row["settled"] if row["state"] == State.ANSWERED else at
    tx.execute(
        "UPDATE delivery SET state = ?, resolved_by = ?, settled = ?,"
        " lease = NULL, due = NULL, token = token + 1 WHERE id = ?",
        (state, by, settled, row["id"]),
    )
    if row["state"] == State.SENDING:
        _end_attempt(tx, row, at, "resolved", f"by {by}", False)
    _journal(tx, now, Step.RESOLVED, row, state=state, by=by)
    return True


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
    _journal(tx, now, Step.RESEND_ASKED, row, was=state)
    row.update(state=following, due=at, tries=0, series_began=None, settled=None)
    return as_delivery(row)


def find(tx: Transaction, sender: str, message_id: str) -> dict[str, Any] | None:
    """The delivery of this id."""
    values = tx.execute(
        f"SELECT {COLUMNS} FROM delivery WHERE sender = ? AND msg_id = ?", (sender, message_id)
    ).fetchone()
    return named(values) if values else None


def named(values: Any) -> dict[str, Any]:
    """A row of `COLUMNS` by name."""
    return dict(zip(_NAMES, values, strict=True))


def as_delivery(row: dict[str, Any]) -> Delivery:
    """The row as the contract's value."""
    return Delivery(
        id=row["id"],
        message_id=row["msg_id"],
        service=row["service"],
        sender=row["sender"],
        receiver=row["receiver"],
        ref_to=row["ref_to"],
        key=row["caller_key"],
        state=State(row["state"]),
        queued=to_moment(row["queued"]),
        size=row["size"],
        due=to_moment(row["due"]) if State(row["state"]) in OPEN else None,
        attempts=row["attempts"],
        tries=row["tries"],
        copies=row["copies"],
        series_began=to_moment(row["series_began"]),
        status=StatusCode.parse(row["status"]) if row["status"] else None,
        settled=to_moment(row["settled"]),
        resolved_by=row["resolved_by"],
        purged=bool(row["purged"]),
    )


def _held(tx: Transaction, outbound: Outbound, *states: State) -> dict[str, Any]:
    """The row, if the claim is still its holder's and the delivery in one of ``states``."""
    values = tx.execute(
        f"SELECT {COLUMNS} FROM delivery WHERE id = ? AND token = ?",
        (outbound.delivery.id, outbound.token),
    ).fetchone()
    row = named(values) if values else None
    if row is None or row["state"] not in states:
        raise claim_lost(outbound.delivery.message_id)
    return row


def _end_attempt(
    tx: Transaction, row: dict[str, Any], at: int, outcome: str, detail: str, reconnected: bool
) -> None:
    tx.execute(
        "UPDATE attempt SET ended = ?, outcome = ?, detail = ?, reconnected = ?"
        " WHERE delivery = ? AND number = ?",
        (at, outcome, detail, reconnected, row["id"], row["attempts"]),
    )


def _journal(
    tx: Transaction, now: datetime, event: Step, row: dict[str, Any], **details: Any
) -> None:
    tx.journal(
        now,
        event,
        Direction.OUTBOUND,
        row["msg_id"],
        row["receiver"],
        row["service"],
        **details,
    )


def _journal_draft(tx: Transaction, now: datetime, draft: Draft, details: dict[str, Any]) -> None:
    tx.journal(
        now,
        Step.QUEUED,
        Direction.OUTBOUND,
        draft.message_id,
        draft.receiver,
        draft.service,
        **details,
    )
