"""From where a party's messages may come: the address, and the TLS certificate by its name.

The agreement's `msh.protection.Source` decides. Where it names addresses, one of them must fit;
where it names certificates, one of them must be presented; what it leaves empty is not asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from msh.protection import PeerCertificate, Source

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
#: A distinguished name: its relative names, each a set of (type, value).
DistinguishedName = tuple[frozenset[tuple[str, str]], ...]

_MAPPED = IPv6Network("::ffff:0:0/96")  # RFC 4291, 2.5.5.2
# The names that programs write for types which RFC 4514 gives no name, by their numbers.
_TYPES = {
    "cn": "2.5.4.3",
    "sn": "2.5.4.4",
    "serialnumber": "2.5.4.5",
    "c": "2.5.4.6",
    "l": "2.5.4.7",
    "st": "2.5.4.8",
    "s": "2.5.4.8",
    "street": "2.5.4.9",
    "o": "2.5.4.10",
    "ou": "2.5.4.11",
    "title": "2.5.4.12",
    "businesscategory": "2.5.4.15",
    "postalcode": "2.5.4.17",
    "gn": "2.5.4.42",
    "organizationidentifier": "2.5.4.97",
    "emailaddress": "1.2.840.113549.1.9.1",
    "email": "1.2.840.113549.1.9.1",
    "e": "1.2.840.113549.1.9.1",
    "uid": "0.9.2342.19200300.100.1.1",
    "dc": "0.9.2342.19200300.100.1.25",
}
_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9-]*|[0-9]+(?:\.[0-9]+)+")
_SERIAL = re.compile(r"[0-9A-Fa-f]{1,2}(?::[0-9A-Fa-f]{2})*|[0-9A-Fa-f]+")
_PAIR = re.compile(r"\\([0-9A-Fa-f]{2})|\\(.)", re.DOTALL)
_SPACES = re.compile(r"[ \t]+")
_SURELY_DECIMAL = 20  # digits
_LONGEST_DECIMAL = 49
_LONGEST_SERIAL = 40  # hexadecimal digits


def admits(source: Source, address: str, certificate: PeerCertificate | None) -> bool:
    """Whether ``source`` lets in what comes from ``address``, an IP address as text.

    An address that cannot be read fits no list. Certificates are compared by serial number and
    issuer, however they are written (`serial_number`, `distinguished_name`).
    """
    if source.addresses and not contains(source.addresses, address):
        return False
    if not source.certificates:
        return True
    if certificate is None:
        return False
    presented = _named(certificate)
    if presented is None:
        return False
    serial, issuer = presented
    named = map(_named, source.certificates)
    return any(one and one[0] == serial and same_name(one[1], issuer) for one in named)


def anyone_admits(
    sources: Iterable[Source], address: str, certificate: PeerCertificate | None
) -> bool:
    """Whether at least one of ``sources`` lets it in: else nothing of it needs to be read."""
    return any(admits(source, address, certificate) for source in sources)


def anyone_expects(sources: Iterable[Source], address: str) -> bool:
    """Whether at least one of ``sources`` lets in something from ``address``, by whatever name."""
    return any(not source.addresses or contains(source.addresses, address) for source in sources)


def contains(networks: Iterable[Network], address: str) -> bool:
    """Whether ``address`` lies in one of ``networks``; an IPv4-mapped IPv6 address is IPv4."""
    found = read_address(address)
    return found is not None and any(found in _plain(network) for network in networks)


def neighbourhood(address: str) -> str:
    """What is counted as one place: the address, or of IPv6 its /64, which one host may use."""
    found = read_address(address)
    if isinstance(found, IPv6Address):
        return str(IPv6Network((found, 64), strict=False))
    return str(found) if found else address


@lru_cache(maxsize=1024)
def read_address(text: str) -> Address | None:
    """An IP address; None for anything else. An IPv4-mapped one comes back as IPv4."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


@lru_cache(maxsize=1024)
def _plain(network: Network) -> Network:
    """``network``, as IPv4 if it lies in the IPv4-mapped part of IPv6."""
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        mapped = int(network.network_address) & 0xFFFFFFFF
        return IPv4Network((mapped, network.prefixlen - 96))
    return network


