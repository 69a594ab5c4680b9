"""The contract of a store, inbound: the reply, what commits with it, and its protected form."""

from __future__ import annotations

import asyncio

import pytest

from msh.errors import ApplyFailed, KeyReused, MshError
from msh.protocol import delivery
from msh.protocol.journal import Step
from msh.protocol.reception import State
from msh.store import Answer, Store, StoredReply
from msh.testing.contracts.samples import (
    DONE,
    LEASE,
    NOW,
    PEER,
    SYSTEM_ERROR,
    after,
    answer,
    draft,
    everything,
    failing,
    receive_new,
    reception_in,
    status,
    steps,
    the_delivery,
    the_reception,
)


class AnswerContract:
    """`Store.answer`: reply, ``apply`` and ``then`` are one."""

    async def test_an_answer_is_stored_unprotected(self, store: Store) -> None:
        claim = await receive_new(store, begin=True)
        assert await store.reply_of(claim.reception) is None
        reply = await store.answer(claim, answer(wire=b"<reply/>"), after(5))
        assert (reply.reception, reply.status) == (claim.reception, status(DONE))
        assert (reply.plain, reply.form, reply.key) == (b"<reply/>", None, "")
        assert await store.reply_of(claim.reception) == reply
        stored = await the_reception(store)
        assert (stored.state, stored.status) == (State.ANSWERED, status(DONE))
        assert (stored.answered, stored.lease, stored.due) == (after(5), None, None)

    @pytest.mark.parametrize(
        ("how", "state", "step"),
        [
            (Answer(status("PSPPM0001E"), b"", "no right", refused=True), "answered", "refused"),
            (Answer(status(SYSTEM_ERROR), b"", "it fails", set_aside=True), *["set-aside"] * 2),
            (Answer(status(DONE), b"", "as asked"), "answered", "replied"),
        ],
    )
    async def test_the_journal_tells_the_kind_of_answer(
        self, store: Store, how: Answer, state: str, step: str
    ) -> None:
        claim = await receive_new(store)
        await store.answer(claim, how, NOW)
        assert (await the_reception(store)).state is State(state)
        entry = (await store.journal())[-1]
        assert entry.step is Step(step)
        assert entry.details == {"status": str(how.status), "reason": how.reason}

    @pytest.mark.parametrize("parked", [False, True])
    @pytest.mark.parametrize("error", [ValueError("no such account"), SystemExit(3)])
    async def test_when_apply_raises_nothing_is_kept(
        self, store: Store, parked: bool, error: BaseException
    ) -> None:
        claim = await reception_in(store, State.PARKED if parked else State.RUNNING)
        before = await everything(store)
        bad = Answer(status(DONE), b"<reply/>", apply=failing(error), then=(draft("D-1"),))

        async def give(reply: Answer) -> StoredReply:
            if parked:
                return await store.answer_parked(claim.reception, reply, NOW)
            return await store.answer(claim, reply, NOW)

        with pytest.raises(ApplyFailed) as caught:
            await give(bad)
        assert caught.value.__cause__ is error
        assert await everything(store) == before
        # The work is still there to be answered.
        if not parked:
            await store.extend(claim, NOW, LEASE)
        await give(answer())
        assert (await the_reception(store)).state is State.ANSWERED

    async def test_an_answer_after_a_failed_one_counts_its_journal_lines_once(
        self, store: Store
    ) -> None:
        claim = await receive_new(store)
        bad = Answer(status(DONE), b"", apply=failing(ValueError()))
        with pytest.raises(ApplyFailed):
            await store.answer(claim, bad, NOW)
        await store.answer(claim, answer(), NOW)
        assert await steps(store) == [Step.RECEIVED, Step.REPLIED]

    async def test_an_apply_that_fails_harms_no_other_operation(self, store: Store) -> None:
        claim = await receive_new(store)
        bad = Answer(status(DONE), b"", apply=failing(ValueError()))
        failed, *others = await asyncio.gather(
            store.answer(claim, bad, NOW),
            *(receive_new(store, f"N-{number}") for number in range(30)),
            return_exceptions=True,
        )
        assert isinstance(failed, ApplyFailed)
        assert not [one for one in others if isinstance(one, BaseException)]
        assert len(await store.receptions()) == 31
        assert await steps(store) == [Step.RECEIVED] * 31

    async def test_follow_up_messages_are_queued_with_the_answer(self, store: Store) -> None:
        claim = await receive_new(store)
        drafts = (draft("D-1", service="PS811FTRRQ"), draft("D-2", key="k"))
        await store.answer(claim, Answer(status(DONE), b"<reply/>", then=drafts), NOW)
        found = await store.claim(PEER, NOW, LEASE, 9)
        assert [one.delivery.message_id for one in found.work] == ["D-1", "D-2"]
        assert (await the_delivery(store, "D-2")).state is delivery.State.QUEUED
        assert sorted(await steps(store)) == sorted(
            [Step.RECEIVED, Step.QUEUED, Step.QUEUED, Step.REPLIED]
        )

    async def test_a_follow_up_that_is_queued_already_is_not_queued_twice(
        self, store: Store
    ) -> None:
        await store.enqueue(draft("D-1", key="k"), NOW)
        claim = await receive_new(store)
        repeated = Answer(status(DONE), b"<reply/>", then=(draft("D-9", key="k"),))
        await store.answer(claim, repeated, NOW)
        assert [one.message_id for one in await store.deliveries()] == ["D-1"]

    async def test_a_follow_up_that_cannot_be_queued_undoes_the_answer(self, store: Store) -> None:
        await store.enqueue(draft("D-0", key="k"), NOW)
        claim = await receive_new(store)
        before = await everything(store)
        drafts = (draft("D-1"), draft("D-2", key="k", body=b"<other/>"))
        for apply in (None, lambda connection: None):
            bad = Answer(status(DONE), b"<reply/>", apply=apply, then=drafts)
            with pytest.raises(KeyReused):
                await store.answer(claim, bad, NOW)
            assert await everything(store) == before
        await store.answer(claim, answer(), NOW)


