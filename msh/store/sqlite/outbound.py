"""The outbound operations: plain functions of a transaction."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from msh.catalog import StatusCode
from msh.errors import KeyReused, UnknownMessage
from msh.protocol.delivery import (
    OPEN,
    Event,
    State,
    step,
)
from msh.protocol.journal import Direction, Step
from msh.store.records import Delivery, Draft, FirstAttempt, Outbound, Outbounds
from msh.store.sqlite.noting import note
from msh.store.sqlite.opening import claim_lost
from msh.store.sqlite.values import to_micros, to_moment
from msh.store.sqlite.writer import Transaction

COLUMNS = (
    "id, msg_id, service, sender, receiver, ref_to, caller_key, state, queued, size, due, attempts,"
    " tries, copies, series_began, status, settled, resolved_by, purged, token, last, digest,"
    " on_hold"
)
_NAMES = tuple(COLUMNS.replace(" ", "").split(","))


def enqueue(
    tx: Transaction,
    draft: Draft,
    now: datetime,
    owner: str = "",
    first: FirstAttempt | None = None,
) -> tuple[Delivery, bool]:
    """One row per key and per message id, and the same answer to the same question."""
    at = to_micros(now)
    row = _new_row(draft, at) if first is None else _begun_row(draft, at, now, first)
    cursor = tx.execute(
        "INSERT INTO delivery (sender, msg_id, receiver, service, ref_to, caller_key, digest,"
        " state, queued, size, due, owner, token, lease, attempts, tries, copies, last,"
        " series_began) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        (
            draft.sender,
            draft.message_id,
            draft.receiver,
            draft.service,
            draft.ref_to,
            draft.key,
            draft.digest,
            row["state"],
            at,
            row["size"],
            row["due"],
            owner if first else "",
            row["token"],
            to_micros(now + first.lease) if first else None,
            row["attempts"],
            row["tries"],
            row["copies"],
            row["last"],
            row["series_began"],
        ),
    )
    if not cursor.rowcount:
        return queued_before(tx, draft), False
    row["id"] = cursor.lastrowid
    tx.execute(
        "INSERT INTO delivery_request (delivery, body, wire) VALUES (?, ?, ?)",
        (row["id"], b"", first.wire) if first else (row["id"], draft.body, None),
    )
    details: dict[str, Any] = {"bytes": len(draft.body)}  # also where its form is there already
    if draft.key is not None:
        details["key"] = draft.key
    journal(tx, now, Step.QUEUED, row, **details)
    note(tx, row["id"], draft, now)
    if first is not None:
        _begin_attempt(tx, row, 1, now, first.wire)
    return as_delivery(row), True


def _new_row(draft: Draft, at: int) -> dict[str, Any]:
    return {
        **dict.fromkeys(_NAMES),
        "msg_id": draft.message_id,
        "service": draft.service,
        "sender": draft.sender,
        "receiver": draft.receiver,
        "ref_to": draft.ref_to,
        "caller_key": draft.key,
        "state": State.QUEUED,
        "queued": at,
        "size": len(draft.body),
        "due": to_micros(draft.due) if draft.due else at,
        "attempts": 0,
        "tries": 0,
        "copies": 0,
        "token": 0,
        "last": False,
    }


def _begun_row(draft: Draft, at: int, now: datetime, first: FirstAttempt) -> dict[str, Any]:
    return {
        **_new_row(draft, at),
        "state": step(State.QUEUED, Event.ATTEMPT_BEGUN),
        "size": len(first.wire),
        "due": to_micros(first.due),
        "attempts": 1,
        "tries": 1,
        "copies": 1,
        "token": 1,
        "last": first.last,
        "series_began": at,
    }


def _begin_attempt(
    tx: Transaction, row: dict[str, Any], number: int, now: datetime, wire: bytes
) -> None:
    tx.execute(
        "INSERT INTO attempt (delivery, number, began) VALUES (?, ?, ?)",
        (row["id"], number, to_micros(now)),
    )
    journal(tx, now, Step.ATTEMPT_BEGUN, row, attempt=number, bytes=len(wire))


def queued_before(tx: Transaction, draft: Draft) -> Delivery:
    """The delivery that has the key, else the one that has the id; same content or an error."""
    found = tx.execute(
        f"SELECT {COLUMNS} FROM delivery WHERE sender = ? AND (caller_key = ? OR msg_id = ?)"
        " ORDER BY caller_key IS ? DESC LIMIT 2",
        (draft.sender, draft.key, draft.message_id, draft.key),
    ).fetchall()
    if not found:
        raise UnknownMessage(f"{draft.message_id}: was not queued before")
    row = named(found[0])
    by_key = draft.key is not None and row["caller_key"] == draft.key
    if len(found) > 1:
        said = (
            f"key {draft.key!r} names message {row['msg_id']}, and message id {draft.message_id} "
            "another one; give one of them"
        )
    elif row["digest"] != draft.digest:
        what = f"key {draft.key!r}" if by_key else "the message id"
        said = (
            f"{what} names message {row['msg_id']} already, which has other content; a new payment "
            "needs a new key"
        )
    elif draft.key is not None and not by_key:
        under = "without a key" if row["caller_key"] is None else f"under key {row['caller_key']!r}"
        said = (
            f"message {row['msg_id']} was queued {under} and not under {draft.key!r}; ask with "
            "what it was queued with, or give the new payment an id of its own"
        )
    else:
        return as_delivery(row)
    raise KeyReused(said)


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
            end_attempt(tx, row, at, "no answer", "the process that sent it ended", False)
            journal(
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
    row = held(tx, outbound, State.QUEUED, State.WAITING)
    state = step(State(row["state"]), Event.ATTEMPT_BEGUN)
    at = to_micros(now)
    number = row["attempts"] + 1
    # It holds the body, so the body alone is not kept twice.
    if not row["copies"]:  # else the form of the copy that may have arrived stays
        tx.execute(
            "UPDATE delivery_request SET wire = ?, body = x'' WHERE delivery = ?",
            (wire, row["id"]),
        )
    tx.execute(
        "UPDATE delivery SET state = ?, due = ?, last = ?, lease = ?, attempts = ?,"
        " tries = tries + 1, copies = copies + 1, series_began = coalesce(series_began, ?),"
        " size = ?, on_hold = 0 WHERE id = ?",
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
    _begin_attempt(tx, row, number, now, wire)


def hold(tx: Transaction, outbound: Outbound, due: datetime, now: datetime, reason: str) -> None:
    """The claim's end without an attempt. It is due later; nothing else of its schedule moves."""
    row = held(tx, outbound, State.QUEUED, State.WAITING)
    tx.execute(
        "UPDATE delivery SET due = ?, lease = NULL, on_hold = 1, token = token + 1 WHERE id = ?",
        (to_micros(due), row["id"]),
    )
    if not row["on_hold"]:
        journal(tx, now, Step.HELD, row, reason=reason)


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
    row = held(tx, outbound, State.SENDING)
    # After a reconnection bytes may have left, whatever became of the second connection.
    copies = row["copies"] + (1 if reconnected else 0 if sent else -1)
    tx.execute(
        "UPDATE delivery SET state = ?, lease = NULL, copies = ?, token = token + 1 WHERE id = ?",
        (step(State.SENDING, Event.ATTEMPT_FAILED), copies, row["id"]),
    )
    end_attempt(tx, row, to_micros(now), outcome, detail, reconnected)
    details: dict[str, Any] = {"attempt": row["attempts"], "outcome": outcome, "detail": detail}
    if reconnected:
        details["reconnected"] = True
    journal(tx, now, Step.ATTEMPT_FAILED, row, **details)


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


def held(tx: Transaction, outbound: Outbound, *states: State) -> dict[str, Any]:
    """The row, if the claim is still its holder's and the delivery in one of ``states``."""
    values = tx.execute(
        f"SELECT {COLUMNS} FROM delivery WHERE id = ? AND token = ?",
        (outbound.delivery.id, outbound.token),
    ).fetchone()
    row = named(values) if values else None
    if row is None or row["state"] not in states:
        raise claim_lost(outbound.delivery.message_id)
    return row


def end_attempt(
    tx: Transaction, row: dict[str, Any], at: int, outcome: str, detail: str, reconnected: bool
) -> None:
    """The end of the attempt under way."""
    tx.execute(
        "UPDATE attempt SET ended = ?, outcome = ?, detail = ?, reconnected = ?"
        " WHERE delivery = ? AND number = ?",
        (at, outcome, detail, reconnected, row["id"], row["attempts"]),
    )


def journal(
    tx: Transaction, now: datetime, event: Step, row: dict[str, Any], **details: Any
) -> None:
    """A line about the delivery."""
    tx.journal(
        now,
        event,
        Direction.OUTBOUND,
        row["msg_id"],
        row["receiver"],
        row["service"],
        **details,
    )
