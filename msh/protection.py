"""How an agreement says its messages are protected, and from where they may come.

These are values: what is done with them is in `msh.security`.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

#: The organisation in the subject of certificates that are for tests only; production refuses them.
TEST_ORGANISATION = "msh test"


def too_open(file: Path | str, mode: int) -> str:
    """Why a file of this mode may not hold a private or key-encryption key; empty if it may.

    One rule for them all: nobody but the file's owner. Modes say nothing on Windows.
    """
    if os.name != "posix" or not mode & 0o077:
        return ""
    return (
        f"other users may use this file (mode {stat.S_IMODE(mode):04o}); allow only its owner: "
        f"chmod 600 {file}"
    )


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
    messages flow. In ``production``, certificates made for tests never count.
    """

    own: Path
    peer: Path
    anchors: Path | None = None
    subject: str = ""
    production: bool = False


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

# 16, 24 or 32 bytes in hexadecimal or base64, as the whole of a name or the end of a path. Without
# padding, base64 is not told from a name unless it has letters of both cases.
_LIKE_A_KEY = re.compile(
    r"(?:^|[/\\:])\s*(?:[0-9A-Fa-f]{32}|[0-9A-Fa-f]{48}|[0-9A-Fa-f]{64}"
    r"|[0-9A-Za-z+/_-]{22}==|[0-9A-Za-z+/_-]{43}="
    r"|(?=[^/\\]*[a-z])(?=[^/\\]*[A-Z])(?:[0-9A-Za-z+/]{22}|[0-9A-Za-z+/]{32}|[0-9A-Za-z+/]{43}))\s*$"
)


def shown_key_name(name: str) -> str:
    """``name`` of a key-encryption key as people may see it.

    It is not quoted where it may be the key itself, written in the wrong place.
    """
    if not _LIKE_A_KEY.search(name):
        return name
    scheme = name.partition(":")[0]
    return f"{scheme}:… (not shown, since it looks like a key; write where the key lies)"


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
