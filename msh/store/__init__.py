"""Where messages are kept: the contract, and the implementation that a URL names."""

from __future__ import annotations

from msh.errors import ConfigurationError
from msh.store.base import Store
from msh.store.batches import BatchDraft, PartDraft, StoredBatch, StoredPart
from msh.store.outcome_records import Asked, Inquiry, Outcome, Repeat, Result
from msh.store.records import (
    Answer,
    Arrival,
    Attempt,
    Claim,
    Conflict,
    Delivery,
    Draft,
    FirstAttempt,
    Forgotten,
    InHand,
    New,
    Outbound,
    Outbounds,
    Purged,
    Reception,
    Remembered,
    Resend,
    StoredKey,
    StoredReply,
    Suspension,
    SuspensionKind,
    Unknown,
    Work,
)

__all__ = [
    "Answer",
    "Arrival",
    "Asked",
    "Attempt",
    "BatchDraft",
    "Claim",
    "Conflict",
    "Delivery",
    "Draft",
    "FirstAttempt",
    "Forgotten",
    "InHand",
    "Inquiry",
    "New",
    "Outbound",
    "Outbounds",
    "Outcome",
    "PartDraft",
    "Purged",
    "Reception",
    "Remembered",
    "Repeat",
    "Resend",
    "Result",
    "Store",
    "StoredBatch",
    "StoredKey",
    "StoredPart",
    "StoredReply",
    "Suspension",
    "SuspensionKind",
    "Unknown",
    "Work",
    "open_store",
]


def open_store(url: str) -> Store:
    """The store that ``url`` names, not opened yet: ``sqlite:///file`` or ``sqlite::memory:``.

    A relative file is written ``sqlite:///relative.db``, an absolute one ``sqlite:////abs.db``.
    Raises `ConfigurationError` for another scheme.
    """
    scheme, _, rest = url.partition(":")
    if scheme == "sqlite":
        if rest == ":memory:":
            path = rest
        elif rest.startswith("///") and len(rest) > 3:
            path = rest[3:]
        else:
            raise ConfigurationError(
                url, ["store: a file is wanted, as in sqlite:///msh.db, or sqlite::memory:"]
            )
        from msh.store.sqlite import SqliteStore

        return SqliteStore(path)
    raise ConfigurationError(url, [f"store: no store for {scheme!r}; there is: sqlite"])
