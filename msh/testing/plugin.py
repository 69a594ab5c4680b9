"""The pytest plugin, found by pytest wherever msh is installed.

::

    def test_a_lost_reply(msh_counterparty, sender):
        platform = msh_counterparty().lose_reply(1)
        receipt = sender(platform.url).send("PS810FTRQ", "<Pay/>")
        assert str(receipt.reply().status) == "PSPPM0000I" and len(platform.messages) == 1
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from msh.testing.counterparty import Counterparty


@pytest.fixture
def msh_counterparty(tmp_path: Path) -> Iterator[Callable[..., Counterparty]]:
    """A factory of counterparties: ``msh_counterparty(role="bank", party="BANK")``.

    Each is a real receiver with a store on disk, behind a proxy that loses, delays or repeats the
    n-th message; all end with the test. Options are those of `Counterparty`.
    """
    # Imported here, so that pytest starts no slower in a project that does not use the fixture.
    from msh.testing.counterparty import Counterparty

    with ExitStack() as stack:

        def start(**options: Any) -> Counterparty:
            return stack.enter_context(Counterparty(tmp_path, **options))

        yield start
