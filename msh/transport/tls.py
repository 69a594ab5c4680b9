"""TLS as configured: contexts for both sides, and what names a peer's certificate.

Both sides take TLS 1.2 and newer, with the cipher suites that Python allows, and check host names.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from msh.errors import ConfigurationError
from msh.protection import PeerCertificate, too_open


class ClientCertificates(StrEnum):
    """Whether a listener asks its peers for a TLS certificate."""

    NONE = "none"
    OPTIONAL = "optional"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class Tls:
    """Our certificate, and whose certificates we trust. All are PEM files.

    ``certificate`` holds ours, followed by what its issuer needs to be known by; ``key`` its
    private key, unencrypted (None: in the same file). The listener presents it, and so does the
    client where a peer asks. ``trust`` holds the certificates of authorities (or single ones)
    that peers are trusted by; without it, a client trusts what this machine trusts, and a
    listener cannot ask for certificates.
    """

    certificate: Path | None = None
    key: Path | None = None
    trust: Path | None = None
    client_certificates: ClientCertificates = ClientCertificates.NONE


def server_context(tls: Tls) -> ssl.SSLContext:
    """What a listener speaks TLS with. Raises `ConfigurationError` with every file at fault."""
    context = _context(ssl.PROTOCOL_TLS_SERVER)
    # A client must not make the server work for a handshake again and again.
    context.options |= ssl.OP_NO_RENEGOTIATION
    problems = []
    if tls.certificate is None:
        problems.append("tls.certificate: is missing; a listener needs one for https")
    problems += _load(context, tls)
    if tls.client_certificates is not ClientCertificates.NONE:
        required = tls.client_certificates is ClientCertificates.REQUIRED
        context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
        if tls.trust is None:
            problems.append("tls.trust: is missing; client certificates are checked against it")
    if problems:
        raise ConfigurationError("tls", problems)
    return context


def client_context(tls: Tls) -> ssl.SSLContext:
    """What a client speaks TLS with. Raises `ConfigurationError` with every file at fault."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    if tls.trust is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    problems = _load(context, tls)
    if problems:
        raise ConfigurationError("tls", problems)
    return context


def peer_certificate(der: bytes) -> PeerCertificate | None:
    """What names a certificate in DER: serial number in hexadecimal, issuer by RFC 4514.

    None for one that cannot be read, which then fits no agreement that wants one.
    """
    from cryptography import x509

    try:
        certificate = x509.load_der_x509_certificate(der)
        return PeerCertificate(
            f"{certificate.serial_number:X}", certificate.issuer.rfc4514_string()
        )
    except ValueError:
        return None


def _context(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # What stands in `trust` is trusted, also an intermediate authority or a single certificate.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_TRUSTED_FIRST
    return context


def _load(context: ssl.SSLContext, tls: Tls) -> list[str]:
    """Load what ``tls`` names; returns what is wrong with it."""
    problems = []
    if tls.certificate is not None:
        key = tls.key or tls.certificate
        readable = [_readable("tls.certificate", tls.certificate)]
        if tls.key is not None:
            readable.append(_readable("tls.key", tls.key))
        problems += [problem for problem in readable if problem]
        if not problems:
            name = "tls.key" if tls.key is not None else "tls.certificate"
            if reason := too_open(key, key.stat().st_mode):
                problems.append(f"{name}: {key}: {reason}")
            problems += _tried(
                # Without a password, OpenSSL would ask for one on the terminal.
                lambda: context.load_cert_chain(str(tls.certificate), str(key), lambda: ""),
                f"{name}: {tls.certificate} and {key} are not a certificate in PEM and its "
                "unencrypted private key",
            )
    elif tls.key is not None:
        problems.append("tls.key: is given without tls.certificate")
    if tls.trust is not None:
        unreadable = _readable("tls.trust", tls.trust)
        problems += (
            [unreadable]
            if unreadable
            else _tried(
                lambda: context.load_verify_locations(str(tls.trust)),
                f"tls.trust: {tls.trust} holds no certificates in PEM",
            )
        )
    return problems


def _readable(key: str, file: Path) -> str:
    """What keeps ``file`` from being read, if anything does."""
    try:
        with file.open("rb"):
            return ""
    except FileNotFoundError:
        return f"{key}: {file} does not exist"
    except OSError as error:
        return f"{key}: {file} cannot be read: {error.strerror}"


def _tried(load: Callable[[], object], problem: str) -> list[str]:
    try:
        load()
    except (ssl.SSLError, ValueError, OSError) as error:
        reason = getattr(error, "reason", None)
        return [f"{problem} ({reason.lower().replace('_', ' ')})" if reason else problem]
    return []
