"""The results of what was sent: looking them up, and waiting for them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from msh.agreement import Agreements
from msh.catalog import Meaning
from msh.envelope import parse
from msh.errors import (
    NoOutcome,
    NotExecuted,
    Resolved,
    StoreClosed,
    Undelivered,
    UnknownMessage,
    UsageError,
)
from msh.message import Message
from msh.protocol.delivery import State
from msh.protocol.journal import Entry
from msh.store import Delivery, Outcome, Store

_NO_EFFECT = frozenset({Meaning.REFUSED, Meaning.LATER})


class Outcomes:
    """Where receipts find the results that came, in this process or in another one."""

    def __init__(self, agreements: Agreements, store: Store) -> None:
        self._agreements = agreements
        self._profiles = {a.profile.namespace: a.profile for a in agreements}
        self._store = store
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._closed = False

    async def wait(self, delivery: Delivery) -> Message:
        """The newest result of ``delivery``, once there is one. See `msh.Receipt.outcome`."""
        self._require_result(delivery)
        name, news = delivery.message_id, asyncio.Event()
        self._waiting.setdefault(name, set()).add(news)
        try:
            while True:
                news.clear()
                with _stopped(name, self._closed):
                    found = await self._store.outcomes(delivery.id)
                    if found:
                        return await self._message(name, found[0])
                    _require_hope(await self._look_up(delivery))
                await news.wait()
        finally:
            self._waiting[name].discard(news)
            if not self._waiting[name]:
                del self._waiting[name]

    async def all_of(self, delivery: Delivery) -> Sequence[Message]:
        """Every result whose content is kept, oldest first."""
        with _stopped(delivery.message_id, self._closed):
            found = []
            for outcome in reversed(await self._store.outcomes(delivery.id)):
                wire = await self._store.received_wire(outcome.reception)
                if wire is not None:
                    found.append(parse(wire, self._profiles).message)
            return found

    def noticed(self, entries: Sequence[Entry]) -> None:
        """Journal entries of this process: some may tell of what is waited for."""
        if self._waiting:
            for entry in entries:
                for news in self._waiting.get(entry.message_id, ()):
                    news.set()

    def changed(self) -> None:
        """Another process changed the store."""
        for waiting in self._waiting.values():
            for news in waiting:
                news.set()

    def close(self) -> None:
        """Nobody here will hear of anything any more."""
        self._closed = True
        self.changed()

    async def _message(self, name: str, outcome: Outcome) -> Message:
        wire = await self._store.received_wire(outcome.reception)
        if wire is None:
            told = f" with {outcome.status}" if outcome.status else ""
            raise UnknownMessage(
                f"{name}: its result came in {outcome.message_id}{told}, and the content of that "
                "has been purged"
            )
        return parse(wire, self._profiles).message

    async def _look_up(self, delivery: Delivery) -> Delivery:
        found = await self._store.delivery(delivery.id)
        if found is None:
            raise UnknownMessage(f"{delivery.message_id}: its id is no longer kept")
        return found

    def _require_result(self, delivery: Delivery) -> None:
        agreement = self._agreements.get(delivery.receiver)
        if agreement and agreement.profile.catalog.result_for(delivery.service) is None:
            raise UsageError(
                f"{delivery.message_id}: {delivery.service} has no result; its reply is all that "
                "is told"
            )


def _require_hope(delivery: Delivery) -> None:
    """Raise what is known of a delivery for which no result will come."""
    name, state, status = delivery.message_id, delivery.state, delivery.status
    if state is State.NOT_SENT:
        raise Undelivered(name, "surely not sent: no attempt reached the other side")
    if state is State.NOT_EXECUTED:
        raise NotExecuted(name, f"not executed, as {delivery.resolved_by} says", status)
    if state is State.RESOLVED:  # and there is no result
        raise Resolved(name, f"executed, as {delivery.resolved_by} says; no result came")
    if state is State.ANSWERED and status is not None and status.meaning in _NO_EFFECT:
        raise NoOutcome(name, f"refused with {status}, so that no result follows", status)


@contextmanager
def _stopped(message_id: str, closed: bool) -> Iterator[None]:
    told = StoreClosed(
        f"{message_id}: the handler was stopped before a result came; ask again with "
        "receipt(message_id)"
    )
    if closed:
        raise told
    try:
        yield
    except StoreClosed:
        raise told from None
