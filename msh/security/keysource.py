"""Key-encryption keys: what wraps working keys on the way and in the store.

`KeySource` is the contract, which a hardware module could fill too; `open_key_source` opens what
``key_encryption`` of an agreement names. Such a key is one line of hexadecimal digits, 16, 24 or
32 bytes, and any number of comment lines that begin with ``#``; the line ``# msh test key`` marks
a key that production refuses.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from msh.errors import KeyUnusable
from msh.protection import shown_key_name, too_open
from msh.security.mac import aes_check_value

#: The line that marks a key made for trying things out.
TEST_MARK = "# msh test key"

_KEY_BYTES = (16, 24, 32)
_DERIVED_BYTES = 32
_LARGEST_FILE = 4096
_HEXADECIMAL = re.compile(r"[0-9A-Fa-f]+")


class KeySource(Protocol):
    """A key-encryption key, wherever it lies."""

    @property
    def test(self) -> bool:
        """Whether the key is marked as one for tests; production refuses it."""
        ...

    @property
    def check_value(self) -> str:
        """What shows which key it is: six hexadecimal digits, to be compared with the peer's."""
        ...

    def wrap(self, secret: bytes) -> bytes:
        """``secret`` (a multiple of 8 bytes, 16 at least) wrapped: 8 bytes more (RFC 3394)."""
        ...

    def unwrap(self, wrapped: bytes) -> bytes:
        """What was wrapped. Raises `KeyUnusable` if it was not under this key, or was changed."""
        ...

    def derive(self, purpose: str) -> bytes:
        """32 bytes that only holders of this key can know, others for each ``purpose``."""
        ...


class HeldKeySource:
    """A key-encryption key held in memory; ``name`` tells people where it came from.

    Wraps by RFC 3394 (AES-KW), derives by RFC 5869 (HKDF-SHA-256). Raises `KeyUnusable` for a key
    of another length than 16, 24 or 32 bytes, and for one that is a single byte repeated: a file
    that was cleared, or an example.
    """

    __slots__ = ("_key", "name", "test")

    def __init__(self, name: str, key: bytes, *, test: bool = False) -> None:
        if len(key) not in _KEY_BYTES:
            raise KeyUnusable(
                f"{name}: a key-encryption key has 16, 24 or 32 bytes, this one {len(key)}"
            )
        if len(set(key)) == 1:
            raise KeyUnusable(f"{name}: is one byte repeated, which is no key; make a random one")
        self.name = name
        self.test = test
        self._key = key

    def __repr__(self) -> str:
        return f"HeldKeySource({self.name!r}, test={self.test})"

    def __reduce__(self) -> str:
        raise TypeError("a key-encryption key is not copied or pickled")

    @property
    def check_value(self) -> str:
        """See `KeySource.check_value`."""
        return aes_check_value(self._key)

    def wrap(self, secret: bytes) -> bytes:
        """See `KeySource.wrap`."""
        if len(secret) < 16 or len(secret) % 8:
            raise KeyUnusable(
                f"a key of {len(secret)} bytes cannot be wrapped; RFC 3394 takes multiples of 8, "
                "16 at least"
            )
        return aes_key_wrap(self._key, secret)

    def unwrap(self, wrapped: bytes) -> bytes:
        """See `KeySource.unwrap`."""
        try:
            return aes_key_unwrap(self._key, wrapped)
        except InvalidUnwrap:
            raise KeyUnusable(
                f"a working key does not unwrap under {self.name}: it was wrapped under another "
                "key-encryption key, or changed since. Compare that key with the peer's, or "
                "restore the one it was wrapped under, or exchange a new working key"
            ) from None

    def derive(self, purpose: str) -> bytes:
        """See `KeySource.derive`."""
        # The key is random already, so no salt is needed (RFC 5869, 3.1).
        kdf = HKDF(SHA256(), length=_DERIVED_BYTES, salt=None, info=f"msh {purpose}".encode())
        return kdf.derive(self._key)


def open_key_source(name: str, environment: Mapping[str, str] | None = None) -> HeldKeySource:
    """The key that ``name`` names: ``file:PATH``, or ``env:NAME`` for an environment variable.

    Raises `KeyUnusable`, saying what to do; the key is never shown.
    """
    scheme, _, place = name.partition(":")
    shown = shown_key_name(name)
    if scheme == "file" and place:
        return _read(shown, _file(shown, Path(place)))
    if scheme == "env" and place:
        text = (os.environ if environment is None else environment).get(place)
        if text is None:
            raise KeyUnusable(f"{shown}: there is no such environment variable; set it to the key")
        return _read(shown, text)
    # What stands there may be the key itself, written in the wrong place.
    raise KeyUnusable("a key-encryption key is named file:PATH or env:NAME, not given as it is")


def _file(name: str, path: Path) -> str:
    try:
        # A pipe would wait for a writer; O_NONBLOCK does nothing to an ordinary file.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or "no path of a file"
        raise KeyUnusable(
            f"{name}: cannot be read ({why}); put the key there, readable by this user alone"
        ) from None
    try:
        status = os.fstat(descriptor)  # of the very file that is read
        if not stat.S_ISREG(status.st_mode):
            raise KeyUnusable(f"{name}: is no ordinary file; put the key into one")
        if reason := too_open(name.partition(":")[2], status.st_mode):
            raise KeyUnusable(f"{name}: {reason}")
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(_LARGEST_FILE + 1)
    finally:
        os.close(descriptor)
    if len(content) > _LARGEST_FILE:
        raise KeyUnusable(f"{name}: larger than {_LARGEST_FILE} bytes, which is no key")
    return content.decode("utf-8", errors="replace")


def _read(name: str, text: str) -> HeldKeySource:
    lines = [line.strip() for line in text.splitlines()]
    keys = [line for line in lines if line and not line.startswith("#")]
    if len(keys) != 1 or not _HEXADECIMAL.fullmatch(keys[0]) or len(keys[0]) % 2:
        raise KeyUnusable(
            f"{name}: must hold one line of 32, 48 or 64 hexadecimal digits, besides lines that "
            "begin with #"
        )
    return HeldKeySource(name, bytes.fromhex(keys[0]), test=TEST_MARK in lines)
