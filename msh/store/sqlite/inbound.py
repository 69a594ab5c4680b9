"""The inbound operations: plain functions of a transaction."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

from msh.catalog import StatusCode
from msh.content import References
from msh.errors import UnknownMessage
from msh.message import Message
from msh.protocol import digest as digests
from msh.protocol.journal import Direction, Step
from msh.protocol.reception import TRANSITIONS, Event, Known, State, Verdict, decide, step
from msh.store.outcome_records import Result
from msh.store.records import (
    Answer,
    Arrival,
    Claim,
    Conflict,
    Forgotten,
    InHand,
    New,
    Remembered,
    Resend,
    StoredReply,
    Unknown,
    Work,
)
from msh.store.sqlite.guard import run_guarded
from msh.store.sqlite.opening import claim_lost
from msh.store.sqlite.outbound import enqueue
from msh.store.sqlite.outcomes import tie
from msh.store.sqlite.references import free, keep
from msh.store.sqlite.repeating import repeated
from msh.store.sqlite.suspension import Bar, bar
from msh.store.sqlite.values import to_micros, to_moment
from msh.store.sqlite.writer import Transaction

_RETURNED = "id, sender, msg_id, service, runs"
#: The newest timestamp of a message's copies. In a row of before that column, the latest that it
#: can have: so far ahead a message may be dated (`clock_skew`).
DATED = "coalesce(dated, received + 86400000000)"
#: The states in which a claim is held.
_HELD = (State.CLAIMED, State.RUNNING)


class _Row(NamedTuple):
    """What the journal tells of a reception, and what a claim counts."""

    id: int
    sender: str
    msg_id: str
    service: str
    runs: int


def receive(
    tx: Transaction,
    owner: str,
    message: Message,
    digest: bytes,
    wire: bytes,
    now: datetime,
    lease: timedelta,
    admit: bool,
    begin: bool,
    references: References | None,
    result: Result | None,
    repeat: bool,
) -> Arrival:
    """The atomic insert keyed (sender, MsgId); the pure decision where it is taken."""
    dated = to_micros(message.timestamp)
    barred = bar(tx, message.sender, message.service, dated) if admit else None
    if admit and barred is not Bar.FORGOTTEN:
        refused = barred is Bar.SUSPENDED
        begin = begin and not refused
        state, runs = (State.RUNNING, 1) if begin else (State.CLAIMED, 0)
        cursor = tx.execute(
            "INSERT INTO reception (sender, msg_id, receiver, service, ref_to, digest,"
            " digest_version, state, received, dated, size, owner, token, lease, runs)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?)"
            " ON CONFLICT (sender, msg_id) DO NOTHING",
            (
                message.sender,
                message.message_id,
                message.receiver,
                message.service,
                message.ref_to,
                digest,
                digests.VERSION,
                state,
                to_micros(now),
                dated,
                len(wire),
                owner,
                to_micros(now + lease),
                runs,
            ),
        )
        if cursor.rowcount:
            reception = cursor.lastrowid
            assert reception is not None
            tx.execute("INSERT INTO reception_request VALUES (?, ?)", (reception, wire))
            reused = not keep(tx, reception, message, references)
            runs = 0 if reused else runs
            details: dict[str, Any] = {"bytes": len(wire)}
            if runs:
                details["run"] = runs
            if repeat:
                details["repeat"] = True
                tx.execute("UPDATE reception SET repeat = 1 WHERE id = ?", (reception,))
            _journal(tx, now, Step.RECEIVED, message, **details)
            if result is not None and not refused and not reused:
                tie(tx, message, result, reception, now)
            return New(Claim(reception, 1, runs), refused, reused)
    known = _repeated(tx, message, digest, dated, now)
    return Forgotten() if barred is Bar.FORGOTTEN and isinstance(known, Unknown) else known


def _repeated(
    tx: Transaction, message: Message, digest: bytes, dated: int, now: datetime
) -> Arrival:
    row = tx.execute(
        f"SELECT id, digest, state, status, purged, {DATED} FROM reception"
        " WHERE sender = ? AND msg_id = ?",
        (message.sender, message.message_id),
    ).fetchone()
    if row is None:
        return Unknown()
    reception, first_digest, state, status, purged, newest = row
    if dated > newest:  # a copy with another timestamp must not outlive the id either
        tx.execute("UPDATE reception SET dated = ? WHERE id = ?", (dated, reception))
    known = Known(first_digest, State(state), bool(purged), replied=status is not None)
    verdict = decide(known, digest)
    if verdict is Verdict.CONFLICT:
        _tell_repeated(tx, now, Step.CONFLICT, reception, message)
        return Conflict()
    if verdict is Verdict.IN_HAND:
        return InHand(reception)
    tx.execute("UPDATE reception SET replays = replays + 1 WHERE id = ?", (reception,))
    _tell_repeated(tx, now, Step.REPLAYED, reception, message, status=status)
    if verdict is Verdict.REMEMBERED:
        return Remembered(StatusCode.parse(status))
    reply = reply_of(tx, reception)
    assert reply is not None
    return Resend(reply)


def start(tx: Transaction, claim: Claim, now: datetime, lease: timedelta) -> Claim:
    """Raise the run number."""
    row = _move(tx, claim, Event.RUN_BEGUN, "runs = runs + 1, lease = ?", to_micros(now + lease))
    _journal_row(tx, now, Step.RUN_BEGUN, row, run=row.runs)
    return Claim(claim.reception, claim.token, row.runs)


def extend(tx: Transaction, claim: Claim, now: datetime, lease: timedelta) -> None:
    """Move the lease's end."""
    cursor = tx.execute(
        "UPDATE reception SET lease = ? WHERE id = ? AND token = ?"
        " AND state IN ('claimed', 'running')",
        (to_micros(now + lease), claim.reception, claim.token),
    )
    if not cursor.rowcount:
        raise claim_lost(f"reception {claim.reception}")


