"""The contract of a store: results and what they are about, inquiries, and an operator's word."""

from __future__ import annotations

import pytest

from msh.content import References
from msh.errors import ClaimLost, UnknownMessage, UsageError
from msh.protocol.delivery import DOUBTFUL, State
from msh.protocol.journal import Direction, Step
from msh.store import Inquiry, New, Store
from msh.testing.contracts.samples import (
    DONE,
    LEASE,
    MUCH_LATER,
    NOW,
    OTHER,
    OWN,
    PEER,
    PLATFORM,
    after,
    arrive,
    begin,
    claim_one,
    delivery_in,
    draft,
    everything,
    fail,
    replied,
    reply_to,
    request,
    result_comes,
    status,
    steps,
    the_delivery,
)

REFERENCES = References("S-1", "R-1")
FINAL, OTHER_FINAL = "PSPBK0000I", "PSPBK0005E"
PROCESSING, NOT_FOUND = "PSPBK0107E", "PSPBK0110E"
SETTLED = (State.ANSWERED, State.RESOLVED)


class ResultContract:
    """`Store.receive` with a result: it ends resending and every doubt."""

    @pytest.mark.parametrize("state", [state for state in State if state not in SETTLED])
    async def test_a_result_resolves(self, store: Store, state: State) -> None:
        await delivery_in(store, state)
        await result_comes(store, now=after(77), name="PS811-7", statuses=[FINAL])
        delivery = await the_delivery(store)
        assert (delivery.state, delivery.resolved_by) == (State.RESOLVED, "PS811-7")
        assert (delivery.settled, delivery.due) == (after(77), None)
        assert (await store.claim(PEER, MUCH_LATER, LEASE, 9)).work == ()
        assert (await steps(store, "D-1"))[-1] is Step.RESOLVED
        assert all(one.ended for one in await store.attempts(delivery.id))
        (outcome,) = await store.outcomes(delivery.id)
        assert (outcome.message_id, outcome.service) == ("PS811-7", "PS811FTRRQ")
        assert (outcome.status, outcome.received) == (status(FINAL), after(77))
        (reception,) = await store.receptions(message_id="PS811-7")
        assert outcome.reception == reception.id

    async def test_a_result_ends_the_attempt_under_way(self, store: Store) -> None:
        await store.enqueue(draft("D-1"), NOW)
        outbound = await begin(store)
        await result_comes(store)
        with pytest.raises(ClaimLost):
            await fail(store, outbound, NOW, sent=False)
        assert (await the_delivery(store)).state is State.RESOLVED

    async def test_an_answered_delivery_stays_answered(self, store: Store) -> None:
        before = await delivery_in(store, State.ANSWERED)
        await result_comes(store, now=after(77), name="PS811-7")
        delivery = await the_delivery(store)
        assert (delivery.state, delivery.resolved_by) == (State.ANSWERED, "PS811-7")
        assert (delivery.status, delivery.settled) == (before.status, before.settled)
        assert [one.message_id for one in await store.outcomes(delivery.id)] == ["PS811-7"]

    async def test_every_result_is_kept_the_newest_first(self, store: Store) -> None:
        before = await delivery_in(store, State.ANSWERED)
        for number, code in enumerate((FINAL, FINAL, OTHER_FINAL)):
            name = f"PS811-{number}"
            await result_comes(store, now=after(number), name=name, statuses=[code])
        outcomes = await store.outcomes(before.id)
        assert [one.message_id for one in outcomes] == ["PS811-2", "PS811-1", "PS811-0"]
        assert (await the_delivery(store)).resolved_by == "PS811-0"
        second, third = (await store.journal(message_id="D-1"))[-2:]
        assert (second.step, third.step) == (Step.OUTCOME, Step.OUTCOME)
        assert "differs" not in second.details
        assert third.details["differs"]

    async def test_a_repeat_of_a_result_is_no_other_result(self, store: Store) -> None:
        before = await delivery_in(store, State.IN_DOUBT)
        await result_comes(store)
        assert not isinstance(await result_comes(store, now=after(9)), New)
        assert len(await store.outcomes(before.id)) == 1

    @pytest.mark.parametrize(
        "other",
        [{"sender": OTHER}, {"ref_to": "D-3"}, {"of": "PS850CERQ"}, {"ref_to": None}],
        ids=str,
    )
    async def test_a_result_for_something_else(self, store: Store, other: dict[str, str]) -> None:
        before = await delivery_in(store, State.IN_DOUBT)
        assert isinstance(await result_comes(store, **other), New)  # type: ignore[arg-type]
        assert await the_delivery(store) == before
        assert await store.outcomes(before.id) == []

    async def test_a_reply_after_the_result_is_recorded(self, store: Store) -> None:
        await delivery_in(store, State.RESOLVED)
        await replied(store, DONE, after(5), wire=b"<late/>")
        delivery = await the_delivery(store)
        assert (delivery.state, delivery.status) == (State.RESOLVED, status(DONE))
        assert await store.delivery_reply(delivery.id) == b"<late/>"
        await replied(store, "PSPPM0001S", after(6))
        assert (await the_delivery(store)).status == status(DONE)
        assert (await steps(store))[-1] is Step.ANSWER_DIFFERS

    @pytest.mark.parametrize("doubt", [State.OUTCOME_UNKNOWN, State.REFUSED_IN_DOUBT])
    async def test_a_reply_after_the_result_replaces_a_doubtful_one(
        self, store: Store, doubt: State
    ) -> None:
        await delivery_in(store, doubt)
        await result_comes(store)
        await replied(store, DONE, after(5), wire=b"<late/>")
        delivery = await the_delivery(store)
        assert (delivery.state, delivery.status) == (State.RESOLVED, status(DONE))
        assert await store.delivery_reply(delivery.id) == b"<late/>"

    async def test_a_result_of_a_suspended_party_says_nothing(self, store: Store) -> None:
        from msh.store import SuspensionKind

        before = await delivery_in(store, State.IN_DOUBT)
        await store.suspend(SuspensionKind.PARTY, PEER, NOW)
        await result_comes(store)
        assert await the_delivery(store) == before


