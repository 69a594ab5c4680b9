"""The contract of protection: signature or MAC by agreement.

The agreement chooses the protection; nothing in a message can lower it. What `verify` returns has
been read from the protected bytes alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from msh.envelope import Parsed
from msh.message import Message
from msh.profile import Profile


@dataclass(frozen=True, slots=True)
class Protected:
    """Wire bytes and the name of the key they are protected with."""

    wire: bytes
    key: str = ""


@dataclass(frozen=True, slots=True)
class Verified:
    """A message that may be believed.

    ``retired``: its key only recognises repeats, and replies to requests that left under one of the
    keys ``until`` it, itself included.
    """

    message: Message
    key: str = ""
    retired: bool = False
    until: frozenset[str] = frozenset()


class Security(Protocol):
    """How messages of one agreement are protected."""

    @property
    def active(self) -> bool:
        """False where the agreement says that messages go as they are."""
        ...

    @property
    def overhead(self) -> int:
        """The most bytes that protecting adds to a message."""
        ...

    async def protect(self, message: Message, profile: Profile) -> Protected:
        """The wire form of ``message``, under the key to send with now.

        Raises `CannotProtect` where there is no such key or certificate.
        """
        ...

    async def verify(self, parsed: Parsed) -> Verified:
        """The message, if it is authentic; else raises `NotAuthentic`, or `NoKey`."""
        ...

    def retired(self, key: str) -> bool:
        """Whether a form protected with ``key`` must not leave any more."""
        ...

    async def close(self) -> None:
        """Let go of threads."""
        ...
