"""The protection of every agreement, opened from what the agreements say."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from msh.agreement import Agreement, Agreements
from msh.clock import Clock
from msh.desk import HandlerFunction
from msh.envelope import Parsed
from msh.errors import ConfigurationError, NoKey, UsageError
from msh.message import Message
from msh.protection import Mac, Plain, Signature
from msh.security import Security, Unprotected
from msh.store import Store
from msh.transport.tls import Tls

if TYPE_CHECKING:  # only a protected agreement loads cryptography
    from msh.keys import WorkingKeys
    from msh.security.apart import Apart
    from msh.security.certificates import ExpiryWatch
    from msh.security.signature import Signed


#: How often certificates are looked at when no message does it.
LOOK_EVERY = timedelta(hours=1)


class Securities:
    """One `msh.security.base.Security` per agreement."""

    def __init__(
        self, agreements: Agreements, store: Store, clock: Clock, tls: Tls | None = None
    ) -> None:
        """Raises `ConfigurationError` for keys and certificates that cannot be used, with every
        one of them, or that two agreements share.
        """
        self.keys: WorkingKeys | None = None
        self.closed = False
        self._clock = clock
        self._looking: asyncio.Task[None] | None = None
        self._signed: list[Signed] = []
        self._of_tls: ExpiryWatch | None = None
        if tls is not None and tls.certificate is not None:
            from msh.security.certificates import ExpiryWatch

            self._of_tls = ExpiryWatch(tls.certificate, f"{agreements.own} (TLS)")
        self._apart: Apart | None = None
        if any(agreement.protected for agreement in agreements):
            from msh.security.apart import Apart, shared
            from msh.security.soundness import unsound

            protections = {a.peer: a.protection for a in agreements}
            if wrong := unsound(protections):
                raise ConfigurationError("keys and certificates", wrong)
            found = shared(protections, clock.now)
            if found:
                raise ConfigurationError("agreements", [str(problem) for problem in found])
            self._apart = Apart(clock.now)
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

                signed = open_signed(
                    signature,
                    clock.now,
                    own=agreement.own,
                    peer=agreement.peer,
                    apart=self._apart,
                )
                self._signed.append(signed)
                return signed
            case Mac():
                assert self.keys is not None
                return self.keys.security(agreement.peer)

    def of(self, agreement: Agreement) -> Security:
        """The protection of ``agreement``."""
        return self._by_peer[agreement.peer]

    def require_keys(self) -> WorkingKeys:
        """The working keys. Raises `UsageError` where no agreement has any."""
        if self.keys is None:
            raise UsageError("no agreement is protected by MACs, so there are no working keys")
        return self.keys

    async def examine(self, agreement: Agreement, parsed: Parsed) -> Message:
        """What `Security.verify` believes of a message, for looking at it: nothing is noted.

        Raises `NotAuthentic`, or `NoKey` also for a new message under a retired key.
        """
        if isinstance(agreement.protection, Mac):
            assert self.keys is not None
            verified = await self.keys.security(agreement.peer).examine(parsed)
        else:
            verified = await self.of(agreement).verify(parsed)
        message = verified.message
        if verified.retired and not agreement.profile.catalog.is_reply(message.service):
            raise NoKey("its key is retired")
        return message

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
        if self._signed or self._of_tls:
            self._look()
            self._looking = asyncio.create_task(self._keep_looking(), name="msh-certificates")

    def _look(self) -> datetime:
        """Warn of what is to be seen to now; returns when to look again."""
        now = self._clock.now()
        ends = [self._of_tls.look(now)] if self._of_tls else []
        ends += [one.not_after for signed in self._signed for one in signed.look(at_once=True)]
        # The end of a certificate is told as it comes, and not within the hour.
        nearest = min((end for end in ends if end >= now), default=now + LOOK_EVERY)
        return min(now + LOOK_EVERY, nearest + timedelta(seconds=1))

    async def _keep_looking(self) -> None:
        while True:
            await self._clock.sleep_until(self._look())

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
