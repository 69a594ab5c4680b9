"""Making a private key and the self-signed certificate that a peer can pin."""

from __future__ import annotations

from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from msh.errors import KeyUnusable
from msh.protection import TEST_ORGANISATION
from msh.security.pem import PrivateKey

_RSA_BITS = 2048
_LONGEST_NAME = 64  # RFC 5280, A.1: ub-common-name


def self_signed(
    name: str, begins: datetime, ends: datetime, *, ecdsa: bool = False, test: bool = False
) -> tuple[bytes, x509.Certificate]:
    """A new RSA-2048 (or P-256) key and its certificate for ``CN=name``: both as PEM, and the
    certificate.

    It is good for digital signatures alone (RFC 5280, 4.2.1.3). ``test`` marks it as one that
    production refuses. Raises `KeyUnusable` for a name that no certificate can hold.
    """
    if not 1 <= len(name) <= _LONGEST_NAME:
        raise KeyUnusable(f"the name of a certificate has 1 to {_LONGEST_NAME} characters")
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    if test:
        attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, TEST_ORGANISATION))
    subject = x509.Name(attributes)
    key = _new_private_key(ecdsa)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_SIGNING, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private + certificate.public_bytes(Encoding.PEM), certificate


def _new_private_key(ecdsa: bool) -> PrivateKey:
    if ecdsa:
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS)


_SIGNING = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)
