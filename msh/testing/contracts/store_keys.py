"""The contract of a store: working keys, from their offer until they are forgotten."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

import pytest

from msh.protocol.journal import Direction, Step
from msh.protocol.keys import Event, State, step
from msh.store import Store, StoredKey
from msh.testing.contracts.samples import (
    MUCH_LATER,
    NOW,
    OTHER,
    PEER,
    after,
    everything,
    offered_key,
    steps,
)

MOMENT = timedelta(microseconds=1)


async def states(store: Store, peer: str = PEER) -> dict[str, State]:
    """The state of each key, oldest offer first."""
    return {key.id: key.state for key in await store.keys(peer)}


async def the_key(store: Store, name: str = "K-1", peer: str = PEER) -> StoredKey:
    """The only key of this id."""
    (found,) = [key for key in await store.keys(peer) if key.id == name]
    return found


async def activated(store: Store, *names: str) -> None:
    """Offer and activate these keys, one after the other and a minute apart."""
    for number, name in enumerate(names):
        await store.offer_key(offered_key(name, offered=after(60 * number)), f"offer-{name}")
        assert await store.activate_key(PEER, name, f"proof-{name}", after(60 * number + 1))


class OfferContract:
    """`Store.offer_key` and `Store.keys`."""

    async def test_an_offer_made_before_another_of_that_side_comes_too_late(
        self, store: Store
    ) -> None:
        await store.offer_key(offered_key("K-2", ours=False, made=after(60)), "offer-2")
        older = offered_key("K-1", ours=False, offered=after(5), made=after(59))
        late = await store.offer_key(older, "offer")
        assert late.state is State.PREVIOUS
        assert await states(store) == {"K-2": State.PENDING}
        # What the other side offers is not told from the clock of this one.
        ours = offered_key("K-3", offered=after(6), made=after(1), ours=True)
        assert (await store.offer_key(ours, "offer-3")).state is State.PENDING
        assert await states(store) == {"K-2": State.PREVIOUS, "K-3": State.PENDING}

    async def test_without_keys(self, store: Store) -> None:
        assert await store.keys() == []
        assert await store.keys(PEER) == []

    async def test_an_offered_key_is_pending(self, store: Store) -> None:
        offer = StoredKey(
            peer=PEER,
            id="K-1",
            algorithm="hmac-sha256",
            wrapped=b"\x00wrapped\xff",
            check_value="A1B2C3",
            ours=False,
            state=State.PENDING,
            offered=after(3),
        )
        assert await store.offer_key(offer, "offer-1") == offer
        assert await store.keys(PEER) == [offer]
        (entry,) = await store.journal()
        assert (entry.step, entry.at, entry.message_id) == (Step.KEY_OFFERED, after(3), "offer-1")
        assert entry.peer == PEER
        assert entry.details == {"key": "K-1", "check_value": "A1B2C3", "ours": False}

    async def test_a_new_key_is_pending_whatever_was_given(self, store: Store) -> None:
        given = replace(offered_key(), state=State.ACTIVE, activated=NOW, verified=NOW)
        assert await store.offer_key(given, "offer-1") == offered_key()
        assert await store.keys() == [offered_key()]

    @pytest.mark.parametrize("ours", [True, False])
    async def test_the_side_that_offered_is_the_direction(self, store: Store, ours: bool) -> None:
        await store.offer_key(offered_key(ours=ours), "offer-1")
        await store.key_verified(PEER, "K-1", "M-1", NOW)
        assert await steps(store) == [Step.KEY_OFFERED, Step.KEY_ACTIVATED, Step.KEY_VERIFIED]
        direction = Direction.OUTBOUND if ours else Direction.INBOUND
        assert {entry.direction for entry in await store.journal()} == {direction}

    @pytest.mark.parametrize("state", list(State))
    async def test_an_offer_that_comes_again_changes_nothing(
        self, store: Store, state: State
    ) -> None:
        await store.offer_key(offered_key(), "offer-1")
        if state not in (State.PENDING, State.COMPROMISED):
            await store.key_verified(PEER, "K-1", "M-1", after(1))
        if state is State.COMPROMISED:
            await store.retire_key(PEER, "K-1", after(1))
        if state is State.PREVIOUS:
            await store.offer_key(offered_key("K-2", offered=after(2)), "offer-2")
            await store.activate_key(PEER, "K-2", "proof-2", after(3))
        before = await everything(store)
        again = replace(offered_key(offered=after(9)), wrapped=b"other", check_value="000000")
        kept = await store.offer_key(again, "offer-1")
        assert kept == await the_key(store)
        assert (kept.state, kept.offered, kept.wrapped) == (state, NOW, offered_key().wrapped)
        assert await everything(store) == before

    async def test_of_fifty_offers_at_once_one_is_kept(self, store: Store) -> None:
        offers = [offered_key(offered=after(number)) for number in range(50)]
        kept = await asyncio.gather(*(store.offer_key(offer, "offer-1") for offer in offers))
        assert await store.keys() == [kept[0]]
        assert kept == [kept[0]] * 50
        assert await steps(store) == [Step.KEY_OFFERED]

    async def test_a_pending_key_is_overtaken(self, store: Store) -> None:
        for number in range(3):
            await store.offer_key(offered_key(f"K-{number}", offered=after(number)), "offer")
        assert await states(store) == {
            "K-0": State.PREVIOUS,
            "K-1": State.PREVIOUS,
            "K-2": State.PENDING,
        }

    async def test_the_active_key_stays_until_another_is_activated(self, store: Store) -> None:
        await activated(store, "K-1")
        await store.offer_key(offered_key("K-2", offered=after(60)), "offer-2")
        assert await states(store) == {"K-1": State.ACTIVE, "K-2": State.PENDING}

    async def test_keys_are_each_peers_own(self, store: Store) -> None:
        ours = [offered_key(peer=peer) for peer in (PEER, OTHER)]
        for key in ours:
            assert await store.offer_key(key, "offer-1") == key
        await store.activate_key(OTHER, "K-1", "proof-1", after(1))
        assert await states(store, PEER) == {"K-1": State.PENDING}
        assert await states(store, OTHER) == {"K-1": State.ACTIVE}
        assert len(await store.keys()) == 2
        assert await store.keys("nobody") == []

    async def test_the_oldest_offer_comes_first(self, store: Store) -> None:
        for name, seconds in (("K-3", 3), ("K-1", 1), ("K-2", 2)):
            peer = OTHER if name == "K-2" else PEER
            offer = offered_key(name, peer=peer, offered=after(seconds), made=NOW)
            await store.offer_key(offer, "offer")
        assert [key.id for key in await store.keys()] == ["K-1", "K-2", "K-3"]
        assert [key.id for key in await store.keys(PEER)] == ["K-1", "K-3"]


class ActivateContract:
    """`Store.activate_key` and `Store.key_verified`."""

    async def test_a_pending_key_becomes_the_active_one(self, store: Store) -> None:
        await store.offer_key(offered_key(), "offer-1")
        assert await store.activate_key(PEER, "K-1", "proof-1", after(5)) is True
        assert await the_key(store) == replace(
            offered_key(), state=State.ACTIVE, activated=after(5)
        )
        entry = (await store.journal())[-1]
        assert (entry.step, entry.at, entry.message_id) == (Step.KEY_ACTIVATED, after(5), "proof-1")
        assert (entry.peer, entry.details) == (PEER, {"key": "K-1"})

    async def test_the_active_key_before_it_becomes_previous(self, store: Store) -> None:
        await activated(store, "K-1", "K-2", "K-3")
        assert await states(store) == {
            "K-1": State.PREVIOUS,
            "K-2": State.PREVIOUS,
            "K-3": State.ACTIVE,
        }
        assert (await the_key(store, "K-1")).activated == after(1)

    async def test_an_active_key_stays_as_it_is(self, store: Store) -> None:
        await activated(store, "K-1")
        before = await everything(store)
        assert await store.activate_key(PEER, "K-1", "proof-1", after(9)) is True
        assert await everything(store) == before

    @pytest.mark.parametrize("overtaken", [True, False])
    async def test_a_previous_key_does_not_come_back(self, store: Store, overtaken: bool) -> None:
        if overtaken:
            await store.offer_key(offered_key(), "offer-1")
            await store.offer_key(offered_key("K-2", offered=after(60)), "offer-2")
        else:
            await activated(store, "K-1", "K-2")
        before = await everything(store)
        assert await store.activate_key(PEER, "K-1", "confirm-1", after(99)) is False
        assert await everything(store) == before

    async def test_an_unknown_key_is_not_activated(self, store: Store) -> None:
        await activated(store, "K-1")
        before = await everything(store)
        assert await store.activate_key(PEER, "K-9", "proof-9", after(99)) is False
        assert await store.activate_key(OTHER, "K-1", "proof-1", after(99)) is False
        await store.key_verified(PEER, "K-9", "M-9", after(99))
        await store.key_verified(OTHER, "K-1", "M-9", after(99))
        assert await everything(store) == before

    async def test_of_fifty_activations_at_once_one_is_told(self, store: Store) -> None:
        await store.offer_key(offered_key(), "offer-1")
        calls = [store.activate_key(PEER, "K-1", "proof-1", after(1)) for _ in range(50)]
        assert await asyncio.gather(*calls) == [True] * 50
        assert await steps(store) == [Step.KEY_OFFERED, Step.KEY_ACTIVATED]

    async def test_the_first_message_under_a_key_counts(self, store: Store) -> None:
        await activated(store, "K-1")
        for number in range(3):
            await store.key_verified(PEER, "K-1", f"M-{number}", after(10 + number))
        key = await the_key(store)
        assert (key.activated, key.verified) == (after(1), after(10))
        assert await steps(store) == [Step.KEY_OFFERED, Step.KEY_ACTIVATED, Step.KEY_VERIFIED]
        entry = (await store.journal())[-1]
        assert (entry.message_id, entry.at, entry.peer) == ("M-0", after(10), PEER)
        assert entry.details == {"key": "K-1"}

    async def test_a_message_under_a_pending_key_activates_it(self, store: Store) -> None:
        await activated(store, "K-1")
        await store.offer_key(offered_key("K-2", offered=after(60), ours=False), "offer-2")
        await store.key_verified(PEER, "K-2", "M-1", after(70))
        assert await states(store) == {"K-1": State.PREVIOUS, "K-2": State.ACTIVE}
        key = await the_key(store, "K-2")
        assert (key.activated, key.verified) == (after(70), after(70))
        activated_, verified = (await store.journal())[-2:]
        assert (activated_.step, activated_.message_id) == (Step.KEY_ACTIVATED, "M-1")
        assert activated_.details == {"key": "K-2", "by": "M-1"}
        assert (verified.step, verified.message_id) == (Step.KEY_VERIFIED, "M-1")
        assert await store.activate_key(PEER, "K-2", "confirm-2", after(71)) is True
        assert (await the_key(store, "K-2")).activated == after(70)

    async def test_a_message_under_a_previous_key_brings_it_not_back(self, store: Store) -> None:
        await activated(store, "K-1", "K-2")
        await store.key_verified(PEER, "K-1", "M-1", after(99))
        assert await states(store) == {"K-1": State.PREVIOUS, "K-2": State.ACTIVE}
        assert (await the_key(store, "K-1")).verified == after(99)
        assert (await steps(store))[-1] is Step.KEY_VERIFIED

    @pytest.mark.parametrize("seed", range(8))
    async def test_whatever_comes_the_table_is_kept(self, store: Store, seed: int) -> None:
        random = Random(seed)
        expected: dict[str, State] = {}
        verified: dict[str, datetime] = {}
        seen: set[State] = set()

        def replaced(state: State) -> None:
            for name in expected:
                if expected[name] is state:
                    expected[name] = step(state, Event.REPLACED)

        def take(name: str) -> None:
            following = step(expected[name], Event.ACTIVATED)
            if following is not expected[name]:
                replaced(following)
                expected[name] = following

        for number in range(60):
            # The newest ones more often, since the others are mostly previous.
            name = random.choice([f"K-{random.randrange(12)}", *list(expected)[-2:]])
            if random.random() < 0.4:
                await store.offer_key(offered_key(name, offered=after(number)), "offer")
                if name not in expected:
                    replaced(State.PENDING)
                    expected[name] = State.PENDING
            elif random.random() < 0.1:
                changed = expected.get(name) not in (None, State.COMPROMISED)
                assert await store.retire_key(PEER, name, after(number)) is changed
                if name in expected:
                    expected[name] = step(expected[name], Event.RETIRED)
            elif random.random() < 0.5:
                active = await store.activate_key(PEER, name, "proof", after(number))
                if name in expected:
                    take(name)
                assert active == (expected.get(name) is State.ACTIVE)
            else:
                await store.key_verified(PEER, name, "M-1", after(number))
                if name in expected and expected[name] is not State.COMPROMISED:
                    take(name)
                    verified.setdefault(name, after(number))
            assert await states(store) == expected
            assert {key.id: key.verified for key in await store.keys() if key.verified} == verified
            seen |= set(expected.values())
            for state in (State.PENDING, State.ACTIVE):
                assert list(expected.values()).count(state) <= 1
        assert seen == set(State)


class RetireContract:
    """`Store.retire_key`: what others know is over, whatever it was."""

    @pytest.mark.parametrize("state", State)
    async def test_a_key_that_others_know(self, store: Store, state: State) -> None:
        await store.offer_key(offered_key(), "offer-1")
        if state in (State.ACTIVE, State.PREVIOUS):
            await store.activate_key(PEER, "K-1", "proof-1", after(1))
        if state is State.PREVIOUS:
            await activated(store, "K-2")
        if state is State.COMPROMISED:
            assert await store.retire_key(PEER, "K-1", after(2))
        before = await everything(store)
        changed = await store.retire_key(PEER, "K-1", after(3))
        assert changed is (state is not State.COMPROMISED)
        if not changed:
            assert await everything(store) == before
            return
        assert (await the_key(store)).state is State.COMPROMISED
        entry = (await store.journal())[-1]
        assert (entry.step, entry.at, entry.peer) == (Step.KEY_RETIRED, after(3), PEER)
        assert entry.message_id == ""
        assert entry.details == {"key": "K-1", "was": state}

    async def test_it_never_comes_back(self, store: Store) -> None:
        await store.offer_key(offered_key(), "offer-1")
        await store.retire_key(PEER, "K-1", after(1))
        before = await everything(store)
        assert await store.activate_key(PEER, "K-1", "confirm-1", after(2)) is False
        await store.key_verified(PEER, "K-1", "M-1", after(3))
        again = await store.offer_key(offered_key(), "offer-1")
        assert again.state is State.COMPROMISED
        assert await everything(store) == before

    async def test_another_takes_its_place(self, store: Store) -> None:
        await activated(store, "K-1")
        await store.retire_key(PEER, "K-1", after(2))
        await store.offer_key(offered_key("K-2", offered=after(60)), "offer-2")
        assert await store.activate_key(PEER, "K-2", "proof-2", after(61)) is True
        assert await states(store) == {"K-1": State.COMPROMISED, "K-2": State.ACTIVE}

    async def test_an_unknown_key_is_none(self, store: Store) -> None:
        await activated(store, "K-1")
        before = await everything(store)
        assert await store.retire_key(PEER, "K-9", after(9)) is False
        assert await store.retire_key(OTHER, "K-1", after(9)) is False
        assert await everything(store) == before


class ForgetContract:
    """`Store.forget_keys`: only what has a successor that is in use."""

    @pytest.mark.parametrize("compromised", [True, False])
    async def test_a_previous_key_goes_when_its_successor_is_long_in_use(
        self, store: Store, compromised: bool
    ) -> None:
        await activated(store, "K-1", "K-2")
        if compromised:
            await store.retire_key(PEER, "K-1", after(90))
        await store.key_verified(PEER, "K-2", "M-1", after(100))
        assert await store.forget_keys(after(100)) == 0
        assert await store.forget_keys(after(100) + MOMENT) == 1
        assert await states(store) == {"K-2": State.ACTIVE}
        assert await store.forget_keys(MUCH_LATER) == 0

    async def test_never_while_nothing_has_verified_under_a_later_key(self, store: Store) -> None:
        await activated(store, "K-1", "K-2")
        await store.key_verified(PEER, "K-1", "M-1", after(100))
        assert await store.forget_keys(MUCH_LATER) == 0
        assert len(await store.keys()) == 2

    async def test_any_later_key_is_a_successor(self, store: Store) -> None:
        await activated(store, "K-1", "K-2", "K-3", "K-4")
        await store.key_verified(PEER, "K-3", "M-1", after(500))
        assert await store.forget_keys(MUCH_LATER) == 2
        assert await states(store) == {"K-3": State.PREVIOUS, "K-4": State.ACTIVE}

    @pytest.mark.parametrize("state", [State.PENDING, State.ACTIVE])
    async def test_never_a_key_that_may_be_used(self, store: Store, state: State) -> None:
        await store.offer_key(offered_key(offered=after(-60)), "offer-0")
        await store.key_verified(PEER, "K-1", "M-1", after(-60))
        if state is State.PENDING:
            await store.offer_key(offered_key("K-2", offered=after(-30)), "offer-2")
        before = await store.keys()
        assert before[-1].state is state
        assert await store.forget_keys(MUCH_LATER) == 0
        assert await store.keys() == before

    async def test_another_peers_key_is_no_successor(self, store: Store) -> None:
        await activated(store, "K-1", "K-2")
        await store.offer_key(offered_key("K-9", peer=OTHER, offered=after(900)), "offer-9")
        await store.key_verified(OTHER, "K-9", "M-1", after(901))
        assert await store.forget_keys(MUCH_LATER) == 0

    async def test_a_forgotten_key_is_unknown(self, store: Store) -> None:
        await activated(store, "K-1", "K-2")
        await store.key_verified(PEER, "K-2", "M-1", after(100))
        assert await store.forget_keys(MUCH_LATER) == 1
        before = await everything(store)
        assert await store.activate_key(PEER, "K-1", "confirm-1", MUCH_LATER) is False
        await store.key_verified(PEER, "K-1", "M-2", MUCH_LATER)
        assert await everything(store) == before

    async def test_a_purge_leaves_the_keys(self, store: Store) -> None:
        await activated(store, "K-1", "K-2")
        before = await store.keys()
        async for _ in store.purge(MUCH_LATER, MUCH_LATER, MUCH_LATER):
            pass
        assert await store.keys() == before
