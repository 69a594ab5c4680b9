"""The end-of-day message: by schedule, by command, and once a day whoever asks."""

from __future__ import annotations

import asyncio
from datetime import date, time, timedelta

import pytest

import msh
from msh.businessdays import USUAL, BusinessDays
from msh.cuttime import keep_cut_time, key_of, send_cut_time
from msh.hours import TAIPEI
from msh.protocol.cuttime import CutTime, next_cut
from msh.testing.clock import VirtualClock
from tests.handler.conftest import agreement
from tests.hours.conftest import HOURS, taipei

FRIDAY, MONDAY = date(2026, 11, 20), date(2026, 11, 23)
CUT = taipei("2026-11-20 19:45")
SERVICE = frozenset({"IS910SMDRQ"})


@pytest.mark.parametrize(
    ("now", "day"),
    [
        ("2026-11-20 03:00", FRIDAY),
        ("2026-11-20 23:59", FRIDAY),  # it has passed, and may not have been sent
        ("2026-11-21 00:00", MONDAY),
        ("2026-11-22 23:59", MONDAY),
    ],
)
def test_the_next_one(now: str, day: date) -> None:
    found, at = next_cut(CutTime(time(19, 45), ("BIZ",)), USUAL, taipei(now), TAIPEI)
    assert (found, at) == (day, taipei(f"{day} 19:45"))


def test_holidays_have_none() -> None:
    days = BusinessDays(frozenset({FRIDAY}))
    found, _ = next_cut(CutTime(time(19, 45), ()), days, taipei("2026-11-20 09:00"), TAIPEI)
    assert found == MONDAY


SCHEDULE = CutTime(time(19, 45), ("BIZ",))


@pytest.fixture
async def platform(world):
    """A platform that only sends."""
    return await world.start(world.handler("PSP", listens=False, sends=SERVICE, hours=HOURS))


def keeping(world, platform):
    """What `msh serve` runs beside the rest."""
    keep = keep_cut_time(SCHEDULE, platform.agreements, platform.sender, world.clock)
    return asyncio.create_task(keep)


async def test_it_leaves_at_its_time_and_once(world, platform):
    """However many keep the schedule, and by hand besides."""
    tasks = [keeping(world, platform) for _ in range(2)]
    await world.clock.advance_to(CUT - timedelta(seconds=1))
    assert await platform.store.deliveries() == []
    await world.clock.advance_to(CUT)
    (delivery,) = await platform.store.deliveries()
    assert delivery.key == "cut-time-2026-11-20-BIZ"
    body = (await platform.store.request_wire(delivery.id))[1]
    assert b"<Kind>011</Kind>" in body
    assert b"<Date>2026-11-20</Date>" in body
    again = await send_cut_time(platform.sender, platform.agreements["BIZ"], FRIDAY)
    assert (again.created, again.message_id) == (False, delivery.message_id)
    await world.clock.advance_to(taipei("2026-11-23 19:45"))
    assert len(await platform.store.deliveries()) == 2
    for task in tasks:
        task.cancel()


async def test_after_a_restart_it_is_sent_late_rather_than_not(world, platform):
    await world.clock.advance_to(taipei("2026-11-20 21:30"))
    task = keeping(world, platform)
    await world.clock.advance(1)
    (delivery,) = await platform.store.deliveries()
    assert delivery.key == "cut-time-2026-11-20-BIZ"
    task.cancel()


async def test_by_hand_it_waits_for_its_hours_too(world, platform):
    await world.clock.advance_to(CUT - timedelta(minutes=1))
    with pytest.raises(msh.NotOpen) as caught:
        await send_cut_time(platform.sender, platform.agreements["BIZ"], FRIDAY)
    assert caught.value.opens == CUT


def test_the_key_names_day_and_party() -> None:
    terms = agreement("PSP", msh.Role.PSP, "BIZ", msh.Role.BUSINESS)
    assert key_of(terms, FRIDAY) == "cut-time-2026-11-20-BIZ"


async def test_a_server_keeps_the_schedule_of_its_configuration(tmp_path):
    """Started after the time of day: what was not sent yet leaves at once."""
    file = tmp_path / "msh.toml"
    file.write_text(
        """store = "sqlite:///psp.db"
[party]
id = "PSP"
role = "psp"
[listen]
url = "http://127.0.0.1:0/sms"
[cut_time]
to = ["BIZ"]
[agreements.BIZ]
role = "business"
protection = "none"
endpoint = "http://127.0.0.1:1/sms"
sends = ["IS910SMDRQ"]
accepts = ["IS910SMDRQ"]
""",
        "utf-8",
    )
    clock = VirtualClock(taipei("2026-11-20 20:00"))
    handler = msh.MessageServiceHandler.from_config(file, clock=clock)
    handler.on("IS910SMDRQ")(lambda request: msh.Reply("PSPPM0000I"))
    async with handler, asyncio.timeout(10):
        while not (found := await handler.store.deliveries()):
            await asyncio.sleep(0.01)
    assert [one.key for one in found] == ["cut-time-2026-11-20-BIZ"]
