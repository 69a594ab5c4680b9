"""The contract of a store: references that no two messages hold at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime

import pytest

from msh.content import References
from msh.protocol.digest import message_digest
from msh.protocol.journal import Step
from msh.protocol.reception import State
from msh.store import Answer, Arrival, Claim, InHand, New, Resend, Store
from msh.testing.contracts.samples import (
    DONE,
    LEASE,
    MUCH_LATER,
    NOW,
    OTHER,
    PEER,
    SYSTEM_ERROR,
    after,
    answer,
    everything,
    failing,
    request,
    status,
    steps,
    the_reception,
    wire_of,
)

REFERENCES = References("SSN-1", "REF-1")


async def refer(
    store: Store,
    message_id: str,
    references: References = REFERENCES,
    now: datetime = NOW,
    *,
    sender: str = PEER,
    service: str = "PS810FTRQ",
    begin: bool = False,
) -> Arrival:
    """What the store says of a message with these references."""
    message = replace(request(message_id, sender=sender), service=service)
    return await store.receive(
        message,
        message_digest(message),
        wire_of(message),
        now,
        LEASE,
        begin=begin,
        references=references,
    )


async def held(store: Store, *, begin: bool = False) -> Claim:
    """The claim on M-1, which got its references."""
    arrival = await refer(store, "M-1", begin=begin)
    assert isinstance(arrival, New)
    assert not arrival.reused
    return arrival.claim


def reused(arrival: Arrival) -> bool:
    """Whether another message holds one of the references."""
    assert isinstance(arrival, New)
    return arrival.reused


class ReferenceContract:
    """`Store.receive` with ``references``."""

    @pytest.mark.parametrize("begin", [False, True])
    async def test_another_message_with_them_is_stored_and_to_be_refused(
        self, store: Store, begin: bool
    ) -> None:
        first = await held(store, begin=begin)
        assert first.run == int(begin)
        arrival = await refer(store, "M-2", begin=begin)
        assert isinstance(arrival, New)
        assert arrival.reused
        assert arrival.claim.run == 0
        stored = await the_reception(store, "M-2")
        assert (stored.state, stored.runs) == (State.CLAIMED, 0)
        (received,) = await store.journal(message_id="M-2")
        assert (received.step, received.details.get("run")) == (Step.RECEIVED, None)
        refused = await store.answer(arrival.claim, Answer(status("PSPBK0129E"), b"<r/>"), NOW)
        assert refused.plain == b"<r/>"
        assert (await the_reception(store, "M-1")).runs == int(begin)

    @pytest.mark.parametrize(
        ("references", "same"),
        [
            (References("SSN-1", "REF-1"), True),
            (References("SSN-1", "REF-2"), True),
            (References("SSN-2", "REF-1"), True),
            (References("SSN-1", None), True),
            (References(None, "REF-1"), True),
            (References("SSN-2", "REF-2"), False),
            (References("REF-1", "SSN-1"), False),
            (References(None, None), False),
            (References("ssn-1", "ref-1"), False),
        ],
    )
    async def test_each_of_the_two_is_one_of_its_kind(
        self, store: Store, references: References, same: bool
    ) -> None:
        await held(store)
        assert reused(await refer(store, "M-2", references)) is same

    async def test_one_that_was_refused_takes_nothing(self, store: Store) -> None:
        await held(store)
        assert reused(await refer(store, "M-2", References("SSN-1", "REF-2")))
        assert not reused(await refer(store, "M-3", References("SSN-3", "REF-2")))

    async def test_another_sender_or_service_may_have_them(self, store: Store) -> None:
        await held(store)
        assert not reused(await refer(store, "M-2", sender=OTHER))
        assert not reused(await refer(store, "M-3", service="IS930PIDRQ"))

    async def test_without_references_nothing_is_held(self, store: Store) -> None:
        for number in range(3):
            assert not reused(await refer(store, f"M-{number}", References(None, None)))
            message = request(f"N-{number}")
            arrival = await store.receive(
                message, message_digest(message), b"<a/>", NOW, LEASE, references=None
            )
            assert not reused(arrival)

    async def test_a_repeat_of_the_same_message_is_a_repeat(self, store: Store) -> None:
        claim = await held(store)
        assert isinstance(await refer(store, "M-1"), InHand)
        await store.answer(claim, answer(), NOW)
        assert isinstance(await refer(store, "M-1"), Resend)
        assert reused(await refer(store, "M-2"))

    @pytest.mark.parametrize(
        ("code", "free"),
        [
            (DONE, False),
            (SYSTEM_ERROR, False),
            ("PSPBK0107E", False),  # later, and being posted
            ("PSPBK0112E", False),
            ("PSPBK0005E", True),
            ("PSPPM0002W", True),
            ("PSPBK0011E", True),
        ],
    )
    async def test_an_answer_that_refuses_frees_them(
        self, store: Store, code: str, free: bool
    ) -> None:
        claim = await held(store)
        await store.answer(claim, answer(code), NOW)
        assert reused(await refer(store, "M-2")) is not free

    async def test_so_does_one_of_a_parked_message(self, store: Store) -> None:
        claim = await held(store)
        await store.park(claim, NOW)
        assert reused(await refer(store, "M-2"))
        await store.answer_parked(claim.reception, answer("PSPBK0011E"), NOW)
        assert not reused(await refer(store, "M-3"))

    async def test_one_set_aside_keeps_them(self, store: Store) -> None:
        claim = await held(store)
        aside = Answer(status(SYSTEM_ERROR), b"<e/>", set_aside=True)
        await store.answer(claim, aside, NOW)
        assert reused(await refer(store, "M-2"))

    async def test_an_answer_that_fails_frees_nothing(self, store: Store) -> None:
        claim = await held(store)
        refusal = Answer(status("PSPBK0005E"), b"<r/>", apply=failing(ValueError()))
        with pytest.raises(Exception, match="ValueError"):
            await store.answer(claim, refusal, NOW)
        assert reused(await refer(store, "M-2"))

    async def test_one_that_runs_again_keeps_them(self, store: Store) -> None:
        claim = await held(store, begin=True)
        await store.release(claim, NOW, NOW, "it raised")
        assert reused(await refer(store, "M-2"))
        works = {work.claim.reception: work for work in await store.take_over(PEER, NOW, LEASE, 9)}
        assert not works[claim.reception].reused

    async def test_who_takes_over_is_told_to_refuse(self, store: Store) -> None:
        await held(store)
        assert reused(await refer(store, "M-2", begin=True))
        works = await store.take_over(PEER, after(60), LEASE, 9)
        assert [(work.reused, work.claim.run) for work in works] == [(False, 0), (True, 0)]

    async def test_a_purge_of_the_content_frees_them(self, store: Store) -> None:
        claim = await held(store)
        await store.answer(claim, answer(), NOW)
        async for _ in store.purge(NOW, NOW, NOW):
            pass
        assert reused(await refer(store, "M-2", now=NOW))
        async for _ in store.purge(MUCH_LATER, NOW, MUCH_LATER):
            pass
        assert not reused(await refer(store, "M-3"))
        assert (await the_reception(store, "M-1")).purged

    async def test_of_fifty_at_once_one_gets_them(self, store: Store) -> None:
        arrivals = await asyncio.gather(*(refer(store, f"M-{n}", begin=True) for n in range(50)))
        assert [reused(arrival) for arrival in arrivals].count(False) == 1

    async def test_what_is_known_already_changes_nothing(self, store: Store) -> None:
        await held(store)
        before = await everything(store)
        message = request("M-9")
        await store.receive(
            message, message_digest(message), b"", NOW, LEASE, admit=False, references=REFERENCES
        )
        assert await everything(store) == before
        assert await steps(store, "M-9") == []


class SharedReferenceContract:
    """The same references in two stores on the same data: with ``shared``."""

    async def test_of_two_stores_one_gets_them(self, store: Store, second: Store) -> None:
        for round_ in range(20):
            references = References(f"SSN-{round_}", f"REF-{round_}")
            arrivals = await asyncio.gather(
                refer(store, f"A-{round_}", references), refer(second, f"B-{round_}", references)
            )
            assert sorted(reused(arrival) for arrival in arrivals) == [False, True]
