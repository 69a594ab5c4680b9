"""What keeps a certificate from being an anchor: one whose word on other certificates counts.

The rules are those by which chains are checked (RFC 5280, 4.2.1 and 6.1). They are asked when an
anchor is read, so that whoever put it there is told, instead of every certificate under it.
"""

from __future__ import annotations

from typing import Final

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

#: Critical extensions that a chain's check knows (RFC 5280, 4.2).
_KNOWN: Final = (
    x509.BasicConstraints,
    x509.KeyUsage,
    x509.ExtendedKeyUsage,
    x509.NameConstraints,
    x509.SubjectAlternativeName,
)
_CLIENTS: Final = {
    ExtendedKeyUsageOID.CLIENT_AUTH,
    ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
}


def cannot_issue(certificate: x509.Certificate) -> str | None:
    """Why nothing that ``certificate`` issued can be believed; None if it can.

    Raises what `msh.security.pem.UNREADABLE` lists.
    """
    found = {type(one.value): one for one in certificate.extensions}
    constraints = found.get(x509.BasicConstraints)
    if constraints is None or not constraints.value.ca:
        return "is not that of an authority (basicConstraints must say CA:TRUE)"
    if not constraints.critical:
        return "has basicConstraints that are not marked critical"
    usage = found.get(x509.KeyUsage)
    if usage is None or not usage.value.key_cert_sign:
        return "may not issue certificates (keyUsage must have keyCertSign)"
    extended = found.get(x509.ExtendedKeyUsage)
    if extended is not None and not _CLIENTS & set(extended.value):
        return "may not issue certificates of clients (extendedKeyUsage has no clientAuth)"
    if any(one.critical and not isinstance(one.value, _KNOWN) for one in found.values()):
        return "has a critical extension that is not known here"
    return None
