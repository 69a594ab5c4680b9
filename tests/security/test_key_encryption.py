"""Key-encryption keys made of components, and the value that shows which key it is."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from hypothesis import given
from hypothesis import strategies as st

from msh.errors import KeyUnusable
from msh.security.key_encryption import (
    combine,
    key_file_text,
    new_key_encryption_key,
    read_component,
)
from msh.security.keysource import open_key_source
from msh.security.mac import aes_check_value

# RFC 4493, 4: the key of its examples, and the subkey K1 that it derives.
RFC_4493 = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
K1 = bytes.fromhex("fbeed618357133667c85e08f7236a8de")


def test_the_check_value_is_the_cmac_over_a_block_of_zeros() -> None:
    # Of one whole block, the CMAC is that block XOR K1, encrypted; the block here is zeros.
    encrypted = Cipher(AES(RFC_4493), ECB()).encryptor().update(K1)
    assert aes_check_value(RFC_4493) == encrypted[:3].hex().upper()


@given(
    st.sampled_from([16, 24, 32]).flatmap(
        lambda n: st.tuples(*[st.binary(min_size=n, max_size=n)] * 3)
    )
)
def test_two_and_three_components_are_xored_in_any_order(parts: tuple[bytes, bytes, bytes]) -> None:
    a, b, c = parts
    key = bytes(x ^ y ^ z for x, y, z in zip(a, b, c, strict=True))
    if len({a, b, c}) < 3 or not all(map(any, (a, b, c, key))):
        with pytest.raises(KeyUnusable):
            combine(parts)
        return
    assert combine(parts) == combine((c, a, b)) == key


@pytest.mark.parametrize("bits", [128, 192, 256])
@pytest.mark.parametrize("test", [False, True])
def test_what_is_written_is_what_is_read(bits: int, test: bool) -> None:
    key = new_key_encryption_key(bits)
    source = open_key_source("env:K", {"K": key_file_text(key, test=test)})
    assert source.test is test
    assert read_component(key.hex()) == key
    other = open_key_source("env:K", {"K": key.hex()})
    assert other.unwrap(source.wrap(bytes(16))) == bytes(16)


@pytest.mark.parametrize("bits", [0, 64, 129, 512])
def test_other_lengths_are_none(bits: int) -> None:
    with pytest.raises(KeyUnusable):
        new_key_encryption_key(bits)
