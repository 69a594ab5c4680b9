"""One platform for each module: keys are made once, handlers are quick to start."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from tests.security.attacks.target import Target, quoted


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def target(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Target]:
    async with AsyncExitStack() as stack:
        one = Target(tmp_path_factory.mktemp("target"), stack)
        await one.start()
        yield one
        await one.serves()
        await one.require_nothing_else_stored()


@pytest.fixture(autouse=True)
def _nothing_in_logs(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever is refused, the log does not quote it."""
    with caplog.at_level(logging.DEBUG):
        yield
    assert not quoted(caplog.text)
