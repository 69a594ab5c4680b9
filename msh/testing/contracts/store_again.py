"""The contract of a store: what is asked for again, and what an operator has run again."""

from __future__ import annotations

from datetime import date

import pytest

from msh.content import References
from msh.errors import UnknownMessage, UsageError
from msh.protocol.delivery import State
from msh.protocol.journal import Step
from msh.protocol.reception import State as ReceptionState
from msh.store import Answer, Asked, Conflict, New, Resend, Store
from msh.testing.contracts.samples import (
    DONE,
    LEASE,
    MUCH_LATER,
    NOW,
    OTHER,
    OWN,
    PEER,
    SYSTEM_ERROR,
    after,
    answer,
    arrive,
    delivery_in,
    draft,
    everything,
    reception_in,
    request,
    status,
    steps,
    the_delivery,
    the_reception,
)

REFERENCES = References("S-1", "R-1")
ASIDE = ReceptionState.SET_ASIDE


class RerunContract:
    """`Store.rerun` and `close_reception`: an operator sees to what was set aside."""

    async def test_it_runs_again_and_the_stored_reply_stays(self, store: Store) -> None:
        await reception_in(store, ASIDE)
        stored = await store.reply_of((await the_reception(store)).id)
        await store.rerun(PEER, "M-1", after(5))
        assert (await steps(store))[-1] is Step.RERUN_ASKED
        (work,) = await store.take_over(PEER, after(5), LEASE, 9)
        assert work.rerun
        arrival = await arrive(store, request(), after(6))  # a repeat does not wait for the run
        assert isinstance(arrival, Resend)
        assert arrival.reply == stored
        claim = await store.start(work.claim, after(6), LEASE)
        then = (draft("D-1", ref_to="M-1"),)
        await store.answer(claim, Answer(status(DONE), b"<other/>", then=then), after(7))
        reception = await the_reception(store)
        assert (reception.state, reception.answered) == (ReceptionState.ANSWERED, after(7))
        assert reception.status == status(SYSTEM_ERROR)
        assert await store.reply_of(reception.id) == stored
        assert (await the_delivery(store)).ref_to == "M-1"
        assert (await store.journal(message_id="M-1"))[-1].step is Step.RERUN_ENDED
        assert isinstance(await arrive(store, request(body=b"<b/>")), Conflict)

    async def test_a_run_that_fails_sets_it_aside_again(self, store: Store) -> None:
        await reception_in(store, ASIDE)
        await store.rerun(PEER, "M-1", after(5))
        (work,) = await store.take_over(PEER, after(5), LEASE, 9)
        aside = Answer(status(SYSTEM_ERROR), b"<again/>", set_aside=True)
        await store.answer(work.claim, aside, after(6))
        assert (await the_reception(store)).state is ASIDE
        await store.rerun(PEER, "M-1", after(7))
        assert len(await store.take_over(PEER, after(7), LEASE, 9)) == 1

    async def test_what_is_closed_is_done_with(self, store: Store) -> None:
        await reception_in(store, ASIDE)
        await store.close_reception(PEER, "M-1", "told them by phone", after(5))
        reception = await the_reception(store)
        assert (reception.state, reception.answered) == (ReceptionState.CLOSED, after(5))
        entry = (await store.journal())[-1]
        assert (entry.step, entry.details["because"]) == (Step.CLOSED, "told them by phone")
        assert isinstance(await arrive(store, request()), Resend)
        assert await store.take_over(PEER, MUCH_LATER, LEASE, 9) == []
        assert [one.contents async for one in store.purge(MUCH_LATER, NOW, MUCH_LATER)] == [1]

    @pytest.mark.parametrize("state", [one for one in ReceptionState if one is not ASIDE])
    async def test_only_what_is_set_aside(self, store: Store, state: ReceptionState) -> None:
        await reception_in(store, state)
        before = await everything(store)
        with pytest.raises(UsageError):
            await store.rerun(PEER, "M-1", NOW)
        with pytest.raises(UsageError):
            await store.close_reception(PEER, "M-1", "", NOW)
        with pytest.raises(UnknownMessage):
            await store.rerun(OTHER, "M-1", NOW)
        assert await everything(store) == before


