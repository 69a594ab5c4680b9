"""The contract of a store, inbound: arriving messages and what is known of their first copy."""

from __future__ import annotations

import asyncio

import pytest

from msh.protocol.journal import Direction, Step
from msh.protocol.reception import State
from msh.store import (
    Arrival,
    Claim,
    Conflict,
    InHand,
    New,
    Remembered,
    Resend,
    Store,
    Unknown,
)
from msh.testing.contracts.samples import (
    LEASE,
    MUCH_LATER,
    NOW,
    OTHER,
    PEER,
    after,
    answer,
    arrive,
    everything,
    receive_new,
    reception_in,
    request,
    status,
    steps,
    the_reception,
    wire_of,
)

OPEN = [State.CLAIMED, State.RUNNING, State.RELEASED, State.PARKED]


class ReceiveContract:
    """`Store.receive`: one atomic insert, else what is known of the first copy."""

    async def test_a_new_message_is_stored_and_claimed(self, store: Store) -> None:
        arrival = await arrive(store, request())
        assert isinstance(arrival, New)
        assert arrival.claim.run == 0
        stored = await the_reception(store)
        assert stored.id == arrival.claim.reception
        assert (stored.message_id, stored.service) == ("M-1", "PS810FTRQ")
        assert (stored.sender, stored.receiver, stored.ref_to) == (PEER, "BIZ", None)
        assert (stored.state, stored.runs, stored.replays) == (State.CLAIMED, 0, 0)
        assert (stored.received, stored.lease, stored.due) == (NOW, NOW + LEASE, None)
        assert (stored.status, stored.answered, stored.purged) == (None, None, False)
        assert stored.size == len(wire_of(request()))
        assert stored.owner

    async def test_begin_raises_the_run_number_at_once(self, store: Store) -> None:
        claim = await receive_new(store, begin=True)
        assert claim.run == 1
        stored = await the_reception(store)
        assert (stored.state, stored.runs) == (State.RUNNING, 1)

    async def test_of_fifty_copies_at_once_one_is_new(self, store: Store) -> None:
        copies = [arrive(store, request(), begin=True) for _ in range(50)]
        arrivals = await asyncio.gather(*copies)
        (new,) = [one for one in arrivals if isinstance(one, New)]
        in_hand = [one for one in arrivals if one == InHand(new.claim.reception)]
        assert len(in_hand) == 49
        assert len(await store.receptions()) == 1
        assert await steps(store) == [Step.RECEIVED]

    async def test_the_same_id_of_another_sender_is_another_message(self, store: Store) -> None:
        first = await receive_new(store)
        second = await receive_new(store, sender=OTHER)
        assert first.reception != second.reception

    async def test_fifty_copies_of_an_answered_message_get_one_reply(self, store: Store) -> None:
        claim = await receive_new(store)
        await store.answer(claim, answer(wire=b"<the reply/>"), NOW)
        await store.keep_form(claim.reception, "key-1", b"<the form/>")
        copies = [arrive(store, request()) for _ in range(50)]
        for arrival in await asyncio.gather(*copies):
            assert isinstance(arrival, Resend)
            assert arrival.reply.plain == b"<the reply/>"
            assert (arrival.reply.form, arrival.reply.key) == (b"<the form/>", "key-1")
            assert arrival.reply.status == status("PSPPM0000I")
        assert (await the_reception(store)).replays == 50

    @pytest.mark.parametrize("state", OPEN)
    async def test_a_copy_of_unanswered_work_is_in_hand(self, store: Store, state: State) -> None:
        claim = await reception_in(store, state)
        before = await everything(store)
        assert await arrive(store, request()) == InHand(claim.reception)
        assert await everything(store) == before

    async def test_what_was_set_aside_has_its_reply(self, store: Store) -> None:
        await reception_in(store, State.SET_ASIDE)
        arrival = await arrive(store, request())
        assert isinstance(arrival, Resend)
        assert arrival.reply.plain == b"<error/>"

    @pytest.mark.parametrize("state", list(State))
    @pytest.mark.parametrize("admit", [True, False])
    async def test_other_content_is_a_conflict_in_every_state(
        self, store: Store, state: State, admit: bool
    ) -> None:
        await reception_in(store, state)
        before = await the_reception(store)
        other = await arrive(store, request(body=b"<other/>"), admit=admit)
        assert other == Conflict()
        assert await the_reception(store) == before
        assert (await steps(store))[-1] is Step.CONFLICT

    async def test_other_content_is_a_conflict_after_the_purge_too(self, store: Store) -> None:
        await self._purged(store)
        assert await arrive(store, request(body=b"<other/>")) == Conflict()

    async def test_after_the_purge_the_status_is_remembered(self, store: Store) -> None:
        await self._purged(store)
        assert await arrive(store, request()) == Remembered(status("PSPPM0000I"))
        assert await arrive(store, request(), admit=False) == Remembered(status("PSPPM0000I"))
        assert (await the_reception(store)).replays == 2

    async def _purged(self, store: Store) -> None:
        await reception_in(store, State.ANSWERED)
        async for _ in store.purge(MUCH_LATER, NOW, MUCH_LATER):
            pass

    async def test_without_admit_nothing_is_inserted(self, store: Store) -> None:
        assert await arrive(store, request(), admit=False) == Unknown()
        assert await arrive(store, request(), admit=False, begin=True) == Unknown()
        assert await store.receptions() == []
        assert await store.journal() == []
        assert isinstance(await arrive(store, request()), New)

    async def test_without_admit_a_repeat_is_still_known(self, store: Store) -> None:
        claim = await receive_new(store)
        assert await arrive(store, request(), admit=False) == InHand(claim.reception)
        await store.answer(claim, answer(), NOW)
        assert isinstance(await arrive(store, request(), admit=False), Resend)

    async def test_a_copy_that_races_the_answer_sees_either_side_of_it(self, store: Store) -> None:
        claim = await receive_new(store)

        async def copies() -> list[Arrival]:
            return [await arrive(store, request()) for _ in range(20)]

        _, seen = await asyncio.gather(store.answer(claim, answer(), NOW), copies())
        kinds = [type(one) for one in seen]
        assert set(kinds) <= {InHand, Resend}
        assert kinds == sorted(kinds, key=lambda kind: kind is Resend)
        assert kinds[-1] is Resend

    @pytest.mark.parametrize(
        ("body", "step"), [(b"<a/>", Step.REPLAYED), (b"<other/>", Step.CONFLICT)]
    )
    async def test_the_first_repeats_are_journaled_and_then_one_a_minute(
        self, store: Store, body: bytes, step: Step
    ) -> None:
        await reception_in(store, State.ANSWERED)
        for second in range(0, 601, 2):
            await arrive(store, request(body=body), after(second))
        told = [entry for entry in await store.journal() if entry.step is step]
        seconds = [(entry.at - NOW).total_seconds() for entry in told]
        assert seconds == [*range(0, 10, 2), *range(68, 601, 60)]
        assert [entry.details.get("times") for entry in told[:6]] == [None, 2, 3, 4, 5, 35]

    async def test_repeats_do_not_hide_a_conflict_nor_those_of_another_message(
        self, store: Store
    ) -> None:
        await reception_in(store, State.ANSWERED)
        await reception_in(store, State.ANSWERED, "M-2")
        for _ in range(20):
            await arrive(store, request())
        await arrive(store, request("M-2"))
        await arrive(store, request(body=b"<other/>"))
        assert (await steps(store))[-2:] == [Step.REPLAYED, Step.CONFLICT]

    async def test_a_clock_that_is_set_back_silences_no_repeat(self, store: Store) -> None:
        await reception_in(store, State.ANSWERED)
        for _ in range(20):
            await arrive(store, request(), after(3600))
        before = (await steps(store)).count(Step.REPLAYED)
        await arrive(store, request(), NOW)
        await arrive(store, request(), after(60))
        assert (await steps(store)).count(Step.REPLAYED) == before + 2

    async def test_arrivals_are_journaled(self, store: Store) -> None:
        claim: Claim = await receive_new(store)
        (entry,) = await store.journal()
        assert (entry.step, entry.direction) == (Step.RECEIVED, Direction.INBOUND)
        assert (entry.message_id, entry.peer, entry.service) == ("M-1", PEER, "PS810FTRQ")
        assert entry.at == NOW
        await store.answer(claim, answer(), NOW)
        await arrive(store, request())
        assert await steps(store) == [Step.RECEIVED, Step.REPLIED, Step.REPLAYED]
