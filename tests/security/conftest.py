"""Two parties with certificates and a clock to set, and two handlers on a virtual clock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from msh.security.signature import Signed
from tests.handler.conftest import World
from tests.security.certificates import Party, SetClock

Open = Callable[..., Signed]


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def biz(tmp_path: Path, clock: SetClock) -> Party:
    return Party(tmp_path / "biz", clock)


@pytest.fixture
def psp(tmp_path: Path, clock: SetClock) -> Party:
    return Party(tmp_path / "psp", clock)


@pytest.fixture
async def opened() -> AsyncIterator[Open]:
    """Opens a party's protection and closes it at the end."""
    open_now: list[Signed] = []

    def opens(party: Party, **how: object) -> Signed:
        open_now.append(party.open(**how))  # type: ignore[arg-type]
        return open_now[-1]

    yield opens
    for one in open_now:
        await one.close()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        yield World(stack)
