"""The part of `msh.store.sqlite.store.SqliteStore` that is about what follows a reply."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from msh.content import References
from msh.store.outcome_records import Asked, Outcome, Repeat
from msh.store.records import Delivery
from msh.store.sqlite import outcomes, resending, setaside

Result = TypeVar("Result")


class SqliteOutcomes:
    """See `msh.store.outcomes.OutcomeStore` for each method."""

    async def _write(
        self, operation: Callable[..., Result], *arguments: Any, savepoint: bool = False
    ) -> Result:
        raise NotImplementedError

    async def _read(self, query: Callable[..., Result], *arguments: Any, **options: Any) -> Result:
        raise NotImplementedError

    async def outcomes(self, delivery: int) -> Sequence[Outcome]:
        """See `msh.store.outcomes.OutcomeStore.outcomes`."""
        return await self._read(outcomes.outcomes, delivery)

    async def results_of(self, sender: str, request: str, receiver: str) -> Sequence[Delivery]:
        """See `msh.store.outcomes.OutcomeStore.results_of`."""
        return await self._read(outcomes.results_of, sender, request, receiver)

    async def inquiries(self, delivery: int) -> Sequence[Delivery]:
        """See `msh.store.outcomes.OutcomeStore.inquiries`."""
        return await self._read(outcomes.inquiries, delivery)

    async def not_inquired(
        self, receiver: str, most: int, limit: int
    ) -> Sequence[tuple[Delivery, int]]:
        """See `msh.store.outcomes.OutcomeStore.not_inquired`."""
        return await self._read(outcomes.not_inquired, receiver, most, limit)

    async def settle(
        self, sender: str, message_id: str, *, executed: bool, because: str, now: datetime
    ) -> Delivery:
        """See `msh.store.outcomes.OutcomeStore.settle`."""
        return await self._write(outcomes.settle, sender, message_id, executed, because, now)

    async def rerun(self, sender: str, message_id: str, now: datetime) -> None:
        """See `msh.store.outcomes.OutcomeStore.rerun`."""
        await self._write(setaside.rerun, sender, message_id, now)

    async def close_reception(
        self, sender: str, message_id: str, because: str, now: datetime
    ) -> None:
        """See `msh.store.outcomes.OutcomeStore.close_reception`."""
        await self._write(setaside.close_reception, sender, message_id, because, now)

    async def ask_again(self, peer: str, asked: Asked, now: datetime, until: datetime) -> None:
        """See `msh.store.outcomes.OutcomeStore.ask_again`."""
        await self._write(resending.ask_again, peer, asked, now, until)

    async def asked_again(self, now: datetime) -> Sequence[tuple[str, Asked]]:
        """See `msh.store.outcomes.OutcomeStore.asked_again`."""
        return await self._read(resending.asked_again, now)

    async def sent_to(
        self,
        receiver: str,
        *,
        service: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        message_ids: Sequence[str] = (),
        references: References | None = None,
        limit: int = 1000,
    ) -> Sequence[Delivery]:
        """See `msh.store.outcomes.OutcomeStore.sent_to`."""
        return await self._read(
            resending.sent_to,
            receiver,
            service=service,
            since=since,
            until=until,
            message_ids=message_ids,
            references=references,
            limit=limit,
        )

    async def repeat(self, delivery: int, asked_by: str, now: datetime) -> bool:
        """See `msh.store.outcomes.OutcomeStore.repeat`."""
        return await self._write(resending.repeat, delivery, asked_by, now)

    async def repeats(
        self, receiver: str, now: datetime, lease: timedelta, limit: int
    ) -> Sequence[Repeat]:
        """See `msh.store.outcomes.OutcomeStore.repeats`."""
        return await self._write(resending.repeats, receiver, now, lease, limit)

    async def next_repeat(self, receiver: str) -> datetime | None:
        """See `msh.store.outcomes.OutcomeStore.next_repeat`."""
        return await self._read(resending.next_repeat, receiver)

    async def end_repeat(self, delivery: int, due: datetime | None) -> None:
        """See `msh.store.outcomes.OutcomeStore.end_repeat`."""
        await self._write(resending.end_repeat, delivery, due)
