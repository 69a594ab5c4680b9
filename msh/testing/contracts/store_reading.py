"""The contract of a store: listing, the journal, and who is told of it."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from msh.errors import ApplyFailed, ClaimLost
from msh.protocol import delivery, reception
from msh.protocol.journal import Direction, Step
from msh.store import Answer, Claim, Store
from msh.testing.contracts.samples import (
    DONE,
    LEASE,
    NOW,
    OTHER,
    PEER,
    Notified,
    after,
    answer,
    arrive,
    begin,
    delivery_in,
    draft,
    failing,
    receive_new,
    reception_in,
    replied,
    request,
    status,
    steps,
)


class ReadingContract:
    """What people and tools list."""

    async def test_deliveries_newest_first(self, store: Store) -> None:
        for number in range(4):
            await store.enqueue(draft(f"D-{number}"), after(number))
        names = [one.message_id for one in await store.deliveries()]
        assert names == ["D-3", "D-2", "D-1", "D-0"]
        since = [one.message_id for one in await store.deliveries(since=after(2), limit=9)]
        assert since == ["D-3", "D-2"]
        assert [one.message_id for one in await store.deliveries(limit=1)] == ["D-3"]

    async def test_deliveries_by_id_and_state(self, store: Store) -> None:
        await delivery_in(store, delivery.State.ANSWERED, message_id="D-1")
        await store.enqueue(draft("D-2"), NOW)
        await store.enqueue(draft("D-2", sender=OTHER), NOW)
        assert len(await store.deliveries(message_id="D-2")) == 2
        (answered,) = await store.deliveries(state="answered")
        assert answered.message_id == "D-1"
        assert await store.deliveries(message_id="D-1", state="queued") == []
        assert await store.deliveries(message_id="D-9") == []

    async def test_receptions_newest_first(self, store: Store) -> None:
        for number in range(4):
            await arrive(store, request(f"M-{number}"), after(number))
        names = [one.message_id for one in await store.receptions()]
        assert names == ["M-3", "M-2", "M-1", "M-0"]
        since = [one.message_id for one in await store.receptions(since=after(2), limit=9)]
        assert since == ["M-3", "M-2"]
        assert [one.message_id for one in await store.receptions(limit=1)] == ["M-3"]

    async def test_receptions_by_id_and_state(self, store: Store) -> None:
        await reception_in(store, reception.State.PARKED, "M-1")
        await receive_new(store, "M-2")
        await receive_new(store, "M-2", sender=OTHER)
        assert len(await store.receptions(message_id="M-2")) == 2
        (parked,) = await store.receptions(state="parked")
        assert parked.message_id == "M-1"
        assert await store.receptions(message_id="M-1", state="claimed") == []

    async def test_what_is_not_there(self, store: Store) -> None:
        assert await store.delivery(4711) is None
        assert await store.request_wire(4711) is None
        assert await store.delivery_reply(4711) is None
        assert await store.reply_of(4711) is None
        assert await store.attempts(4711) == []
        assert await store.last_entry() == 0


class JournalContract:
    """One line per event, in the transaction of the change; told once it is durable."""

    async def test_the_journal_tells_the_whole_way(self, store: Store) -> None:
        claim = await receive_new(store, "M-1")
        claim = await store.start(claim, NOW, LEASE)
        await store.release(claim, after(1), NOW, "it raised")
        (work,) = await store.take_over(PEER, after(1), LEASE, 1)
        await store.answer(await store.start(work.claim, after(1), LEASE), answer(), after(2))
        assert await steps(store, "M-1") == [
            Step.RECEIVED,
            Step.RUN_BEGUN,
            Step.HANDLER_FAILED,
            Step.RUN_BEGUN,
            Step.REPLIED,
        ]
        await store.enqueue(draft("D-1"), NOW)
        await begin(store)
        await replied(store)
        assert await steps(store, "D-1") == [Step.QUEUED, Step.ATTEMPT_BEGUN, Step.ANSWERED]

    async def test_entries_are_numbered_and_listed_in_order(self, store: Store) -> None:
        await asyncio.gather(*(receive_new(store, f"M-{number}") for number in range(9)))
        entries = await store.journal()
        numbers = [entry.number or 0 for entry in entries]
        assert numbers == sorted(set(numbers))
        assert await store.last_entry() == numbers[-1]
        assert await store.journal(limit=4) == entries[:4]
        assert await store.journal(after=numbers[3], limit=3) == entries[4:7]
        assert await store.journal(after=numbers[-1]) == []

    async def test_entries_of_one_message_or_direction(self, store: Store) -> None:
        await receive_new(store, "X-1")
        await store.enqueue(draft("X-1"), NOW)
        await store.enqueue(draft("D-2"), NOW)
        assert await steps(store, "X-1") == [Step.RECEIVED, Step.QUEUED]
        inbound = await store.journal(direction=Direction.INBOUND)
        assert [entry.step for entry in inbound] == [Step.RECEIVED]
        outbound = await store.journal(message_id="X-1", direction=Direction.OUTBOUND)
        assert [entry.step for entry in outbound] == [Step.QUEUED]

    async def test_the_observer_sees_the_journal_in_its_order(
        self, store: Store, notified: Notified
    ) -> None:
        claims = await asyncio.gather(*(receive_new(store, f"M-{n}") for n in range(30)))
        bad = Answer(status(DONE), b"", apply=failing(ValueError()))
        answers = [bad if n % 3 == 0 else answer() for n in range(30)]
        results = await asyncio.gather(
            *(store.answer(claim, one, NOW) for claim, one in zip(claims, answers, strict=True)),
            *(store.enqueue(draft(f"D-{n}"), NOW) for n in range(30)),
            store.extend(Claim(4711, 1, 0), NOW, LEASE),
            return_exceptions=True,
        )
        assert sum(isinstance(one, ApplyFailed) for one in results) == 10
        assert isinstance(results[-1], ClaimLost)
        journal = [dataclasses.replace(entry, number=None) for entry in await store.journal()]
        told = [dataclasses.replace(entry, number=None) for entry in notified.entries]
        assert told == journal
        assert len(told) == 30 + 20 + 30

    async def test_the_observer_is_told_before_the_caller(
        self, store: Store, notified: Notified
    ) -> None:
        await receive_new(store)
        assert [entry.step for entry in notified.entries] == [Step.RECEIVED]

    async def test_what_failed_is_not_told(self, store: Store, notified: Notified) -> None:
        claim = await receive_new(store)
        with pytest.raises(ApplyFailed):
            await store.answer(claim, Answer(status(DONE), b"", apply=failing(ValueError())), NOW)
        assert [entry.step for entry in notified.entries] == [Step.RECEIVED]