class AskedContract:
    """`Store.ask_again` and `receive` with ``repeat``."""

    @pytest.mark.parametrize(
        "asked",
        [
            Asked(),
            Asked("PS811FTRRQ", date(2026, 11, 21), ("A", "B"), REFERENCES),
            Asked(references=References(None, "R-1")),
        ],
    )
    async def test_what_is_asked_for_is_known_until_it_may_no_longer_come(
        self, store: Store, asked: Asked
    ) -> None:
        await store.ask_again(PEER, asked, NOW, after(60))
        assert await store.asked_again(after(60)) == [(PEER, asked)]
        assert await store.asked_again(after(61)) == []

    async def test_a_repeat_is_marked_for_every_run(self, store: Store) -> None:
        from msh.protocol.digest import message_digest

        message = request()
        digest = message_digest(message)
        arrival = await store.receive(message, digest, b"wire", NOW, LEASE, repeat=True)
        assert isinstance(arrival, New)
        (work,) = await store.take_over(PEER, MUCH_LATER, LEASE, 9)
        assert work.repeat
        await arrive(store, request("M-2"))
        await store.answer(work.claim, answer(), NOW)
        (other,) = await store.take_over(PEER, MUCH_LATER, LEASE, 9)
        assert not other.repeat


class RepeatContract:
    """`Store.repeat`: an ended delivery leaves once more, and its record stays."""

    @pytest.mark.parametrize("state", [State.ANSWERED, State.RESOLVED])
    async def test_it_is_due_until_it_is_ended(self, store: Store, state: State) -> None:
        before = await delivery_in(store, state)
        assert await store.next_repeat(PEER) is None
        assert await store.repeat(before.id, "P-1", after(5))
        assert not await store.repeat(before.id, "P-2", after(5))
        assert await store.next_repeat(PEER) == after(5)
        assert await store.repeats(OTHER, MUCH_LATER, LEASE, 9) == []
        (one,) = await store.repeats(PEER, after(5), LEASE, 9)
        assert (one.delivery, one.wire, one.began, one.tries) == (
            before.id,
            b"<form/>",
            after(5),
            1,
        )
        assert await store.repeats(PEER, after(5), LEASE, 9) == []
        (one,) = await store.repeats(PEER, after(5) + LEASE, LEASE, 9)  # its process ended
        assert one.tries == 2
        await store.end_repeat(before.id, after(99))
        assert await store.next_repeat(PEER) == after(99)
        await store.end_repeat(before.id, None)
        assert await store.next_repeat(PEER) is None
        assert await the_delivery(store) == before
        assert [one for one in await steps(store, "D-1") if one.startswith("repeat")] == [
            Step.REPEAT_ASKED,
            Step.REPEATED,
            Step.REPEATED,
        ]

    @pytest.mark.parametrize(
        "state", [one for one in State if one not in (State.ANSWERED, State.RESOLVED)]
    )
    async def test_only_what_has_ended_so(self, store: Store, state: State) -> None:
        before = await delivery_in(store, state)
        assert not await store.repeat(before.id, "P-1", NOW)
        assert await store.next_repeat(PEER) is None

    async def test_not_without_its_content(self, store: Store) -> None:
        before = await delivery_in(store, State.ANSWERED)
        assert await store.repeat(before.id, "P-1", NOW)
        async for _ in store.purge(MUCH_LATER, NOW, MUCH_LATER):
            pass
        assert await store.repeats(PEER, MUCH_LATER, LEASE, 9) == []
        assert not await store.repeat(before.id, "P-1", NOW)

    async def test_what_was_sent_to_a_party(self, store: Store) -> None:
        await store.enqueue(draft("D-1", references=REFERENCES), NOW)
        await store.enqueue(draft("D-2", service="PS811FTRRQ"), after(5))
        await store.enqueue(draft("D-3", receiver=OTHER), after(9))

        async def found(**options: object) -> list[str]:
            return [one.message_id for one in await store.sent_to(PEER, **options)]  # type: ignore[arg-type]

        assert await found() == ["D-1", "D-2"]
        assert await found(limit=1) == ["D-1"]
        assert await found(service="PS811FTRRQ") == ["D-2"]
        assert await found(since=after(5)) == ["D-2"]
        assert await found(until=after(5)) == ["D-1"]
        assert await found(message_ids=["D-2", "D-3"]) == ["D-2"]
        assert await found(references=REFERENCES) == ["D-1"]
        assert await found(references=References("S-1", "R-2")) == []
        assert await found(references=References(None, "R-1"), service="PS811FTRRQ") == []
        assert (await store.sent_to(OTHER))[0].sender == OWN
