"""The contract of a store: what is suspended, and what an arriving message meets then."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from msh.protocol.journal import Step
from msh.protocol.reception import State
from msh.store import (
    Answer,
    Conflict,
    InHand,
    New,
    Resend,
    Store,
    Suspension,
    SuspensionKind,
    Unknown,
)
from msh.testing.contracts.samples import (
    LEASE,
    NOW,
    OTHER,
    OWN,
    PEER,
    after,
    answer,
    arrive,
    begin,
    draft,
    everything,
    receive_new,
    reception_in,
    request,
    status,
    steps,
    the_reception,
)

SERVICE = request().service
PARTY, FOR = SuspensionKind.PARTY, SuspensionKind.SERVICE
each_kind = pytest.mark.parametrize(("kind", "name"), [(PARTY, PEER), (FOR, SERVICE)])


class SuspensionContract:
    """`Store.suspend`, `Store.resume`, and `Store.receive` while something is suspended."""

    async def test_nothing_is_suspended_at_first(self, store: Store) -> None:
        assert await store.suspensions() == []
        arrival = await arrive(store, request())
        assert isinstance(arrival, New)
        assert not arrival.suspended

    @each_kind
    async def test_suspend_and_resume(self, store: Store, kind: SuspensionKind, name: str) -> None:
        assert await store.suspend(kind, name, NOW) is True
        assert await store.suspensions() == [Suspension(kind, name, NOW)]
        assert await store.resume(kind, name, after(5)) is True
        assert await store.suspensions() == []
        assert await store.resume(kind, name, after(6)) is False

    async def test_suspended_twice_it_is_so_from_the_first_time(self, store: Store) -> None:
        assert await store.suspend(PARTY, PEER, NOW) is True
        assert await store.suspend(PARTY, PEER, after(5)) is False
        assert await store.suspensions() == [Suspension(PARTY, PEER, NOW)]
        assert await store.resume(PARTY, PEER, after(6)) is True
        assert await store.suspensions() == []

    async def test_the_oldest_comes_first(self, store: Store) -> None:
        for kind, name, seconds in ((PARTY, "C", 3), (FOR, "A", 1), (PARTY, "B", 2)):
            await store.suspend(kind, name, after(seconds))
        assert [found.name for found in await store.suspensions()] == ["A", "B", "C"]

    async def test_of_fifty_at_once_one_suspends_and_one_resumes(self, store: Store) -> None:
        done = await asyncio.gather(*(store.suspend(PARTY, PEER, NOW) for _ in range(50)))
        assert done.count(True) == 1
        done = await asyncio.gather(*(store.resume(PARTY, PEER, NOW) for _ in range(50)))
        assert done.count(True) == 1

    @each_kind
    @pytest.mark.parametrize("begins", [True, False])
    async def test_a_new_message_is_stored_and_no_run_begins(
        self, store: Store, kind: SuspensionKind, name: str, begins: bool
    ) -> None:
        await store.suspend(kind, name, NOW)
        arrival = await arrive(store, request(), begin=begins)
        assert isinstance(arrival, New)
        assert arrival.suspended
        assert arrival.claim.run == 0
        stored = await the_reception(store)
        assert (stored.state, stored.runs, stored.lease) == (State.CLAIMED, 0, NOW + LEASE)
        (entry,) = await store.journal()
        assert entry.step is Step.RECEIVED
        assert "run" not in entry.details

    async def test_its_refusal_is_the_stored_reply(self, store: Store) -> None:
        await store.suspend(PARTY, PEER, NOW)
        arrival = await arrive(store, request(), begin=True)
        assert isinstance(arrival, New)
        refusal = Answer(status("PSPPM0001W"), b"<refused/>", refused=True)
        await store.answer(arrival.claim, refusal, NOW)
        await store.resume(PARTY, PEER, NOW)
        again = await arrive(store, request(), begin=True)
        assert isinstance(again, Resend)
        assert again.reply.plain == b"<refused/>"
        assert await steps(store) == [Step.RECEIVED, Step.REFUSED, Step.REPLAYED]

    @pytest.mark.parametrize(
        ("kind", "name"),
        [
            (PARTY, OTHER),
            (PARTY, OWN),  # the receiver
            (PARTY, SERVICE),
            (PARTY, PEER.lower()),
            (PARTY, PEER + " "),
            (FOR, PEER),
            (FOR, "PS850CERQ"),
            (FOR, SERVICE[:-1]),
        ],
    )
    async def test_nobody_else_is_suspended(
        self, store: Store, kind: SuspensionKind, name: str
    ) -> None:
        await store.suspend(kind, name, NOW)
        arrival = await arrive(store, request(), begin=True)
        assert isinstance(arrival, New)
        assert not arrival.suspended
        assert arrival.claim.run == 1

    @each_kind
    async def test_after_the_last_of_two_is_resumed_messages_run_again(
        self, store: Store, kind: SuspensionKind, name: str
    ) -> None:
        await store.suspend(PARTY, PEER, NOW)
        await store.suspend(FOR, SERVICE, NOW)
        other = (FOR, SERVICE) if kind is PARTY else (PARTY, PEER)
        for number, expected in enumerate([True, False]):
            await store.resume(*(other if number else (kind, name)), NOW)
            arrival = await arrive(store, request(f"M-{number}"), begin=True)
            assert isinstance(arrival, New)
            assert (arrival.suspended, arrival.claim.run) == (expected, 1 - expected)

    @each_kind
    async def test_a_repeat_gets_what_it_would_get_otherwise(
        self, store: Store, kind: SuspensionKind, name: str
    ) -> None:
        first = await receive_new(store, "M-1", begin=True)
        await reception_in(store, State.ANSWERED, "M-2")
        await store.suspend(kind, name, NOW)
        assert await arrive(store, request("M-1"), begin=True) == InHand(first.reception)
        assert isinstance(await arrive(store, request("M-2")), Resend)
        assert await arrive(store, request("M-2", body=b"<other/>")) == Conflict()

    @each_kind
    async def test_suspended_or_not_without_admit_nothing_is_inserted(
        self, store: Store, kind: SuspensionKind, name: str
    ) -> None:
        await store.suspend(kind, name, NOW)
        assert await arrive(store, request(), admit=False, begin=True) == Unknown()
        assert await store.receptions() == []

    @each_kind
    async def test_work_in_hand_goes_on(
        self, store: Store, kind: SuspensionKind, name: str
    ) -> None:
        claim = await receive_new(store, begin=True)
        await store.enqueue(draft("D-1"), NOW)
        await store.suspend(kind, name, NOW)
        await store.extend(claim, NOW, LEASE)
        await store.answer(claim, answer(), NOW)
        assert (await the_reception(store)).state is State.ANSWERED
        await begin(store)

    async def test_it_is_effective_in_the_order_of_the_calls(self, store: Store) -> None:
        calls: list[Awaitable[object]] = []
        for number in range(20):
            calls.append(store.suspend(PARTY, PEER, NOW))
            calls.append(arrive(store, request(f"M-{number}"), begin=True))
            calls.append(store.resume(PARTY, PEER, NOW))
            calls.append(arrive(store, request(f"N-{number}"), begin=True))
        results = await asyncio.gather(*calls)
        assert [one.suspended for one in results if isinstance(one, New)] == [True, False] * 20

    async def test_a_refused_suspension_writes_nothing(self, store: Store) -> None:
        await store.suspend(PARTY, PEER, NOW)
        before = await everything(store)
        await store.suspend(PARTY, PEER, after(1))
        await store.resume(PARTY, OTHER, after(1))
        assert await everything(store) == before
