"""Making key-encryption keys: at random, or from the components that people hold.

A component is as long as the key and tells nothing of it alone: the key is all of them XORed, so
that nobody who brings one has seen it whole.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from msh.errors import KeyUnusable
from msh.security.keysource import TEST_MARK
from msh.security.mac import aes_check_value

#: How long a key may be, in bits (AES).
BITS = (128, 192, 256)


def new_key_encryption_key(bits: int) -> bytes:
    """A random key of so many `BITS`, from the system's source of randomness."""
    if bits not in BITS:
        raise KeyUnusable(f"a key-encryption key has 128, 192 or 256 bits, not {bits}")
    return os.urandom(bits // 8)


def read_component(text: str) -> bytes:
    """The key or component that ``text`` holds: 32, 48 or 64 hexadecimal digits, spaces between.

    Raises `KeyUnusable`, which never quotes it.
    """
    digits = "".join(text.split())
    try:
        component = bytes.fromhex(digits)
    except ValueError:
        raise KeyUnusable("it holds something else than hexadecimal digits") from None
    if len(component) * 8 not in BITS:
        raise KeyUnusable(f"32, 48 or 64 hexadecimal digits are wanted, not {len(digits)}")
    return component


def combine(components: Sequence[bytes]) -> bytes:
    """The key of two or three components: their XOR. Raises `KeyUnusable`."""
    if not 2 <= len(components) <= 3:
        raise KeyUnusable(f"a key has 2 or 3 components, not {len(components)}")
    if len({len(component) for component in components}) != 1:
        raise KeyUnusable("the components are not equally long")
    if len(set(components)) != len(components) or any(not any(one) for one in components):
        # XORed, they would cancel out, or leave the key to one person.
        raise KeyUnusable("two components are the same, or one is all zeros")
    key = bytes(len(components[0]))
    for component in components:
        key = bytes(a ^ b for a, b in zip(key, component, strict=True))
    if len(set(key)) == 1:
        raise KeyUnusable("the components cancel out, or make one byte repeated, which is no key")
    return key


def key_file_text(key: bytes, *, test: bool = False) -> str:
    """What a file holds that `msh.security.keysource.open_key_source` reads."""
    mark = f"{TEST_MARK}\n" if test else ""
    return (
        f"# A key-encryption key of msh, check value {aes_check_value(key)}.\n"
        f"{mark}{key.hex().upper()}\n"
    )
