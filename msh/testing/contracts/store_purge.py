"""The contract of a store: what a purge removes, and what it never does."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest

from msh.protocol import delivery, reception
from msh.store import Conflict, Forgotten, InHand, New, Purged, Remembered, Store, Unknown
from msh.testing.contracts.samples import (
    DONE,
    LEASE,
    MUCH_LATER,
    NOW,
    OTHER,
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
    result_comes,
    status,
    steps,
    the_delivery,
    the_reception,
)

MOMENT = timedelta(microseconds=1)
LONG_AGO = NOW - timedelta(days=1000)
CLOSED = [reception.State.ANSWERED, reception.State.CLOSED]
SETTLED = [
    delivery.State.ANSWERED,
    delivery.State.RESOLVED,
    delivery.State.NOT_SENT,
    delivery.State.NOT_EXECUTED,
]


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

    @pytest.mark.parametrize("state", [s for s in reception.State if s not in CLOSED])
    async def test_never_what_is_unanswered_or_set_aside(
        self, store: Store, state: reception.State
    ) -> None:
        await reception_in(store, state)
        before = await everything(store)
        assert await purge(store, MUCH_LATER, MUCH_LATER) == Purged(0, 0)
        assert await everything(store) == before

    async def test_a_doubt_is_kept_from_the_day_it_was_resolved(self, store: Store) -> None:
        await delivery_in(store, delivery.State.IN_DOUBT)
        await result_comes(store, now=after(1000))
        assert await purge(store, after(1000)) == Purged(0, 0)
        assert await purge(store, after(1000) + MOMENT) == Purged(1, 0)

    async def test_ids_are_forgotten_later(self, store: Store) -> None:
        await reception_in(store, reception.State.ANSWERED)
        await delivery_in(store, delivery.State.ANSWERED)
        assert await purge(store, MUCH_LATER, NOW) == Purged(2, 0)
        await arrive(store, request(), MUCH_LATER)
        assert await purge(store, MUCH_LATER, NOW + MOMENT) == Purged(0, 2)
        assert await everything(store) == ([], [], [], [], [], [], [], [], [])
        _, created = await store.enqueue(draft("D-1"), NOW)
        assert created

    async def test_an_id_is_kept_until_its_message_is_too_old_to_be_new(self, store: Store) -> None:
        ahead = request(timestamp=after(300))
        arrival = await arrive(store, ahead)
        assert isinstance(arrival, New)
        await store.answer(arrival.claim, answer(), NOW)
        assert await purge(store, MUCH_LATER, after(300)) == Purged(1, 0)
        assert await arrive(store, ahead, MUCH_LATER) == Remembered(status(DONE))
        assert await purge(store, MUCH_LATER, after(300) + MOMENT) == Purged(0, 1)

    @pytest.mark.parametrize("body", [b"<a/>", b"<other/>"])
    @pytest.mark.parametrize("when", ["in hand", "answered", "purged"])
    async def test_nor_is_it_forgotten_before_a_copy_that_is_dated_later(
        self, store: Store, body: bytes, when: str
    ) -> None:
        later = request(timestamp=after(300), body=body)
        claim = await receive_new(store)
        if when == "in hand":
            await arrive(store, later)
        await store.answer(claim, answer(), NOW)
        if when == "answered":
            await arrive(store, later)
        await purge(store, MUCH_LATER)
        if when == "purged":
            await arrive(store, later)
        await arrive(store, request())
        assert await purge(store, MUCH_LATER, after(300)) == Purged(0, 0)
        assert await purge(store, MUCH_LATER, after(300) + MOMENT) == Purged(0, 1)
        assert await arrive(store, later) == Forgotten()

    async def test_what_may_have_been_forgotten_is_not_taken_as_new(self, store: Store) -> None:
        for message_id, seconds in (("M-1", 5), ("M-2", 9), ("M-3", 1)):
            arrival = await arrive(store, request(message_id, timestamp=after(seconds)))
            assert isinstance(arrival, New)
            await store.answer(arrival.claim, answer(), NOW)
        assert await purge(store, MUCH_LATER, after(2)) == Purged(3, 1)
        assert await arrive(store, request("M-3", timestamp=after(1))) == Forgotten()
        assert await purge(store, MUCH_LATER, MUCH_LATER) == Purged(0, 2)
        for message_id, sender in (("M-1", PEER), ("M-2", PEER), ("M-9", PEER), ("M-9", OTHER)):
            known = request(message_id, sender=sender, timestamp=after(9))
            assert await arrive(store, known, begin=True) == Forgotten()
            assert await arrive(store, known, admit=False) == Unknown()
        assert await everything(store) == ([], [], [], [], [], [], [], [], [])
        assert isinstance(await arrive(store, request("M-9", timestamp=after(9) + MOMENT)), New)

    async def test_it_may_be_forgotten_and_known(self, store: Store) -> None:
        await reception_in(store, reception.State.ANSWERED, "M-1")
        claim = await receive_new(store, "M-2")
        assert await purge(store, MUCH_LATER, MUCH_LATER) == Purged(1, 1)
        assert await arrive(store, request("M-2")) == InHand(claim.reception)
        assert await arrive(store, request("M-2", body=b"<other/>")) == Conflict()

    async def test_a_later_purge_with_an_earlier_time_reminds_of_no_less(
        self, store: Store
    ) -> None:
        for message_id, seconds in (("M-1", 1), ("M-2", 9)):
            arrival = await arrive(store, request(message_id, timestamp=after(seconds)))
            assert isinstance(arrival, New)
        (first, second) = await store.take_over(PEER, MUCH_LATER, LEASE, 9)
        await store.answer(second.claim, answer(), NOW)
        assert await purge(store, MUCH_LATER, MUCH_LATER) == Purged(1, 1)
        await store.answer(first.claim, answer(), NOW)
        assert await purge(store, MUCH_LATER, after(2)) == Purged(1, 1)
        assert await arrive(store, request("M-2", timestamp=after(9))) == Forgotten()

    async def test_lines_of_later_repeats_go_when_they_are_old(self, store: Store) -> None:
        await reception_in(store, reception.State.ANSWERED, "M-1")
        await reception_in(store, reception.State.SET_ASIDE, "M-2")
        await delivery_in(store, delivery.State.ANSWERED)
        await purge(store, MUCH_LATER)
        for seconds in (100, 200, 300):
            await arrive(store, request("M-1"), after(seconds))
            await arrive(store, request("M-2"), after(seconds))
            await replied(store, DONE, after(seconds), late=True)
        aside = await steps(store, "M-2")
        assert await purge(store, after(250)) == Purged(0, 0)
        for message_id in ("M-1", "D-1"):
            (left,) = await store.journal(message_id=message_id)
            assert left.at == after(300)
        assert await purge(store, MUCH_LATER) == Purged(0, 0)
        assert {entry.message_id for entry in await store.journal()} == {"M-2"}
        assert await steps(store, "M-2") == aside

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
