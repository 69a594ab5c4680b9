"""Group commit: one thread, one connection, many operations per transaction.

An operation is a plain function of a `Transaction`. Whatever waits when the thread is free is run
in one transaction, and nothing is told to anybody before its COMMIT returned: one disk sync
serves many messages.

When an operation fails, the whole group is rolled back and its operations are run again one by
one, each in a transaction of its own, so that a failure harms nobody else and nothing is half
written. (That is also right for a full disk, where SQLite itself rolls back everything.)
An operation that runs a caller's code gets a savepoint instead, so that its failure, which is to
be expected, costs the others nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from msh.errors import MshError, StoreClosed
from msh.protocol.journal import Direction, Entry, Step
from msh.store.base import Notify
from msh.store.sqlite.opening import translated
from msh.store.sqlite.values import to_micros

Result = TypeVar("Result")

#: More operations than this are not put into one transaction, so that none waits long.
GROUP = 256


class Transaction:
    """What an operation works with: the connection, and the journal of this transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.execute = connection.execute
        self.entries: list[Entry] = []

    def journal(
        self,
        at: datetime,
        step: Step,
        direction: Direction,
        message_id: str,
        peer: str,
        service: str,
        **details: Any,
    ) -> None:
        """Add a line to the journal, in this transaction."""
        self.entries.append(Entry(at, step, direction, message_id, peer, service, details))

    def write_journal(self) -> None:
        """Insert the collected lines; done once per transaction."""
        if self.entries:
            self.connection.executemany(
                "INSERT INTO journal (at, step, direction, msg_id, peer, service, details)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        to_micros(entry.at),
                        entry.step,
                        entry.direction,
                        entry.message_id,
                        entry.peer,
                        entry.service,
                        json.dumps(entry.details) if entry.details else "{}",
                    )
                    for entry in self.entries
                ],
            )


Operation = Callable[[Transaction], Any]


class _Job:
    __slots__ = ("error", "future", "operation", "result", "savepoint")

    def __init__(self, operation: Operation, savepoint: bool, future: asyncio.Future[Any]) -> None:
        self.operation = operation
        self.savepoint = savepoint
        self.future = future
        self.result: Any = None
        self.error: BaseException | None = None


class Writer:
    """The thread that owns the writing connection."""

    def __init__(
        self, connection: sqlite3.Connection, notify: Notify, name: str, path: str
    ) -> None:
        self._path = path
        self._connection = connection
        self._notify = notify
        self._loop = asyncio.get_running_loop()
        self._jobs: deque[_Job] = deque()
        self._wake = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._sleeping = False
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def run(
        self, operation: Callable[[Transaction], Result], *, savepoint: bool = False
    ) -> Result:
        """Run ``operation`` and return its result once it is durable."""
        if self._closing:
            raise StoreClosed("the store is closed")
        job = _Job(operation, savepoint, self._loop.create_future())
        self._put(job)
        # A caller that is cancelled does not undo the operation: it is in the queue.
        result: Result = await asyncio.shield(job.future)
        return result

    async def close(self) -> None:
        """Run what is queued, then end the thread and close the connection."""
        if not self._closing:
            self._closing = True
            with self._lock:
                self._wake.release()
        await asyncio.to_thread(self._thread.join)

    def _put(self, job: _Job) -> None:
        self._jobs.append(job)
        with self._lock:
            if self._sleeping:
                self._sleeping = False
                self._wake.release()

    def _run(self) -> None:
        while True:
            group = self._next_group()
            if not group:
                break
            entries = self._commit(group)
            with contextlib.suppress(RuntimeError):  # the loop is gone: nobody is left to tell
                self._loop.call_soon_threadsafe(self._tell, group, entries)
        self._connection.close()

    def _next_group(self) -> list[_Job]:
        while not self._jobs:
            with self._lock:
                if self._jobs:
                    break
                if self._closing:
                    return []
                self._sleeping = True
            self._wake.acquire()
        count = min(len(self._jobs), GROUP)
        return [self._jobs.popleft() for _ in range(count)]

    def _commit(self, group: Sequence[_Job]) -> list[Entry]:
        """Run the group as one transaction, or if that fails each job as its own."""
        transaction = Transaction(self._connection)
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            for job in group:  # nobody can write now, so trying one by one would only wait longer
                job.error = translated(error, self._path)
            return []
        try:
            for job in group:
                self._perform(job, transaction)
            transaction.write_journal()
            self._connection.execute("COMMIT")
        except BaseException as error:
            self._roll_back()
            if len(group) == 1:
                group[0].result, group[0].error = None, translated(error, self._path)
                return []
            entries: list[Entry] = []
            for job in group:
                job.error = None
                entries += self._commit([job])
            return entries
        return transaction.entries

    def _perform(self, job: _Job, transaction: Transaction) -> None:
        if not job.savepoint:
            job.result = job.operation(transaction)
            return
        kept = len(transaction.entries)
        transaction.execute("SAVEPOINT msh_operation")
        try:
            job.result = job.operation(transaction)
        except Exception as error:
            if not self._connection.in_transaction:
                raise  # SQLite gave the whole group up
            transaction.execute("ROLLBACK TO msh_operation")
            del transaction.entries[kept:]
            job.error = translated(error, self._path)
        transaction.execute("RELEASE msh_operation")

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")

    def _tell(self, group: Sequence[_Job], entries: Sequence[Entry]) -> None:
        for job in group:
            if job.future.done():
                continue
            if job.error is None:
                job.future.set_result(job.result)
            else:
                job.future.set_exception(job.error)
                if isinstance(job.error, MshError):
                    job.future.exception()  # seen here, so that a caller long gone costs no log
        if entries:
            self._notify(entries)