class TieContract:
    """`Store.receive` with a result that names no message: its references find the delivery."""

    @pytest.mark.parametrize(
        "references", [REFERENCES, References("S-1", None), References(None, "R-1")]
    )
    async def test_by_references(self, store: Store, references: References) -> None:
        await store.enqueue(draft("D-1", references=REFERENCES), NOW)
        await store.enqueue(draft("D-2", references=References("S-2", "R-2")), NOW)
        await result_comes(store, None, references=references)
        assert (await the_delivery(store, "D-1")).state is State.RESOLVED
        assert (await the_delivery(store, "D-2")).state is State.QUEUED

    async def test_a_message_named_goes_before_references(self, store: Store) -> None:
        await store.enqueue(draft("D-1", references=REFERENCES), NOW)
        await store.enqueue(draft("D-2"), NOW)
        await result_comes(store, "D-2", references=REFERENCES)
        assert (await the_delivery(store, "D-1")).state is State.QUEUED
        assert (await the_delivery(store, "D-2")).state is State.RESOLVED

    @pytest.mark.parametrize(
        "other",
        [
            {"references": References("S-1", "R-2")},
            {"references": References(None, None)},
            {"references": None},
            {"references": REFERENCES, "sender": OTHER},
            {"references": REFERENCES, "of": "PS850CERQ"},
            {"references": REFERENCES, "ref_to": "D-9"},
        ],
        ids=str,
    )
    async def test_nothing_fits(self, store: Store, other: dict[str, object]) -> None:
        await store.enqueue(draft("D-1", references=REFERENCES), NOW)
        await result_comes(store, **{"ref_to": None, **other})  # type: ignore[arg-type]
        assert (await the_delivery(store)).state is State.QUEUED

    async def test_of_two_none_is_guessed(self, store: Store) -> None:
        for name in ("D-1", "D-2"):
            await store.enqueue(draft(name, references=REFERENCES), NOW)
        await result_comes(store, None, references=REFERENCES)
        for name in ("D-1", "D-2"):
            assert (await the_delivery(store, name)).state is State.QUEUED
        entry = (await store.journal())[-1]
        assert (entry.step, entry.direction) == (Step.AMBIGUOUS, Direction.INBOUND)
        assert (entry.message_id, entry.details) == ("PS811-1", {"candidates": 2})

    @pytest.mark.parametrize("ended", ["refused", "not-sent"])
    async def test_what_had_no_effect_is_no_candidate(self, store: Store, ended: str) -> None:
        await store.enqueue(draft("D-1", references=REFERENCES), NOW)
        if ended == "refused":
            await begin(store)
            await replied(store, "PSPBK0001E")
        else:
            await fail(store, await begin(store, due=NOW, last=True), NOW, sent=False)
            await store.give_up(await claim_one(store), NOW)
        await store.enqueue(draft("D-2", references=REFERENCES), NOW)
        await result_comes(store, None, references=REFERENCES)
        assert (await the_delivery(store, "D-2")).state is State.RESOLVED

    async def test_the_purge_takes_references_along(self, store: Store) -> None:
        await store.enqueue(draft("D-1", references=REFERENCES), NOW)
        await begin(store)
        await replied(store, DONE)
        async for _ in store.purge(MUCH_LATER, NOW, MUCH_LATER):
            pass
        await result_comes(store, None, MUCH_LATER, references=REFERENCES)
        delivery = await the_delivery(store)
        assert delivery.resolved_by is None
        await result_comes(store, "D-1", MUCH_LATER, name="PS811-2")  # its id is still known
        assert len(await store.outcomes(delivery.id)) == 1


