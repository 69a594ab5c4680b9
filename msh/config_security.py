"""Reading what `msh.toml` says of protection, sources, TLS and proxies."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from msh.errors import ConfigurationError, KeyUnusable
from msh.protection import (
    TEST_ORGANISATION,
    Mac,
    MacAlgorithm,
    PeerCertificate,
    Plain,
    Protection,
    ProtectionKind,
    Signature,
    Source,
)
from msh.protocol.source import Network, distinguished_name, read_network, serial_number
from msh.toml import Place
from msh.transport.tls import ClientCertificates, Tls, client_context, server_context

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_LARGEST = 10_000_000  # bytes of a PEM file that is looked into


# protection


def read_protection(place: Place, folder: Path, *, production: bool) -> Protection:
    """How an agreement's messages are protected: ``protection`` and the table of that name.

    ``place`` is the agreement's table. In ``production``, what is for tests is a mistake.
    """
    kind = place.choice("protection", ProtectionKind)
    for other in (ProtectionKind.SIGNATURE, ProtectionKind.MAC):
        # A table that protects nothing would be mistaken for one that does.
        if other != kind and not place.table(other, optional=True).missing and kind:
            place.problem(other, f'is given, but protection is "{kind}"')
    protection: Protection = Plain()
    if kind is ProtectionKind.SIGNATURE:
        protection = _signature(place.table(kind), folder)
    elif kind is ProtectionKind.MAC:
        protection = _mac(place.table(kind), folder)
    if production and kind is not None:
        _refuse_test_keys(place, protection)
    return protection


def _signature(place: Place, folder: Path) -> Signature:
    anchors = place.text("anchors", default="")
    subject = place.text("subject", default="")
    found = Signature(
        own=_folder(place, "own", folder, "a folder with our private keys and certificates"),
        peer=_folder(place, "peer", folder, "a folder with the peer's certificates"),
        anchors=_file(place, "anchors", folder / anchors) if anchors else None,
        subject=subject,
    )
    if anchors and not subject:
        place.problem(
            "subject", "is missing: anchors issue to others too; write the peer's, as CN=…,O=…,C=…"
        )
    if subject and not anchors:
        place.problem("subject", "is given without anchors; what `peer` holds needs none")
    if subject and distinguished_name(subject) is None:
        place.problem("subject", f"{subject!r}: a name such as CN=PSP,O=TDCC,C=TW is wanted")
    place.finish()
    return found


def _mac(place: Place, folder: Path) -> Mac:
    usual = Mac("")
    found = Mac(
        key_encryption=_key_encryption(place, folder),
        algorithm=place.choice("algorithm", MacAlgorithm, default=usual.algorithm),
        overlap=place.seconds("overlap", usual.overlap, least=0, most=30 * 86400),
    )
    place.finish()
    return found


def _key_encryption(place: Place, folder: Path) -> str:
    text = place.text("key_encryption")
    if place.missing or not text:
        return text
    scheme, _, name = text.partition(":")
    if scheme == "file" and name:
        return f"file:{_file(place, 'key_encryption', folder / name)}"
    if scheme == "env" and _VARIABLE.fullmatch(name):
        return text
    # What stands there may be the key itself, so it is not shown.
    place.problem("key_encryption", 'file:PATH or env:NAME is wanted, as in "file:keys/psp.key"')
    return text


# where a party's messages come from


def read_source(place: Place) -> Source:
    """``[agreements.X.source]``: addresses and certificates."""
    addresses = read_networks(place, "addresses")
    certificates = []
    for number, table in enumerate(place.tables("certificates")):
        serial, issuer = table.text("serial"), table.text("issuer")
        if serial and not serial_number(serial):
            table.problem("serial", f"{serial!r}: a number in hexadecimal is wanted")
        if issuer and distinguished_name(issuer) is None:
            table.problem("issuer", f"{issuer!r}: a name such as CN=CA,O=TWCA,C=TW is wanted")
        table.finish()
        if not place.problems_below(f"certificates[{number}]"):
            certificates.append(PeerCertificate(serial, issuer))
    place.finish()
    return Source(addresses, tuple(certificates))


def read_networks(place: Place, key: str) -> tuple[Network, ...]:
    """A list of networks, each in CIDR notation or a single address."""
    found = []
    for text in place.texts(key):
        network = read_network(text)
        if network is None:
            place.problem(
                key,
                f"{text!r}: an address or a network is wanted, such as 192.0.2.7 or 192.0.2.0/24"
                " (the bits behind the prefix are zero)",
            )
        else:
            found.append(network)
    return tuple(found)


# TLS


def read_tls(place: Place, folder: Path, *, listens: bool) -> Tls | None:
    """``[tls]``; its files are tried, for a listener too where there is one."""
    if place.missing:
        return None
    names = {key: place.text(key, default="") for key in ("certificate", "key", "trust")}
    asked = place.choice("client_certificates", ClientCertificates, default=ClientCertificates.NONE)
    certificate, key, trust = (folder / name if name else None for name in names.values())
    tls = Tls(certificate, key, trust, asked)
    place.finish()
    found: list[str] = []
    for context in (client_context, server_context):
        if context is server_context and not (listens or asked is not ClientCertificates.NONE):
            continue
        try:
            context(tls)
        except ConfigurationError as error:
            found += error.problems
    for problem in dict.fromkeys(found):
        name, _, text = problem.removeprefix("tls.").partition(": ")
        place.problem(name, text)
    return tls


# what a configuration that is for production does not take


def _refuse_test_keys(place: Place, protection: Protection) -> None:
    match protection:
        case Plain():
            place.problem("protection", '"none" is not taken where production = true')
        case Signature():
            for key, path in (("own", protection.own), ("peer", protection.peer)):
                for file in sorted(path.iterdir()) if path.is_dir() else []:
                    _refuse_test_certificates(place, f"signature.{key}", file)
            if protection.anchors is not None:
                _refuse_test_certificates(place, "signature.anchors", protection.anchors)
        case Mac():
            if _is_test_key(protection.key_encryption):
                name = protection.key_encryption
                place.problem(
                    "mac.key_encryption", f"{name} is a test key, which production = true refuses"
                )


def refuse_test_tls(place: Place, tls: Tls) -> None:
    """Note which files of ``[tls]`` are for tests only."""
    for key, file in (("certificate", tls.certificate), ("trust", tls.trust)):
        if file is not None:
            _refuse_test_certificates(place, key, file)


def _refuse_test_certificates(place: Place, key: str, file: Path) -> None:
    if any(TEST_ORGANISATION in organisations for organisations in _organisations(file)):
        place.problem(key, f"{file} is a test certificate, which production = true refuses")


def _organisations(file: Path) -> Iterator[list[str | bytes]]:
    """The organisations in the subject of each certificate in a PEM file."""
    from cryptography import x509

    for pem in _CERTIFICATE.findall(_content(file)):
        try:
            subject = x509.load_pem_x509_certificate(pem).subject
        except ValueError:
            continue  # whoever uses the file reports it
        names = subject.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)
        yield [name.value for name in names]


def _is_test_key(name: str) -> bool:
    from msh.security.keysource import open_key_source

    try:
        return open_key_source(name).test
    except KeyUnusable:
        return False  # whoever uses it reports it; without it nothing runs


def _content(file: Path) -> bytes:
    """At most the first bytes of a file; nothing of one that cannot be read."""
    try:
        if not file.is_file():
            return b""
        with file.open("rb") as opened:
            return opened.read(_LARGEST)
    except OSError:
        return b""  # whoever uses the file reports it


# files


def _folder(place: Place, key: str, beside: Path, what: str) -> Path:
    name = place.text(key)
    path = beside / name
    if name and not path.is_dir():
        place.problem(key, f"{path} is not there; {what} is wanted")
    return path


def _file(place: Place, key: str, path: Path) -> Path:
    if not path.is_file():
        place.problem(key, f"{path} does not exist, or is no file")
    return path
