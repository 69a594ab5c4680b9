"""Reading what `msh.toml` says of protection, sources, TLS and proxies."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from ipaddress import IPv4Network
from pathlib import Path

from msh.agreement import Agreement
from msh.errors import ConfigurationError, KeyUnusable
from msh.protection import (
    Mac,
    MacAlgorithm,
    PeerCertificate,
    Plain,
    Protection,
    ProtectionKind,
    Signature,
    Source,
    shown_key_name,
)
from msh.protocol.source import (
    Network,
    distinguished_name,
    misread_serial,
    read_network,
    unknown_types,
    wider_network,
)
from msh.toml import Place
from msh.transport.tls import ClientCertificates, Tls, client_context, server_context

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
# A private network is no larger: 10.0.0.0/8 (RFC 1918), fc00::/7 (RFC 4193).
_SHORTEST_IPV4, _SHORTEST_IPV6 = 8, 7
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
        protection = _signature(place.table(kind), folder, production)
    elif kind is ProtectionKind.MAC:
        protection = _mac(place.table(kind), folder)
    if production and kind is not None:
        _refuse_test_keys(place, protection)
    return protection


def _signature(place: Place, folder: Path, production: bool) -> Signature:
    anchors = place.text("anchors", default="")
    subject = place.text("subject", default="")
    found = Signature(
        own=_folder(place, "own", folder, "a folder with our private keys and certificates"),
        peer=_folder(place, "peer", folder, "a folder with the peer's certificates"),
        anchors=_file(place, "anchors", folder / anchors) if anchors else None,
        subject=subject,
        production=production,
    )
    if anchors and not subject:
        place.problem(
            "subject", "is missing: anchors issue to others too; write the peer's, as CN=…,O=…,C=…"
        )
    if subject and not anchors:
        place.problem("subject", "is given without anchors; what `peer` holds needs none")
    if subject:
        _require_name(place, "subject", subject, "CN=PSP,O=TDCC,C=TW")
    folders = found.own, found.peer
    wrong = place.problems_below("own") or place.problems_below("peer")
    if not wrong and folders[0].samefile(folders[1]):
        place.problem("peer", "is the folder `own` too: what we sign would count as the peer's")
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
        path = folder / name
        if not path.is_file():
            shown = shown_key_name(f"file:{path}").removeprefix("file:")
            place.problem("key_encryption", f"{shown} does not exist, or is no file")
        return f"file:{path}"
    if scheme == "env" and _VARIABLE.fullmatch(name):
        return text
    # What stands there may be the key itself, so it is not shown.
    place.problem("key_encryption", 'file:PATH or env:NAME is wanted, as in "file:keys/psp.key"')
    return text


# where a party's messages come from


def read_source(place: Place) -> Source:
    """``[agreements.X.source]``: addresses and certificates."""
    for key in ("addresses", "certificates"):
        if place.is_empty(key):
            place.problem(key, "is empty, which nobody could fit; leave it out where any may")
    addresses = read_networks(place, "addresses")
    certificates = []
    for number, table in enumerate(place.tables("certificates")):
        serial, issuer = table.text("serial"), table.text("issuer")
        if serial and (wrong := misread_serial(serial)):
            table.problem("serial", f"{serial!r}: {wrong}")
        if issuer:
            _require_name(table, "issuer", issuer, "CN=CA,O=TWCA,C=TW")
        table.finish()
        if not place.problems_below(f"certificates[{number}]"):
            certificates.append(PeerCertificate(serial, issuer))
    place.finish()
    return Source(addresses, tuple(certificates))


def _require_name(place: Place, key: str, text: str, example: str) -> None:
    """Note what keeps ``text`` from being any certificate's name."""
    name = distinguished_name(text)
    if name is None:
        place.problem(key, f"{text!r}: a name such as {example} is wanted")
    elif any(kind == "2.5.4.6" and len(value) != 2 for part in name for kind, value in part):
        place.problem(key, f"{text!r}: C is a country in two letters, such as TW")
    elif unknown := unknown_types(name):
        place.problem(
            key,
            f"{text!r}: nobody knows {', '.join(unknown)}; write such a type by its number, as in "
            "2.5.4.3=PSP",
        )


def read_networks(place: Place, key: str) -> tuple[Network, ...]:
    """A list of networks, each in CIDR notation or a single address."""
    found = []
    for text in place.texts(key, example="192.0.2.0/24"):
        network = read_network(text)
        if network is None:
            wider = wider_network(text)
            meant = (
                f"{text.strip()!r} names a host; its network is {wider}" if wider else repr(text)
            )
            place.problem(
                key, f"{meant}: an address or a network is wanted, as 192.0.2.7 or 192.0.2.0/24"
            )
        else:
            found.append(network)
    return tuple(found)


def read_proxies(place: Place) -> tuple[Network, ...]:
    """``listen.proxies``: whoever is in them may say where any message comes from."""
    found = read_networks(place, "proxies")
    for network in found:
        least = _SHORTEST_IPV4 if isinstance(network, IPv4Network) else _SHORTEST_IPV6
        if network.prefixlen < least:
            place.problem(
                "proxies",
                f"{str(network)!r}: nearly anybody would be believed to be a proxy; name the "
                f"proxies alone, or their network (a prefix of {least} bits at least)",
            )
    return found


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
                name = shown_key_name(protection.key_encryption)
                place.problem(
                    "mac.key_encryption", f"{name} is a test key, which production = true refuses"
                )


def refuse_test_tls(place: Place, tls: Tls) -> None:
    """Note which files of ``[tls]`` are for tests only."""
    for key, file in (("certificate", tls.certificate), ("trust", tls.trust)):
        if file is not None:
            _refuse_test_certificates(place, key, file)


def _refuse_test_certificates(place: Place, key: str, file: Path) -> None:
    if any(_made_for_tests(file)):
        place.problem(key, f"{file} is a test certificate, which production = true refuses")


def _made_for_tests(file: Path) -> Iterator[bool]:
    """Whether it is for tests only, of each certificate in a PEM file."""
    from cryptography import x509

    from msh.security.pem import made_for_tests

    for pem in _CERTIFICATE.findall(_content(file)):
        try:
            yield made_for_tests(x509.load_pem_x509_certificate(pem))
        except ValueError:
            continue  # whoever uses the file reports it


def _is_test_key(name: str) -> bool:
    from msh.security.keysource import open_key_source

    try:
        return open_key_source(name).test
    except KeyUnusable:
        return False  # whoever uses it reports it; without it nothing runs


# what is each agreement's own


def refuse_shared(place: Place, agreements: Iterable[Agreement]) -> None:
    """Note what two of ``agreements`` share, by which one party could act as another.

    ``place`` is the table of all of them.
    """
    protections = {a.peer: a.protection for a in agreements if a.protected}
    if len(protections) > 1:
        from msh.security.apart import shared

        for problem in shared(protections, lambda: datetime.now(UTC)):
            place.problem(f"{problem.peer}.{problem.key}", problem.text)


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
