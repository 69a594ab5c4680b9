"""Which certificates count: our own credentials, the peer's, and when they end.

A certificate is not believed because a message carries it: it must equal one pinned for the peer,
or be issued by an anchor to the subject agreed. All moments are aware datetimes in UTC.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import verification

from msh.errors import CannotProtect, KeyUnusable, NotAuthentic
from msh.protection import Signature
from msh.protocol.source import distinguished_name
from msh.security.pem import (
    UNREADABLE,
    Certificate,
    Credential,
    Tell,
    Watched,
    read_authorities,
    read_certificates,
    read_credentials,
    unlooked,
    unusable,
)

#: How long before its end a certificate is warned of.
AHEAD: Final = (timedelta(days=30), timedelta(days=7), timedelta(days=1))
#: How many of our own certificates may be in use at once: one, and its successor.
IN_USE: Final = 2
_WIDEST: Final = (x509.NameOID.COUNTRY_NAME, x509.NameOID.DOMAIN_COMPONENT)
_REMEMBERED: Final = 64  # anchored certificates whose chain need not be built again

_log = logging.getLogger("msh.security")


@dataclass(frozen=True, slots=True)
class Listed:
    """A certificate as people see it. ``fingerprint``: SHA-256, hexadecimal."""

    owner: str
    fingerprint: str
    subject: str
    not_before: datetime
    not_after: datetime


class OwnCredentials:
    """The folder of our own credentials: one private key and its certificate in each PEM file."""

    def __init__(
        self, folder: Path, now: Callable[[], datetime], *, production: bool = False
    ) -> None:
        self._now = now
        self._read = Watched(folder, partial(read_credentials, production=production), now)

    def usable(self) -> list[Credential]:
        """Those in use now, at most `IN_USE`; the one whose validity began last comes first."""
        return in_use(self._read.get(), self._now())

    def signing(self) -> Credential:
        """The one that signs now. Raises `CannotProtect` where none is valid."""
        usable = self.usable()
        if not usable:
            raise CannotProtect(
                f"no certificate of ours is valid now; put a valid one and its private key into "
                f"{self._read.path} (one PEM file){unlooked(self._read.path)}"
            )
        return usable[0]

    def listed(self, owner: str) -> list[Listed]:
        """All of them, for people."""
        return [_listed(owner, credential.certificate) for credential in self._read.get()]


class PeerCertificates:
    """Whose signatures count as the peer's: the pinned certificates, and those of anchors.

    ``changed`` is called each time that some were read again. ``subject`` is what certificates of
    anchors are issued to, if there are anchors.
    """

    def __init__(
        self,
        protection: Signature,
        now: Callable[[], datetime],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        if protection.anchors is not None and not protection.subject:
            raise KeyUnusable("anchors need the subject that the peer's certificates must carry")
        self._now = now
        self.subject = _name(protection.subject) if protection.subject else None
        pinned = partial(read_certificates, production=protection.production)
        self._pinned = Watched(protection.peer, pinned, now, changed)
        self._anchors: Watched[Anchors] | None = None
        if protection.anchors is not None:
            anchors = partial(Anchors, production=protection.production)
            self._anchors = Watched(protection.anchors, anchors, now, changed)

    def trusted(self, der: bytes) -> Certificate:
        """The certificate of these bytes, if it is the peer's and valid now.

        Raises `NotAuthentic`.
        """
        certificate = self._found(der, hashlib.sha256(der).hexdigest())
        if reason := certificate.untimely(self._now()):
            raise NotAuthentic(reason)
        return certificate

    def counts(self, certificate: Certificate) -> bool:
        """Whether ``certificate`` is the peer's, be it valid now or not."""
        try:
            der = certificate.x509.public_bytes(Encoding.DER)
            return bool(self._found(der, certificate.fingerprint))
        except NotAuthentic:
            return False

    def _found(self, der: bytes, fingerprint: str) -> Certificate:
        certificate = self._pinned.get().get(fingerprint)
        if certificate is None and self._anchors is not None and self.subject is not None:
            certificate = self._anchors.get().issued(der, fingerprint, self.subject, self._now())
        if certificate is None:
            raise NotAuthentic("it is signed with a certificate that is not the peer's")
        return certificate

    def pinned(self) -> Iterable[Certificate]:
        """The pinned ones."""
        return self._pinned.get().values()

    def anchors(self) -> Iterable[Certificate]:
        """The authorities that may issue others."""
        return () if self._anchors is None else self._anchors.get().certificates

    def look(self) -> None:
        """Read again what has changed."""
        self.pinned()
        self.anchors()

    def listed(self, owner: str) -> list[Listed]:
        """The pinned ones and the anchors, for people."""
        listed = [_listed(owner, certificate) for certificate in self.pinned()]
        return listed + [_listed(f"{owner} (anchor)", anchor) for anchor in self.anchors()]


