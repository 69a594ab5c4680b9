"""The contract of a store, inbound: the claim on a reception, and who may take it over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from msh.errors import ClaimLost
from msh.protocol.journal import Step
from msh.protocol.reception import State
from msh.store import Answer, Claim, Store
from msh.testing.contracts.samples import (
    DONE,
    LEASE,
    MUCH_LATER,
    NOW,
    OTHER,
    PEER,
    after,
    answer,
    everything,
    failing,
    receive_new,
    reception_in,
    request,
    status,
    steps,
    the_reception,
    wire_of,
)

Use = Callable[[Store, Claim], Awaitable[object]]

USES: dict[str, Use] = {
    "start": lambda store, claim: store.start(claim, NOW, LEASE),
    "extend": lambda store, claim: store.extend(claim, NOW, LEASE),
    "answer": lambda store, claim: store.answer(claim, answer(), NOW),
    "release": lambda store, claim: store.release(claim, NOW, NOW, "it raised"),
    "park": lambda store, claim: store.park(claim, NOW),
}
every_use = pytest.mark.parametrize("use", USES.values(), ids=USES)


class ClaimContract:
    """Start, extend, release and park compare the claim and set; an old one is lost."""

    async def test_start_raises_the_run_number_and_the_lease(self, store: Store) -> None:
        claim = await receive_new(store)
        started = await store.start(claim, after(10), LEASE)
        assert started.run == 1
        stored = await the_reception(store)
        assert (stored.state, stored.runs) == (State.RUNNING, 1)
        assert stored.lease == after(10) + LEASE
        assert await steps(store) == [Step.RECEIVED, Step.RUN_BEGUN]

    async def test_extend_moves_the_end_of_the_lease(self, store: Store) -> None:
        claim = await receive_new(store, begin=True)
        await store.extend(claim, after(20), LEASE)
        assert (await the_reception(store)).lease == after(20) + LEASE
        assert await store.take_over(PEER, NOW + LEASE, LEASE, 9) == []

    @every_use
    async def test_a_claim_taken_over_is_lost(self, store: Store, use: Use) -> None:
        claim = await receive_new(store, begin=True)
        (work,) = await store.take_over(PEER, NOW + LEASE, LEASE, 1)
        assert work.claim.token != claim.token
        before = await everything(store)
        with pytest.raises(ClaimLost):
            await use(store, claim)
        assert await everything(store) == before
        await use(store, work.claim)

    @every_use
    @pytest.mark.parametrize(
        "state", [State.RELEASED, State.PARKED, State.ANSWERED, State.SET_ASIDE]
    )
    async def test_a_claim_that_ended_is_lost(self, store: Store, state: State, use: Use) -> None:
        claim = await reception_in(store, state)
        before = await everything(store)
        with pytest.raises(ClaimLost):
            await use(store, claim)
        assert await everything(store) == before

    @every_use
    async def test_a_claim_on_nothing_is_lost(self, store: Store, use: Use) -> None:
        with pytest.raises(ClaimLost):
            await use(store, Claim(4711, 1, 0))
        assert await store.journal() == []

    async def test_a_lost_claim_does_not_run_apply(self, store: Store) -> None:
        claim = await receive_new(store)
        await store.take_over(PEER, NOW + LEASE, LEASE, 1)
        called = AssertionError("apply was called for a lost claim")
        with pytest.raises(ClaimLost):
            await store.answer(claim, _with_apply(failing(called)), NOW)

    async def test_of_many_answers_to_one_claim_one_is_kept(self, store: Store) -> None:
        claim = await receive_new(store)
        tries = [store.answer(claim, answer(wire=b"%d" % n), NOW) for n in range(20)]
        results = await asyncio.gather(*tries, return_exceptions=True)
        (kept,) = [one for one in results if not isinstance(one, BaseException)]
        assert all(isinstance(one, ClaimLost) for one in results if one is not kept)
        assert await store.reply_of(claim.reception) == kept
        assert await steps(store) == [Step.RECEIVED, Step.REPLIED]

    async def test_release_is_journaled_with_its_reason(self, store: Store) -> None:
        claim = await receive_new(store, begin=True)
        await store.release(claim, after(60), NOW, "ValueError")
        stored = await the_reception(store)
        assert (stored.state, stored.due, stored.lease) == (State.RELEASED, after(60), None)
        entry = (await store.journal())[-1]
        assert entry.step is Step.HANDLER_FAILED
        assert entry.details["reason"] == "ValueError"


class TakeOverContract:
    """`Store.take_over`: lapsed and released work that is due, and no other."""

    @pytest.mark.parametrize("begun", [False, True])
    async def test_only_a_lapsed_lease_is_taken_over(self, store: Store, begun: bool) -> None:
        await receive_new(store, begin=begun)
        just_before = NOW + LEASE - timedelta(microseconds=1)
        assert await store.take_over(PEER, just_before, LEASE, 9) == []
        assert len(await store.take_over(PEER, NOW + LEASE, LEASE, 9)) == 1
        assert (await steps(store))[-1] is Step.TAKEN_OVER

    async def test_the_work_is_all_that_a_new_owner_needs(self, store: Store) -> None:
        claim = await receive_new(store, begin=True)
        (work,) = await store.take_over(PEER, after(100), LEASE, 1)
        assert work.wire == wire_of(request())
        assert work.received == NOW
        assert work.claim.reception == claim.reception
        assert work.claim.run == 1  # a run counts when the handler starts, and not before
        stored = await the_reception(store)
        assert (stored.state, stored.runs) == (State.CLAIMED, 1)
        assert stored.lease == after(100) + LEASE
        again = await store.start(work.claim, after(100), LEASE)
        assert again.run == 2
        await store.answer(again, answer(), after(100))
        assert (await the_reception(store)).status is not None

    async def test_released_work_is_not_taken_before_it_is_due(self, store: Store) -> None:
        claim = await receive_new(store, begin=True)
        await store.release(claim, after(600), NOW, "later")
        just_before = after(600) - timedelta(microseconds=1)
        assert await store.take_over(PEER, just_before, LEASE, 9) == []
        (work,) = await store.take_over(PEER, after(600), LEASE, 9)
        assert work.claim.token != claim.token
        assert await store.take_over(PEER, after(600), LEASE, 9) == []

    @pytest.mark.parametrize("state", [State.PARKED, State.ANSWERED, State.SET_ASIDE])
    async def test_what_is_parked_or_answered_is_never_taken_over(
        self, store: Store, state: State
    ) -> None:
        await reception_in(store, state)
        assert await store.take_over(PEER, MUCH_LATER, LEASE, 9) == []

    async def test_only_work_of_that_sender(self, store: Store) -> None:
        await receive_new(store, "M-1")
        other = await receive_new(store, "M-2", sender=OTHER)
        (work,) = await store.take_over(OTHER, MUCH_LATER, LEASE, 9)
        assert work.claim.reception == other.reception

    async def test_never_more_than_the_limit(self, store: Store) -> None:
        for number in range(7):
            await receive_new(store, f"M-{number}")
        assert await store.take_over(PEER, after(60), LEASE, 0) == []
        counts = [len(await store.take_over(PEER, after(60), LEASE, 3)) for _ in range(4)]
        assert counts == [3, 3, 1, 0]

    async def test_takers_at_once_share_the_work(self, store: Store) -> None:
        for number in range(10):
            await receive_new(store, f"M-{number}")
        takers = [store.take_over(PEER, after(60), LEASE, 1) for _ in range(20)]
        taken = [work.claim.reception for works in await asyncio.gather(*takers) for work in works]
        assert len(taken) == len(set(taken)) == 10


class ParkedContract:
    """`Store.park` and `Store.answer_parked`: no lease, no runs, answered by id."""

    async def test_a_parked_reception_is_answered_by_its_id(self, store: Store) -> None:
        claim = await reception_in(store, State.PARKED)
        stored = await the_reception(store)
        assert (stored.state, stored.lease, stored.due) == (State.PARKED, None, None)
        reply = await store.answer_parked(claim.reception, answer(wire=b"<late/>"), after(9))
        assert reply.plain == b"<late/>"
        assert await store.reply_of(claim.reception) == reply
        stored = await the_reception(store)
        assert (stored.state, stored.answered) == (State.ANSWERED, after(9))
        assert await steps(store) == [Step.RECEIVED, Step.PARKED, Step.REPLIED]

    async def test_the_first_answer_stands(self, store: Store) -> None:
        claim = await reception_in(store, State.PARKED)
        many = [
            store.answer_parked(claim.reception, answer(wire=b"%d" % number), NOW)
            for number in range(20)
        ]
        replies = await asyncio.gather(*many)
        assert len(set(replies)) == 1
        assert (await steps(store)).count(Step.REPLIED) == 1

    @pytest.mark.parametrize("state", [State.CLAIMED, State.RUNNING, State.RELEASED])
    async def test_only_what_is_parked_is_answered_by_id(self, store: Store, state: State) -> None:
        claim = await reception_in(store, state)
        before = await everything(store)
        with pytest.raises(ClaimLost):
            await store.answer_parked(claim.reception, answer(), NOW)
        assert await everything(store) == before

    async def test_no_such_reception(self, store: Store) -> None:
        with pytest.raises(ClaimLost):
            await store.answer_parked(4711, answer(), NOW)


def _with_apply(apply: Callable[[object], object]) -> Answer:
    return Answer(status(DONE), b"<reply/>", apply=apply)