class FormContract:
    """`Store.keep_form`: the first protected form of a reply stays, until its key retires."""

    async def test_the_first_form_stays(self, store: Store) -> None:
        claim = await reception_in(store, State.ANSWERED)
        assert await store.keep_form(claim.reception, "key-1", b"<first/>") == b"<first/>"
        assert await store.keep_form(claim.reception, "key-1", b"<second/>") == b"<first/>"
        assert await store.keep_form(claim.reception, "key-2", b"<third/>") == b"<first/>"
        reply = await store.reply_of(claim.reception)
        assert reply is not None
        assert (reply.plain, reply.form, reply.key) == (b"<reply/>", b"<first/>", "key-1")

    async def test_of_many_forms_at_once_one_leaves(self, store: Store) -> None:
        claim = await reception_in(store, State.ANSWERED)
        forms = [store.keep_form(claim.reception, "key", b"%d" % number) for number in range(20)]
        assert len(set(await asyncio.gather(*forms))) == 1

    async def test_a_form_of_the_retired_key_is_replaced(self, store: Store) -> None:
        claim = await reception_in(store, State.ANSWERED)
        await store.keep_form(claim.reception, "key-1", b"<old/>")
        kept = await store.keep_form(claim.reception, "key-2", b"<new/>", over="key-1")
        assert kept == b"<new/>"
        # The next to come finds the new form, also when it still means to replace the old one.
        kept = await store.keep_form(claim.reception, "key-2", b"<newer/>", over="key-1")
        assert kept == b"<new/>"

    async def test_only_a_form_of_the_retired_key_is_replaced(self, store: Store) -> None:
        claim = await reception_in(store, State.ANSWERED)
        await store.keep_form(claim.reception, "key-1", b"<old/>")
        kept = await store.keep_form(claim.reception, "key-3", b"<new/>", over="key-2")
        assert kept == b"<old/>"

    async def test_no_form_without_a_reply(self, store: Store) -> None:
        claim = await receive_new(store)
        with pytest.raises(MshError):
            await store.keep_form(claim.reception, "key", b"<form/>")
        assert await store.reply_of(claim.reception) is None
