"""The protection of every agreement, opened from what the agreements say."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from msh.agreement import Agreement, Agreements
from msh.clock import Clock
from msh.desk import HandlerFunction
from msh.protection import Mac, Plain, Signature
from msh.security import Security, Unprotected
from msh.store import Store

if TYPE_CHECKING:  # only a protected agreement loads cryptography
    from msh.keys import WorkingKeys
    from msh.security.signature import Signed


#: How often certificates are looked at when no message does it.
LOOK_EVERY = timedelta(hours=1)


class Securities:
    """One `msh.security.base.Security` per agreement."""

    def __init__(self, agreements: Agreements, store: Store, clock: Clock) -> None:
        """Raises `KeyUnusable` for a key or certificate that cannot be used."""
        self.keys: WorkingKeys | None = None
        self.closed = False
        self._clock = clock
        self._looking: asyncio.Task[None] | None = None
        self._signed: list[Signed] = []
        if any(isinstance(agreement.protection, Mac) for agreement in agreements):
            from msh.keys import WorkingKeys

            self.keys = WorkingKeys(agreements, store, clock)
        self._by_peer = {agreement.peer: self._open(agreement, clock) for agreement in agreements}

    def _open(self, agreement: Agreement, clock: Clock) -> Security:
        match agreement.protection:
            case Plain():
                return Unprotected()
            case Signature() as signature:
                from msh.security.signature import open_signed

                signed = open_signed(signature, clock.now, own=agreement.own, peer=agreement.peer)
                self._signed.append(signed)
                return signed
            case Mac():
                assert self.keys is not None
                return self.keys.security(agreement.peer)

    def of(self, agreement: Agreement) -> Security:
        """The protection of ``agreement``."""
        return self._by_peer[agreement.peer]

    @property
    def busy(self) -> bool:
        """Whether a thread works beside the event loop."""
        return any(signed.working for signed in self._signed)

    def handlers(self) -> Mapping[str, HandlerFunction]:
        """What answers the messages of a key exchange."""
        return self.keys.handlers() if self.keys is not None else {}

    async def load(self) -> None:
        """Read working keys from the store, which must be open. Raises `StoreError`."""
        if self.keys is not None:
            await self.keys.load()

    def start(self) -> None:
        """Warn of certificates that end soon, also while no message comes."""
        if self._signed:
            self._looking = asyncio.create_task(self._look(), name="msh-certificates")

    async def _look(self) -> None:
        while True:
            for signed in self._signed:
                signed.look()
            await self._clock.sleep_until(self._clock.now() + LOOK_EVERY)

    def changed(self) -> None:
        """Another process changed the store."""
        if self.keys is not None:
            self.keys.changed()

    async def close(self) -> None:
        """Let go of threads, and finish what was begun."""
        self.closed = True
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        if self.keys is not None:
            await self.keys.close()
        await asyncio.gather(*(security.close() for security in self._by_peer.values()))
