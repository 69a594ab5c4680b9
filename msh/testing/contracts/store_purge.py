"""The contract of a store: what a purge removes, and what it never does."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest

from msh.protocol import delivery, reception
from msh.store import New, Purged, Store
from msh.testing.contracts.samples import (
    DONE,
    MUCH_LATER,
    NOW,
    OWN,
    PEER,
    after,
    answer,
    arrive,
    delivery_in,
    draft,
    everything,
    receive_new,
    reception_in,
    replied,
    request,
    status,
    steps,
    the_delivery,
    the_reception,
)

MOMENT = timedelta(microseconds=1)
LONG_AGO = NOW - timedelta(days=1000)
SETTLED = [delivery.State.ANSWERED, delivery.State.RESOLVED, delivery.State.NOT_SENT]


async def purge(store: Store, contents: datetime, ids: datetime = LONG_AGO) -> Purged:
    """Purge, and sum up the steps."""
    done = [step async for step in store.purge(contents, ids, MUCH_LATER)]
    assert all(step.contents or step.ids for step in done)
    return Purged(sum(step.contents for step in done), sum(step.ids for step in done))


class PurgeContract:
    """`Store.purge`: contents first, ids later, and nothing that is still needed."""

    @pytest.mark.parametrize("state", SETTLED)
    async def test_the_content_of_a_settled_delivery(
        self, store: Store, state: delivery.State
    ) -> None:
        before = await delivery_in(store, state)
        await store.enqueue(draft("D-2"), NOW)
        assert await purge(store, NOW) == Purged(0, 0)
        assert await purge(store, NOW + MOMENT) == Purged(1, 0)
        after_ = await the_delivery(store)
        assert after_.purged
        assert (after_.state, after_.status) == (before.state, before.status)
        assert await store.request_wire(before.id) is None
        assert await store.delivery_reply(before.id) is None
        assert await store.attempts(before.id) == []
        assert await steps(store, "D-1") == []
        assert await steps(store, "D-2") != []
        assert await purge(store, NOW + MOMENT) == Purged(0, 0)

    async def test_the_content_of_an_answered_reception(self, store: Store) -> None:
        claim = await reception_in(store, reception.State.ANSWERED)
        await receive_new(store, "M-2")
        assert await purge(store, NOW) == Purged(0, 0)
        assert await purge(store, NOW + MOMENT) == Purged(1, 0)
        stored = await the_reception(store)
        assert stored.purged
        assert stored.status == status(DONE)
        assert await store.reply_of(claim.reception) is None
        assert await steps(store, "M-1") == []
        assert await steps(store, "M-2") != []

    @pytest.mark.parametrize("state", [s for s in delivery.State if s not in SETTLED])
    async def test_never_what_is_open_or_in_doubt(
        self, store: Store, state: delivery.State
    ) -> None:
        await delivery_in(store, state)
        before = await everything(store)
        assert await purge(store, MUCH_LATER, MUCH_LATER) == Purged(0, 0)
        assert await everything(store) == before

    @pytest.mark.parametrize(
        "state", [s for s in reception.State if s is not reception.State.ANSWERED]
    )
    async def test_never_what_is_unanswered_or_set_aside(
        self, store: Store, state: reception.State
    ) -> None:
        await reception_in(store, state)
        before = await everything(store)
        assert await purge(store, MUCH_LATER, MUCH_LATER) == Purged(0, 0)
        assert await everything(store) == before

    async def test_a_doubt_is_kept_from_the_day_it_was_resolved(self, store: Store) -> None:
        await delivery_in(store, delivery.State.IN_DOUBT)
        await store.resolve(OWN, "D-1", PEER, "PS811-1", after(1000))
        assert await purge(store, after(1000)) == Purged(0, 0)
        assert await purge(store, after(1000) + MOMENT) == Purged(1, 0)

    async def test_ids_are_forgotten_later(self, store: Store) -> None:
        await reception_in(store, reception.State.ANSWERED)
        await delivery_in(store, delivery.State.ANSWERED)
        assert await purge(store, MUCH_LATER, NOW) == Purged(2, 0)
        await arrive(store, request(), MUCH_LATER)
        assert await purge(store, MUCH_LATER, NOW + MOMENT) == Purged(0, 2)
        assert await everything(store) == ([], [], [], [], [], [], [], [], [])
        assert isinstance(await arrive(store, request()), New)
        _, created = await store.enqueue(draft("D-1"), NOW)
        assert created

    async def test_a_reply_after_the_purge_leaves_no_content_behind(self, store: Store) -> None:
        before = await delivery_in(store, delivery.State.NOT_SENT)
        await purge(store, MUCH_LATER)
        await replied(store, DONE, MUCH_LATER, late=True)
        stored = await the_delivery(store)
        assert (stored.state, stored.status) == (delivery.State.ANSWERED, status(DONE))
        assert await store.delivery_reply(before.id) is None
        assert await purge(store, MUCH_LATER + MOMENT, MUCH_LATER + MOMENT) == Purged(0, 1)
        assert await everything(store) == ([], [], [], [], [], [], [], [], [])

    async def test_a_large_purge_reports_its_steps(self, store: Store) -> None:
        claims = await asyncio.gather(*(receive_new(store, f"M-{n}") for n in range(1200)))
        await asyncio.gather(*(store.answer(claim, answer(), NOW) for claim in claims))
        done = [step async for step in store.purge(MUCH_LATER, MUCH_LATER, MUCH_LATER)]
        assert sum(step.contents for step in done) == 1200
        assert sum(step.ids for step in done) == 1200
        assert len(done) >= 4
        assert await store.receptions() == []
        assert await store.journal() == []
