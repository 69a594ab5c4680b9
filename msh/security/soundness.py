"""Whether the files that agreements name can be used: asked once, before anything runs.

While it runs, a file that goes wrong counts for nothing and harms no other (`msh.security.pem`).
But who starts a process has just been at work on it, so every mistake is told then, at once.
"""

from __future__ import annotations

from collections.abc import Mapping

from msh.errors import KeyUnusable
from msh.protection import Mac, Protection, Signature
from msh.security.keysource import open_key_source
from msh.security.pem import read_authorities, read_certificates, read_credentials


def unsound(protections: Mapping[str, Protection]) -> list[str]:
    """What is wrong with the keys and certificates of agreements, each with its key path.

    ``protections`` is by party.
    """
    found: list[str] = []
    for peer, protection in protections.items():
        match protection:
            case Signature():
                found += _of_signature(f"agreements.{peer}.signature", protection)
            case Mac():
                try:
                    open_key_source(protection.key_encryption)
                except KeyUnusable as problem:
                    found.append(f"agreements.{peer}.mac.key_encryption: {problem}")
    return found


def _of_signature(path: str, protection: Signature) -> list[str]:
    found: list[str] = []
    strict = protection.production

    def tell(key: str, problem: KeyUnusable) -> None:
        found.append(f"{path}.{key}: {problem}")

    read_credentials(protection.own, lambda problem: tell("own", problem), production=strict)
    read_certificates(protection.peer, lambda problem: tell("peer", problem), production=strict)
    if protection.anchors is not None:
        read_authorities(
            protection.anchors, lambda problem: tell("anchors", problem), production=strict
        )
    return found
