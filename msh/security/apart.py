"""Each party has certificates and a key-encryption key of its own.

What is shared by two agreements would let either party act as the other. So two agreements may not
be set up like that (`shared`); and a certificate that comes to count for two parties while
messages flow counts for neither (`Apart`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from msh.errors import KeyUnusable, NotAuthentic
from msh.protection import Mac, Protection, Signature, shown_key_name
from msh.security.certificates import PeerCertificates
from msh.security.keysource import open_key_source
from msh.security.pem import LOOK_EVERY, Certificate

_log = logging.getLogger("msh.security")


@dataclass(frozen=True, slots=True)
class Shared:
    """What the agreement with ``peer`` has in common with another one, by its key there."""

    peer: str
    key: str
    text: str

    def __str__(self) -> str:
        return f"agreements.{self.peer}.{self.key}: {self.text}"


def shared(protections: Mapping[str, Protection], now: Callable[[], datetime]) -> list[Shared]:
    """What two parties have in common and must not, of ``protections`` by party.

    What cannot be read is passed over: whoever uses it says so.
    """
    found: list[Shared] = []
    folders: dict[Hashable, str] = {}
    keys: dict[Hashable, str] = {}
    parties: dict[str, PeerCertificates] = {}
    for peer, protection in protections.items():
        match protection:
            case Signature():
                if other := _taken(folders, protection.peer.resolve(), peer):
                    text = f"{protection.peer} is the folder of {other} too; make one for each"
                    found.append(Shared(peer, "signature.peer", text))
                    continue
                try:
                    parties[peer] = PeerCertificates(protection, now)
                except KeyUnusable:
                    continue
            case Mac():
                if other := _taken(keys, _identity(protection.key_encryption), peer):
                    name = shown_key_name(protection.key_encryption)
                    text = f"{name} is the key-encryption key of {other} too; agree on one for each"
                    found.append(Shared(peer, "mac.key_encryption", text))
    return found + list(_shared_certificates(parties))


def _shared_certificates(parties: Mapping[str, PeerCertificates]) -> Iterator[Shared]:
    holders: dict[Hashable, str] = {}
    issued: dict[Hashable, list[str]] = {}
    for peer, certificates in parties.items():
        subject = certificates.subject and _either_end(certificates.subject)
        if subject:
            issued.setdefault(subject, []).append(peer)
        for anchor in certificates.anchors():
            key = anchor.x509.public_key().public_bytes(
                Encoding.DER, PublicFormat.SubjectPublicKeyInfo
            )
            if other := _taken(holders, (key, subject), peer):
                text = f"an anchor and the subject are those of {other} too; agree on another one"
                yield Shared(peer, "signature.subject", text)
                break
    for peer, certificates in parties.items():
        for one in certificates.pinned():
            other = _taken(holders, one.fingerprint, peer)
            for name in issued.get(_either_end(one.x509.subject), ()):
                if name != peer and parties[name].counts(one):
                    other = name
            if other:
                yield Shared(
                    peer,
                    "signature.peer",
                    f"the certificate {one.subject} ({one.fingerprint[:16]}…) counts as that of "
                    f"{other} too; remove it from one of them",
                )


class Apart:
    """The certificates of all parties of one handler, of which none may count for two."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._parties: dict[str, PeerCertificates] = {}
        self._looked, self._changed = now(), False
        self._single: set[str] = set()  # fingerprints that are known to count for one party

    def add(self, peer: str, certificates: PeerCertificates) -> None:
        """These are the certificates of ``peer``."""
        self._parties[peer] = certificates

    def changed(self) -> None:
        """Some of them were read again."""
        self._changed = True

    def require(self, certificate: Certificate) -> None:
        """``certificate`` counts for one party. Raises `NotAuthentic` where it does for more."""
        now = self._now()
        if abs(now - self._looked) >= LOOK_EVERY:
            # Also at those of whom nothing comes: somebody may have pinned this one for them.
            self._looked = now
            for certificates in self._parties.values():
                certificates.look()
        if self._changed:
            self._changed = False
            self._single.clear()
            for problem in _shared_certificates(self._parties):
                _log.error("%s; until then it counts for neither", problem)
        if certificate.fingerprint in self._single:
            return
        if sum(one.counts(certificate) for one in self._parties.values()) > 1:
            raise NotAuthentic("its certificate counts for two parties, so it does for none")
        self._single.add(certificate.fingerprint)


def _taken(holders: dict[Hashable, str], what: Hashable, peer: str) -> str | None:
    """Who else holds ``what``; if nobody, it is held by ``peer`` from now on."""
    holder = holders.setdefault(what, peer)
    return None if holder == peer else holder


def _either_end(name: x509.Name) -> Hashable:
    """The same for a name and its reverse, of which either may have been written down."""
    return frozenset((name, x509.Name(list(name.rdns)[::-1])))


def _identity(name: str) -> Hashable:
    """The same for the same key, wherever it lies; of one that cannot be read, its name."""
    try:
        return open_key_source(name).derive("comparison")
    except KeyUnusable:
        return name
