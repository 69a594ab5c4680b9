"""Message authentication codes, the keys they need, and the check values that name those keys.

| algorithm | definition | key, bytes | MAC, bytes |
|---|---|---|---|
| HMAC-SHA-256 | RFC 2104, FIPS 198-1 | 32 | 32 |
| AES-CMAC | RFC 4493, NIST SP 800-38B | 16 or 32 | 16 |
| Retail MAC | ISO 9797-1 MAC algorithm 3, padding method 1 (ANSI X9.19) | 16, two DES keys | 8 |

A MAC is used whole: a truncated one is wrong. Padding method 1 does not tell zero bytes at the end
of the data from padding, so what is given to a Retail MAC must hold its own length (as
`msh.security.maced.bound` does).
"""

from __future__ import annotations

import os
from collections.abc import Callable

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import constant_time
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, ECB
from cryptography.hazmat.primitives.cmac import CMAC
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from msh.errors import KeyUnusable
from msh.protection import MacAlgorithm

#: How many bytes a key may have. Keys that are made here have the last of these lengths.
KEY_BYTES: dict[MacAlgorithm, tuple[int, ...]] = {
    MacAlgorithm.HMAC_SHA256: (32,),
    MacAlgorithm.AES_CMAC: (16, 32),
    MacAlgorithm.RETAIL_MAC: (16,),
}

#: How many bytes a MAC has.
MAC_BYTES: dict[MacAlgorithm, int] = {
    MacAlgorithm.HMAC_SHA256: 32,
    MacAlgorithm.AES_CMAC: 16,
    MacAlgorithm.RETAIL_MAC: 8,
}

_DES_BLOCK = 8
_NO_IV = bytes(_DES_BLOCK)  # ISO 9797-1, 6.3: the chain begins with zeros
_CHECKED = bytes(16)  # what check values of HMAC and CMAC are made over


class KeyedMac:
    """One algorithm under one key, prepared once and used for many messages.

    Raises `KeyUnusable` for a key that the algorithm does not take.
    """

    __slots__ = ("_compute",)

    def __init__(self, algorithm: MacAlgorithm, secret: bytes) -> None:
        require_key(algorithm, secret)
        self._compute = _PREPARED[algorithm](secret)

    def compute(self, data: bytes) -> bytes:
        """The whole MAC over ``data``, `MAC_BYTES` long."""
        return self._compute(data)

    def verify(self, mac: bytes, data: bytes) -> bool:
        """Whether ``mac`` is the whole MAC over ``data``, in a time that does not tell why not."""
        return constant_time.bytes_eq(self._compute(data), mac)


def new_key(algorithm: MacAlgorithm) -> bytes:
    """A random key for ``algorithm``, from the system's source of randomness."""
    while True:
        secret = os.urandom(KEY_BYTES[algorithm][-1])
        if algorithm is not MacAlgorithm.RETAIL_MAC:
            return secret
        secret = bytes(byte if _is_odd(byte) else byte ^ 1 for byte in secret)
        if secret[:_DES_BLOCK] != secret[_DES_BLOCK:]:
            return secret


def require_key(algorithm: MacAlgorithm, secret: bytes) -> None:
    """Raises `KeyUnusable` unless ``secret`` is a key for ``algorithm``; never shows it.

    DES keys need odd parity in each byte (FIPS 46-3) and two different halves: with equal ones,
    the Retail MAC is no more than single DES.
    """
    lengths = KEY_BYTES[algorithm]
    if len(secret) not in lengths:
        wanted = " or ".join(str(length) for length in lengths)
        raise KeyUnusable(f"a key for {algorithm} has {wanted} bytes, this one {len(secret)}")
    if algorithm is MacAlgorithm.RETAIL_MAC:
        if not all(map(_is_odd, secret)):
            raise KeyUnusable(f"a key for {algorithm} has odd parity in each byte, this one not")
        if secret[:_DES_BLOCK] == secret[_DES_BLOCK:]:
            raise KeyUnusable(f"a key for {algorithm} has two different halves, this one not")


def check_value(algorithm: MacAlgorithm, secret: bytes) -> str:
    """The key check value, six hexadecimal digits: shows which key it is without telling it.

    The first three bytes of: AES, the CMAC over 16 zero bytes; two-key TDES, 8 zero bytes
    encrypted (ANSI X9.24-1); HMAC, for which no standard says, the HMAC over 16 zero bytes. None
    of them can be part of a MAC of a message. Raises `KeyUnusable`.
    """
    require_key(algorithm, secret)
    if algorithm is MacAlgorithm.AES_CMAC:
        return aes_check_value(secret)
    if algorithm is MacAlgorithm.RETAIL_MAC:
        shown = _two_key_des(secret).encryptor().update(bytes(_DES_BLOCK))
    else:
        shown = _hmac(secret)(_CHECKED)
    return shown[:3].hex().upper()


def aes_check_value(key: bytes) -> str:
    """The key check value of any AES key, whatever it is for; see `check_value`."""
    return _cmac(key)(_CHECKED)[:3].hex().upper()


def _hmac(secret: bytes) -> Callable[[bytes], bytes]:
    prepared = HMAC(secret, SHA256())

    def compute(data: bytes) -> bytes:
        context = prepared.copy()  # the key schedule is the dearer half for a short message
        context.update(data)
        return context.finalize()

    return compute


def _cmac(secret: bytes) -> Callable[[bytes], bytes]:
    prepared = CMAC(AES(secret))

    def compute(data: bytes) -> bytes:
        context = prepared.copy()
        context.update(data)
        return context.finalize()

    return compute


def _retail(secret: bytes) -> Callable[[bytes], bytes]:
    # TDES with one key three times is single DES, which `cryptography` does not have.
    chaining = Cipher(TripleDES(secret[:_DES_BLOCK] * 3), CBC(_NO_IV))
    last = _two_key_des(secret)

    def compute(data: bytes) -> bytes:
        padded = data + bytes(-len(data) % _DES_BLOCK) or bytes(_DES_BLOCK)
        chain = chaining.encryptor().update(padded[:-_DES_BLOCK])[-_DES_BLOCK:] or _NO_IV
        block = bytes(a ^ b for a, b in zip(chain, padded[-_DES_BLOCK:], strict=True))
        # The last step of the chain and output transformation 3 together: E(K1), D(K2), E(K1).
        return last.encryptor().update(block)

    return compute


def _two_key_des(secret: bytes) -> Cipher[ECB]:
    return Cipher(TripleDES(secret + secret[:_DES_BLOCK]), ECB())


def _is_odd(byte: int) -> bool:
    return byte.bit_count() % 2 == 1


_PREPARED: dict[MacAlgorithm, Callable[[bytes], Callable[[bytes], bytes]]] = {
    MacAlgorithm.HMAC_SHA256: _hmac,
    MacAlgorithm.AES_CMAC: _cmac,
    MacAlgorithm.RETAIL_MAC: _retail,
}
