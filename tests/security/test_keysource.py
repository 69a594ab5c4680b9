"""Key-encryption keys: the published wraps, and what files and variables may hold."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import hmac
import os
import pickle
import traceback
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msh.errors import KeyUnusable
from msh.protection import MacAlgorithm
from msh.security.keysource import HeldKeySource, KeySource, open_key_source
from msh.security.mac import new_key

COUNTED = bytes(range(32))
DATA = bytes.fromhex("00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F")


@pytest.mark.parametrize(
    ("key", "data", "wrapped"),
    [
        (16, 16, "1FA68B0A8112B447AEF34BD8FB5A7B829D3E862371D2CFE5"),  # RFC 3394, 4.1
        (24, 16, "96778B25AE6CA435F92B5B97C050AED2468AB8A17AD84E5D"),  # 4.2
        (32, 16, "64E8C3F9CE0F5BA263E9777905818A2A93C8191E7D6E8AE7"),  # 4.3
        (24, 24, "031D33264E15D33268F24EC260743EDCE1C6C7DDEE725A936BA814915C6762D2"),  # 4.4
        (32, 24, "A8F9BC1612C68B3FF6E6F4FBE30E71E4769C8B80A32CB8958CD5D17D6B254DA1"),  # 4.5
        (
            32,
            32,
            "28C9F404C4B810F4CBCCB35CFB87F8263F5786E2D80ED326CBC7F0E71A99F43BFB988B9B7A02DD21",
        ),  # 4.6
    ],
)
def test_wrapping_gives_what_rfc_3394_publishes(key: int, data: int, wrapped: str) -> None:
    source = HeldKeySource("test", COUNTED[:key])
    assert source.wrap(DATA[:data]).hex().upper() == wrapped
    assert source.unwrap(bytes.fromhex(wrapped)) == DATA[:data]


@pytest.mark.parametrize("algorithm", MacAlgorithm)
@settings(deadline=None)
@given(bit=st.integers(min_value=0))
def test_what_was_changed_or_wrapped_by_others_does_not_unwrap(
    algorithm: MacAlgorithm, bit: int
) -> None:
    source, secret = HeldKeySource("test", COUNTED), new_key(algorithm)
    wrapped = source.wrap(secret)
    assert source.unwrap(wrapped) == secret
    changed = (int.from_bytes(wrapped) ^ 1 << bit % (len(wrapped) * 8)).to_bytes(len(wrapped))
    for wrong in (changed, wrapped[:-8], wrapped[:-1], wrapped + bytes(8), b""):
        with pytest.raises(KeyUnusable, match=r"does not unwrap under test: .* exchange a new"):
            source.unwrap(wrong)
    with pytest.raises(KeyUnusable):
        HeldKeySource("other", COUNTED[::-1]).unwrap(wrapped)


@pytest.mark.parametrize("length", [0, 8, 15, 17, 33])
def test_only_whole_blocks_are_wrapped(length: int) -> None:
    with pytest.raises(KeyUnusable, match=f"{length} bytes cannot be wrapped"):
        HeldKeySource("test", COUNTED).wrap(bytes(length))


def test_derived_keys_are_hkdf_and_others_for_each_purpose_and_key() -> None:
    source = HeldKeySource("test", COUNTED)
    # RFC 5869 by hand: extract with a salt of zeros, then the one block that 32 bytes take.
    extracted = hmac.digest(bytes(32), COUNTED, hashlib.sha256)
    assert source.derive("key exchange") == hmac.digest(
        extracted, b"msh key exchange\x01", hashlib.sha256
    )
    other = HeldKeySource("test", COUNTED[:16])
    derived = {s.derive(p) for s in (source, other) for p in ("key exchange", "a", "")}
    assert len(derived) == 6
    assert {len(secret) for secret in derived} == {32}


# where keys lie


def written(path: Path, content: str | bytes, mode: int = 0o600) -> str:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    return f"file:{path}"


@pytest.mark.parametrize("length", [16, 24, 32])
@pytest.mark.parametrize("form", ["{}", "{}\n", "\n# kek of BANK-1\r\n\r\n  {}  \r\n#\n"])
def test_a_file_holds_one_key_and_comments(tmp_path: Path, length: int, form: str) -> None:
    key = COUNTED[:length]
    for digits in (key.hex(), key.hex().upper()):
        source: KeySource = open_key_source(written(tmp_path / "kek", form.format(digits)))
        assert source.wrap(DATA) == HeldKeySource("", key).wrap(DATA)
        assert not source.test


def test_a_key_made_for_tests_is_marked() -> None:
    for lines, test in [
        ("# msh test key\n", True),
        ("# made by msh init\r\n  # msh test key \r\n", True),
        ("# msh test keys are others\n", False),
        ("# this is no # msh test key\n", False),
        ("# MSH TEST KEY\n", False),
    ]:
        assert open_key_source("env:KEK", {"KEK": lines + COUNTED.hex()}).test is test


def test_the_environment_is_the_one_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MSH_TEST_KEK", COUNTED.hex())
    source = open_key_source("env:MSH_TEST_KEK")
    assert source.derive("x") == HeldKeySource("", COUNTED).derive("x")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "\n# only a comment\n",
        COUNTED.hex()[:-1],
        COUNTED.hex() + "\n" + COUNTED.hex(),
        COUNTED.hex() + " # the key",
        COUNTED.hex()[:32] + " " + COUNTED.hex()[32:],
        "g" * 64,
        "\uff11" * 64,  # full-width digits
        "-----BEGIN PRIVATE KEY-----",
    ],
)
def test_anything_else_is_no_key(tmp_path: Path, content: str) -> None:
    for name in (written(tmp_path / "kek", content), "env:KEK"):
        with pytest.raises(KeyUnusable, match=r"kek|KEK") as caught:
            open_key_source(name, {"KEK": content})
        said = "".join(traceback.format_exception(caught.value))
        assert "hexadecimal digits" in str(caught.value)
        assert not any(line.strip() and line in said for line in content.splitlines())


@pytest.mark.parametrize("length", [1, 8, 15, 17, 33, 64])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(KeyUnusable, match=f"16, 24 or 32 bytes, this one {length}$"):
        open_key_source("env:KEK", {"KEK": "ab" * length})


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o660, 0o601, 0o666])
def test_a_file_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    name = written(tmp_path / "kek", COUNTED.hex(), mode)
    with pytest.raises(KeyUnusable, match=rf"mode {mode:04o}.*chmod 600 .*kek$"):
        open_key_source(name)


@pytest.mark.parametrize("mode", [0o400, 0o600])
def test_a_file_of_its_owner_alone_is_read_also_through_a_link(tmp_path: Path, mode: int) -> None:
    written(tmp_path / "kek", COUNTED.hex(), mode)
    (tmp_path / "link").symlink_to(tmp_path / "kek")
    source = open_key_source(f"file:{tmp_path / 'link'}")
    assert source.derive("x") == HeldKeySource("", COUNTED).derive("x")


def test_what_is_not_there_or_no_file_is_said_so(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name, said in [
        (f"file:{tmp_path / 'missing'}", "cannot be read .No such file"),
        (f"file:{tmp_path}", "no ordinary file"),
        (f"file:{tmp_path / 'pipe'}", "no ordinary file"),
        ("file:a\0b", "cannot be read .no path"),
        (written(tmp_path / "long", "#" * 5000), "larger than 4096"),
        (written(tmp_path / "binary", b"\xff\xfe\0" + bytes(32)), "hexadecimal"),
        ("env:MISSING", "no such environment variable"),
    ]:
        with pytest.raises(KeyUnusable, match=said):
            open_key_source(name, {})


def test_no_file_stays_open(tmp_path: Path) -> None:
    names = [f"file:{tmp_path}", written(tmp_path / "open", COUNTED.hex(), 0o644)]
    names.append(written(tmp_path / "good", COUNTED.hex()))
    free = os.dup(0)
    os.close(free)
    for name in names:
        with contextlib.suppress(KeyUnusable):
            open_key_source(name)
    after = os.dup(0)
    os.close(after)
    assert after == free


@pytest.mark.parametrize("form", ["{}", "file:", "env:", "hex:{}", "pkcs11:{}", ""])
def test_a_key_in_place_of_its_name_is_not_shown(form: str) -> None:
    with pytest.raises(KeyUnusable, match="file:PATH or env:NAME") as caught:
        open_key_source(form.format(COUNTED.hex()), {})
    assert COUNTED.hex() not in "".join(traceback.format_exception(caught.value))


def test_the_key_is_never_shown_copied_or_pickled() -> None:
    source = open_key_source("env:KEK", {"KEK": COUNTED.hex()})
    assert repr(source) == str(source) == "HeldKeySource('env:KEK', test=False)"
    for use in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not copied"):
            use(source)
