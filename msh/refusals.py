"""What was refused before it was known whose it is: counted, told at a bounded rate, never stored.

Strangers decide how many refusals there are, and what a message claims to be; so there is one line
for each reason and time, about the latest of them, and what was only claimed is marked as such.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections import Counter
from datetime import datetime, timedelta

from msh.clock import Clock
from msh.message import Message
from msh.protection import PeerCertificate
from msh.transport.base import Peer
from msh.transport.tls import peer_certificate

_log = logging.getLogger("msh.receiver")

#: Refusals are counted; one line per reason and this time goes to the log.
QUIET = timedelta(seconds=10)

# Where in the bytes the fault was, as `msh.xml` tells it.
_PLACE = re.compile(r" \(line [0-9]+, column [0-9]+\)|(?<=byte) [0-9]+")
_LONGEST = 120  # characters of anything that a stranger wrote


class Refusals:
    """Counts refusals by reason, and logs the latest of each."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        #: Refusals so far, by reason.
        self.counted: Counter[str] = Counter()
        self._logged: dict[str, datetime] = {}

    def count(
        self,
        reason: str,
        peer: Peer | None = None,
        claimed: Message | None = None,
        certificate: bytes = b"",
    ) -> None:
        """One more for ``reason``, from ``peer``; it ``claimed`` to be that message, if it could be
        read, and was signed with ``certificate`` (DER), if it was signed at all.
        """
        reason = _PLACE.sub("", reason)  # else whoever moves the fault fills memory and log
        self.counted[reason] += 1
        now = self._clock.now()
        last = self._logged.get(reason)
        if last is not None and now - last < QUIET:
            return
        self._logged[reason] = now
        facts = [*_source(peer), *_claim(claimed), *_signed(certificate)]
        latest = f"; the latest {', '.join(facts)}" if facts else ""
        _log.warning("refused unread: %s (%d so far)%s", reason, self.counted[reason], latest)


def visible(text: str) -> str:
    """What a stranger wrote, in visible ASCII, and no more of it than fits a line."""
    cut = text[:_LONGEST]
    shown = "".join(one if " " <= one <= "~" else "?" for one in cut)
    return shown if len(cut) == len(text) else f"{shown}..."


def _source(peer: Peer | None) -> list[str]:
    if peer is None:
        return []
    found = [f"from {visible(peer.address) or 'an unknown address'}"]
    if peer.certificate is not None:
        found.append(f"TLS certificate {_named(peer.certificate)}")
    return found


def _claim(message: Message | None) -> list[str]:
    if message is None:
        return []
    return [
        f"claiming to be {visible(message.service)} {visible(message.message_id)} of "
        f"{visible(message.sender)} to {visible(message.receiver)}"
    ]


def _signed(certificate: bytes) -> list[str]:
    if not certificate:
        return []
    fingerprint = hashlib.sha256(certificate).hexdigest()
    named = peer_certificate(certificate)
    of = f" {_named(named)}" if named else ""
    return [f"signed with a certificate{of}, SHA-256 {fingerprint}"]


def _named(certificate: PeerCertificate) -> str:
    return f"{visible(certificate.serial)} of the issuer {visible(certificate.issuer)}"
