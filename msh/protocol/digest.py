"""The digests by which a repeat is told from another message.

Nothing that a resend may refresh takes part: no timestamp, time to live, key id, signature, MAC.
"""

from __future__ import annotations

import hashlib

from msh.message import Message

#: Stored beside each digest, so that a change of the definition is told from a change of content.
VERSION = 1


def message_digest(message: Message) -> bytes:
    """SHA-256 over service, ids, parties and the canonical body; 32 bytes."""
    return _digest(
        message.service,
        message.message_id,
        message.ref_to or "",
        message.sender,
        message.receiver,
        message.body,
    )


def content_digest(service: str, receiver: str, ref_to: str | None, body: bytes) -> bytes:
    """SHA-256 over what a caller gave, without anything generated; 32 bytes.

    Two calls with one key are the same request exactly when these agree.
    """
    return _digest(service, receiver, ref_to or "", body)


def _digest(*parts: str | bytes) -> bytes:
    # Each part is led by its length, so that no two different lists give the same bytes.
    encoded = [part.encode() if isinstance(part, str) else part for part in parts]
    return hashlib.sha256(b"".join([b"%d:%b" % (len(part), part) for part in encoded])).digest()
