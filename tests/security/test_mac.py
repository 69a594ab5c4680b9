"""MAC algorithms against published vectors; which keys they take; check values."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import constant_time
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from hypothesis import given, settings
from hypothesis import strategies as st

from msh.errors import KeyUnusable
from msh.protection import MacAlgorithm
from msh.security.mac import (
    KEY_BYTES,
    MAC_BYTES,
    KeyedMac,
    check_value,
    new_key,
    require_key,
)

HMAC, CMAC, RETAIL = MacAlgorithm.HMAC_SHA256, MacAlgorithm.AES_CMAC, MacAlgorithm.RETAIL_MAC

# RFC 4493, 4, and NIST SP 800-38B, D.1 and D.3
AES_128 = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
AES_256 = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
BLOCKS = bytes.fromhex(
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
    "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
)
# ISO 9797-1, B.4
DES_KEYS = bytes.fromhex("0123456789abcdeffedcba9876543210")


@pytest.mark.parametrize(
    ("key", "data", "mac"),
    [
        (
            b"\x0b" * 20,
            b"Hi There",
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
        (
            b"Jefe",
            b"what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            b"\xaa" * 20,
            b"\xdd" * 50,
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
        ),
        (
            bytes(range(1, 26)),
            b"\xcd" * 50,
            "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
        ),
        (
            b"\xaa" * 131,
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
        (
            b"\xaa" * 131,
            b"This is a test using a larger than block-size key and a larger than block-size "
            b"data. The key needs to be hashed before being used by the HMAC algorithm.",
            "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
        ),
    ],
)
def test_hmac_gives_what_rfc_4231_publishes(key: bytes, data: bytes, mac: str) -> None:
    # A key is filled up with zeros, or hashed if it is longer than a block (RFC 2104, 2), so each
    # published key is the same as one of the 32 bytes that are taken here.
    same = hashlib.sha256(key).digest() if len(key) > 64 else key.ljust(32, b"\0")
    assert KeyedMac(HMAC, same).compute(data).hex() == mac


def test_the_truncated_mac_of_rfc_4231_is_wrong() -> None:
    keyed = KeyedMac(HMAC, (b"\x0c" * 20).ljust(32, b"\0"))
    published = bytes.fromhex("a3b6167473100ee06e0c796c2955552b")
    assert keyed.compute(b"Test With Truncation")[:16] == published
    assert not keyed.verify(published, b"Test With Truncation")


@pytest.mark.parametrize(
    ("key", "length", "mac"),
    [
        (AES_128, 0, "bb1d6929e95937287fa37d129b756746"),
        (AES_128, 16, "070a16b46b4d4144f79bdd9dd04a287c"),
        (AES_128, 40, "dfa66747de9ae63030ca32611497c827"),
        (AES_128, 64, "51f0bebf7e3b9d92fc49741779363cfe"),
        (AES_256, 0, "028962f61b7bf89efc6b551f4667d983"),
        (AES_256, 16, "28a7023f452e8f82bd4bf28d8c37c35c"),
        (AES_256, 40, "aaf3d8f1de5640c232f5b169b9c911e6"),
        (AES_256, 64, "e1992190549f6ed5696a2c056c315410"),
    ],
)
def test_cmac_gives_what_rfc_4493_and_nist_publish(key: bytes, length: int, mac: str) -> None:
    assert KeyedMac(CMAC, key).compute(BLOCKS[:length]).hex() == mac


@pytest.mark.parametrize(
    ("key", "data", "mac"),
    [
        # ISO 9797-1, B.4: algorithm 3 with padding method 1
        (DES_KEYS, b"Now is the time for all ", "a1c72e74ea3fa9b6"),
        (DES_KEYS, b"Now is the time for it", "2e2b1428cc78254f"),
        # Bouncy Castle, ISO9797Alg3MacTest
        (
            bytes.fromhex("7ca110454a1a6e570131d9619dc1376e"),
            b"Hello World !!!!",
            "f09b856213bab83b",
        ),
    ],
)
def test_retail_mac_gives_what_is_published(key: bytes, data: bytes, mac: str) -> None:
    assert KeyedMac(RETAIL, key).compute(data).hex() == mac


@settings(deadline=None)
@given(st.binary(max_size=100))
def test_retail_mac_is_single_des_step_by_step_and_one_step_more(data: bytes) -> None:
    left, right = (Cipher(TripleDES(half * 3), ECB()) for half in (DES_KEYS[:8], DES_KEYS[8:]))
    chain = bytes(8)
    padded = data.ljust(max(-(-len(data) // 8) * 8, 8), b"\0")
    for start in range(0, len(padded), 8):
        block = bytes(a ^ b for a, b in zip(chain, padded[start : start + 8], strict=True))
        chain = left.encryptor().update(block)
    expected = left.encryptor().update(right.decryptor().update(chain))
    assert KeyedMac(RETAIL, DES_KEYS).compute(data) == expected


@pytest.mark.parametrize("algorithm", MacAlgorithm)
@settings(deadline=None)
@given(st.data())
def test_only_the_whole_mac_of_the_same_data_is_right(
    algorithm: MacAlgorithm, data: st.DataObject
) -> None:
    said = data.draw(st.binary(max_size=64))
    keyed = KeyedMac(algorithm, new_key(algorithm))
    mac = keyed.compute(said)
    assert len(mac) == MAC_BYTES[algorithm]
    assert keyed.verify(mac, said)
    assert keyed.verify(mac, said)  # what was prepared is not used up
    bit = data.draw(st.integers(0, len(mac) * 8 - 1))
    changed = (int.from_bytes(mac) ^ 1 << bit).to_bytes(len(mac))
    assert not keyed.verify(changed, said)
    assert not keyed.verify(mac, said + b"1")
    for length in range(len(mac)):
        assert not keyed.verify(mac[:length], said)
        assert not keyed.verify(mac[length + 1 :], said)
    assert not keyed.verify(mac + b"\0", said)


@pytest.mark.parametrize("algorithm", MacAlgorithm)
def test_macs_are_compared_in_constant_time(
    algorithm: MacAlgorithm, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = []
    real = constant_time.bytes_eq

    def watched(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return real(one, other)

    monkeypatch.setattr(constant_time, "bytes_eq", watched)
    keyed = KeyedMac(algorithm, new_key(algorithm))
    right = keyed.compute(b"x")
    assert not keyed.verify(bytes(len(right)), b"x")
    assert keyed.verify(right, b"x")
    assert compared == [(right, bytes(len(right))), (right, right)]


# keys


@pytest.mark.parametrize("algorithm", MacAlgorithm)
def test_a_new_key_is_one_that_is_taken_and_no_two_are_alike(algorithm: MacAlgorithm) -> None:
    keys = {new_key(algorithm) for _ in range(100)}
    assert len(keys) == 100
    for key in keys:
        require_key(algorithm, key)
        assert len(key) == KEY_BYTES[algorithm][-1]


@pytest.mark.parametrize("algorithm", MacAlgorithm)
@pytest.mark.parametrize("length", [0, 1, 8, 15, 16, 17, 24, 31, 32, 33, 64])
def test_a_key_of_another_length_is_refused(algorithm: MacAlgorithm, length: int) -> None:
    key = (DES_KEYS * 4)[:length]
    if length in KEY_BYTES[algorithm]:
        KeyedMac(algorithm, key)
        check_value(algorithm, key)
        return
    for use in (require_key, KeyedMac, check_value):
        with pytest.raises(KeyUnusable, match=rf"{algorithm} has .* bytes, this one {length}$"):
            use(algorithm, key)


@pytest.mark.parametrize("place", range(16))
def test_des_keys_have_odd_parity_in_each_byte(place: int) -> None:
    key = bytearray(DES_KEYS)
    key[place] ^= 1
    with pytest.raises(KeyUnusable, match="parity"):
        KeyedMac(RETAIL, bytes(key))


def test_the_halves_of_a_two_key_des_key_differ() -> None:
    with pytest.raises(KeyUnusable, match="halves"):
        KeyedMac(RETAIL, DES_KEYS[:8] * 2)


def test_no_error_shows_the_key() -> None:
    even = bytes.fromhex("00" * 16)
    for algorithm, key in [(RETAIL, DES_KEYS[:8] * 2), (RETAIL, even), (HMAC, AES_128)]:
        with pytest.raises(KeyUnusable) as caught:
            require_key(algorithm, key)
        assert key.hex() not in str(caught.value).lower()
        assert repr(key) not in repr(caught.value)


# check values


def test_the_check_value_of_an_aes_key_is_of_its_cmac_over_zeros() -> None:
    # CMAC over one whole block of zeros is the subkey K1, which RFC 4493 publishes, encrypted.
    subkey = bytes.fromhex("fbeed618357133667c85e08f7236a8de")
    encrypted = Cipher(AES(AES_128), ECB()).encryptor().update(subkey)
    assert check_value(CMAC, AES_128) == encrypted[:3].hex().upper()


def test_the_check_value_of_two_des_keys_is_the_one_everybody_knows() -> None:
    assert check_value(RETAIL, DES_KEYS) == "08D7B4"


def test_the_check_value_of_an_hmac_key_is_of_its_mac_over_zeros() -> None:
    key = bytes(range(32))
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in key.ljust(64, b"\0")) + bytes(16)).digest()
    outer = hashlib.sha256(bytes(b ^ 0x5C for b in key.ljust(64, b"\0")) + inner).hexdigest()
    assert check_value(HMAC, key) == outer[:6].upper()