class Anchors:
    """The certificate authorities in a PEM file, whose word on the peer's certificates counts."""

    def __init__(self, file: Path, tell: Tell, *, production: bool = False) -> None:
        self.certificates = read_authorities(file, tell, production=production)
        self._issued: dict[str, Certificate] = {}

    def issued(
        self, der: bytes, fingerprint: str, subject: x509.Name, now: datetime
    ) -> Certificate:
        """The certificate of these bytes, valid for as long as the whole chain to an anchor is.

        Raises `NotAuthentic` where an anchor did not issue it, or not for ``subject``.
        """
        known = self._issued.get(fingerprint)
        if known is not None:
            return known
        if not self.certificates:
            raise NotAuthentic("no anchor can be read here, and its certificate is not pinned")
        try:
            certificate = self._examined(der, fingerprint, subject, now)
        except verification.VerificationError:
            raise NotAuthentic("its certificate has no valid chain to an anchor") from None
        except UNREADABLE:
            raise NotAuthentic("its certificate cannot be read") from None
        if len(self._issued) >= _REMEMBERED:
            self._issued.clear()
        self._issued[fingerprint] = certificate
        return certificate

    def _examined(
        self, der: bytes, fingerprint: str, subject: x509.Name, now: datetime
    ) -> Certificate:
        leaf = x509.load_der_x509_certificate(der)
        reason = unusable(leaf) or _not_of(leaf, subject)
        if reason:
            raise NotAuthentic(f"its certificate {reason}")
        chain = self._chain(leaf, now)
        return Certificate(
            leaf,
            fingerprint,
            leaf.subject.rfc4514_string(),
            max(one.not_valid_before_utc for one in chain),
            min(one.not_valid_after_utc for one in chain),
        )

    def _chain(self, leaf: x509.Certificate, now: datetime) -> list[x509.Certificate]:
        store = verification.Store([anchor.x509 for anchor in self.certificates])
        policy = (
            verification.PolicyBuilder()
            .store(store)
            .time(now)
            .extension_policies(
                # What the leaf may be used for, `unusable` and `_not_of` have looked at.
                ee_policy=verification.ExtensionPolicy.permit_all(),
                ca_policy=verification.ExtensionPolicy.webpki_defaults_ca(),
            )
        )
        return list(policy.build_client_verifier().verify(leaf, []).chain)


def in_use(credentials: Iterable[Credential], now: datetime) -> list[Credential]:
    """Those of ours that are in use, at most `IN_USE`: the first one signs."""
    valid = [c for c in credentials if c.certificate.untimely(now) is None]
    valid.sort(key=lambda c: (c.certificate.not_before, c.certificate.fingerprint))
    return valid[: -IN_USE - 1 : -1]


def ends_within(not_after: datetime, now: datetime) -> timedelta | None:
    """The shortest of `AHEAD` within which a certificate ends; zero if it has; None: not soon."""
    if now > not_after:
        return timedelta(0)
    return min((ahead for ahead in AHEAD if not_after - now <= ahead), default=None)


class ExpiryWarnings:
    """Logs one line for each certificate and each of `AHEAD`, and one at its end."""

    def __init__(self) -> None:
        self._given: set[tuple[str, timedelta]] = set()

    def give(self, listed: Iterable[Listed], now: datetime) -> None:
        """Warn of those of ``listed`` that end soon and were not warned of yet."""
        for one in listed:
            within = ends_within(one.not_after, now)
            if within is None or (one.fingerprint, within) in self._given:
                continue
            self._given.add((one.fingerprint, within))
            told = (one.owner, one.fingerprint[:16], f"{one.not_after:%Y-%m-%d %H:%M:%S}Z")
            if within:
                days = f"within {within.days} day{'s' if within.days > 1 else ''}"
                _log.warning("certificate of %s (%s…) ends %s, at %s", *told[:2], days, told[2])
            else:
                _log.error("certificate of %s (%s…) has ended, at %s", *told)


class ExpiryWatch:
    """Warns of the end of the first certificate in a PEM file, which is read once."""

    def __init__(self, file: Path, owner: str) -> None:
        self._one: Listed | None = None
        self._warnings = ExpiryWarnings()
        try:
            one = x509.load_pem_x509_certificates(file.read_bytes())[0]
        except (OSError, *UNREADABLE):
            return  # whoever uses the file reports it
        self._one = Listed(
            owner,
            one.fingerprint(SHA256()).hex(),
            one.subject.rfc4514_string(),
            one.not_valid_before_utc,
            one.not_valid_after_utc,
        )

    def look(self, now: datetime) -> datetime:
        """Warn if it ends soon, or has; returns when it does."""
        if self._one is None:
            return datetime.max.replace(tzinfo=UTC)
        self._warnings.give([self._one], now)
        return self._one.not_after


def _listed(owner: str, one: Certificate) -> Listed:
    return Listed(owner, one.fingerprint, one.subject, one.not_before, one.not_after)


def _not_of(leaf: x509.Certificate, subject: x509.Name) -> str | None:
    if leaf.subject not in (subject, x509.Name(list(subject.rdns)[::-1])):
        return "has another subject than the one agreed"
    try:
        constraints = leaf.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return None
    return "is that of an authority" if constraints.ca else None


def _name(text: str) -> x509.Name:
    """The name that somebody wrote, from whichever end (see `msh.protocol.source.same_name`)."""
    found = distinguished_name(text) or ()
    try:
        parts = [
            x509.RelativeDistinguishedName(
                [x509.NameAttribute(x509.ObjectIdentifier(kind), value) for kind, value in part]
            )
            for part in found
        ]
    except ValueError:
        parts = []
    if not parts:
        raise KeyUnusable(
            f"subject {text!r} is not a name as in RFC 4514, such as CN=bank,O=Bank,C=TW"
        )
    # In certificates the country or domain comes first, in RFC 4514 last.
    first_is_widest = any(one.oid in _WIDEST for one in parts[0])
    return x509.Name(parts if first_is_widest else parts[::-1])
