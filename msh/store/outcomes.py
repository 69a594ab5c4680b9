"""The contract of a store, what follows a reply: a part of `msh.store.Store`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from msh.content import References
from msh.store.outcome_records import Asked, Outcome, Repeat
from msh.store.records import Delivery


class OutcomeStore(Protocol):
    """Results and what they are about, inquiries, repeats, and what an operator decides."""

    async def outcomes(self, delivery: int) -> Sequence[Outcome]:
        """Every result that came for a delivery, newest first."""
        ...

    async def results_of(self, sender: str, request: str, receiver: str) -> Sequence[Delivery]:
        """What was sent to ``receiver`` with RefToMsgId ``request``, newest first."""
        ...

    async def inquiries(self, delivery: int) -> Sequence[Delivery]:
        """The inquiries about a delivery, newest first."""
        ...

    async def not_inquired(
        self, receiver: str, most: int, limit: int
    ) -> Sequence[tuple[Delivery, int]]:
        """Deliveries to ``receiver`` in doubt, given up, and how many inquiries each has had.

        Only those with fewer than ``most``, none of which is under way; oldest first.
        """
        ...

    async def settle(
        self, sender: str, message_id: str, *, executed: bool, because: str, now: datetime
    ) -> Delivery:
        """End a doubt with what an operator found out.

        Raises `UnknownMessage`, or `UsageError` for a delivery that is not in doubt.
        """
        ...

    async def rerun(self, sender: str, message_id: str, now: datetime) -> None:
        """Release a reception that was set aside for one more run; its stored reply stays.

        Raises `UnknownMessage`, or `UsageError` for one that is not set aside.
        """
        ...

    async def close_reception(
        self, sender: str, message_id: str, because: str, now: datetime
    ) -> None:
        """End a reception that was set aside: an operator has seen to it. Raises as `rerun`."""
        ...

    async def ask_again(self, peer: str, asked: Asked, now: datetime, until: datetime) -> None:
        """Note what a party is asked for again, before it is asked."""
        ...

    async def asked_again(self, now: datetime) -> Sequence[tuple[str, Asked]]:
        """What is asked for again, and of which party, until it may no longer come."""
        ...

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
        """Deliveries to ``receiver`` that fit everything that is given, oldest first."""
        ...

    async def repeat(self, delivery: int, asked_by: str, now: datetime) -> bool:
        """Have an answered or resolved delivery leave once more, whose record stays as it is.

        False if its content is gone, it has another state, or it is to leave already.
        """
        ...

    async def repeats(
        self, receiver: str, now: datetime, lease: timedelta, limit: int
    ) -> Sequence[Repeat]:
        """Lease up to ``limit`` repeats to ``receiver`` that are due, and count the try."""
        ...

    async def next_repeat(self, receiver: str) -> datetime | None:
        """When the next repeat to ``receiver`` is due."""
        ...

    async def end_repeat(self, delivery: int, due: datetime | None) -> None:
        """A repeat was answered, or is tried again when it is ``due``."""
        ...