def answer(tx: Transaction, claim: Claim, reply: Answer, now: datetime) -> StoredReply:
    """Reply, the writes of ``apply`` and the follow-up messages, as one."""
    event = Event.SET_ASIDE if reply.set_aside else Event.ANSWER
    # A run that an operator asked for changes nothing of what the other side was told.
    sets = "status = coalesce(status, ?), answered = ?, lease = NULL, due = NULL"
    row = _move(tx, claim, event, sets, str(reply.status), to_micros(now))
    return _answered(tx, row, reply, now)


def answer_parked(tx: Transaction, reception: int, reply: Answer, now: datetime) -> StoredReply:
    """The same for a parked reception; the first answer stands."""
    earlier = reply_of(tx, reception)
    if earlier is not None:
        return earlier
    cursor = tx.execute(
        "UPDATE reception SET state = ?, status = ?, answered = ? WHERE id = ? AND state = ?"
        f" RETURNING {_RETURNED}",
        (
            step(State.PARKED, Event.ANSWER),
            str(reply.status),
            to_micros(now),
            reception,
            State.PARKED,
        ),
    )
    rows = cursor.fetchall()
    if not rows:
        raise claim_lost(f"reception {reception}")
    return _answered(tx, _Row(*rows[0]), reply, now)


def _answered(tx: Transaction, row: _Row, reply: Answer, now: datetime) -> StoredReply:
    first = tx.execute(
        "INSERT INTO reception_reply (reception, plain, form, key) VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        (row.id, reply.wire, reply.form, reply.key),
    ).rowcount
    free(tx, row.id, reply.status)
    for draft in reply.then:
        enqueue(tx, draft, now)
    if reply.apply is not None:
        run_guarded(tx.connection, reply.apply)
    details = {"status": str(reply.status)}
    if reply.reason:
        details["reason"] = reply.reason
    kind = Step.SET_ASIDE if reply.set_aside else Step.REFUSED if reply.refused else Step.REPLIED
    if not first and not reply.set_aside:
        kind = Step.RERUN_ENDED
    _journal_row(tx, now, kind, row, **details)
    return StoredReply(row.id, reply.status, reply.wire, reply.form, reply.key)


def release(tx: Transaction, claim: Claim, due: datetime, now: datetime, reason: str) -> None:
    """Give the work up until it is due again."""
    row = _move(tx, claim, Event.HANDLER_FAILED, "lease = NULL, due = ?", to_micros(due))
    _journal_row(tx, now, Step.HANDLER_FAILED, row, run=row.runs, reason=reason)


def park(tx: Transaction, claim: Claim, now: datetime) -> None:
    """No lease, no runs: answered later, by id."""
    row = _move(tx, claim, Event.PARK, "lease = NULL, due = NULL")
    _journal_row(tx, now, Step.PARKED, row)


