"""Repeats, decided: each row of the table, and fifty copies at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

import msh
from msh.envelope import parse, serialise
from msh.profiles import standard_profile
from msh.store import open_store

PROFILES = {standard_profile().namespace: standard_profile()}
PROFILE = standard_profile()


def request(world, **changes) -> msh.Message:
    values = {
        "service": "PS810FTRQ",
        "message_id": "BIZ-1",
        "sender": "BIZ",
        "receiver": "PSP",
        "timestamp": world.clock.now(),
        "body": b"<Pay></Pay>",
        "expires": world.clock.now() + timedelta(hours=1),
    }
    return msh.Message(**{**values, **changes})


def status_of(acceptance) -> str:
    return str(parse(acceptance.wire, PROFILES).message.status)


async def test_a_resend_gets_the_stored_reply_byte_for_byte(world):
    platform = await world.platform()
    wire = serialise(request(world), PROFILE)
    first = await world.post(platform, wire)
    await world.clock.advance(90)
    second = await world.post(platform, wire)
    assert first.wire == second.wire
    assert len(platform.calls) == 1
    (reception,) = await platform.store.receptions(message_id="BIZ-1")
    assert (reception.runs, reception.replays) == (1, 1)


async def test_a_foreign_resend_may_refresh_timestamp_and_time_to_live(world):
    platform = await world.platform()
    message = request(world)
    first = await world.post(platform, serialise(message, PROFILE))
    later = replace(
        message,
        timestamp=message.timestamp + timedelta(seconds=90),
        expires=message.expires + timedelta(seconds=90),
    )
    assert (await world.post(platform, serialise(later, PROFILE))).wire == first.wire
    assert len(platform.calls) == 1


@pytest.mark.parametrize("changes", [{"body": b"<Pay>2</Pay>"}, {"service": "PS830INQRQ"}])
async def test_other_content_under_the_same_id_is_a_conflict(world, changes):
    platform = await world.platform()
    first = await world.post(platform, serialise(request(world), PROFILE))
    other = await world.post(platform, serialise(request(world, **changes), PROFILE))
    assert status_of(other) == "PSPPM0002S"
    assert len(platform.calls) == 1
    again = await world.post(platform, serialise(request(world), PROFILE))
    assert again.wire == first.wire  # the conflict did not take the first copy's place


async def test_a_bank_says_conflict_with_its_own_code(world):
    bank = await world.platform(own="BANK")
    await world.post(bank, serialise(request(world, receiver="BANK"), PROFILE))
    other = request(world, receiver="BANK", body=b"<Pay>2</Pay>")
    assert status_of(await world.post(bank, serialise(other, PROFILE))) == "PSPBK0114E"


class Gate:
    """A handler that waits to be let go."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def __call__(self, message: msh.Message) -> msh.Reply:
        await self.open.wait()
        return msh.Reply("PSPPM0000I")


async def test_a_repeat_waits_for_the_first_copy(world):
    gate = Gate()
    platform = await world.platform(gate)
    wire = serialise(request(world), PROFILE)
    copies = [asyncio.create_task(world.post(platform, wire)) for _ in range(3)]
    await world.clock.advance(5)
    assert not any(copy.done() for copy in copies)
    gate.open.set()
    await world.clock.settle()
    assert len({copy.result().wire for copy in copies}) == 1
    assert len(platform.calls) == 1


async def test_a_conflict_is_told_while_the_first_copy_is_in_hand(world):
    gate = Gate()
    platform = await world.platform(gate)
    first = asyncio.create_task(world.post(platform, serialise(request(world), PROFILE)))
    await world.clock.settle()
    other = serialise(request(world, body=b"<Other></Other>"), PROFILE)
    assert status_of(await world.post(platform, other)) == "PSPPM0002S"
    gate.open.set()
    assert status_of(await first) == "PSPPM0000I"


