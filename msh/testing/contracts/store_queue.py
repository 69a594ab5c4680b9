"""The contract of a store, outbound: queueing a message once."""

from __future__ import annotations

import asyncio

import pytest

from msh.errors import KeyReused
from msh.protocol.delivery import State
from msh.protocol.journal import Direction, Step
from msh.store import Draft, Store
from msh.testing.contracts.samples import (
    MUCH_LATER,
    NOW,
    OTHER,
    OWN,
    PEER,
    after,
    delivery_in,
    draft,
    everything,
    steps,
)


class EnqueueContract:
    """`Store.enqueue`: idempotent by the caller's key, and by message id."""

    async def test_a_queued_message_is_due_at_once(self, store: Store) -> None:
        delivery, created = await store.enqueue(draft("D-1", key="k", ref_to="M-7"), NOW)
        assert created
        assert (delivery.message_id, delivery.service) == ("D-1", "PS810FTRQ")
        assert (delivery.sender, delivery.receiver) == (OWN, PEER)
        assert (delivery.ref_to, delivery.key) == ("M-7", "k")
        assert (delivery.state, delivery.queued, delivery.due) == (State.QUEUED, NOW, NOW)
        assert (delivery.attempts, delivery.tries, delivery.copies) == (0, 0, 0)
        assert (delivery.series_began, delivery.status, delivery.settled) == (None, None, None)
        assert (delivery.resolved_by, delivery.purged) == (None, False)
        assert await store.delivery(delivery.id) == delivery
        assert await store.request_wire(delivery.id) == (b"<pay/>", None)
        (entry,) = await store.journal()
        assert (entry.step, entry.direction, entry.at) == (Step.QUEUED, Direction.OUTBOUND, NOW)
        assert (entry.message_id, entry.peer, entry.service) == ("D-1", PEER, "PS810FTRQ")

    async def test_the_same_key_gives_the_same_message(self, store: Store) -> None:
        first, _ = await store.enqueue(draft("D-1", key="k"), NOW)
        again, created = await store.enqueue(draft("D-2", key="k"), after(60))
        assert (again, created) == (first, False)
        assert await steps(store) == [Step.QUEUED]
        assert await store.request_wire(first.id) == (b"<pay/>", None)

    async def test_the_same_id_gives_the_same_message(self, store: Store) -> None:
        first, _ = await store.enqueue(draft("D-1"), NOW)
        assert await store.enqueue(draft("D-1"), after(60)) == (first, False)
        assert await steps(store) == [Step.QUEUED]

    @pytest.mark.parametrize("by_key", [True, False])
    async def test_of_fifty_calls_at_once_one_creates(self, store: Store, by_key: bool) -> None:
        drafts = [draft(f"D-{n}", key="k") if by_key else draft("D-0") for n in range(50)]
        results = await asyncio.gather(*(store.enqueue(one, NOW) for one in drafts))
        assert len({delivery.id for delivery, _ in results}) == 1
        assert sum(created for _, created in results) == 1
        assert len(await store.deliveries()) == 1
        assert await steps(store) == [Step.QUEUED]

    @pytest.mark.parametrize(
        "other",
        [
            draft("D-1", body=b"<other/>"),
            draft("D-1", service="PS850CERQ"),
            draft("D-1", receiver=OTHER),
            draft("D-1", ref_to="M-9"),
            draft("D-1", key="another key"),
            draft("D-2", key="k", body=b"<other/>"),
            draft("D-2", key="k", service="PS850CERQ"),
            draft("D-2", key="k", receiver=OTHER),
            draft("D-2", key="k", ref_to="M-9"),
        ],
        ids=lambda one: f"{one.message_id}-{one.key}-{one.service}-{one.receiver}-{one.ref_to}",
    )
    async def test_other_content_is_an_error(self, store: Store, other: Draft) -> None:
        await store.enqueue(draft("D-1", key="k"), NOW)
        before = await everything(store)
        with pytest.raises(KeyReused) as caught:
            await store.enqueue(other, NOW)
        assert "D-1" in str(caught.value)
        assert await everything(store) == before

    @pytest.mark.parametrize(
        ("first", "other", "said"),
        [
            (draft("D-1", key="k"), draft("D-1", key="k2"), "under key 'k' and not under 'k2'"),
            (draft("D-1"), draft("D-1", key="k2"), "without a key and not under 'k2'"),
            (draft("D-1"), draft("D-1", body=b"<other/>"), "the message id names message D-1"),
            (draft("D-1", key="k"), draft("D-2", key="k", body=b"<other/>"), "key 'k' names"),
        ],
        ids=("other key", "no key", "other content", "key with other content"),
    )
    async def test_what_is_used_already_is_told(
        self, store: Store, first: Draft, other: Draft, said: str
    ) -> None:
        await store.enqueue(first, NOW)
        with pytest.raises(KeyReused, match=said):
            await store.enqueue(other, NOW)

    async def test_a_key_and_an_id_of_two_messages_are_an_error(self, store: Store) -> None:
        await store.enqueue(draft("D-1", key="k1"), NOW)
        await store.enqueue(draft("D-2", key="k2"), NOW)
        with pytest.raises(KeyReused, match="'k2' names message D-2, and message id D-1 another"):
            await store.enqueue(draft("D-1", key="k2"), NOW)

    async def test_keys_and_ids_are_each_senders_own(self, store: Store) -> None:
        for sender in (OWN, OTHER):
            _, created = await store.enqueue(draft("D-1", key="k", sender=sender), NOW)
            assert created

    async def test_messages_without_key_are_not_the_same(self, store: Store) -> None:
        for number in range(3):
            _, created = await store.enqueue(draft(f"D-{number}"), NOW)
            assert created

    @pytest.mark.parametrize("state", list(State))
    async def test_a_repeated_call_is_known_in_every_state(
        self, store: Store, state: State
    ) -> None:
        delivery = await delivery_in(store, state)
        assert await store.enqueue(draft("D-1"), after(999)) == (delivery, False)

    async def test_a_repeated_call_is_known_after_the_purge(self, store: Store) -> None:
        first = await delivery_in(store, State.ANSWERED)
        async for _ in store.purge(MUCH_LATER, NOW, MUCH_LATER):
            pass
        again, created = await store.enqueue(draft("D-1"), MUCH_LATER)
        assert (again.id, again.purged, created) == (first.id, True, False)
        with pytest.raises(KeyReused):
            await store.enqueue(draft("D-1", body=b"<other/>"), MUCH_LATER)
