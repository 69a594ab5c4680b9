"""What ``msh init`` writes for protection: test keys, and the tables that name them.

Two folders work together once each has what it needs of the other: for MACs the same
key-encryption key, for signatures the other's certificate. So the second one is made beside the
first (``--peer``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from msh.protection import Mac, Protection, ProtectionKind, Signature, shown_key_name

if TYPE_CHECKING:
    from msh.config import Configuration

# Of a test certificate, in days.
_VALID = 365


@dataclass
class Made:
    """Files and folders of protection: ``own`` in the new folder, ``theirs`` in the peers'."""

    own: dict[str, bytes] = field(default_factory=dict)
    theirs: dict[Path, bytes] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)


def read_peers(folders: Sequence[Path], own: str, peers: Sequence[str]) -> dict[str, Configuration]:
    """The configurations of the peers' folders, by party. Raises `UsageError`."""
    from msh.config import read_configuration
    from msh.errors import UsageError

    found = {}
    for folder in folders:
        configuration = read_configuration(folder / "msh.toml")
        party = configuration.own
        if party not in peers or configuration.agreements.get(own) is None:
            raise UsageError(
                f"--peer {folder}: is the folder of {party}, which has no agreement with {own}"
            )
        if configuration.production:
            raise UsageError(f"--peer {folder}: is for production, and test keys are not")
        found[party] = configuration
    return found


def chosen_kind(
    asked: ProtectionKind | None, own: str, peers: dict[str, Configuration]
) -> ProtectionKind:
    """What was asked for, else what the peers' folders say. Raises `UsageError` if they differ."""
    from msh.errors import UsageError

    said = {
        party: _kind_of(configuration.agreements[own].protection)
        for party, configuration in peers.items()
    }
    kind = asked or next(iter(said.values()), ProtectionKind.NONE)
    for party, theirs in said.items():
        if theirs is not kind:
            raise UsageError(
                f"the folder of {party} says protection {theirs} with {own}, not {kind}: both "
                f"sides must say the same; give --protection {theirs}, or make that folder anew"
            )
    return kind


def make(
    kind: ProtectionKind, own: str, peers: Sequence[str], there: dict[str, Configuration]
) -> Made:
    """Test keys and certificates for the agreements of ``own``. Raises `UsageError`."""
    match kind:
        case ProtectionKind.SIGNATURE:
            return _certificates(own, peers, there)
        case ProtectionKind.MAC:
            return _keys(own, peers, there)
    return Made()


def table(kind: ProtectionKind, peer: str) -> str:
    """The lines of an agreement's table, from ``protection`` to its own table."""
    match kind:
        case ProtectionKind.SIGNATURE:
            return f"""\

# XML signatures. The keys are for tests: `production = true` refuses them.
[agreements.{peer}.signature]
own = "keys/own"                     # PEM files, each our private key and its certificate
peer = "keys/{peer}"{" " * (28 - len(peer))} # PEM files, the certificates of {peer}
"""
        case ProtectionKind.MAC:
            key = f'"file:keys/{peer}.key"'
            return f"""\

# MACs under working keys. The key is for tests: `production = true` refuses it.
[agreements.{peer}.mac]
key_encryption = {key:<25}  # wraps the working keys that are exchanged
algorithm = "hmac-sha-256"
overlap = 900                        # seconds for which a replaced key is still taken
"""
    return ""


def _kind_of(protection: Protection) -> ProtectionKind:
    if isinstance(protection, Signature):
        return ProtectionKind.SIGNATURE
    return ProtectionKind.MAC if isinstance(protection, Mac) else ProtectionKind.NONE


def _keys(own: str, peers: Sequence[str], there: dict[str, Configuration]) -> Made:
    from msh.security.key_encryption import key_file_text, new_key_encryption_key

    made = Made(folders=["keys"])
    for peer in peers:
        if peer in there:
            content = _shared_key(own, there[peer])
        else:
            content = key_file_text(new_key_encryption_key(256), test=True).encode()
        made.own[f"keys/{peer}.key"] = content
    return made


def _shared_key(own: str, configuration: Configuration) -> bytes:
    """The peer's key-encryption key: no other than one for tests is copied about."""
    from msh.errors import KeyUnusable, UsageError
    from msh.security.keysource import open_key_source

    protection = configuration.agreements[own].protection
    assert isinstance(protection, Mac)
    name = protection.key_encryption
    try:
        test = open_key_source(name).test
    except KeyUnusable as error:
        raise UsageError(str(error)) from None
    scheme, _, path = name.partition(":")
    if not test or scheme != "file":
        raise UsageError(
            f"{shown_key_name(name)} is not a file with a test key, and only those are copied; "
            "name the same key in both folders by hand, as key_encryption"
        )
    return Path(path).read_bytes()


def _certificates(own: str, peers: Sequence[str], there: dict[str, Configuration]) -> Made:
    from cryptography.hazmat.primitives.serialization import Encoding

    from msh.security.issuing import self_signed
    from msh.security.pem import read_credentials

    # A little earlier than now: clocks differ.
    begins = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
    pem, certificate = self_signed(own, begins, begins + timedelta(days=_VALID), test=True)
    made = Made(own={f"keys/own/{own}.pem": pem}, folders=["keys", "keys/own"])
    for peer in peers:
        made.folders.append(f"keys/{peer}")
        if peer not in there:
            continue
        protection = there[peer].agreements[own].protection
        assert isinstance(protection, Signature)
        made.theirs[protection.peer / f"{own}.pem"] = certificate.public_bytes(Encoding.PEM)
        for credential in read_credentials(protection.own):
            theirs = credential.certificate
            name = f"keys/{peer}/{theirs.fingerprint[:16]}.pem"
            made.own[name] = theirs.x509.public_bytes(Encoding.PEM)
    return made
