"""The contract of a store: requests that are queued together, and followed as one."""

from __future__ import annotations

import asyncio

import pytest

from msh.content import References
from msh.errors import KeyReused
from msh.protocol.delivery import State
from msh.protocol.journal import Step
from msh.store import BatchDraft, PartDraft, Store
from msh.testing.contracts.samples import (
    DONE,
    MUCH_LATER,
    NOW,
    OTHER,
    OWN,
    PEER,
    PLATFORM,
    after,
    begin,
    draft,
    reply_to,
    status,
    steps,
)


def batch(
    *names: str, key: str = "k", digest: bytes = b"\1" * 32, body: bytes = b"<pay/>"
) -> BatchDraft:
    """A batch of a part for each name; the first has the batch's own key."""
    parts = tuple(
        PartDraft(
            draft(name, key=key if number == 1 else f"{key}#{number}", body=body),
            number * 10,
            number * 10 + 9,
            References(f"SSN-{number}", None),
        )
        for number, name in enumerate(names, 1)
    )
    return BatchDraft(
        key=key, service="PS810FTRQ", sender=OWN, receiver=PEER, digest=digest, parts=parts
    )


async def answered(store: Store) -> str:
    """The id of the part that is due first, which is done now."""
    name = (await begin(store)).delivery.message_id
    await store.record_reply(OWN, reply_to(name, DONE), b"<rs/>", PLATFORM, NOW)
    return name


class BatchContract:
    """`Store.enqueue_all` and `Store.batch`."""

    async def test_every_part_is_queued_and_found_by_the_key(self, store: Store) -> None:
        stored, created = await store.enqueue_all(batch("D-1", "D-2", "D-3"), NOW)
        assert created
        assert (stored.key, stored.service, stored.count) == ("k", "PS810FTRQ", 3)
        assert (stored.sender, stored.receiver, stored.queued) == (OWN, PEER, NOW)
        assert [part.number for part in stored.parts] == [1, 2, 3]
        assert [part.delivery.message_id for part in stored.parts] == ["D-1", "D-2", "D-3"]
        assert [part.delivery.key for part in stored.parts] == ["k", "k#2", "k#3"]
        assert [(part.first, part.last) for part in stored.parts] == [(10, 19), (20, 29), (30, 39)]
        assert [part.references for part in stored.parts] == [
            References(f"SSN-{number}", None) for number in (1, 2, 3)
        ]
        for part in stored.parts:
            assert part.delivery.state is State.QUEUED
            assert await store.delivery(part.delivery.id) == part.delivery
        assert await store.batch(OWN, "k") == stored
        assert await steps(store) == [Step.QUEUED] * 3

    async def test_it_tells_where_each_part_stands(self, store: Store) -> None:
        await store.enqueue_all(batch("D-1", "D-2"), NOW)
        await answered(store)
        stored = await store.batch(OWN, "k")
        assert stored is not None
        assert [part.delivery.state for part in stored.parts] == [State.ANSWERED, State.QUEUED]
        assert stored.parts[0].delivery.status == status(DONE)

    async def test_the_same_key_and_content_give_the_same_batch(self, store: Store) -> None:
        first, _ = await store.enqueue_all(batch("D-1", "D-2"), NOW)
        # However it would be cut now.
        again, created = await store.enqueue_all(batch("D-7", "D-8", "D-9"), after(60))
        assert (again, created) == (first, False)
        assert len(await store.deliveries()) == 2

    async def test_of_many_calls_at_once_one_creates(self, store: Store) -> None:
        calls = [store.enqueue_all(batch("D-1", "D-2"), NOW) for _ in range(20)]
        found = await asyncio.gather(*calls)
        assert sum(created for _, created in found) == 1
        assert len({stored.queued for stored, _ in found}) == 1
        assert len(await store.deliveries()) == 2

    async def test_the_key_with_other_content_is_an_error(self, store: Store) -> None:
        first, _ = await store.enqueue_all(batch("D-1", "D-2"), NOW)
        with pytest.raises(KeyReused, match="'k' names a batch already"):
            # Also where the parts that it has are the same.
            await store.enqueue_all(batch("D-1", "D-2", "D-3", digest=b"\2" * 32), after(60))
        assert await store.batch(OWN, "k") == first
        assert len(await store.deliveries()) == 2

    async def test_a_part_whose_key_is_taken_lets_nothing_be_queued(self, store: Store) -> None:
        await store.enqueue(draft("D-0", key="k#2", body=b"<other/>"), NOW)
        with pytest.raises(KeyReused, match="'k#2'"):
            await store.enqueue_all(batch("D-1", "D-2", "D-3"), NOW)
        assert await store.batch(OWN, "k") is None
        assert [one.message_id for one in await store.deliveries()] == ["D-0"]
        assert await steps(store) == [Step.QUEUED]

    async def test_what_was_queued_alone_becomes_its_only_part(self, store: Store) -> None:
        alone, _ = await store.enqueue(draft("D-0", key="k"), NOW)
        stored, _ = await store.enqueue_all(batch("D-1"), after(60))
        assert [part.delivery for part in stored.parts] == [alone]

    async def test_others_that_are_queued_with_it_are_not_harmed(self, store: Store) -> None:
        await store.enqueue(draft("D-0", key="k#2", body=b"<other/>"), NOW)
        ended = await asyncio.gather(
            store.enqueue(draft("A-1"), NOW),
            store.enqueue_all(batch("D-1", "D-2"), NOW),
            store.enqueue_all(batch("E-1", "E-2", key="e"), NOW),
            return_exceptions=True,
        )
        assert isinstance(ended[1], KeyReused)
        names = {one.message_id for one in await store.deliveries()}
        assert names == {"D-0", "A-1", "E-1", "E-2"}

    async def test_no_such_batch(self, store: Store) -> None:
        await store.enqueue_all(batch("D-1"), NOW)
        await store.enqueue(draft("D-2", key="alone"), NOW)
        assert await store.batch(OWN, "alone") is None
        assert await store.batch(OTHER, "k") is None

    async def test_it_is_forgotten_with_the_last_of_its_parts(self, store: Store) -> None:
        await store.enqueue_all(batch("D-1", "D-2"), NOW)
        for _ in range(2):
            name = await answered(store)
            async for _ in store.purge(MUCH_LATER, MUCH_LATER, MUCH_LATER):
                pass
            stored = await store.batch(OWN, "k")
            if name == "D-1":
                assert stored is not None
                assert stored.count == 2
                assert [part.number for part in stored.parts] == [2]
        assert stored is None
