"""Results and what they are about: plain functions of a transaction, and what lists them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlite_utils import Database

from msh.catalog import Meaning, StatusCode
from msh.content import References
from msh.errors import UnknownMessage, UsageError
from msh.message import Message
from msh.protocol.delivery import DOUBTFUL, TRANSITIONS, Event, State, step
from msh.protocol.journal import Direction, Step
from msh.protocol.outcome import (
    NOT_FOUND,
    PROCESSING,
    Finding,
    Said,
    believe,
    said_by_reply,
    said_by_result,
)
from msh.store.outcome_records import Outcome, Result
from msh.store.records import Delivery
from msh.store.sqlite.outbound import COLUMNS, as_delivery, end_attempt, find, journal, named
from msh.store.sqlite.values import to_micros, to_moment
from msh.store.sqlite.writer import Transaction

#: What stands for a result's message id where an operator found out. No message has such an id.
OPERATOR = "an operator"

_NO_EFFECT = frozenset({Meaning.REFUSED, Meaning.LATER})
_TIED = ", ".join(f"delivery.{column}" for column in COLUMNS.replace(" ", "").split(","))


def tie(tx: Transaction, message: Message, result: Result, reception: int, now: datetime) -> None:
    """Find the delivery that a new result is about, and record what it says of it."""
    row = _delivery_of(tx, message, result, now)
    if row is None:
        return
    _record(tx, row, message, result, reception, now)
    inquiry = _inquiry(tx, row["id"])
    if inquiry is not None:
        said = said_by_result(result.statuses)
        asked, conclusive = inquiry
        if believe(said, conclusive=conclusive) is Finding.RESULT:
            _record(tx, asked, message, result, reception, now)
        else:
            _inquired(tx, asked, said, conclusive, message.message_id, result.statuses[:1], now)


def inquiry_replied(tx: Transaction, delivery: int, reply: Message, now: datetime) -> None:
    """What the reply to an inquiry says of the delivery that it asks about."""
    assert reply.status is not None
    if reply.status not in PROCESSING and reply.status not in NOT_FOUND:
        return
    inquiry = _inquiry(tx, delivery)
    if inquiry is not None:
        asked, conclusive = inquiry
        said = said_by_reply(reply.status)
        by = reply.ref_to or reply.message_id
        _inquired(tx, asked, said, conclusive, by, (reply.status,), now)


def _delivery_of(
    tx: Transaction, message: Message, result: Result, now: datetime
) -> dict[str, Any] | None:
    """By RefToMsgId if there is one, else by references; never by a guess."""
    if message.ref_to is not None:
        row = find(tx, message.receiver, message.ref_to)
        fits = row is not None and (row["receiver"], row["service"]) == (message.sender, result.of)
        return row if fits else None
    if result.references is None:
        return None
    found = [
        row
        for row in _referred(tx, message.receiver, message.sender, result.of, result.references)
        if not _had_no_effect(row)
    ]
    if len(found) > 1 and len({_about(tx, row["id"]) for row in found} - {None}) == 1:
        found = found[:1]  # inquiries about the same: the oldest lets the least be believed
    if len(found) > 1:
        tx.journal(
            now,
            Step.AMBIGUOUS,
            Direction.INBOUND,
            message.message_id,
            message.sender,
            message.service,
            candidates=len(found),
        )
        return None
    return found[0] if found else None


def _referred(
    tx: Transaction, sender: str, receiver: str, service: str, references: References
) -> list[dict[str, Any]]:
    """Deliveries that have every reference given, oldest first."""
    given = {name: value for name, value in references._asdict().items() if value is not None}
    if not given:
        return []
    where = " AND ".join(f"delivery_reference.{name} = ?" for name in given)
    rows = tx.execute(
        f"SELECT {_TIED} FROM delivery_reference JOIN delivery ON delivery.id = delivery"
        f" WHERE {where} AND delivery_reference.receiver = ? AND delivery_reference.service = ?"
        " AND delivery.sender = ? ORDER BY delivery.id",
        (*given.values(), receiver, service, sender),
    ).fetchall()
    return [named(values) for values in rows]


def _had_no_effect(row: dict[str, Any]) -> bool:
    """Surely not executed, so that no result can be about it."""
    state = State(row["state"])
    if state in (State.NOT_SENT, State.NOT_EXECUTED):
        return True
    refused = row["status"] and StatusCode.parse(row["status"]).meaning in _NO_EFFECT
    return bool(refused) and state is State.ANSWERED


def _record(
    tx: Transaction,
    row: dict[str, Any],
    message: Message,
    result: Result,
    reception: int,
    now: datetime,
) -> None:
    """The result as an outcome of the delivery; the first one ends resending and every doubt."""
    status = str(result.statuses[0]) if result.statuses else None
    earlier = tx.execute(
        "SELECT status FROM delivery_outcome WHERE delivery = ? ORDER BY id DESC LIMIT 1",
        (row["id"],),
    ).fetchone()
    tx.execute(
        "INSERT INTO delivery_outcome (delivery, reception, msg_id, service, status, received)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (row["id"], reception, message.message_id, message.service, status, to_micros(now)),
    )
    details = {"by": message.message_id, **({"status": status} if status else {})}
    if earlier is not None:
        differs = {"differs": True} if earlier[0] != status else {}
        journal(tx, now, Step.OUTCOME, row, **details, **differs)
        return
    state = _end(tx, row, Event.RESULT, message.message_id, now)
    journal(tx, now, Step.RESOLVED, row, state=state, **details)


def _inquired(
    tx: Transaction,
    asked: dict[str, Any],
    said: Said,
    conclusive: bool,
    by: str,
    statuses: tuple[StatusCode, ...],
    now: datetime,
) -> None:
    """What an answer to an inquiry says of what it asked about, and is no result of it."""
    details = {"by": by, **({"status": str(statuses[0])} if statuses else {})}
    believed = believe(said, conclusive=conclusive)
    if believed is Finding.NOT_EXECUTED and Event.NOT_FOUND in TRANSITIONS[State(asked["state"])]:
        state = _end(tx, asked, Event.NOT_FOUND, by, now)
        journal(tx, now, Step.NOT_EXECUTED, asked, state=state, **details)
    else:
        journal(tx, now, Step.STILL_IN_DOUBT, asked, said=str(said), **details)


def _end(tx: Transaction, row: dict[str, Any], event: Event, by: str, now: datetime) -> State:
    """End resending and the attempt under way; the state that follows."""
    was = State(row["state"])
    state = step(was, event)
    at = to_micros(now)
    # A doubt is settled now, so that its content is kept for as long as any other from here on.
    settled = row["settled"] if was is State.ANSWERED else at
    tx.execute(
        "UPDATE delivery SET state = ?, resolved_by = ?, settled = ?,"
        " lease = NULL, due = NULL, token = token + 1 WHERE id = ?",
        (state, by, settled, row["id"]),
    )
    if was is State.SENDING:
        end_attempt(tx, row, at, "resolved", f"by {by}", False)
    row.update(state=state, resolved_by=by, settled=settled, due=None)
    return state


def settle(
    tx: Transaction, sender: str, message_id: str, executed: bool, because: str, now: datetime
) -> Delivery:
    """What an operator found out."""
    row = find(tx, sender, message_id)
    if row is None:
        raise UnknownMessage(f"{message_id}: no message of that id was sent from this store")
    was = State(row["state"])
    if was not in DOUBTFUL:
        raise UsageError(f"{message_id}: is {was}, so there is no doubt to settle")
    event = Event.FOUND_EXECUTED if executed else Event.FOUND_NOT_EXECUTED
    state = _end(tx, row, event, OPERATOR, now)
    journal(tx, now, Step.SETTLED, row, was=was, state=state, because=because)
    return as_delivery(row)


def _row(tx: Transaction, delivery: int) -> dict[str, Any] | None:
    values = tx.execute(f"SELECT {COLUMNS} FROM delivery WHERE id = ?", (delivery,)).fetchone()
    return named(values) if values else None


def _about(tx: Transaction, delivery: int) -> int | None:
    sql = "SELECT about FROM delivery_inquiry WHERE delivery = ?"
    found = tx.execute(sql, (delivery,)).fetchone()
    return found[0] if found else None


def _inquiry(tx: Transaction, delivery: int) -> tuple[dict[str, Any], bool] | None:
    """What the inquiry asks about, and whether it was first sent when no copy could be taken."""
    found = tx.execute(
        "SELECT about, conclusive, (SELECT min(began) FROM attempt WHERE attempt.delivery = ?1)"
        " FROM delivery_inquiry WHERE delivery_inquiry.delivery = ?1",
        (delivery,),
    ).fetchone()
    if found is None:
        return None
    about, conclusive, began = found
    asked = _row(tx, about)
    sure = conclusive is not None and began is not None and began > conclusive
    return (asked, sure) if asked else None


# looking


def outcomes(database: Database, delivery: int) -> list[Outcome]:
    """Newest first."""
    rows = database.query(
        "SELECT * FROM delivery_outcome WHERE delivery = ? ORDER BY id DESC", [delivery]
    )
    return [
        Outcome(
            message_id=row["msg_id"],
            service=row["service"],
            reception=row["reception"],
            status=StatusCode.parse(row["status"]) if row["status"] else None,
            received=to_moment(row["received"]),
        )
        for row in rows
    ]


def results_of(database: Database, sender: str, request: str, receiver: str) -> list[Delivery]:
    """What refers to a request that was received here."""
    return _deliveries(
        database,
        "ref_to = ? AND sender = ? AND receiver = ? ORDER BY id DESC",
        request,
        sender,
        receiver,
    )


def inquiries(database: Database, delivery: int) -> list[Delivery]:
    """Newest first."""
    where = "id IN (SELECT delivery FROM delivery_inquiry WHERE about = ?) ORDER BY id DESC"
    return _deliveries(database, where, delivery)


def not_inquired(
    database: Database, receiver: str, most: int, limit: int
) -> list[tuple[Delivery, int]]:
    """In doubt, with few inquiries, and none that is under way."""
    rows = database.query(
        f"SELECT {COLUMNS},"
        " (SELECT count(*) FROM delivery_inquiry WHERE about = delivery.id) AS asked"
        " FROM delivery WHERE receiver = ? AND state = 'in-doubt' AND asked < ?"
        " AND NOT EXISTS (SELECT 1 FROM delivery_inquiry JOIN delivery AS one"
        " ON one.id = delivery_inquiry.delivery WHERE about = delivery.id"
        " AND one.state IN ('queued', 'sending', 'waiting')) ORDER BY id LIMIT ?",
        [receiver, most, limit],
    )
    return [(as_delivery(row), row["asked"]) for row in rows]


def _deliveries(database: Database, where: str, *values: Any) -> list[Delivery]:
    rows = database.query(f"SELECT {COLUMNS} FROM delivery WHERE {where}", list(values))
    return [as_delivery(row) for row in rows]
