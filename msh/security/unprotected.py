"""No protection: for agreements that say so, on networks that are protected by other means."""

from __future__ import annotations

from msh.envelope import Parsed, serialise
from msh.message import Message
from msh.profile import Profile
from msh.security.base import Protected, Verified


class Unprotected:
    """Messages leave and arrive as they are; the party ids in them are believed."""

    active = False
    overhead = 0

    async def protect(self, message: Message, profile: Profile) -> Protected:
        """The plain wire form."""
        return Protected(serialise(message, profile))

    async def verify(self, parsed: Parsed) -> Verified:
        """The message as its sender claims it."""
        return Verified(parsed.message)

    def retired(self, key: str) -> bool:
        """There is no key that could be retired."""
        return False

    async def close(self) -> None:
        """There is nothing to let go of."""
