"""The world of the engine's tests on a working day, with hours that hold."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import pytest

from msh.catalog import load
from msh.hours import TAIPEI, Hours
from tests.handler.conftest import World

HOURS = Hours(load().hours)


def taipei(text: str) -> datetime:
    """A moment in Taipei, such as 2026-11-23 09:00."""
    return datetime.fromisoformat(text).replace(tzinfo=TAIPEI).astimezone(UTC)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        yield World(stack)
