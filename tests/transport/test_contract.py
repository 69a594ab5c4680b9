"""The contract of a transport, kept over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from msh.testing.contracts.transport import Parties, TransportContract
from msh.transport.http import HttpTransport


class TestHttp(TransportContract):
    @pytest.fixture
    async def parties(self, free_port: int) -> AsyncIterator[Parties]:
        sender, listener = HttpTransport(), HttpTransport()
        nobody = f"http://127.0.0.1:{free_port}/sms"
        yield Parties(sender, listener, "http://127.0.0.1:0/sms", nobody)
        await sender.close()
        await listener.close()