def take_over(
    tx: Transaction, owner: str, sender: str, now: datetime, lease: timedelta, limit: int
) -> list[Work]:
    """Lapsed claims and released work that is due, longest due first."""
    at = to_micros(now)
    found = tx.execute(
        # The first condition on the state is the one that the index is made for.
        f"SELECT {_RETURNED}, state, token, received, reused, repeat, rerun FROM reception"
        " WHERE sender = ?"
        " AND state IN ('claimed', 'running', 'released')"
        " AND ((state <> 'released' AND lease <= ?) OR (state = 'released' AND due <= ?))"
        " ORDER BY coalesce(due, lease), id LIMIT ?",
        (sender, at, at, max(limit, 0)),
    ).fetchall()
    work = []
    for values in found:
        row = _Row(*values[:5])
        state, token, received, *marks = values[5:]
        tx.execute(
            "UPDATE reception SET state = ?, token = ?, owner = ?, lease = ?, due = NULL"
            " WHERE id = ?",
            (
                step(State(state), Event.TAKEN_OVER),
                token + 1,
                owner,
                to_micros(now + lease),
                row.id,
            ),
        )
        if state != State.RELEASED:  # that a run is due again was told when it failed
            _journal_row(tx, now, Step.TAKEN_OVER, row, run=row.runs)
        (wire,) = tx.execute(
            "SELECT wire FROM reception_request WHERE reception = ?", (row.id,)
        ).fetchone()
        claim = Claim(row.id, token + 1, row.runs)
        work.append(Work(claim, wire, to_moment(received), *map(bool, marks)))
    return work


def keep_form(tx: Transaction, reception: int, key: str, wire: bytes, over: str) -> bytes:
    """The first form stays, unless its key is the retired one."""
    row = tx.execute(
        "SELECT form, key FROM reception_reply WHERE reception = ?", (reception,)
    ).fetchone()
    if row is None:
        raise UnknownMessage(f"reception {reception} has no stored reply that could be protected")
    form, kept_key = row
    if form is not None and (not over or kept_key != over):
        first: bytes = form
        return first
    tx.execute(
        "UPDATE reception_reply SET form = ?, key = ? WHERE reception = ?", (wire, key, reception)
    )
    return wire


def reply_of(tx: Transaction, reception: int) -> StoredReply | None:
    """The stored reply, if there is one."""
    row = tx.execute(
        "SELECT status, plain, form, key FROM reception JOIN reception_reply ON reception = id"
        " WHERE id = ?",
        (reception,),
    ).fetchone()
    if row is None:
        return None
    status, plain, form, key = row
    return StoredReply(reception, StatusCode.parse(status), plain, form, key)


def _move(tx: Transaction, claim: Claim, event: Event, sets: str, *values: Any) -> _Row:
    """Compare and set, in one statement: the claim is still its holder's, and its state one that
    the table lets take ``event``.
    """
    following, states = _held_before(event)
    cursor = tx.execute(
        f"UPDATE reception SET state = ?, {sets} WHERE id = ? AND token = ?"
        f" AND state IN ({', '.join('?' * len(states))}) RETURNING {_RETURNED}",
        (following, *values, claim.reception, claim.token, *states),
    )
    rows = cursor.fetchall()
    if not rows:
        raise claim_lost(f"reception {claim.reception}")
    return _Row(*rows[0])


@cache
def _held_before(event: Event) -> tuple[State, tuple[State, ...]]:
    """The state that follows ``event``, and the held states which may take it."""
    states = tuple(state for state in _HELD if event in TRANSITIONS[state])
    (following,) = {step(state, event) for state in states}
    return following, states


def _journal(tx: Transaction, now: datetime, event: Step, message: Message, **details: Any) -> None:
    tx.journal(
        now,
        event,
        Direction.INBOUND,
        message.message_id,
        message.sender,
        message.service,
        **details,
    )


def _journal_row(tx: Transaction, now: datetime, event: Step, row: _Row, **details: Any) -> None:
    tx.journal(now, event, Direction.INBOUND, row.msg_id, row.sender, row.service, **details)


def _tell_repeated(
    tx: Transaction, now: datetime, event: Step, reception: int, message: Message, **details: Any
) -> None:
    """Whoever has a message can send it without end, which must not fill the disk."""
    often = repeated(tx, now, Direction.INBOUND, reception, event)
    if often is not None:
        _journal(tx, now, event, message, **details, **often)