async def inquire(store: Store, *, conclusive: float | None, at: float = 1000) -> None:
    """D-1 is in doubt, and the inquiry Q-1 about it is first sent ``at`` seconds."""
    asked = await delivery_in(store, State.IN_DOUBT)
    moment = None if conclusive is None else after(conclusive)
    question = draft("Q-1", service="PS830INQRQ", about=Inquiry(asked.id, moment))
    await store.enqueue(question, after(at))
    await begin(store, after(at), due=after(at + 90))


async def inquiry_result(store: Store, *statuses: str, name: str = "PS831-1") -> None:
    await result_comes(
        store,
        "Q-1",
        after(2000),
        name=name,
        service="PS831INRRQ",
        of="PS830INQRQ",
        statuses=statuses,
    )


class InquiryContract:
    """`Draft.about`: what an answer to an inquiry lets believe of what it asks about."""

    async def test_an_inquiry_is_told_and_found(self, store: Store) -> None:
        assert await store.not_inquired(PEER, 2, 9) == []
        await inquire(store, conclusive=None)
        asked = await the_delivery(store)
        assert [one.message_id for one in await store.inquiries(asked.id)] == ["Q-1"]
        assert (await steps(store, "D-1"))[-1] is Step.INQUIRED
        assert await store.not_inquired(PEER, 2, 9) == []  # it is under way
        await store.record_reply(OWN, reply_to("Q-1"), b"<rs/>", PLATFORM, after(1001))
        assert await store.not_inquired(PEER, 2, 9) == [(asked, 1)]
        assert await store.not_inquired(OTHER, 2, 9) == []
        assert await store.not_inquired(PEER, 1, 9) == []

    async def test_a_final_status_resolves(self, store: Store) -> None:
        await inquire(store, conclusive=None)
        await inquiry_result(store, FINAL, OTHER_FINAL)
        delivery = await the_delivery(store)
        assert (delivery.state, delivery.resolved_by) == (State.RESOLVED, "PS831-1")
        for name in ("D-1", "Q-1"):
            (outcome,) = await store.outcomes((await the_delivery(store, name)).id)
            assert (outcome.message_id, outcome.status) == ("PS831-1", status(FINAL))

    @pytest.mark.parametrize("said", [PROCESSING, "PSPBK9999S", "PSPPM0002W", "PSPBK0124E"])
    async def test_what_leaves_the_doubt(self, store: Store, said: str) -> None:
        await inquire(store, conclusive=0)
        await inquiry_result(store, said)
        delivery = await the_delivery(store)
        assert (delivery.state, delivery.resolved_by) == (State.IN_DOUBT, None)
        assert await store.outcomes(delivery.id) == []
        assert (await steps(store, "D-1"))[-1] is Step.STILL_IN_DOUBT
        assert (await the_delivery(store, "Q-1")).state is State.RESOLVED

    @pytest.mark.parametrize(
        ("conclusive", "state"),
        [(None, State.IN_DOUBT), (1000, State.IN_DOUBT), (999, State.NOT_EXECUTED)],
    )
    @pytest.mark.parametrize("by", ["result", "reply"])
    async def test_not_found_counts_only_when_no_copy_can_be_taken(
        self, store: Store, conclusive: float | None, state: State, by: str
    ) -> None:
        await inquire(store, conclusive=conclusive)
        if by == "result":
            await inquiry_result(store, NOT_FOUND)
        else:
            reply = reply_to("Q-1", NOT_FOUND)
            await store.record_reply(OWN, reply, b"<rs/>", PLATFORM, after(2000))
        delivery = await the_delivery(store)
        assert delivery.state is state
        if state is State.NOT_EXECUTED:
            assert (delivery.settled, delivery.due) == (after(2000), None)
        kind = Step.NOT_EXECUTED if state is State.NOT_EXECUTED else Step.STILL_IN_DOUBT
        assert (await steps(store, "D-1"))[-1] is kind

    async def test_a_reply_that_accepts_the_inquiry_says_nothing(self, store: Store) -> None:
        await inquire(store, conclusive=0)
        before = await the_delivery(store)
        await store.record_reply(OWN, reply_to("Q-1"), b"<rs/>", PLATFORM, after(2000))
        assert await the_delivery(store) == before
        assert (await steps(store, "D-1"))[-1] is Step.INQUIRED

    async def test_not_found_of_what_is_settled_changes_nothing(self, store: Store) -> None:
        await inquire(store, conclusive=0)
        await replied(store, DONE, after(1500), late=True)
        before = await the_delivery(store)
        await inquiry_result(store, NOT_FOUND)
        assert await the_delivery(store) == before

    async def test_of_inquiries_about_the_same_the_oldest_is_taken(self, store: Store) -> None:
        asked = await delivery_in(store, State.IN_DOUBT)
        for name, at in (("Q-1", 10), ("Q-2", 1000)):
            about = Inquiry(asked.id, after(500))
            one = draft(name, service="PS830INQRQ", about=about, references=REFERENCES)
            await store.enqueue(one, after(at))
            await begin(store, after(at), due=MUCH_LATER)
        await result_comes(
            store,
            None,
            after(2000),
            service="PS831INRRQ",
            of="PS830INQRQ",
            references=REFERENCES,
            statuses=[NOT_FOUND],
        )
        assert (await the_delivery(store)).state is State.IN_DOUBT


