"""The contract of a store: the end of its life, what outlives it, and sharing it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from msh.errors import ClaimLost, StoreClosed, StoreOfAnother
from msh.protocol import delivery, reception
from msh.protocol.journal import Step
from msh.protocol.keys import State as KeyState
from msh.store import Asked, Claim, Forgotten, InHand, New, Outbound, Resend, Store, SuspensionKind
from msh.store.outcomes import OutcomeStore
from msh.testing.contracts.samples import (
    DONE,
    DUE,
    LEASE,
    MUCH_LATER,
    NOW,
    OTHER,
    OWN,
    PEER,
    PLATFORM,
    Notified,
    after,
    answer,
    arrive,
    begin,
    claim_one,
    delivery_in,
    draft,
    everything,
    fail,
    offered_key,
    receive_new,
    reception_in,
    replied,
    reply_to,
    request,
    steps,
    the_delivery,
    the_reception,
)

#: Closes or kills the store and opens the same data again.
Reopen = Callable[[], Awaitable[Store]]


async def _purged(store: Store) -> None:
    async for _ in store.purge(NOW, NOW, NOW):
        pass


async def _watched(store: Store) -> None:
    store.watch(lambda: None)


def _calls(claim: Claim, outbound: Outbound) -> dict[str, Callable[[Store], Awaitable[object]]]:
    """Every call there is."""
    return {
        "receive": lambda s: arrive(s, request()),
        "start": lambda s: s.start(claim, NOW, LEASE),
        "extend": lambda s: s.extend(claim, NOW, LEASE),
        "answer": lambda s: s.answer(claim, answer(), NOW),
        "release": lambda s: s.release(claim, NOW, NOW, ""),
        "park": lambda s: s.park(claim, NOW),
        "answer_parked": lambda s: s.answer_parked(1, answer(), NOW),
        "take_over": lambda s: s.take_over(PEER, NOW, LEASE, 1),
        "keep_form": lambda s: s.keep_form(1, "", b""),
        "reply_of": lambda s: s.reply_of(1),
        "enqueue": lambda s: s.enqueue(draft(), NOW),
        "claim": lambda s: s.claim(PEER, NOW, LEASE, 1),
        "begin": lambda s: s.begin(outbound, b"", NOW, DUE, last=False, lease=LEASE),
        "record_failure": lambda s: fail(s, outbound, NOW, sent=True),
        "record_reply": lambda s: s.record_reply(OWN, reply_to(), b"", PLATFORM, NOW),
        "ignore_reply": lambda s: s.ignore_reply(OWN, "D-1", NOW, ""),
        "give_up": lambda s: s.give_up(outbound, NOW),
        "outcomes": lambda s: s.outcomes(1),
        "results_of": lambda s: s.results_of(OWN, "M-1", PEER),
        "inquiries": lambda s: s.inquiries(1),
        "not_inquired": lambda s: s.not_inquired(PEER, 1, 1),
        "settle": lambda s: s.settle(OWN, "D-1", executed=True, because="", now=NOW),
        "rerun": lambda s: s.rerun(PEER, "M-1", NOW),
        "close_reception": lambda s: s.close_reception(PEER, "M-1", "", NOW),
        "ask_again": lambda s: s.ask_again(PEER, Asked(), NOW, NOW),
        "asked_again": lambda s: s.asked_again(NOW),
        "sent_to": lambda s: s.sent_to(PEER),
        "repeat": lambda s: s.repeat(1, "", NOW),
        "repeats": lambda s: s.repeats(PEER, NOW, LEASE, 1),
        "next_repeat": lambda s: s.next_repeat(PEER),
        "end_repeat": lambda s: s.end_repeat(1, None),
        "resend": lambda s: s.resend(OWN, "D-1", NOW),
        "hold": lambda s: s.hold(outbound, DUE, NOW, ""),
        "keys": lambda s: s.keys(),
        "offer_key": lambda s: s.offer_key(offered_key(), ""),
        "activate_key": lambda s: s.activate_key(PEER, "K-1", "", NOW),
        "key_verified": lambda s: s.key_verified(PEER, "K-1", "", NOW),
        "retire_key": lambda s: s.retire_key(PEER, "K-1", NOW),
        "forget_keys": lambda s: s.forget_keys(NOW),
        "suspend": lambda s: s.suspend(SuspensionKind.PARTY, PEER, NOW),
        "resume": lambda s: s.resume(SuspensionKind.PARTY, PEER, NOW),
        "suspensions": lambda s: s.suspensions(),
        "delivery": lambda s: s.delivery(1),
        "request_wire": lambda s: s.request_wire(1),
        "received_wire": lambda s: s.received_wire(1),
        "delivery_reply": lambda s: s.delivery_reply(1),
        "deliveries": lambda s: s.deliveries(),
        "receptions": lambda s: s.receptions(),
        "attempts": lambda s: s.attempts(1),
        "journal": lambda s: s.journal(),
        "last_entry": lambda s: s.last_entry(),
        "purge": _purged,
        "watch": _watched,
    }


class CloseContract:
    """`Store.close`."""

    async def test_after_close_every_call_says_so(self, store: Store) -> None:
        claim = await receive_new(store)
        await store.enqueue(draft(), NOW)
        calls = _calls(claim, await claim_one(store))
        named = {*vars(Store), *vars(OutcomeStore)}
        missing = {name for name in named if name[0] != "_"} - set(calls)
        assert missing <= {"open", "close", "shared", "busy"}
        await store.close()
        asked = [call(store) for call in calls.values()]
        results = await asyncio.gather(*asked, return_exceptions=True)
        raised = {name: type(one) for name, one in zip(calls, results, strict=True)}
        assert raised == dict.fromkeys(calls, StoreClosed)

    async def test_closing_twice_is_no_mistake(self, store: Store) -> None:
        await asyncio.gather(store.close(), store.close())
        await store.close()

    async def test_close_finishes_what_was_asked(self, store: Store) -> None:
        asked = [asyncio.create_task(receive_new(store, f"M-{n}")) for n in range(300)]
        await asyncio.sleep(0)
        await store.close()
        assert len({claim.reception for claim in await asyncio.gather(*asked)}) == 300


class DurableContract:
    """With ``durable``: the fixture ``reopen`` closes or kills the store and opens it again."""

    async def test_everything_outlives_the_process(self, store: Store, reopen: Reopen) -> None:
        for state in reception.State:
            await reception_in(store, state, f"M-{state}")
        for each in delivery.State:
            if each is not delivery.State.QUEUED:
                await delivery_in(store, each, message_id=f"D-{each}")
        await store.enqueue(draft("D-queued", key="k"), NOW)
        for name, seconds in (("K-1", 1), ("K-2", 2), ("K-3", 3)):
            await store.offer_key(offered_key(name, offered=after(seconds)), f"offer-{name}")
            if name != "K-3":
                await store.key_verified(PEER, name, "M-9", after(seconds))
        await store.suspend(SuspensionKind.PARTY, PEER, after(4))
        before = await everything(store)
        again = await reopen()
        assert await everything(again) == before
        assert await again.enqueue(draft("D-9", key="k"), after(1)) == (
            await the_delivery(again, "D-queued"),
            False,
        )

    async def test_data_of_one_party_is_refused_to_another(self, store: Store) -> None:
        await store.close()
        await store.open(Notified())  # nobody's yet, so it may be anybody's
        await store.close()
        for _ in range(2):
            await store.open(Notified(), OWN)
            await store.enqueue(draft(), NOW)
            await store.close()
            with pytest.raises(StoreOfAnother, match=f"of {OWN}.* is {OTHER}"):
                await store.open(Notified(), OTHER)
        await store.open(Notified())
        assert await steps(store) == [Step.QUEUED]

    async def test_what_was_forgotten_is_so_for_good(self, store: Store, reopen: Reopen) -> None:
        await reception_in(store, reception.State.ANSWERED)
        async for _ in store.purge(MUCH_LATER, MUCH_LATER, MUCH_LATER):
            pass
        again = await reopen()
        assert await arrive(again, request()) == Forgotten()

    async def test_work_in_hand_is_taken_over_when_its_lease_lapses(
        self, store: Store, reopen: Reopen
    ) -> None:
        claim = await receive_new(store, begin=True)
        again = await reopen()
        assert await arrive(again, request()) == InHand(claim.reception)
        assert await again.take_over(PEER, NOW, LEASE, 9) == []
        (work,) = await again.take_over(PEER, NOW + LEASE, LEASE, 9)
        started = await again.start(work.claim, NOW + LEASE, LEASE)
        assert started.run == 2
        await again.answer(started, answer(), NOW + LEASE)
        assert isinstance(await arrive(again, request()), Resend)

    async def test_an_attempt_under_way_is_in_doubt(self, store: Store, reopen: Reopen) -> None:
        await store.enqueue(draft(), NOW)
        await begin(store, wire=b"<the form/>")
        again = await reopen()
        outbound = await claim_one(again, DUE)
        assert outbound.wire == b"<the form/>"
        assert outbound.delivery.copies == 1
        assert (await steps(again))[-1] is Step.ATTEMPT_FAILED

    async def test_a_late_reply_after_a_restart(self, store: Store, reopen: Reopen) -> None:
        await delivery_in(store, delivery.State.SENDING)
        again = await reopen()
        await replied(again, DONE, after(1), late=True)
        assert (await the_delivery(again)).state is delivery.State.ANSWERED

    async def test_journal_numbers_go_on(self, store: Store, reopen: Reopen) -> None:
        await reception_in(store, reception.State.ANSWERED)
        last = await store.last_entry()
        async for _ in store.purge(MUCH_LATER, MUCH_LATER, MUCH_LATER):
            pass
        again = await reopen()
        await arrive(again, request("M-2", timestamp=MUCH_LATER))
        assert await again.last_entry() > last


class SharedContract:
    """With ``shared``: the fixture ``second`` is another store on the same data."""

    async def test_a_shared_store_says_so(self, store: Store, second: Store) -> None:
        assert store.shared
        assert second.shared

    async def test_all_nodes_are_of_one_party(self, store: Store, second: Store) -> None:
        for each in (store, second):
            await each.close()
        opened = [each.open(Notified(), OWN) for each in (store, second)]
        await asyncio.gather(*opened)
        await second.close()
        with pytest.raises(StoreOfAnother):
            await second.open(Notified(), OTHER)

    async def test_of_fifty_copies_on_two_nodes_one_is_new(
        self, store: Store, second: Store
    ) -> None:
        copies = [arrive(one, request()) for one in (store, second) for _ in range(25)]
        arrivals = await asyncio.gather(*copies)
        assert sum(isinstance(one, New) for one in arrivals) == 1
        assert sum(isinstance(one, InHand) for one in arrivals) == 49

    async def test_of_fifty_calls_with_one_key_on_two_nodes_one_creates(
        self, store: Store, second: Store
    ) -> None:
        calls = [
            one.enqueue(draft(f"D-{number}", key="k"), NOW)
            for number in range(25)
            for one in (store, second)
        ]
        results = await asyncio.gather(*calls)
        assert len({found.message_id for found, _ in results}) == 1
        assert sum(created for _, created in results) == 1

    async def test_nodes_share_the_work(self, store: Store, second: Store) -> None:
        for number in range(20):
            await receive_new(store, f"M-{number}")
            await store.enqueue(draft(f"D-{number}"), NOW)
        nodes = [store, second] * 15
        works = await asyncio.gather(*(one.take_over(PEER, after(60), LEASE, 1) for one in nodes))
        taken = [work.claim.reception for each in works for work in each]
        assert len(taken) == len(set(taken)) == 20
        found = await asyncio.gather(*(one.claim(PEER, NOW, LEASE, 1) for one in nodes))
        given = [outbound.delivery.id for each in found for outbound in each.work]
        assert len(given) == len(set(given)) == 20

    async def test_a_claim_taken_over_by_another_node_is_lost(
        self, store: Store, second: Store
    ) -> None:
        claim = await receive_new(store, begin=True)
        (work,) = await second.take_over(PEER, NOW + LEASE, LEASE, 1)
        with pytest.raises(ClaimLost):
            await store.answer(claim, answer(), NOW + LEASE)
        assert (await the_reception(second)).owner != ""
        await second.answer(work.claim, answer(wire=b"<second/>"), NOW + LEASE)
        arrival = await arrive(store, request())
        assert isinstance(arrival, Resend)
        assert arrival.reply.plain == b"<second/>"

    async def test_a_suspension_is_effective_on_every_node(
        self, store: Store, second: Store
    ) -> None:
        await store.suspend(SuspensionKind.PARTY, PEER, NOW)
        refused = await arrive(second, request("M-1"), begin=True)
        await second.resume(SuspensionKind.PARTY, PEER, NOW)
        admitted = await arrive(store, request("M-2"), begin=True)
        assert isinstance(refused, New)
        assert isinstance(admitted, New)
        assert [refused.suspended, admitted.suspended] == [True, False]

    async def test_a_hold_is_told_once_among_nodes(self, store: Store, second: Store) -> None:
        await store.enqueue(draft(), NOW)
        for number, node in enumerate((store, second, store)):
            await node.hold(await claim_one(node, after(number)), after(number + 1), NOW, "no key")
        assert (await steps(store)).count(Step.HELD) == 1

    async def test_of_keys_offered_and_activated_on_two_nodes_one_is_active(
        self, store: Store, second: Store
    ) -> None:
        nodes = [store, second] * 10
        offers = [
            offered_key(f"K-{number}", offered=after(number), made=NOW) for number in range(20)
        ]
        pairs = list(zip(nodes, offers, strict=True))
        await asyncio.gather(*(node.offer_key(key, "offer") for node, key in pairs))
        done = await asyncio.gather(
            *(node.activate_key(PEER, key.id, "proof", after(30)) for node, key in pairs)
        )
        (active,) = [key for key in await second.keys() if key.state is KeyState.ACTIVE]
        assert [key.id for key, is_active in zip(offers, done, strict=True) if is_active] == [
            active.id
        ]
        assert await store.keys() == await second.keys()
        assert len(await store.keys()) == 20

    async def test_what_one_wrote_the_other_reads(self, store: Store, second: Store) -> None:
        await delivery_in(store, delivery.State.ANSWERED)
        await reception_in(store, reception.State.PARKED)
        assert await everything(second) == await everything(store)

    async def test_another_nodes_change_is_noticed(self, store: Store, second: Store) -> None:
        changed = asyncio.Event()
        store.watch(changed.set)
        for number in range(3):
            await second.enqueue(draft(f"D-{number}"), NOW)
            await asyncio.wait_for(changed.wait(), 5)
            changed.clear()
