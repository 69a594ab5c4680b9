"""What a message that is queued can be found by later: a plain function of a transaction."""

from __future__ import annotations

from datetime import datetime

from msh.protocol.journal import Direction, Step
from msh.store.records import Draft
from msh.store.sqlite.values import to_micros
from msh.store.sqlite.writer import Transaction


def note(tx: Transaction, delivery: int, draft: Draft, now: datetime) -> None:
    """Its business references, and what it asks about."""
    if draft.references is not None and draft.references != (None, None):
        tx.execute(
            "INSERT INTO delivery_reference VALUES (?, ?, ?, ?, ?)",
            (delivery, draft.receiver, draft.service, *draft.references),
        )
    if draft.about is not None:
        conclusive = draft.about.conclusive
        tx.execute(
            "INSERT INTO delivery_inquiry VALUES (?, ?, ?)",
            (delivery, draft.about.about, to_micros(conclusive) if conclusive else None),
        )
        asked = tx.execute(
            "SELECT msg_id, receiver, service FROM delivery WHERE id = ?", (draft.about.about,)
        ).fetchone()
        if asked is not None:
            tx.journal(now, Step.INQUIRED, Direction.OUTBOUND, *asked, by=draft.message_id)
