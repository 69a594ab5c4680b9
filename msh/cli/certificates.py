"""Every certificate that a configuration names, as people want to see it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from msh.config import Configuration
from msh.errors import KeyUnusable
from msh.protection import Signature
from msh.security.certificates import in_use
from msh.security.pem import (
    UNREADABLE,
    Certificate,
    read_authorities,
    read_certificates,
    read_credentials,
    unlooked,
)


@dataclass(frozen=True, slots=True)
class Known:
    """A certificate, whose it is and what for. ``signs``: it is the one of ours that signs now."""

    owner: str
    use: str
    fingerprint: str
    subject: str
    not_before: datetime
    not_after: datetime
    file: Path
    signs: bool = False

    def state(self, now: datetime, soon: timedelta) -> str:
        """Where its validity stands ``now``; ``soon`` is how near an end is pointed out."""
        if now > self.not_after:
            return "expired"
        if self.not_after - now <= soon:
            return "expires soon"
        return "not yet valid" if now < self.not_before else "valid"

    def days_left(self, now: datetime) -> int:
        """Whole days until its end; 0 from then on."""
        return max(0, (self.not_after - now) // timedelta(days=1))


def look(configuration: Configuration, now: datetime) -> tuple[list[Known], list[str]]:
    """The certificates, those that end first first, and what cannot be used or is missing."""
    found: list[Known] = []
    problems: list[str] = []

    def tell(problem: KeyUnusable) -> None:
        problems.append(str(problem))

    strict = configuration.production
    for folder in own_folders(configuration):
        credentials = read_credentials(folder, tell, production=strict)
        using = in_use(credentials, now)
        signing = using[0].certificate.fingerprint if using else ""
        if not using:
            problems.append(
                f"{folder}: no certificate of ours is valid now, so nothing can be signed; `msh "
                f"certs generate` makes one{unlooked(folder)}"
            )
        ours = [credential.certificate for credential in credentials]
        found += _known(configuration.own, "signing", folder, ours, signing)
    for peer, signature in _signatures(configuration):
        pinned = list(read_certificates(signature.peer, tell, production=strict).values())
        found += _known(peer, "pinned", signature.peer, pinned)
        if signature.anchors is not None:
            anchors = read_authorities(signature.anchors, tell, production=strict)
            found += _known(peer, "anchor", signature.anchors, anchors)
        elif not any(one.untimely(now) is None for one in pinned):
            problems.append(
                f"{signature.peer}: no certificate of {peer} is valid now, so nothing of it can be "
                f"believed; `msh certs import {peer} FILE` takes one{unlooked(signature.peer)}"
            )
    found += _of_tls(configuration)
    return sorted(found, key=lambda one: one.not_after), list(dict.fromkeys(problems))


def own_folders(configuration: Configuration) -> list[Path]:
    """Where our own credentials lie, each folder once."""
    return list(dict.fromkeys(signature.own for _, signature in _signatures(configuration)))


def files_by_fingerprint(place: Path) -> dict[str, Path]:
    """Which file under ``place``, a folder of PEM files or one of them, holds each certificate."""
    found: dict[str, Path] = {}
    for file in sorted(place.glob("*.pem")) if place.is_dir() else [place]:
        try:
            certificates = x509.load_pem_x509_certificates(file.read_bytes())
        except (OSError, *UNREADABLE):
            continue  # whoever reads it for its content says why
        found |= {one.fingerprint(SHA256()).hex(): file for one in certificates}
    return found


def _signatures(configuration: Configuration) -> list[tuple[str, Signature]]:
    return [
        (agreement.peer, agreement.protection)
        for agreement in configuration.agreements
        if isinstance(agreement.protection, Signature)
    ]


def _known(
    owner: str, use: str, place: Path, certificates: Iterable[Certificate], signing: str = ""
) -> list[Known]:
    files = files_by_fingerprint(place)
    return [
        Known(
            owner,
            use,
            one.fingerprint,
            one.subject,
            one.not_before,
            one.not_after,
            files.get(one.fingerprint, place),
            signs=one.fingerprint == signing,
        )
        for one in certificates
    ]


def _of_tls(configuration: Configuration) -> list[Known]:
    """Our own certificate for TLS; the configuration has been read, so that it is usable."""
    file = configuration.tls.certificate if configuration.tls else None
    if file is None:
        return []
    one = x509.load_pem_x509_certificates(file.read_bytes())[0]
    return [
        Known(
            configuration.own,
            "tls",
            one.fingerprint(SHA256()).hex(),
            one.subject.rfc4514_string(),
            one.not_valid_before_utc,
            one.not_valid_after_utc,
            file,
        )
    ]
