"""The contract of a store, outbound: what a sender may believe, by what was seen."""

from __future__ import annotations

import asyncio

import pytest

from msh.errors import ClaimLost, UnknownMessage, UsageError
from msh.profile import RoleCodes
from msh.protocol.delivery import State
from msh.protocol.journal import Step
from msh.store import Store
from msh.testing.contracts.samples import (
    BANK,
    DONE,
    DUE,
    LEASE,
    MUCH_LATER,
    NOW,
    OTHER,
    OWN,
    PEER,
    PLATFORM,
    SYSTEM_ERROR,
    after,
    begin,
    claim_one,
    delivery_in,
    draft,
    everything,
    fail,
    replied,
    reply_to,
    status,
    steps,
    the_delivery,
)

#: What says nothing of the first copy when a resend gets it (the platform's, then a bank's).
IN_DOUBT_CODES = [
    *(
        (f"PSPPM{code}", PLATFORM)
        for code in ("0001W", "0002W", "0001E", "0002E", "0003E", "0004E", "0002S")
    ),
    *((f"PSPBK{code}", BANK) for code in ("0002S", "0106E", "0114E")),
]
in_doubt_codes = pytest.mark.parametrize(("code", "codes"), IN_DOUBT_CODES)


class ReplyContract:
    """`Store.record_reply`: the first verified reply wins, with two exceptions."""

    async def test_a_reply_ends_the_delivery(self, store: Store) -> None:
        await delivery_in(store, State.SENDING)
        delivery = await replied(store, DONE, after(3), wire=b"<the reply/>")
        assert delivery is not None
        assert delivery == await the_delivery(store)
        assert (delivery.state, delivery.status) == (State.ANSWERED, status(DONE))
        assert (delivery.settled, delivery.due) == (after(3), None)
        assert await store.delivery_reply(delivery.id) == b"<the reply/>"
        (attempt,) = await store.attempts(delivery.id)
        assert (attempt.ended, attempt.outcome) == (after(3), "answered")
        assert await steps(store) == [Step.QUEUED, Step.ATTEMPT_BEGUN, Step.ANSWERED]

    @pytest.mark.parametrize("reconnected", [False, True])
    async def test_a_reconnection_is_recorded_with_the_reply(
        self, store: Store, reconnected: bool
    ) -> None:
        await delivery_in(store, State.SENDING)
        delivery = await replied(store, reconnected=reconnected)
        assert delivery is not None
        assert delivery.copies == (2 if reconnected else 1)
        (attempt,) = await store.attempts(delivery.id)
        assert attempt.reconnected == reconnected

    async def test_a_refusal_of_the_only_copy_is_an_answer(self, store: Store) -> None:
        for code, codes in IN_DOUBT_CODES[:1]:
            await delivery_in(store, State.SENDING)
            delivery = await replied(store, code, codes=codes)
            assert delivery is not None
            assert delivery.state is State.ANSWERED

    async def test_whoever_holds_the_claim(self, store: Store) -> None:
        await store.enqueue(draft("D-1"), NOW)
        late = await begin(store)
        holder = await claim_one(store, DUE)
        await replied(store, DONE, DUE)
        assert (await the_delivery(store)).state is State.ANSWERED
        before = await everything(store)
        with pytest.raises(ClaimLost):
            await store.begin(holder, b"<x/>", DUE, after(300), last=False, lease=LEASE)
        with pytest.raises(ClaimLost):
            await fail(store, late, DUE, sent=True)
        assert await everything(store) == before

    async def test_nothing_is_sent_after_the_answer(self, store: Store) -> None:
        await delivery_in(store, State.WAITING)
        await replied(store, late=True)
        assert (await store.claim(PEER, MUCH_LATER, LEASE, 9)).work == ()
        assert (await store.journal())[-1].details["late"] is True

    async def test_the_same_answer_again_is_noted(self, store: Store) -> None:
        await delivery_in(store, State.ANSWERED)
        before = await the_delivery(store)
        assert await replied(store, DONE, after(9), wire=b"<again/>") == before
        assert await the_delivery(store) == before
        assert await store.delivery_reply(before.id) == b"<rs/>"
        assert (await steps(store))[-1] is Step.ANSWER_REPEATED

    @pytest.mark.parametrize("code", ["PSPPM0001S", SYSTEM_ERROR, "PSPPM0002S"])
    async def test_another_answer_later_is_an_alarm(self, store: Store, code: str) -> None:
        await delivery_in(store, State.WAITING)
        await fail(store, await begin(store, DUE), DUE, sent=True)
        await replied(store)
        before = await the_delivery(store)
        assert await replied(store, code, after(9), wire=b"<other/>") == before
        assert await the_delivery(store) == before
        assert await store.delivery_reply(before.id) == b"<rs/>"
        entry = (await store.journal())[-1]
        assert entry.step is Step.ANSWER_DIFFERS
        assert (entry.details["status"], entry.details["kept"]) == (code, DONE)

    async def test_of_many_replies_at_once_one_wins(self, store: Store) -> None:
        await delivery_in(store, State.SENDING)
        codes = [DONE, "PSPPM0001S", "PSPBK0101E", "PSPBK0103E"]
        many = [replied(store, codes[n % 4], wire=b"%d" % n) for n in range(20)]
        recorded = await asyncio.gather(*many)
        assert len({one.status for one in recorded if one}) == 1
        journal = await steps(store)
        assert journal.count(Step.ANSWERED) == 1
        assert journal.count(Step.ANSWER_DIFFERS) == 5  # and the others are left out
        assert journal.count(Step.ANSWER_REPEATED) == 4

    @pytest.mark.parametrize(
        ("state", "codes", "step"),
        [
            (State.ANSWERED, (DONE,), Step.ANSWER_REPEATED),
            (State.ANSWERED, ("PSPPM0001S",), Step.ANSWER_DIFFERS),
            (State.OUTCOME_UNKNOWN, (SYSTEM_ERROR,), Step.ANSWERED),
            (State.REFUSED_IN_DOUBT, ("PSPPM0002S", "PSPPM0002W"), Step.ANSWERED),
        ],
    )
    async def test_what_replies_repeat_is_told_now_and_then(
        self, store: Store, state: State, codes: tuple[str, ...], step: Step
    ) -> None:
        await delivery_in(store, state)
        before = await store.last_entry()
        for second in range(0, 601, 2):
            for code in codes:
                await replied(store, code, after(second), late=True)
        told = await store.journal(after=before)
        assert {entry.step for entry in told} == {step}
        assert 5 + 9 <= len(told) <= 5 + 10
        assert max(entry.details["times"] for entry in told if "times" in entry.details) > 250

    async def test_replies_that_are_no_answer_are_told_now_and_then(self, store: Store) -> None:
        await delivery_in(store, State.WAITING)
        before = await store.last_entry()
        for second in range(0, 601, 2):
            await store.ignore_reply(OWN, "D-1", after(second), "it is not protected")
        await replied(store, DONE, after(601), late=True)
        told = [entry.step for entry in await store.journal(after=before)]
        assert told == [*[Step.ANSWER_IGNORED] * (5 + 9), Step.ANSWERED]

    async def test_a_system_error_leaves_the_outcome_unknown(self, store: Store) -> None:
        await delivery_in(store, State.SENDING)
        await replied(store, SYSTEM_ERROR, wire=b"<9999S/>")
        delivery = await the_delivery(store)
        assert (delivery.state, delivery.status) == (State.OUTCOME_UNKNOWN, status(SYSTEM_ERROR))
        assert await store.delivery_reply(delivery.id) == b"<9999S/>"
        assert (await store.claim(PEER, MUCH_LATER, LEASE, 9)).work == ()

    @in_doubt_codes
    async def test_a_refusal_of_a_resend_says_nothing_of_the_first_copy(
        self, store: Store, code: str, codes: RoleCodes
    ) -> None:
        await delivery_in(store, State.WAITING)
        await begin(store, DUE)
        await replied(store, code, DUE, codes=codes)
        delivery = await the_delivery(store)
        assert (delivery.state, delivery.status) == (State.REFUSED_IN_DOUBT, status(code))
        assert (await store.claim(PEER, MUCH_LATER, LEASE, 9)).work == ()

    @in_doubt_codes
    async def test_a_refusal_is_an_answer_if_no_earlier_copy_has_left(
        self, store: Store, code: str, codes: RoleCodes
    ) -> None:
        await store.enqueue(draft("D-1"), NOW)
        await fail(store, await begin(store), NOW, sent=False)
        await begin(store, DUE)
        await replied(store, code, DUE, codes=codes)
        assert (await the_delivery(store)).state is State.ANSWERED

    async def test_a_reconnection_makes_two_copies(self, store: Store) -> None:
        await delivery_in(store, State.SENDING)
        await replied(store, "PSPPM0002S", reconnected=True)
        assert (await the_delivery(store)).state is State.REFUSED_IN_DOUBT

    @pytest.mark.parametrize("code", [DONE, "PSPPM0001S", "PSPBK0101E"])
    async def test_any_other_status_answers_a_resend_too(self, store: Store, code: str) -> None:
        await delivery_in(store, State.WAITING)
        await begin(store, DUE)
        await replied(store, code, DUE)
        assert (await the_delivery(store)).state is State.ANSWERED

    @pytest.mark.parametrize("doubt", [State.OUTCOME_UNKNOWN, State.REFUSED_IN_DOUBT])
    @pytest.mark.parametrize("code", [DONE, "PSPBK0101E"])
    async def test_a_later_reply_replaces_doubt(
        self, store: Store, doubt: State, code: str
    ) -> None:
        await delivery_in(store, doubt)
        delivery = await replied(store, code, after(99), wire=b"<better/>", late=True)
        assert delivery is not None
        assert delivery == await the_delivery(store)
        assert (delivery.state, delivery.status) == (State.ANSWERED, status(code))
        assert delivery.settled == after(99)
        assert await store.delivery_reply(delivery.id) == b"<better/>"
        assert (await steps(store))[-1] is Step.ANSWERED

    async def test_a_system_error_outweighs_a_refusal_in_doubt(self, store: Store) -> None:
        await delivery_in(store, State.REFUSED_IN_DOUBT)
        await replied(store, SYSTEM_ERROR, wire=b"<9999S/>")
        assert (await the_delivery(store)).state is State.OUTCOME_UNKNOWN
        delivery = await replied(store, "PSPPM0002S", wire=b"<refusal/>")
        assert delivery is not None
        assert (delivery.state, delivery.status) == (State.OUTCOME_UNKNOWN, status(SYSTEM_ERROR))
        assert await store.delivery_reply(delivery.id) == b"<9999S/>"

    @pytest.mark.parametrize("state", [State.NOT_SENT, State.IN_DOUBT, State.WAITING])
    async def test_a_late_reply_is_recorded_after_giving_up(
        self, store: Store, state: State
    ) -> None:
        await delivery_in(store, state)
        await replied(store, DONE, after(999), late=True)
        delivery = await the_delivery(store)
        assert (delivery.state, delivery.settled) == (State.ANSWERED, after(999))

    async def test_only_the_receiver_can_answer(self, store: Store) -> None:
        await delivery_in(store, State.SENDING)
        before = await everything(store)
        message = reply_to("D-1", sender=OTHER)
        assert await store.record_reply(OWN, message, b"<rs/>", PLATFORM, NOW) is None
        assert await everything(store) == before

    async def test_no_such_delivery(self, store: Store) -> None:
        await delivery_in(store, State.SENDING)
        before = await everything(store)
        for own, message_id in ((OWN, "D-2"), (OTHER, "D-1")):
            message = reply_to(message_id)
            assert await store.record_reply(own, message, b"<rs/>", PLATFORM, NOW) is None
        assert await everything(store) == before

    async def test_what_was_never_sent_cannot_be_answered(self, store: Store) -> None:
        await delivery_in(store, State.QUEUED)
        before = await everything(store)
        assert await replied(store) is None
        assert await everything(store) == before

    async def test_a_reply_that_is_no_answer_is_only_noted(self, store: Store) -> None:
        await delivery_in(store, State.SENDING)
        before = await the_delivery(store)
        await store.ignore_reply(OWN, "D-1", after(1), "it is not protected")
        await store.ignore_reply(OWN, "D-2", after(1), "it is not protected")
        assert await the_delivery(store) == before
        entry = (await store.journal())[-1]
        assert (entry.step, entry.message_id) == (Step.ANSWER_IGNORED, "D-1")
        assert entry.details["reason"] == "it is not protected"
        assert (await steps(store)).count(Step.ANSWER_IGNORED) == 1


