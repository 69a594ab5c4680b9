"""The working keys of one agreement, unwrapped: which to send with, and what each is good for."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from msh.protocol.keys import State, retires


@dataclass(frozen=True, slots=True)
class WorkingKey:
    """A key as it is used. ``secret`` is never shown, also not by ``repr``.

    Of a compromised key it is empty: that key only keeps its place among the others.
    """

    id: str
    secret: bytes = field(repr=False)
    state: State
    offered: datetime
    verified: datetime | None = None


class KeyRing:
    """What `msh.security.maced.Maced` asks for keys. Whoever owns it replaces ``keys``.

    ``exchange`` is the secret that protects the key exchange itself; it is derived from the
    key-encryption key and never retires.
    """

    def __init__(
        self, exchange: bytes, overlap: timedelta, keys: tuple[WorkingKey, ...] = ()
    ) -> None:
        self.exchange = exchange
        self.overlap = overlap
        self.keys = keys

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(f'{key.id} {key.state}' for key in self.keys)})"

    def sending(self) -> WorkingKey | None:
        """The key to protect with: the active one."""
        return next((key for key in self.keys if key.state is State.ACTIVE), None)

    def find(self, key_id: str) -> WorkingKey | None:
        """The key of this id, whatever its state; but none that is compromised."""
        for key in self.keys:
            if key.id == key_id:
                return None if key.state is State.COMPROMISED else key
        return None

    def compromised(self, key_id: str) -> bool:
        """Whether an operator has retired the key of this id."""
        return any(key.id == key_id and key.state is State.COMPROMISED for key in self.keys)

    def until(self, key: WorkingKey) -> frozenset[str]:
        """The ids of ``key`` and of those offered before it."""
        return frozenset(one.id for one in self.keys if one.offered <= key.offered)

    def retired(self, key: WorkingKey, now: datetime) -> bool:
        """Whether ``key`` may only recognise repeats, and replies to requests not answered yet."""
        return retires(key, self.keys, self.overlap, now)