@pytest.mark.parametrize("busy_reply", [True, False])
async def test_past_the_wait_a_copy_is_told_to_come_back(world, busy_reply):
    gate = Gate()
    platform = await world.platform(gate, handling=msh.Handling(busy_reply=busy_reply))
    wire = serialise(request(world), PROFILE)
    copies = [asyncio.create_task(world.post(platform, wire)) for _ in range(2)]
    await world.clock.advance(19.9)
    assert not any(copy.done() for copy in copies)
    await world.clock.advance(0.2)
    kinds = {type(copy.result()).__name__ for copy in copies}
    assert kinds == {"NotNow" if busy_reply else "Silence"}
    gate.open.set()
    await world.clock.settle()
    assert status_of(await world.post(platform, wire)) == "PSPPM0000I"
    assert len(platform.calls) == 1


async def test_after_a_purge_the_stored_status_is_told_without_a_body(world):
    platform = await world.platform(lambda _: msh.Reply("PSPPM0000I", body="<Done/>"))
    wire = serialise(request(world), PROFILE)
    await world.post(platform, wire)
    now = world.clock.now() + timedelta(days=3)
    async for _ in platform.store.purge(now, now - timedelta(days=400), now):
        pass
    again = parse((await world.post(platform, wire)).wire, PROFILES).message
    assert (str(again.status), again.body) == ("PSPPM0000I", b"")
    other = serialise(request(world, body=b"<Other></Other>"), PROFILE)
    assert status_of(await world.post(platform, other)) == "PSPPM0002S"
    assert len(platform.calls) == 1


async def test_a_message_older_than_ids_are_kept_is_refused(world):
    platform = await world.platform(ids_kept=timedelta(days=400))
    old = request(world, timestamp=world.clock.now() - timedelta(days=401), expires=None)
    assert status_of(await world.post(platform, serialise(old, PROFILE))) == "PSPPM0002W"
    assert platform.calls == []


async def test_a_resend_past_its_time_to_live_still_gets_the_stored_reply(world):
    platform = await world.platform()
    wire = serialise(request(world), PROFILE)
    first = await world.post(platform, wire)
    await world.clock.advance(2 * 3600)
    assert (await world.post(platform, wire)).wire == first.wire


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"expires": "past"}, "PSPPM0002W"),
        ({"service": "PS999XXRQ"}, "PSPPM0002E"),
        ({"service": "IS910SMDRQ"}, "PSPPM0001E"),
    ],
)
async def test_a_refusal_is_stored_and_repeated(world, changes, code):
    platform = await world.platform()
    if changes.get("expires") == "past":
        changes = {"expires": world.clock.now() - timedelta(minutes=6)}
    wire = serialise(request(world, **changes), PROFILE)
    first = await world.post(platform, wire)
    assert status_of(first) == code
    assert (await world.post(platform, wire)).wire == first.wire
    assert platform.calls == []
    assert world.steps("BIZ-1", "inbound") == ["received", "refused", "replayed"]


async def test_a_stranger_is_refused_and_leaves_no_row(world):
    platform = await world.platform()
    for changes in ({"sender": "STRANGER"}, {"receiver": "BANK"}):
        wire = serialise(request(world, **changes), PROFILE)
        assert status_of(await world.post(platform, wire)) == "PSPPM0001E"
    assert await platform.store.receptions() == []
    assert world.steps() == []
    assert sum(platform.receiver.refused.values()) == 2


async def test_unreadable_bytes_get_a_fault_with_the_format_code(world):
    platform = await world.platform()
    answer = await world.post(platform, b"<not a message")
    assert type(answer).__name__ == "Unreadable"
    assert b"PSPPM0001S" in answer.fault
    assert await platform.store.receptions() == []


@pytest.mark.parametrize("kind", ["sqlite::memory:", "file"])
async def test_fifty_copies_at_once_over_many_rounds(world, tmp_path, kind):
    url = kind if kind != "file" else f"sqlite:///{tmp_path}/psp.db"
    platform = await world.platform(store=open_store(url))
    for number in range(20):
        wire = serialise(request(world, message_id=f"BIZ-{number}"), PROFILE)
        copies = await asyncio.gather(*(world.post(platform, wire) for _ in range(50)))
        assert len({copy.wire for copy in copies}) == 1
        assert len(platform.calls) == number + 1
