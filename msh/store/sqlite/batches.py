"""Batches: plain functions of a transaction, and the part of the store that calls them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from sqlite_utils import Database

from msh.content import References
from msh.store.batches import BatchDraft, StoredBatch, StoredPart
from msh.store.sqlite import outbound
from msh.store.sqlite.values import to_micros, to_moment
from msh.store.sqlite.writer import Transaction

Result = TypeVar("Result")

_COLUMNS = "id, sender, caller_key, receiver, service, digest, parts, queued"
_PART_COLUMNS = ", ".join(
    f"delivery.{column}" for column in outbound.COLUMNS.replace(" ", "").split(",")
)


def enqueue_all(tx: Transaction, batch: BatchDraft, now: datetime) -> tuple[StoredBatch, bool]:
    """All or none: what raises here rolls the transaction back."""
    cursor = tx.execute(
        "INSERT INTO batch (sender, caller_key, receiver, service, digest, parts, queued)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (
            batch.sender,
            batch.key,
            batch.receiver,
            batch.service,
            batch.digest,
            len(batch.parts),
            to_micros(now),
        ),
    )
    if cursor.rowcount:
        for number, part in enumerate(batch.parts, 1):
            delivery, _ = outbound.enqueue(tx, part.draft, now)
            tx.execute(
                "INSERT INTO batch_part VALUES (?, ?, ?, ?, ?, ?, ?)",
                (cursor.lastrowid, number, delivery.id, part.first, part.last, *part.references),
            )
    stored = find(tx.execute, batch.sender, batch.key)
    assert stored is not None
    stored.require(batch.digest)
    return stored, bool(cursor.rowcount)


def find(execute: Callable[..., Any], sender: str, key: str) -> StoredBatch | None:
    """The batch of this key with the parts that are left."""
    row = execute(
        f"SELECT {_COLUMNS} FROM batch WHERE caller_key = ? AND sender = ?", (key, sender)
    ).fetchone()
    if row is None:
        return None
    number, sender, key, receiver, service, digest, count, queued = row
    parts = execute(
        f"SELECT number, first, batch_part.last, ssn_id, service_ref, {_PART_COLUMNS}"
        " FROM batch_part JOIN delivery ON id = delivery WHERE batch = ? ORDER BY number",
        (number,),
    ).fetchall()
    moment = to_moment(queued)
    assert moment is not None
    return StoredBatch(
        key=key,
        service=service,
        sender=sender,
        receiver=receiver,
        digest=digest,
        count=count,
        queued=moment,
        parts=tuple(
            StoredPart(
                part,
                outbound.as_delivery(outbound.named(values)),
                first,
                last,
                References(ssn_id, service_ref),
            )
            for part, first, last, ssn_id, service_ref, *values in parts
        ),
    )


def read(database: Database, sender: str, key: str) -> StoredBatch | None:
    """As `find`, outside a transaction of ours."""
    return find(database.conn.execute, sender, key)


def forget(tx: Transaction) -> None:
    """Remove batches of which no part is left."""
    tx.execute(
        "DELETE FROM batch WHERE NOT EXISTS (SELECT 1 FROM batch_part WHERE batch = batch.id)"
    )


class SqliteBatches:
    """See `msh.store.batches.BatchStore` for each method."""

    async def _write(
        self, operation: Callable[..., Result], *arguments: Any, savepoint: bool = False
    ) -> Result:
        raise NotImplementedError

    async def _read(self, query: Callable[..., Result], *arguments: Any, **options: Any) -> Result:
        raise NotImplementedError

    async def enqueue_all(self, batch: BatchDraft, now: datetime) -> tuple[StoredBatch, bool]:
        """See `msh.store.batches.BatchStore.enqueue_all`."""
        return await self._write(enqueue_all, batch, now)

    async def batch(self, sender: str, key: str) -> StoredBatch | None:
        """See `msh.store.batches.BatchStore.batch`."""
        return await self._read(read, sender, key)
