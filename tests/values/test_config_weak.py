"""What would weaken protection without a word is a mistake, and no mistake shows a key."""

from __future__ import annotations

from pathlib import Path

import pytest

from msh.config import read_configuration
from msh.errors import ConfigurationError, KeyUnusable
from msh.protection import shown_key_name
from msh.security.keysource import open_key_source

HEX = "00112233445566778899aabbccddeeff"
HEAD = """
store = "sqlite::memory:"
{}
[party]
id = "PSP"
role = "psp"
[listen]
url = "http://127.0.0.1:8710/sms"
{}
"""
AGREEMENT = """
[agreements.{0}]
role = "business"
protection = "mac"
accepts = ["PS810FTRQ"]
[agreements.{0}.mac]
key_encryption = {1}
[agreements.{0}.source]
{2}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, key in (("a", HEX), ("b", HEX[::-1]), ("again", f"# another file\n{HEX.upper()}\n")):
        file = tmp_path / f"{name}.key"
        file.touch(mode=0o600)
        file.write_text(key)
    return tmp_path


def mistakes(folder: Path, content: str) -> tuple[str, ...]:
    file = folder / "msh.toml"
    file.write_text(content, encoding="utf-8")
    try:
        read_configuration(file)
    except ConfigurationError as error:
        return error.problems
    return ()


def one(listen: str = "", source: str = "", key: str = '"file:a.key"') -> str:
    return HEAD.format("", listen) + AGREEMENT.format("A", key, source)


@pytest.mark.parametrize("production", ["", "production = true"])
def test_a_key_encryption_key_of_two_parties(folder: Path, production: str) -> None:
    def two(second: str) -> str:
        head = HEAD.format(production, "")
        first = AGREEMENT.format("ALICE", '"file:a.key"', "")
        return head + first + AGREEMENT.format("BOB", f'"{second}"', "")

    assert mistakes(folder, two("file:b.key")) == ()
    for second in ("file:a.key", "file:again.key"):
        (problem,) = mistakes(folder, two(second))
        assert problem.startswith("agreements.BOB.mac.key_encryption: ")
        assert "key-encryption key of ALICE too" in problem


@pytest.mark.parametrize(
    "proxies", ["0.0.0.0/0", "::/0", "0.0.0.0/1", "128.0.0.0/7", "2000::/3", "::ffff:0.0.0.0/96"]
)
def test_proxies_may_not_be_nearly_everybody(folder: Path, proxies: str) -> None:
    (problem,) = mistakes(folder, one(f'proxies = ["10.0.0.1", "{proxies}"]'))
    assert problem.startswith("listen.proxies: ")
    assert "nearly anybody would be believed" in problem


def test_proxies_may_be_a_private_network(folder: Path) -> None:
    assert mistakes(folder, one('proxies = ["10.0.0.0/8", "fc00::/7", "::1"]')) == ()


@pytest.mark.parametrize("key", ["addresses", "certificates"])
def test_a_list_of_sources_that_holds_nothing(folder: Path, key: str) -> None:
    assert mistakes(folder, one()) == ()
    (problem,) = mistakes(folder, one(source=f"{key} = []"))
    assert problem.startswith(f"agreements.A.source.{key}: is empty")


# a key in the place of its name

KEYS = {
    "AES-128": HEX,
    "AES-192": "A1" * 24,
    "AES-256": HEX * 2,
    "upper": "A123456789ABCDEF0123456789ABCDEF",
    "AES-128 in base64": "ABEiM0RVZneImaq7zN3u/w==",
    "AES-192 in base64": "oaGhoaGhoaGhoaGhoaGhoaGhoaGhoaGh",
    "AES-256 in base64": "ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJmqu8zd7v8=",
    "without padding": "ABEiM0RVZneImaq7zN3u/w",
}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
@pytest.mark.parametrize("scheme", ["", "file:", "env:", "file:keys/", "hex:"])
def test_a_key_in_the_place_of_its_name_is_not_shown(folder: Path, key: str, scheme: str) -> None:
    said = mistakes(folder, one(key=f'"{scheme}{key}"'))
    assert scheme == "env:" or said  # whether a variable is there, is asked when it is used
    for name in (f"{scheme}{key}", f"file:{folder}/{key}"):
        with pytest.raises(KeyUnusable) as caught:
            open_key_source(name, {})
        said += (str(caught.value),)
    assert key not in "".join(said)
    assert key[:20] not in "".join(said)


@pytest.mark.parametrize("value", [f"0x{HEX}", f'["{HEX}"]', f'{{ key = "{HEX}" }}'])
def test_a_key_that_is_no_text_is_not_shown(folder: Path, value: str) -> None:
    (problem,) = mistakes(folder, one(key=value))
    assert problem.startswith("agreements.A.mac.key_encryption: must be a text in quotes, not a ")
    assert HEX[2:12] not in problem
    assert str(int(HEX, 16))[:10] not in problem


def test_an_ordinary_name_is_shown() -> None:
    for name in (
        "file:/etc/msh/keys/psp.key",
        "file:keys/bank",
        "env:PSP_KEY",
        "env:MSH_KEY_ENCRYPTION_KEY_OF_THE_BANK",
        f"file:{'x' * 32}",
        "file:/var/lib/Msh/keys.2026/PSP",
    ):
        assert shown_key_name(name) == name