class GiveUpContract:
    """`Store.give_up`: the end of the schedule, and what it means."""

    @pytest.mark.parametrize(("sent", "state"), [(False, State.NOT_SENT), (True, State.IN_DOUBT)])
    async def test_what_the_end_means(self, store: Store, sent: bool, state: State) -> None:
        await store.enqueue(draft("D-1"), NOW)
        await fail(store, await begin(store), NOW, sent=sent)
        await fail(store, await begin(store, DUE, last=True), DUE, sent=False)
        outbound = await claim_one(store, after(180))
        assert outbound.last
        delivery = await store.give_up(outbound, after(180))
        assert delivery == await the_delivery(store)
        assert (delivery.state, delivery.settled, delivery.due) == (state, after(180), None)
        assert (await steps(store))[-1] is Step.GIVEN_UP
        assert (await store.claim(PEER, MUCH_LATER, LEASE, 9)).work == ()
        before = await everything(store)
        with pytest.raises(ClaimLost):
            await store.give_up(outbound, after(180))
        assert await everything(store) == before

    async def test_an_attempt_whose_process_ended_leaves_doubt(self, store: Store) -> None:
        await store.enqueue(draft("D-1"), NOW)
        await begin(store, last=True)
        await store.give_up(await claim_one(store, DUE), DUE)
        assert (await the_delivery(store)).state is State.IN_DOUBT


