"""The contract of a store, batches: a part of `msh.store.Store`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from msh.content import References
from msh.errors import KeyReused
from msh.store.records import Delivery, Draft

NONE = References(None, None)


@dataclass(frozen=True, slots=True)
class PartDraft:
    """A part to be queued: which groups of the whole it holds, from 1, and what names it."""

    draft: Draft
    first: int
    last: int
    references: References = NONE


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A part and where its delivery stands; see `PartDraft`."""

    number: int
    delivery: Delivery
    first: int
    last: int
    references: References


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchDraft:
    """Messages to be queued together or not at all.

    ``key`` is the caller's, and ``digest`` that of what he gave (32 bytes).
    """

    key: str
    service: str
    sender: str
    receiver: str
    digest: bytes
    parts: tuple[PartDraft, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBatch:
    """A batch and its parts in order.

    ``count`` is how many there were: those whose id has been forgotten are not among ``parts``.
    """

    key: str
    service: str
    sender: str
    receiver: str
    digest: bytes
    count: int
    queued: datetime
    parts: tuple[StoredPart, ...]

    def require(self, digest: bytes) -> None:
        """Raises `KeyReused` if the batch was made of other content."""
        if self.digest != digest:
            raise KeyReused(
                f"key {self.key!r} names a batch already, which has other content; a new one "
                "needs a new key"
            )


class BatchStore(Protocol):
    """Requests that were cut into several, and are followed as one."""

    async def enqueue_all(self, batch: BatchDraft, now: datetime) -> tuple[StoredBatch, bool]:
        """Queue every part, each as `Store.enqueue` does, once per key; the flag tells if now.

        The batch that has the key already is returned as it is, whatever parts are given. Raises
        `KeyReused` if that one has another digest, or if the key or id of a part names other
        content; then nothing is queued.
        """
        ...

    async def batch(self, sender: str, key: str) -> StoredBatch | None:
        """The batch of this key, while the id of any of its parts is kept."""
        ...