class SettleContract:
    """`Store.settle`: what an operator found out of a delivery in doubt."""

    @pytest.mark.parametrize("doubt", sorted(DOUBTFUL))
    @pytest.mark.parametrize(
        ("executed", "state"), [(True, State.RESOLVED), (False, State.NOT_EXECUTED)]
    )
    async def test_a_doubt_ends(
        self, store: Store, doubt: State, executed: bool, state: State
    ) -> None:
        await delivery_in(store, doubt)
        settled = await store.settle(
            OWN, "D-1", executed=executed, because="they said so", now=after(5)
        )
        assert settled == await the_delivery(store)
        assert (settled.state, settled.settled, settled.due) == (state, after(5), None)
        entry = (await store.journal(message_id="D-1"))[-1]
        assert (entry.step, entry.details["because"]) == (Step.SETTLED, "they said so")
        assert entry.details["was"] == doubt

    @pytest.mark.parametrize("state", [state for state in State if state not in DOUBTFUL])
    async def test_only_a_doubt(self, store: Store, state: State) -> None:
        await delivery_in(store, state)
        before = await everything(store)
        with pytest.raises(UsageError):
            await store.settle(OWN, "D-1", executed=True, because="", now=NOW)
        with pytest.raises(UnknownMessage):
            await store.settle(OWN, "D-2", executed=True, because="", now=NOW)
        assert await everything(store) == before

    async def test_a_reply_that_comes_all_the_same_counts(self, store: Store) -> None:
        await delivery_in(store, State.NOT_EXECUTED)
        await replied(store, DONE, after(5), late=True)
        assert (await the_delivery(store)).state is State.ANSWERED
        entry = (await store.journal(message_id="D-1"))[-1]
        assert entry.details["was"] == State.NOT_EXECUTED


class ReferringContract:
    """`Store.results_of`: what was sent about a message that was received."""

    async def test_what_refers_to_a_request(self, store: Store) -> None:
        await arrive(store, request("M-1"))
        await store.enqueue(draft("D-1", ref_to="M-1", service="PS811FTRRQ"), NOW)
        await store.enqueue(draft("D-2", ref_to="M-2", service="PS811FTRRQ"), NOW)
        await store.enqueue(draft("D-3", ref_to="M-1", service="PS811FTRRQ"), NOW)
        await store.enqueue(draft("D-4", ref_to="M-1", receiver=OTHER), NOW)
        found = await store.results_of(OWN, "M-1", PEER)
        assert [one.message_id for one in found] == ["D-3", "D-1"]
