"""How an agreement says its messages are protected, and from where they may come.

These are values: what is done with them is in `msh.security`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

#: The organisation in the subject of certificates that are for tests only; production refuses them.
TEST_ORGANISATION = "msh test"


class ProtectionKind(StrEnum):
    """What ``protection`` of an agreement can be in `msh.toml`."""

    NONE = "none"
    SIGNATURE = "signature"
    MAC = "mac"


class MacAlgorithm(StrEnum):
    """The algorithm of a MAC, and of the working keys made for it."""

    HMAC_SHA256 = "hmac-sha-256"  # RFC 2104, FIPS 198-1
    AES_CMAC = "aes-cmac"  # RFC 4493, NIST SP 800-38B
    RETAIL_MAC = "retail-mac"  # ISO 9797-1 algorithm 3, ANSI X9.19: legacy


@dataclass(frozen=True, slots=True)
class Plain:
    """Messages go as they are: the network protects them by other means."""


PLAIN = Plain()


@dataclass(frozen=True, slots=True)
class Signature:
    """XML signatures (W3C XML-DSig) both ways.

    ``own`` is a folder of PEM files, each with a private key and its certificate; ``peer`` one
    with the certificates pinned for the peer. With ``anchors``, a PEM file of certificate
    authorities, a certificate they issued to ``subject`` (RFC 4514) is as good as a pinned one.
    The folders are read again when they change, so that a certificate can be replaced while
    messages flow.
    """

    own: Path
    peer: Path
    anchors: Path | None = None
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Mac:
    """Message authentication codes under working keys that the parties exchange.

    ``key_encryption`` names the key that wraps them: ``file:PATH`` or ``env:NAME``. A key that
    was replaced is retired once a message has verified under its successor and ``overlap`` has
    passed since, so that what was protected under it before can still arrive.
    """

    key_encryption: str
    algorithm: MacAlgorithm = MacAlgorithm.HMAC_SHA256
    overlap: timedelta = timedelta(minutes=15)


Protection = Plain | Signature | Mac


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """A TLS certificate by what names it: serial number (hexadecimal) and issuer (RFC 4514)."""

    serial: str
    issuer: str


@dataclass(frozen=True, slots=True)
class Source:
    """From where a party's messages may come. Empty means anywhere, or with any certificate."""

    addresses: tuple[IPv4Network | IPv6Network, ...] = ()
    certificates: tuple[PeerCertificate, ...] = ()


ANYWHERE = Source()
