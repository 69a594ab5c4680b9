"""The contract of a store, outbound: claims, attempts, and how many copies may have arrived."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from msh.errors import ClaimLost
from msh.protocol.delivery import State
from msh.protocol.journal import Direction, Step
from msh.store import Outbound, Store
from msh.testing.contracts.samples import (
    DUE,
    LEASE,
    MUCH_LATER,
    NOW,
    OTHER,
    OWN,
    PEER,
    after,
    begin,
    claim_one,
    delivery_in,
    draft,
    everything,
    fail,
    result_comes,
    steps,
    the_delivery,
)

Use = Callable[[Store, Outbound], Awaitable[object]]

USES: dict[str, Use] = {
    "begin": lambda store, outbound: store.begin(
        outbound, b"<x/>", NOW, DUE, last=False, lease=LEASE
    ),
    "record_failure": lambda store, outbound: fail(store, outbound, NOW, sent=False),
    "give_up": lambda store, outbound: store.give_up(outbound, NOW),
    "hold": lambda store, outbound: store.hold(outbound, DUE, NOW, "no key"),
}
#: Those that want a claim under which no attempt has begun.
BEFORE = (USES["begin"], USES["hold"])
every_use = pytest.mark.parametrize("use", USES.values(), ids=USES)


class DueContract:
    """`Store.claim`: leases what is due, fairly, and tells when more falls due."""

    async def test_a_claim_gives_what_an_attempt_needs(self, store: Store) -> None:
        delivery, _ = await store.enqueue(draft("D-1"), NOW)
        outbound = await claim_one(store)
        assert outbound.delivery == delivery  # a claim only leases
        assert (outbound.body, outbound.wire, outbound.last) == (b"<pay/>", None, False)
        assert await steps(store) == [Step.QUEUED]

    async def test_only_what_is_due_for_that_receiver(self, store: Store) -> None:
        await store.enqueue(draft("D-1"), NOW)
        await store.enqueue(draft("D-2", receiver=OTHER), NOW)
        just_before = NOW - timedelta(microseconds=1)
        assert (await store.claim(PEER, just_before, LEASE, 9)).work == ()
        (outbound,) = (await store.claim(OTHER, NOW, LEASE, 9)).work
        assert outbound.delivery.message_id == "D-2"

    async def test_what_was_due_first_comes_first(self, store: Store) -> None:
        for name, seconds in (("D-3", 3), ("D-1", 1), ("D-2", 2)):
            await store.enqueue(draft(name), after(seconds))
        found = [await store.claim(PEER, after(9), LEASE, 2) for _ in range(3)]
        names = [[one.delivery.message_id for one in outbounds.work] for outbounds in found]
        assert names == [["D-1", "D-2"], ["D-3"], []]

    async def test_never_more_deliveries_than_the_limit(self, store: Store) -> None:
        await store.enqueue(draft("D-1"), NOW)
        assert (await store.claim(PEER, NOW, LEASE, 0)).work == ()

    async def test_claimers_at_once_share_the_work(self, store: Store) -> None:
        for number in range(10):
            await store.enqueue(draft(f"D-{number}"), NOW)
        claimers = [store.claim(PEER, NOW, LEASE, 1) for _ in range(20)]
        given = [one.delivery.id for found in await asyncio.gather(*claimers) for one in found.work]
        assert len(given) == len(set(given)) == 10

    async def test_only_that_delivery(self, store: Store) -> None:
        for name in ("D-1", "D-2"):
            await store.enqueue(draft(name), NOW)
        wanted = await the_delivery(store, "D-2")
        (outbound,) = (await store.claim(PEER, NOW, LEASE, 9, only=wanted.id)).work
        assert outbound.delivery.id == wanted.id
        assert (await store.claim(PEER, NOW, LEASE, 9, only=wanted.id)).work == ()
        assert (await claim_one(store)).delivery.message_id == "D-1"

    async def test_a_lapsed_lease_is_given_again(self, store: Store) -> None:
        await store.enqueue(draft("D-1"), NOW)
        first = await claim_one(store)
        just_before = NOW + LEASE - timedelta(microseconds=1)
        assert (await store.claim(PEER, just_before, LEASE, 9)).work == ()
        second = await claim_one(store, NOW + LEASE)
        assert second.token != first.token
        assert second.delivery.attempts == 0
        assert await steps(store) == [Step.QUEUED]

    @pytest.mark.parametrize(
        "state", [state for state in State if state not in ("queued", "sending", "waiting")]
    )
    async def test_what_ended_is_never_given(self, store: Store, state: State) -> None:
        await delivery_in(store, state)
        found = await store.claim(PEER, MUCH_LATER, LEASE, 9)
        assert (found.work, found.next_due) == ((), None)

    async def test_when_more_falls_due(self, store: Store) -> None:
        async def next_due(seconds: float) -> float | None:
            due = (await store.claim(PEER, after(seconds), LEASE, 9)).next_due
            return None if due is None else (due - NOW).total_seconds()

        assert await next_due(0) is None
        await store.enqueue(draft("D-0", receiver=OTHER), NOW)
        assert await next_due(0) is None
        await store.enqueue(draft("D-1"), after(10))
        assert await next_due(5) == 10
        assert await next_due(10) == 40  # leased; it is due again if that lease lapses
        await store.enqueue(draft("D-2"), after(25))
        assert await next_due(20) == 25

    async def test_what_the_limit_left_is_due_now(self, store: Store) -> None:
        for number in range(3):
            await store.enqueue(draft(f"D-{number}"), NOW)
        due = (await store.claim(PEER, after(1), LEASE, 2)).next_due
        assert due is not None
        assert due <= after(1)

    async def test_what_only_left_is_due_now(self, store: Store) -> None:
        for name in ("D-1", "D-2"):
            await store.enqueue(draft(name), NOW)
        wanted = await the_delivery(store, "D-2")
        due = (await store.claim(PEER, after(1), LEASE, 9, only=wanted.id)).next_due
        assert due is not None
        assert due <= after(1)

    @pytest.mark.parametrize("ended", [True, False])
    async def test_waiting_for_the_next_due_time_finds_the_work(
        self, store: Store, ended: bool
    ) -> None:
        await store.enqueue(draft("D-1"), NOW)
        outbound = await begin(store)
        if ended:
            await fail(store, outbound, after(1), sent=True)
        now, waits = after(1), 0
        while not (found := await store.claim(PEER, now, LEASE, 9)).work:
            assert found.next_due is not None
            assert found.next_due > now
            now, waits = found.next_due, waits + 1
        assert now == DUE
        assert waits <= 2


class AttemptContract:
    """`Store.begin` and `Store.record_failure`: on disk before a byte leaves."""

    async def test_begin_stores_attempt_form_and_next_due_time(self, store: Store) -> None:
        await store.enqueue(draft("D-1"), NOW)
        await begin(store, after(1), due=after(91), wire=b"<the form/>")
        delivery = await the_delivery(store)
        assert (delivery.state, delivery.due) == (State.SENDING, after(91))
        assert (delivery.attempts, delivery.tries, delivery.copies) == (1, 1, 1)
        assert delivery.series_began == after(1)
        assert delivery.size == len(b"<the form/>")
        (attempt,) = await store.attempts(delivery.id)
        assert (attempt.number, attempt.began) == (1, after(1))
        assert (attempt.ended, attempt.outcome, attempt.reconnected) == (None, None, False)
        wires = await store.request_wire(delivery.id)
        assert wires is not None
        assert wires[1] == b"<the form/>"
        assert await steps(store) == [Step.QUEUED, Step.ATTEMPT_BEGUN]

    @pytest.mark.parametrize(("sent", "kept"), [(True, b"<first/>"), (False, b"<second/>")])
    async def test_a_form_stays_once_it_may_have_arrived(
        self, store: Store, sent: bool, kept: bytes
    ) -> None:
        await store.enqueue(draft("D-1"), NOW)
        await fail(store, await begin(store, wire=b"<first/>"), NOW, sent=sent)
        second = await claim_one(store, DUE)
        assert second.wire == b"<first/>"
        await store.begin(second, b"<second/>", DUE, after(200), last=False, lease=LEASE)
        await fail(store, second, DUE, sent=True)
        assert (await claim_one(store, after(200))).wire == kept

    async def test_attempts_are_counted_on(self, store: Store) -> None:
        await store.enqueue(draft("D-1"), NOW)
        for number in range(3):
            outbound = await begin(store, after(90 * number), last=number == 2)
            assert outbound.delivery.attempts == outbound.delivery.tries == number
            assert not outbound.last
            await fail(store, outbound, after(90 * number + 30), sent=True)
        delivery = await the_delivery(store)
        assert (delivery.attempts, delivery.copies) == (3, 3)
        assert delivery.series_began == NOW
        attempts = await store.attempts(delivery.id)
        assert [one.number for one in attempts] == [1, 2, 3]
        assert [one.ended for one in attempts] == [after(30), after(120), after(210)]
        assert (await claim_one(store, after(270))).last

    async def test_a_failure_ends_the_attempt_and_moves_no_due_time(self, store: Store) -> None:
        await store.enqueue(draft("D-1"), NOW)
        outbound = await begin(store)
        await store.record_failure(
            outbound,
            after(2),
            outcome="rejected",
            detail="HTTP 404",
            sent=True,
            reconnected=False,
        )
        delivery = await the_delivery(store)
        assert (delivery.state, delivery.due) == (State.WAITING, DUE)
        (attempt,) = await store.attempts(delivery.id)
        assert (attempt.ended, attempt.outcome, attempt.detail) == (
            after(2),
            "rejected",
            "HTTP 404",
        )
        entry = (await store.journal())[-1]
        assert entry.step is Step.ATTEMPT_FAILED
        assert (entry.details["outcome"], entry.details["detail"]) == ("rejected", "HTTP 404")
        just_before = DUE - timedelta(microseconds=1)
        assert (await store.claim(PEER, just_before, LEASE, 9)).work == ()
        assert len((await store.claim(PEER, DUE, LEASE, 9)).work) == 1

    @pytest.mark.parametrize(
        ("attempts", "copies"),
        [
            (["not sent"], 0),
            (["sent"], 1),
            (["sent", "not sent"], 1),
            (["not sent", "sent", "not sent"], 1),
            (["sent", "sent"], 2),
            (["reconnected"], 2),
            (["sent", "reconnected", "not sent"], 3),
        ],
    )
    async def test_how_many_copies_may_have_arrived(
        self, store: Store, attempts: list[str], copies: int
    ) -> None:
        await store.enqueue(draft("D-1"), NOW)
        for number, outcome in enumerate(attempts):
            now = after(90 * number)
            outbound = await begin(store, now)
            reconnected = outcome == "reconnected"
            await fail(store, outbound, now, sent=outcome != "not sent", reconnected=reconnected)
            attempt = (await store.attempts(outbound.delivery.id))[-1]
            assert attempt.reconnected == reconnected
        assert (await the_delivery(store)).copies == copies

    async def test_a_reconnected_attempt_is_never_surely_not_sent(self, store: Store) -> None:
        await store.enqueue(draft("D-1"), NOW)
        await fail(store, await begin(store), NOW, sent=False, reconnected=True)
        assert (await the_delivery(store)).copies >= 1

    async def test_an_attempt_whose_lease_lapsed_got_no_answer(self, store: Store) -> None:
        await store.enqueue(draft("D-1"), NOW)
        lost = await begin(store, last=True)
        outbound = await claim_one(store, DUE)
        assert outbound.delivery.state is State.WAITING
        assert outbound.delivery.copies == 1
        assert outbound.last
        (attempt,) = await store.attempts(outbound.delivery.id)
        assert (attempt.ended, attempt.outcome) == (DUE, "no answer")
        assert (await steps(store))[-1] is Step.ATTEMPT_FAILED
        with pytest.raises(ClaimLost):
            await fail(store, lost, DUE, sent=False)
        assert (await the_delivery(store)).copies == 1

    @every_use
    async def test_a_claim_given_to_another_is_lost(self, store: Store, use: Use) -> None:
        await store.enqueue(draft("D-1"), NOW)
        stale = await (claim_one(store) if use in BEFORE else begin(store, last=True))
        await claim_one(store, DUE)
        before = await everything(store)
        with pytest.raises(ClaimLost):
            await use(store, stale)
        assert await everything(store) == before

    @every_use
    async def test_a_claim_whose_attempt_ended_is_lost(self, store: Store, use: Use) -> None:
        await store.enqueue(draft("D-1"), NOW)
        outbound = await begin(store)
        await fail(store, outbound, NOW, sent=True)
        before = await everything(store)
        with pytest.raises(ClaimLost):
            await use(store, outbound)
        assert await everything(store) == before

    async def test_of_many_begins_with_one_claim_one_sends(self, store: Store) -> None:
        await store.enqueue(draft("D-1"), NOW)
        outbound = await claim_one(store)
        tries = [
            store.begin(outbound, b"<%d/>" % n, NOW, DUE, last=False, lease=LEASE)
            for n in range(10)
        ]
        results = await asyncio.gather(*tries, return_exceptions=True)
        assert results.count(None) == 1
        assert sum(isinstance(one, ClaimLost) for one in results) == 9
        assert (await the_delivery(store)).attempts == 1
        assert await steps(store) == [Step.QUEUED, Step.ATTEMPT_BEGUN]


class HoldContract:
    """`Store.hold`: what cannot leave now comes back later, as if it had not been claimed."""

    async def test_what_is_held_is_nobodys_until_it_is_due(self, store: Store) -> None:
        delivery, _ = await store.enqueue(draft("D-1", key="k"), NOW)
        await store.hold(await claim_one(store, after(1)), after(10), after(2), "no key")
        assert await the_delivery(store) == replace(delivery, due=after(10))
        assert await store.request_wire(delivery.id) == (b"<pay/>", None)
        just_before = await store.claim(PEER, after(10) - timedelta(microseconds=1), LEASE, 9)
        assert (just_before.work, just_before.next_due) == ((), after(10))
        again = await claim_one(store, after(10))
        assert (again.body, again.wire, again.last) == (b"<pay/>", None, False)

    async def test_the_journal_says_why(self, store: Store) -> None:
        await store.enqueue(draft("D-1"), NOW)
        await store.hold(await claim_one(store), after(10), after(2), "no key was exchanged")
        assert await steps(store) == [Step.QUEUED, Step.HELD]
        entry = (await store.journal())[-1]
        assert (entry.at, entry.direction) == (after(2), Direction.OUTBOUND)
        assert (entry.message_id, entry.peer, entry.service) == ("D-1", PEER, "PS810FTRQ")
        assert entry.details == {"reason": "no key was exchanged"}

    async def test_only_the_first_time_in_a_row(self, store: Store) -> None:
        await store.enqueue(draft("D-1"), NOW)
        for number in range(4):
            outbound = await claim_one(store, after(10 * number))
            await store.hold(outbound, after(10 * number + 10), after(10 * number), "no key")
            await store.ignore_reply(OWN, "D-1", after(10 * number), "nobody asked")
        assert (await steps(store)).count(Step.HELD) == 1
        await fail(store, await begin(store, after(40), due=after(130)), after(70), sent=True)
        for number in range(2):
            outbound = await claim_one(store, after(130 + number))
            await store.hold(outbound, after(131 + number), after(130 + number), "no key")
        found = [step for step in await steps(store) if step is not Step.ANSWER_IGNORED]
        assert found == [
            Step.QUEUED,
            Step.HELD,
            Step.ATTEMPT_BEGUN,
            Step.ATTEMPT_FAILED,
            Step.HELD,
        ]

    async def test_each_delivery_has_a_row_of_its_own(self, store: Store) -> None:
        for name in ("D-1", "D-2"):
            await store.enqueue(draft(name), NOW)
        for outbound in (await store.claim(PEER, NOW, LEASE, 9)).work:
            await store.hold(outbound, DUE, NOW, "no key")
        assert (await steps(store)).count(Step.HELD) == 2

    async def test_its_schedule_is_as_it_was(self, store: Store) -> None:
        await store.enqueue(draft("D-1"), NOW)
        await fail(store, await begin(store, last=True), after(30), sent=True)
        before = await the_delivery(store)
        attempts = await store.attempts(before.id)
        await store.hold(await claim_one(store, DUE), after(200), DUE, "no certificate")
        held = await the_delivery(store)
        assert held == replace(before, due=after(200))
        assert (held.state, held.attempts, held.tries, held.copies) == (State.WAITING, 1, 1, 1)
        assert await store.attempts(held.id) == attempts
        assert (await claim_one(store, after(200))).last

    async def test_a_claim_given_back_is_lost(self, store: Store) -> None:
        await store.enqueue(draft("D-1"), NOW)
        outbound = await claim_one(store)
        await store.hold(outbound, NOW, NOW, "no key")
        before = await everything(store)
        for use in BEFORE:
            with pytest.raises(ClaimLost):
                await use(store, outbound)
        assert await everything(store) == before

    async def test_an_attempt_that_began_cannot_be_held(self, store: Store) -> None:
        await store.enqueue(draft("D-1"), NOW)
        outbound = await begin(store)
        before = await everything(store)
        with pytest.raises(ClaimLost):
            await store.hold(outbound, DUE, NOW, "no key")
        assert await everything(store) == before
        await fail(store, outbound, NOW, sent=True)

    async def test_what_an_operator_has_resent_is_due_at_once(self, store: Store) -> None:
        await store.enqueue(draft("D-1"), NOW)
        await fail(store, await begin(store), after(30), sent=True)
        await store.hold(await claim_one(store, DUE), MUCH_LATER, DUE, "no certificate")
        await store.resend(OWN, "D-1", after(100))
        assert (await claim_one(store, after(100))).delivery.tries == 0

    async def test_a_result_ends_it(self, store: Store) -> None:
        await store.enqueue(draft("D-1"), NOW)
        await store.hold(await claim_one(store), DUE, NOW, "no key")
        await result_comes(store)
        assert (await store.claim(PEER, DUE, LEASE, 9)).work == ()
