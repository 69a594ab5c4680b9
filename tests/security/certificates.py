"""Keys and certificates for tests, made when they are first needed and never stored."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from msh.message import Message
from msh.profiles import standard_profile
from msh.protection import Signature
from msh.security.signature import Signed, open_signed

NOW = datetime(2026, 11, 21, 1, 2, 3, 456000, UTC)
DAY = timedelta(days=1)
PROFILE = standard_profile()
PROFILES = {PROFILE.namespace: PROFILE}
USUAL = Message(
    service="PS810FTRQ",
    message_id="BIZ-1",
    sender="BIZ",
    receiver="PSP",
    timestamp=NOW,
    body=b'<Pay xmlns="urn:x"><Amt>1</Amt></Pay>',
)

_KINDS: dict[str, Callable[[], Any]] = {
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "rsa-3072": lambda: rsa.generate_private_key(65537, 3072),
    "rsa-1024": lambda: rsa.generate_private_key(65537, 1024),
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}


@cache
def private_key(kind: str, number: int = 0) -> Any:
    """The private key of this kind and number."""
    return _KINDS[kind]()


class SetClock:
    """A time of day that a test sets."""

    def __init__(self, now: datetime = NOW) -> None:
        self.time = now

    def now(self) -> datetime:
        """The time it was set to."""
        return self.time


@dataclass(frozen=True)
class Identity:
    """A private key and a certificate for it."""

    key: Any
    certificate: x509.Certificate

    @property
    def der(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def certificate_pem(self) -> bytes:
        """The certificate in PEM."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def pem(self) -> bytes:
        """Private key and certificate in PEM."""
        key = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return bytes(key + self.certificate_pem)

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the certificate."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()


def identity(
    kind: str = "p256",
    number: int = 0,
    *,
    name: str = "BIZ",
    begins: datetime = NOW - DAY,
    ends: datetime = NOW + 300 * DAY,
    usage: str | None = "digital_signature",
    authority: bool = False,
    issuer: Identity | None = None,
) -> Identity:
    """A certificate for ``private_key(kind, number)``; self-signed without ``issuer``."""
    key = private_key(kind, number)
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "TW"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    signing = issuer.key if issuer else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins.replace(microsecond=0))
        .not_valid_after(ends.replace(microsecond=0))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), False
        )
    )
    if usage is not None:
        builder = builder.add_extension(_usage(usage), critical=True)
    algorithm = None if isinstance(signing, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return Identity(key, builder.sign(signing, algorithm))


def authority(name: str = "CA", number: int = 90) -> Identity:
    """A certificate authority."""
    return identity("p256", number, name=name, usage="key_cert_sign", authority=True)


def _usage(name: str) -> x509.KeyUsage:
    names = [
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    ]
    return x509.KeyUsage(**{one: one == name for one in names})


class Party:
    """One side of an agreement under signatures: its folders, and its `Signed`."""

    def __init__(self, folder: Path, clock: SetClock) -> None:
        self.own, self.peer, self.anchors = folder / "own", folder / "peer", folder / "anchors.pem"
        self.own.mkdir(parents=True)
        self.peer.mkdir()
        self._clock = clock

    def hold(self, *identities: Identity) -> None:
        """Have exactly these credentials."""
        _fill(self.own, {f"{one.fingerprint[:8]}.pem": one.pem for one in identities})

    def pin(self, *identities: Identity) -> None:
        """Pin exactly these certificates for the peer."""
        _fill(self.peer, {f"{one.fingerprint[:8]}.pem": one.certificate_pem for one in identities})

    def open(self, *, anchors: tuple[Identity, ...] = (), subject: str = "") -> Signed:
        """The protection, whose threads end with it (see the fixture ``opened``)."""
        if anchors:
            self.anchors.write_bytes(b"".join(one.certificate_pem for one in anchors))
        protection = Signature(self.own, self.peer, self.anchors if anchors else None, subject)
        return open_signed(protection, self._clock.now, own="BIZ", peer="PSP")


def _fill(folder: Path, files: dict[str, bytes]) -> None:
    for file in folder.iterdir():
        if file.name not in files:
            file.unlink()
    for name, content in files.items():
        descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
