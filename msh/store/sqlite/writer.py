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
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from msh.errors import ApplyFailed, MshError, StoreClosed, StoreLocked
from msh.protocol.journal import Direction, Entry, Step
from msh.store.base import Notify
from msh.store.sqlite.guard import StoreConnection, error_code
from msh.store.sqlite.opening import translated
from msh.store.sqlite.values import to_micros

Result = TypeVar("Result")

# What `json.dumps` would look up for every entry.
_as_json = json.JSONEncoder().encode

#: More operations than this are not put into one transaction, so that none waits long.
GROUP = 256
#: How often another process's commits are looked for (PRAGMA data_version costs 3 microseconds).
POLL_SECONDS = 0.05
#: How long the event loop stands still for a group's statements, at the most.
LEND_SECONDS = 0.002


class Transaction:
    """What an operation works with: the connection, and the journal of this transaction."""

    def __init__(self, connection: StoreConnection) -> None:
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
                        _as_json(entry.details) if entry.details else "{}",
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

    def __init__(self, connection: StoreConnection, notify: Notify, name: str, path: str) -> None:
        self._path = path
        self._connection = connection
        self._notify = notify
        self._loop = asyncio.get_running_loop()
        self._jobs: deque[_Job] = deque()
        self._groups: queue.SimpleQueue[list[_Job] | None] = queue.SimpleQueue()
        self._executed = threading.Event()
        # Only the loop's thread looks at these.
        self._flushing = False
        self._working = False
        self._closing = False
        self._unfinished = 0
        self._finished = asyncio.Event()
        self._changed: Callable[[], None] | None = None
        self._version = self._data_version()
        self._next_look = 0.0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether anything asked for is not finished."""
        return self._unfinished > 0

    async def run(
        self, operation: Callable[[Transaction], Result], *, savepoint: bool = False
    ) -> Result:
        """Run ``operation`` and return its result once it is durable."""
        if self._closing:
            raise StoreClosed("the store is closed")
        job = _Job(operation, savepoint, self._loop.create_future())
        self._put(job)
        # A caller that is cancelled does not undo the operation: it is in the queue.
        result: Result = await job.future
        return result

    def watch(self, changed: Callable[[], None]) -> None:
        """Call ``changed`` on the loop soon after another connection has committed.

        This connection looks, because to any other one our own commits would be news, too.
        """
        if self._closing:
            raise StoreClosed("the store is closed")
        self._changed = changed
        self._groups.put([])  # so that the thread waits for no longer than until the next look

    async def close(self) -> None:
        """Run what is queued, then end the thread and close the connection."""
        self._closing = True
        while self._unfinished:
            self._finished.clear()
            await self._finished.wait()
        self._groups.put(None)  # a second one does no harm: a first close may have been cancelled
        await asyncio.to_thread(self._thread.join)

    def _put(self, job: _Job) -> None:
        self._unfinished += 1
        self._jobs.append(job)
        self._flush_soon()

    def _flush_soon(self) -> None:
        """Once the loop has run what is ready now, so that a group is as large as it can be."""
        if not self._flushing and not self._working:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Hand what waits to the thread, and stand still while it runs the statements.

        Two busy threads hand the interpreter back and forth at every statement, which took longer
        than the statements (3.5 ms for a group of 16, instead of 1.2). While the disk syncs, and
        if the statements take long (a lock, a cold page, a slow ``apply``), the loop goes on.
        """
        self._flushing, self._working = False, True
        count = min(len(self._jobs), GROUP)
        self._executed.clear()
        self._groups.put([self._jobs.popleft() for _ in range(count)])
        self._executed.wait(LEND_SECONDS)

    def _run(self) -> None:
        while True:
            try:
                group = self._groups.get(timeout=POLL_SECONDS if self._changed else None)
            except queue.Empty:
                group = []
            if group is None:
                break
            if group:
                entries = self._commit(group)
                self._executed.set()
                self._call(self._tell, group, entries)
            self._look()
        self._connection.close()

    def _look(self) -> None:
        """Whether another connection has committed since the last look, at most once a while."""
        now = time.monotonic()
        if self._changed is None or now < self._next_look:
            return
        self._next_look = now + POLL_SECONDS
        version = self._data_version()
        if version != self._version:
            self._version = version
            self._call(self._changed)

    def _data_version(self) -> int | None:
        with contextlib.suppress(sqlite3.Error):
            version: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
            return version
        return None

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is gone: nobody is left to tell
            self._loop.call_soon_threadsafe(function, *arguments)

    def _commit(self, group: Sequence[_Job]) -> list[Entry]:
        """Run the group as one transaction, or if that fails each job as its own."""
        transaction = Transaction(self._connection)
        self._roll_back()  # what is left if a rollback itself failed
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
            self._executed.set()
            self._connection.execute("COMMIT")
        except BaseException as error:
            self._roll_back()
            if len(group) == 1:
                self._fail(group[0], error)
                return []
            return self._commit_singly(group)
        return transaction.entries

    def _commit_singly(self, group: Sequence[_Job]) -> list[Entry]:
        entries: list[Entry] = []
        for number, job in enumerate(group):
            job.error = None
            entries += self._commit([job])
            if isinstance(job.error, StoreLocked):
                for other in group[number + 1 :]:  # they would wait as long, one after the other
                    other.error = job.error
                break
        return entries

    def _fail(self, job: _Job, error: BaseException) -> None:
        if job.error is not None:
            return  # the caller's own failure says more than what came of it
        if job.savepoint and error_code(error) == sqlite3.SQLITE_CONSTRAINT:  # a deferred one
            job.error = ApplyFailed(f"what apply wrote could not be committed: {error}")
            job.error.__cause__ = error
        else:
            job.error = translated(error, self._path)

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
            job.error = translated(error, self._path)
            transaction.execute("ROLLBACK TO msh_operation")
            del transaction.entries[kept:]
        transaction.execute("RELEASE msh_operation")

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")

    def _tell(self, group: Sequence[_Job], entries: Sequence[Entry]) -> None:
        self._working = False
        self._unfinished -= len(group)
        if self._jobs:
            self._flush_soon()
        elif not self._unfinished:
            self._finished.set()
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