class ResendContract:
    """`Store.resend`: a new series of attempts with the same bytes."""

    @pytest.mark.parametrize(
        "state",
        [
            State.WAITING,
            State.NOT_SENT,
            State.IN_DOUBT,
            State.OUTCOME_UNKNOWN,
            State.REFUSED_IN_DOUBT,
        ],
    )
    async def test_a_new_series_begins_now(self, store: Store, state: State) -> None:
        before = await delivery_in(store, state)
        delivery = await store.resend(OWN, "D-1", after(7))
        assert delivery == await the_delivery(store)
        assert (delivery.state, delivery.due) == (State.WAITING, after(7))
        assert (delivery.tries, delivery.series_began, delivery.settled) == (0, None, None)
        assert (delivery.attempts, delivery.copies) == (before.attempts, before.copies)
        assert (await steps(store))[-1] is Step.RESEND_ASKED
        outbound = await begin(store, after(7), wire=b"<another/>")
        assert (outbound.wire, outbound.last) == (b"<form/>", False)
        delivery = await the_delivery(store)
        assert (delivery.attempts, delivery.tries) == (before.attempts + 1, 1)
        assert delivery.series_began == after(7)
        await replied(store, DONE, after(8))
        assert (await the_delivery(store)).state is State.ANSWERED

    @pytest.mark.parametrize(
        "state",
        [State.QUEUED, State.SENDING, State.ANSWERED, State.RESOLVED, State.NOT_EXECUTED],
    )
    async def test_what_cannot_be_resent(self, store: Store, state: State) -> None:
        await delivery_in(store, state)
        before = await everything(store)
        with pytest.raises(UsageError) as caught:
            await store.resend(OWN, "D-1", NOW)
        assert "D-1" in str(caught.value)
        assert await everything(store) == before

    async def test_a_resend_takes_the_claim_away(self, store: Store) -> None:
        await delivery_in(store, State.WAITING)
        claimed = await claim_one(store, DUE)
        await store.resend(OWN, "D-1", DUE)
        with pytest.raises(ClaimLost):
            await store.begin(claimed, b"<x/>", DUE, after(300), last=False, lease=LEASE)
        assert (await claim_one(store, DUE)).token != claimed.token

    async def test_without_its_content_nothing_can_be_resent(self, store: Store) -> None:
        await delivery_in(store, State.NOT_SENT)
        async for _ in store.purge(MUCH_LATER, NOW, MUCH_LATER):
            pass
        with pytest.raises(UsageError):
            await store.resend(OWN, "D-1", MUCH_LATER)

    async def test_no_such_message(self, store: Store) -> None:
        await delivery_in(store, State.WAITING)
        for own, message_id in ((OWN, "D-2"), (OTHER, "D-1")):
            with pytest.raises(UnknownMessage):
                await store.resend(own, message_id, NOW)
