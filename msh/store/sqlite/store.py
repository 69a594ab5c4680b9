"""The embedded store: SQLite in a file, or in memory for tests."""

from __future__ import annotations

import asyncio
import os
import secrets
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from sqlite_utils import Database

from msh.content import References
from msh.errors import StoreClosed
from msh.message import Message
from msh.profile import RoleCodes
from msh.protocol.journal import Direction, Entry
from msh.store import outcome_records
from msh.store.base import Notify
from msh.store.records import (
    Answer,
    Arrival,
    Attempt,
    Claim,
    Delivery,
    Draft,
    FirstAttempt,
    Outbound,
    Outbounds,
    Purged,
    Reception,
    StoredKey,
    StoredReply,
    Suspension,
    SuspensionKind,
    Work,
)
from msh.store.sqlite import inbound, keys, opening, outbound, purging, reading, replies, suspension
from msh.store.sqlite.batches import SqliteBatches
from msh.store.sqlite.outcome_store import SqliteOutcomes
from msh.store.sqlite.writer import Transaction, Writer

Result = TypeVar("Result")


class SqliteStore(SqliteOutcomes, SqliteBatches):
    """A `msh.store.Store` over one SQLite database.

    ``path`` is a file, or ``:memory:``. One thread writes, with many operations per commit and
    ``synchronous=FULL``; reading has a connection and a thread of its own.
    """

    def __init__(self, path: str, *, lock_seconds: float = opening.LOCK_SECONDS) -> None:
        self.path = path
        self.shared = path != ":memory:"
        self._lock_seconds = lock_seconds
        self._owner = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._writer: Writer | None = None
        self._reader: Database | None = None
        self._reading: ThreadPoolExecutor | None = None
        self._reads = 0

    @property
    def busy(self) -> bool:
        """Whether anything asked for is not finished."""
        return self._reads > 0 or (self._writer is not None and self._writer.busy)

    async def open(self, notify: Notify, party: str | None = None) -> None:
        """Open and migrate. Raises `StoreError` in one of its kinds."""
        how = self.path, party, self._lock_seconds
        writing, reading_ = await asyncio.to_thread(opening.connections, *how)
        if reading_ is not None:
            self._reader = Database(reading_, execute_plugins=False)
            self._reading = ThreadPoolExecutor(1, thread_name_prefix="msh-store-reader")
        self._writer = Writer(writing, notify, "msh-store-writer", self.path)

    def watch(self, changed: Callable[[], None]) -> None:
        """Poll for commits of other processes; memory has none. A second call replaces the first.

        Raises `StoreClosed`.
        """
        if self._writer is None:
            raise StoreClosed("the store is not open")
        if self.shared:
            self._writer.watch(changed)

    async def close(self) -> None:
        """Finish what was asked, then let go."""
        if self._writer is not None:
            await self._writer.close()
            self._writer = None
        reader, self._reader = self._reader, None
        if reader is not None:
            await asyncio.get_running_loop().run_in_executor(self._reading, reader.conn.close)
        pool, self._reading = self._reading, None
        if pool is not None:
            pool.shutdown(wait=False)

    # inbound

    async def receive(
        self,
        message: Message,
        digest: bytes,
        wire: bytes,
        now: datetime,
        lease: timedelta,
        *,
        admit: bool = True,
        begin: bool = False,
        references: References | None = None,
        result: outcome_records.Result | None = None,
        repeat: bool = False,
    ) -> Arrival:
        """See `msh.store.Store.receive`."""
        terms = lease, admit, begin, references, result, repeat
        return await self._write(inbound.receive, self._owner, message, digest, wire, now, *terms)

    async def start(self, claim: Claim, now: datetime, lease: timedelta) -> Claim:
        """See `msh.store.Store.start`."""
        return await self._write(inbound.start, claim, now, lease)

    async def extend(self, claim: Claim, now: datetime, lease: timedelta) -> None:
        """See `msh.store.Store.extend`."""
        await self._write(inbound.extend, claim, now, lease)

    async def answer(self, claim: Claim, answer: Answer, now: datetime) -> StoredReply:
        """See `msh.store.Store.answer`."""
        return await self._write(
            inbound.answer, claim, answer, now, savepoint=answer.apply is not None
        )

    async def release(self, claim: Claim, due: datetime, now: datetime, reason: str) -> None:
        """See `msh.store.Store.release`."""
        await self._write(inbound.release, claim, due, now, reason)

    async def park(self, claim: Claim, now: datetime) -> None:
        """See `msh.store.Store.park`."""
        await self._write(inbound.park, claim, now)

    async def answer_parked(self, reception: int, answer: Answer, now: datetime) -> StoredReply:
        """See `msh.store.Store.answer_parked`."""
        return await self._write(
            inbound.answer_parked, reception, answer, now, savepoint=answer.apply is not None
        )

    async def take_over(
        self, sender: str, now: datetime, lease: timedelta, limit: int
    ) -> Sequence[Work]:
        """See `msh.store.Store.take_over`."""
        return await self._write(inbound.take_over, self._owner, sender, now, lease, limit)

    async def keep_form(self, reception: int, key: str, wire: bytes, *, over: str = "") -> bytes:
        """See `msh.store.Store.keep_form`."""
        return await self._write(inbound.keep_form, reception, key, wire, over)

    async def reply_of(self, reception: int) -> StoredReply | None:
        """See `msh.store.Store.reply_of`."""
        return await self._write(inbound.reply_of, reception)

    # outbound

    async def enqueue(
        self,
        draft: Draft,
        now: datetime,
        *,
        first: FirstAttempt | None = None,
        admit: bool = True,
    ) -> tuple[Delivery, bool]:
        """See `msh.store.Store.enqueue`."""
        if not admit:
            return await self._write(outbound.queued_before, draft), False
        return await self._write(outbound.enqueue, draft, now, self._owner, first)

    async def claim(
        self,
        receiver: str,
        now: datetime,
        lease: timedelta,
        limit: int,
        *,
        only: int | None = None,
    ) -> Outbounds:
        """See `msh.store.Store.claim`."""
        return await self._write(outbound.claim, self._owner, receiver, now, lease, limit, only)

    async def begin(
        self,
        outbound_: Outbound,
        wire: bytes,
        now: datetime,
        due: datetime,
        *,
        last: bool,
        lease: timedelta,
    ) -> None:
        """See `msh.store.Store.begin`."""
        await self._write(outbound.begin, outbound_, wire, now, due, last, lease)

    async def record_failure(
        self,
        outbound_: Outbound,
        now: datetime,
        *,
        outcome: str,
        detail: str,
        sent: bool,
        reconnected: bool,
    ) -> None:
        """See `msh.store.Store.record_failure`."""
        ended = outcome, detail, sent, reconnected
        await self._write(outbound.record_failure, outbound_, now, *ended)

    async def record_reply(
        self,
        sender: str,
        reply: Message,
        wire: bytes,
        codes: RoleCodes,
        now: datetime,
        *,
        reconnected: bool = False,
        late: bool = False,
    ) -> Delivery | None:
        """See `msh.store.Store.record_reply`."""
        came = reconnected, late
        return await self._write(replies.record_reply, sender, reply, wire, codes, now, *came)

    async def ignore_reply(self, sender: str, message_id: str, now: datetime, reason: str) -> None:
        """See `msh.store.Store.ignore_reply`."""
        await self._write(replies.ignore_reply, sender, message_id, now, reason)

    async def hold(self, outbound_: Outbound, due: datetime, now: datetime, reason: str) -> None:
        """See `msh.store.Store.hold`."""
        await self._write(outbound.hold, outbound_, due, now, reason)

    async def give_up(self, outbound_: Outbound, now: datetime) -> Delivery:
        """See `msh.store.Store.give_up`."""
        return await self._write(replies.give_up, outbound_, now)

    async def resend(self, sender: str, message_id: str, now: datetime) -> Delivery:
        """See `msh.store.Store.resend`."""
        return await self._write(replies.resend, sender, message_id, now)

    # working keys

    async def keys(self, peer: str | None = None) -> Sequence[StoredKey]:
        """See `msh.store.Store.keys`."""
        return await self._read(keys.keys, peer)

    async def offer_key(self, key: StoredKey, message_id: str) -> StoredKey:
        """See `msh.store.Store.offer_key`."""
        return await self._write(keys.offer_key, key, message_id)

    async def activate_key(self, peer: str, key: str, message_id: str, now: datetime) -> bool:
        """See `msh.store.Store.activate_key`."""
        return await self._write(keys.activate_key, peer, key, message_id, now)

    async def key_verified(self, peer: str, key: str, message_id: str, now: datetime) -> None:
        """See `msh.store.Store.key_verified`."""
        await self._write(keys.key_verified, peer, key, message_id, now)

    async def retire_key(self, peer: str, key: str, now: datetime) -> bool:
        """See `msh.store.Store.retire_key`."""
        return await self._write(keys.retire_key, peer, key, now)

    async def forget_keys(self, before: datetime) -> int:
        """See `msh.store.Store.forget_keys`."""
        return await self._write(keys.forget_keys, before)

    # suspension

    async def suspend(self, kind: SuspensionKind, name: str, now: datetime) -> bool:
        """See `msh.store.Store.suspend`."""
        return await self._write(suspension.suspend, kind, name, now)

    async def resume(self, kind: SuspensionKind, name: str, now: datetime) -> bool:
        """See `msh.store.Store.resume`."""
        return await self._write(suspension.resume, kind, name, now)

    async def suspensions(self) -> Sequence[Suspension]:
        """See `msh.store.Store.suspensions`."""
        return await self._read(suspension.suspensions)

    # reading

    async def delivery(self, delivery: int) -> Delivery | None:
        """See `msh.store.Store.delivery`."""
        found = await self._read(reading.deliveries, number=delivery, limit=1)
        return found[0] if found else None

    async def request_wire(self, delivery: int) -> tuple[bytes, bytes | None] | None:
        """See `msh.store.Store.request_wire`."""
        return await self._read(reading.request_wire, delivery)

    async def received_wire(self, reception: int) -> bytes | None:
        """See `msh.store.Store.received_wire`."""
        return await self._read(reading.received_wire, reception)

    async def delivery_reply(self, delivery: int) -> bytes | None:
        """See `msh.store.Store.delivery_reply`."""
        return await self._read(reading.delivery_reply, delivery)

    async def deliveries(
        self,
        *,
        message_id: str | None = None,
        state: str | None = None,
        since: datetime | None = None,
        limit: int = 1000,
    ) -> Sequence[Delivery]:
        """See `msh.store.Store.deliveries`."""
        return await self._read(
            reading.deliveries, message_id=message_id, state=state, since=since, limit=limit
        )

    async def receptions(
        self,
        *,
        message_id: str | None = None,
        state: str | None = None,
        since: datetime | None = None,
        limit: int = 1000,
    ) -> Sequence[Reception]:
        """See `msh.store.Store.receptions`."""
        return await self._read(
            reading.receptions, message_id=message_id, state=state, since=since, limit=limit
        )

    async def attempts(self, delivery: int) -> Sequence[Attempt]:
        """See `msh.store.Store.attempts`."""
        return await self._read(reading.attempts, delivery)

    async def journal(
        self,
        *,
        message_id: str | None = None,
        direction: Direction | None = None,
        after: int = 0,
        limit: int = 1000,
    ) -> Sequence[Entry]:
        """See `msh.store.Store.journal`."""
        return await self._read(
            reading.journal, message_id=message_id, direction=direction, after=after, limit=limit
        )

    async def last_entry(self) -> int:
        """See `msh.store.Store.last_entry`."""
        return await self._read(reading.last_entry)

    async def purge(
        self, contents: datetime, ids: datetime, now: datetime
    ) -> AsyncIterator[Purged]:
        """See `msh.store.Store.purge`."""
        while (done := await self._write(purging.purge_contents, contents)).contents:
            yield done
        while await self._write(purging.purge_lines, contents):
            pass
        while (done := await self._write(purging.purge_ids, ids)).ids:
            yield done

    async def _write(
        self, operation: Callable[..., Result], *arguments: Any, savepoint: bool = False
    ) -> Result:
        if self._writer is None:
            raise StoreClosed("the store is not open")

        def run(transaction: Transaction) -> Result:
            return operation(transaction, *arguments)

        return await self._writer.run(run, savepoint=savepoint)

    async def _read(self, query: Callable[..., Result], *arguments: Any, **options: Any) -> Result:
        reader = self._reader
        if reader is None:  # memory has one connection, and it belongs to the writer's thread

            def run(transaction: Transaction) -> Result:
                database = Database(transaction.connection, execute_plugins=False)
                return query(database, *arguments, **options)

            if self._writer is None:
                raise StoreClosed("the store is not open")
            return await self._writer.run(run)
        call = partial(query, reader, *arguments, **options)
        self._reads += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._reading, call)
        except sqlite3.Error as error:
            raise opening.explained(error, self.path) from error
        finally:
            self._reads -= 1
