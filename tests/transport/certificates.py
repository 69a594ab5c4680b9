"""Keys and certificates for tests of TLS, made anew each time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from msh.protection import PeerCertificate

HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Identity:
    """A key and its certificate; ``certificate`` and ``key`` are their PEM files."""

    certificate: Path
    key: Path
    x509: x509.Certificate
    secret: ec.EllipticCurvePrivateKey

    @property
    def named(self) -> PeerCertificate:
        """What names the certificate."""
        return PeerCertificate(f"{self.x509.serial_number:X}", self.x509.issuer.rfc4514_string())


def distinguished(name: str, organisation: str) -> x509.Name:
    """A name whose organisation is not ASCII unless it is given."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "TW"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )


def identity(
    folder: Path,
    name: str,
    issuer: Identity | None = None,
    *,
    authority: bool = False,
    begins: timedelta = -HOUR,
    ends: timedelta = HOUR,
    organisation: str = "款項, 收付",
) -> Identity:
    """A new `Identity` for ``localhost``, issued by itself or by ``issuer``; times from now."""
    secret = ec.generate_private_key(ec.SECP256R1())
    subject = distinguished(name, organisation)
    now = datetime.now(UTC)
    public = secret.public_key()
    authority_key = issuer.secret.public_key() if issuer else public
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.x509.subject if issuer else subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key), critical=False
        )
        .sign(issuer.secret if issuer else secret, hashes.SHA256())
    )
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        secret.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return Identity(certificate, key, made, secret)