def read_network(text: str) -> Network | None:
    """A network in CIDR notation, or one address; None for anything else.

    Bits behind the prefix must be zero, so that a slip is not taken for a wider network.
    """
    try:
        return _plain(ip_network(text.strip()))
    except ValueError:
        return None


def wider_network(text: str) -> Network | None:
    """The network around an address that was written with a prefix, if ``text`` is that."""
    try:
        return ip_network(text.strip(), strict=False)
    except ValueError:
        return None


@lru_cache(maxsize=1024)
def _named(certificate: PeerCertificate) -> tuple[str, DistinguishedName] | None:
    serial = serial_number(certificate.serial)
    issuer = distinguished_name(certificate.issuer)
    return (serial, issuer) if serial and issuer else None


def serial_number(text: str) -> str:
    """A certificate's serial number in upper-case hexadecimal without leading zeros.

    Colons between the bytes and a leading 0x are allowed; empty for anything that is no
    hexadecimal number.
    """
    text = text.strip()
    text = text[2:] if text[:2] in ("0x", "0X") else text
    if not _SERIAL.fullmatch(text):
        return ""
    return text.replace(":", "").upper().lstrip("0") or "0"


def misread_serial(text: str) -> str:
    """What is surely wrong with a serial number that somebody wrote down; empty if nothing is.

    A long one of decimal digits alone was printed in decimal: of 20 hexadecimal digits, all are
    decimal ones once in 12,000 numbers, and then 0x in front says that they are meant.
    """
    serial = serial_number(text)
    if not serial:
        return "a number in hexadecimal is wanted"
    if text.strip().isdigit() and _SURELY_DECIMAL <= len(serial) <= _LONGEST_DECIMAL:
        return f"is in decimal; write it in hexadecimal, {int(text):X}, or 0x in front if it is"
    if len(serial) > _LONGEST_SERIAL:
        return "is longer than the 20 bytes that a serial number may have (RFC 5280, 4.1.2.2)"
    return ""


def distinguished_name(text: str) -> DistinguishedName | None:
    """A name in the form of RFC 4514, to be compared; None if it has not that form.

    Spaces around names and values, and how many stand inside a value, do not count; nor does the
    case of attribute types, their being written as numbers, or which characters are escaped. The
    case of values does count.
    """
    relative: list[frozenset[tuple[str, str]]] = []
    for part in _split(text, ","):
        pairs: list[tuple[str, str]] = []
        for pair in _split(part, "+"):
            kind, equals, value = pair.partition("=")
            kind, shown = kind.strip(), _value(value)
            if not equals or not shown or not _TYPE.fullmatch(kind):
                return None
            pairs.append((_TYPES.get(kind.lower(), kind.lower()), shown))
        relative.append(frozenset(pairs))
    return tuple(relative)


def same_name(one: DistinguishedName, other: DistinguishedName) -> bool:
    """Whether two names are the same, from whichever end they are written.

    RFC 4514 begins with the most specific part, as in CN=CA,O=TWCA,C=TW; OpenSSL prints the other
    end first, and nobody who copies that means another name by it.
    """
    return one == other or one == other[::-1]


def unknown_types(name: DistinguishedName) -> list[str]:
    """The attribute types in ``name`` that are known neither by name nor by number."""
    return sorted({kind for part in name for kind, _ in part if not kind[0].isdigit()})


def _split(text: str, separator: str) -> list[str]:
    """``text`` at each ``separator`` that is not escaped."""
    parts, start, at = [], 0, 0
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] == separator:
            parts.append(text[start:at])
            start = at + 1
        at += 1
    return [*parts, text[start:]]


def _value(text: str) -> str:
    """A value without escapes (RFC 4514, 2.4) and superfluous space; empty if it is no value."""
    out, at = bytearray(), 0
    for escape in _PAIR.finditer(text):
        out += text[at : escape.start()].encode(errors="surrogateescape")
        digits, character = escape.groups()
        out += bytes.fromhex(digits) if digits else character.encode(errors="surrogateescape")
        at = escape.end()
    rest = text[at:]
    if rest.endswith("\\"):
        return ""
    out += rest.encode(errors="surrogateescape")
    return _SPACES.sub(" ", out.decode(errors="surrogateescape")).strip()
