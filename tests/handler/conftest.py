"""Two handlers on one network and one virtual clock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

import msh
from msh.profile import Role
from msh.profiles import standard_profile
from msh.store import open_store
from msh.testing.clock import VirtualClock
from msh.testing.network import Network
from msh.transport.base import Peer
from tests.security.masking import ACCOUNT, NAME

BODY = (
    "<Pay xmlns='urn:test'><PMTID>1</PMTID><Amount>1000</Amount>"
    f"<Acct>{ACCOUNT}</Acct><Name>{NAME}</Name></Pay>"  # which nothing may show
)
PLATFORM = "memory://psp/sms"
BUSINESS = "memory://biz/sms"


def agreement(own: str, own_role: Role, peer: str, peer_role: Role, **changes: object):
    """An agreement with everything allowed that the tests send."""
    usual = msh.Agreement(
        own=own,
        own_role=own_role,
        peer=peer,
        peer_role=peer_role,
        profile=standard_profile(),
        checks_content=False,
        endpoint={"PSP": PLATFORM, "BANK": PLATFORM, "BIZ": BUSINESS}[peer],
        sends=frozenset({"PS810FTRQ", "PS811FTRRQ", "PS830INQRQ"}),
        accepts=frozenset({"PS810FTRQ", "PS811FTRRQ", "PS830INQRQ"}),
    )
    return replace(usual, **changes)


class World:
    """A business system (BIZ), a platform (PSP), the wire between them, and time."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self.stores: list[object] = []
        self.handlers: list[msh.MessageServiceHandler] = []
        self.clock = VirtualClock(busy=self._busy)
        self.network = Network(self.clock)
        self.entries: list[msh.Entry] = []
        self._stack = stack

    def _busy(self) -> bool:
        securities = (handler._securities.busy for handler in self.handlers)
        return any(store.busy for store in self.stores) or any(securities)

    def handler(
        self,
        own: str = "BIZ",
        *,
        url: str | None = None,
        store: object | None = None,
        peer: str | None = None,
        listens: bool = True,
        **changes: object,
    ) -> msh.MessageServiceHandler:
        """A handler that is not started yet."""
        roles = {"BIZ": Role.BUSINESS, "PSP": Role.PSP, "BANK": Role.BANK}
        peer = peer or ("PSP" if own == "BIZ" else "BIZ")
        terms = agreement(own, roles[own], peer, roles[peer], **changes)
        store = store or open_store("sqlite::memory:")
        self.stores.append(store)
        made = msh.MessageServiceHandler(
            msh.Agreements.of(own, [terms]),
            store,
            listen=(url or (BUSINESS if own == "BIZ" else PLATFORM)) if listens else None,
            transports={"memory": self.network.transport()},
            clock=self.clock,
            observers=[self.entries.append],
            grace=1.0,
        )
        self.handlers.append(made)
        return made

    async def start(self, handler: msh.MessageServiceHandler) -> msh.MessageServiceHandler:
        """Start it, and stop it at the test's end."""
        await self._stack.enter_async_context(handler)
        return handler

    async def platform(
        self, answer: Callable[[msh.Message], object] | None = None, **changes: object
    ) -> msh.MessageServiceHandler:
        """A started platform whose every handler answers by ``answer``; ``calls`` are kept."""
        handler = self.handler(changes.pop("own", "PSP"), **changes)
        handler.calls = []
        done = f"PSP{'BK' if handler.agreements.own == 'BANK' else 'PM'}0000I"

        @handler.on("PS810FTRQ", "PS811FTRRQ", "PS830INQRQ")
        async def handle(message: msh.Message) -> msh.Reply:
            handler.calls.append(message)
            result = answer(message) if answer else msh.Reply(done)
            if hasattr(result, "__await__"):
                result = await result
            return result

        return await self.start(handler)

    async def business(self, **changes: object) -> msh.MessageServiceHandler:
        """A started business system that only sends."""
        return await self.start(self.handler("BIZ", listens=False, **changes))

    async def post(self, handler: msh.MessageServiceHandler, wire: bytes):
        """Bring bytes to a handler as a transport would."""
        return await handler.accept(wire, Peer("test"))

    def steps(self, message_id: str | None = None, direction: str | None = None) -> list[str]:
        """The journal's steps seen by observers, in order."""
        return [
            str(entry.step)
            for entry in self.entries
            if (message_id is None or entry.message_id == message_id)
            and (direction is None or entry.direction == direction)
        ]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        yield World(stack)
