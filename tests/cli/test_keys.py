"""`msh keys`: files with key-encryption keys, and working keys exchanged with a real platform."""

from __future__ import annotations

import asyncio
import json
import os
import select
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import msh
from msh.config import read_configuration
from msh.protocol.keys import State
from msh.security.keysource import open_key_source
from msh.store import StoredKey, open_store
from tests.cli.conftest import PATIENCE, Folder, Run, serving, unused_port
from tests.cli.protected import give_up_soon, pair

A, B, C = "0f1e" * 16, "3c71" * 16, "a1b2" * 16


def key_in(path: Path) -> str:
    """The key line of a file."""
    (line,) = [one for one in path.read_text().splitlines() if not one.startswith("#")]
    return line


def xor(*components: str) -> str:
    result = 0
    for component in components:
        result ^= int(component, 16)
    return f"{result:0{len(components[0])}X}"


# generate


@pytest.mark.parametrize("bits", [128, 192, 256])
def test_a_generated_key_is_for_its_owner_alone_and_never_shown(
    run: Run, tmp_path: Path, bits: int
) -> None:
    made = run("keys", "generate", "k.key", "--bits", str(bits))
    assert made.exit_code == 0, made.stderr
    path = tmp_path / "k.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = key_in(path)
    assert len(key) == bits // 4
    assert key.lower() not in (made.stdout + made.stderr).lower()
    assert f"{bits} bits" in made.stdout
    assert 'key_encryption = "file:k.key"' in made.stderr
    source = open_key_source(f"file:{path}")
    assert source.unwrap(source.wrap(bytes(32))) == bytes(32)
    assert not source.test


def test_two_generated_keys_differ_and_a_test_key_says_so(run: Run, tmp_path: Path) -> None:
    run("keys", "generate", "one")
    run("keys", "generate", "two", "--test")
    assert key_in(tmp_path / "one") != key_in(tmp_path / "two")
    assert open_key_source(f"file:{tmp_path / 'two'}").test


@pytest.mark.parametrize("command", ["generate", "import"])
def test_no_file_is_overwritten(run: Run, tmp_path: Path, command: str) -> None:
    (tmp_path / "k").write_text("mine")
    for name, text in (("a", A), ("b", B)):
        (tmp_path / name).write_text(text)
    components = ["--component", "a", "--component", "b"] if command == "import" else []
    refused = run("keys", command, "k", *components)
    assert refused.exit_code == 2
    assert "is there already" in refused.stderr
    assert (tmp_path / "k").read_text() == "mine"


@pytest.mark.parametrize("arguments", [("k", "--bits", "64"), ("missing/k",)])
def test_what_cannot_be_generated(run: Run, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    refused = run("keys", "generate", *arguments)
    assert refused.exit_code == 2
    assert refused.stderr.startswith("msh: ")
    assert list(tmp_path.iterdir()) == []


# import


@pytest.mark.parametrize("components", [(A, B), (A, B, C)])
def test_components_in_files_make_the_key(
    run: Run, tmp_path: Path, components: tuple[str, ...]
) -> None:
    options = []
    for number, component in enumerate(components):
        (tmp_path / f"c{number}").write_text(f"{component[:32]} {component[32:]}\n")
        options += ["--component", f"c{number}"]
    made = run("keys", "import", "k", *options)
    assert made.exit_code == 0, made.stderr
    assert key_in(tmp_path / "k") == xor(*components)
    assert stat.S_IMODE((tmp_path / "k").stat().st_mode) == 0o600
    shown = made.stdout.splitlines()
    assert len(shown) == len(components) + 1
    value = shown[-1].split()[-1]
    # The one that the file itself says, and that the whole key has.
    assert f"check value {value}." in (tmp_path / "k").read_text()
    (tmp_path / "k").unlink()
    assert run("keys", "import", "k", *options, "--check-value", value.lower()).exit_code == 0
    (tmp_path / "k").unlink()
    refused = run("keys", "import", "k", *options, "--check-value", "000000")
    assert refused.exit_code == 2
    assert value in refused.stderr
    assert not (tmp_path / "k").exists()


@pytest.mark.parametrize(
    ("contents", "why"),
    [
        ([A], "2 or 3"),
        ([A, B, C, "5d" * 32], "2 or 3"),
        ([A, A], "the same"),
        ([A, "00" * 32], "all zeros"),
        ([A, B, xor(A, B)], "cancel out"),
        ([A, "3c" * 16], "equally long"),
        ([A, "3c" * 31], "hexadecimal digits are wanted"),
        ([A, "zz" * 32], "something else"),
        ([A, "é" * 32], "something else"),
    ],
)
def test_components_that_make_no_key(
    run: Run, tmp_path: Path, contents: list[str], why: str
) -> None:
    options = []
    for number, content in enumerate(contents):
        (tmp_path / f"c{number}").write_text(content, encoding="utf-8")
        options += ["--component", f"c{number}"]
    refused = run("keys", "import", "k", *options)
    assert refused.exit_code == 2
    assert why in refused.stderr
    assert A not in refused.stdout + refused.stderr
    assert not (tmp_path / "k").exists()


def test_components_are_not_taken_from_a_pipe(run: Run, tmp_path: Path) -> None:
    refused = run("keys", "import", "k", stdin=f"{A}\n{B}\n".encode())
    assert refused.exit_code == 2
    assert "--component" in refused.stderr
    assert not (tmp_path / "k").exists()


def test_typed_components_are_not_shown(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "msh.cli", "keys", "import", str(tmp_path / "k")]
    environment = os.environ | {"PYTHONPATH": str(Path(msh.__file__).parents[1])}
    seen = ""
    try:
        with subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment,
            start_new_session=True,  # else the terminal of whoever runs the tests is asked
        ) as process:
            try:
                for number, typed in ((1, A), (2, "no component"), (2, B)):
                    # The space comes last, once the terminal shows nothing more of what is typed.
                    while not seen.endswith(f"component {number} (not shown): "):
                        seen += printed(ours)
                    os.write(ours, f"{typed}\n".encode())
                    seen += printed(ours)
                assert process.wait(PATIENCE) == 0
            finally:
                process.kill()
        while select.select([ours], [], [], 0)[0]:
            seen += printed(ours)
    finally:
        os.close(ours)
        os.close(theirs)
    assert key_in(tmp_path / "k") == xor(A, B)
    assert "type it again" in seen
    assert not any(secret in seen for secret in (A, B, xor(A, B)))


def printed(terminal: int) -> str:
    """What a process prints on a terminal next."""
    ready, _, _ = select.select([terminal], [], [], PATIENCE)
    assert ready, f"nothing was printed within {PATIENCE} s"
    return os.read(terminal, 65536).decode()


# working keys


def listed(run: Run, folder: Folder, *party: str) -> list[dict[str, str]]:
    shown = run("-c", folder.config, "keys", "list", *party, "--json")
    assert shown.exit_code == 0, shown.stderr
    return json.loads(shown.stdout)


def test_keys_are_exchanged_rotated_and_listed(run: Run, tmp_path: Path) -> None:
    psp, biz = pair(run, tmp_path, "mac")
    assert listed(run, biz) == []
    assert not biz.database.exists()
    with serving(psp) as server:
        biz.reach("PSP", server.line)
        first = run("-c", biz.config, "keys", "exchange", "PSP")
        assert first.exit_code == 0, first.stderr
        (key,) = listed(run, biz)
        assert (key["party"], key["state"], key["offered_by"]) == ("PSP", "active", "BIZ")
        assert key["id"] in first.stdout
        assert key["check_value"] in first.stdout
        sent = run("-c", biz.config, "send", "PS810FTRQ", biz.message(), "--wait")
        assert sent.exit_code == 0, sent.stderr
        # Another one beside a server of ours, which learns of it.
        with serving(biz):
            young = run("-c", biz.config, "keys", "rotate")
            assert (young.exit_code, "stays" in young.stdout) == (0, True)
            rotated = run("-c", biz.config, "keys", "rotate", "--older-than", "0")
            assert rotated.exit_code == 0, rotated.stderr
        sent = run("-c", biz.config, "send", "PS810FTRQ", biz.another(), "--wait")
        assert sent.exit_code == 0, sent.stderr
    assert [one["state"] for one in listed(run, biz)] == ["previous", "active"]
    (theirs,) = [one for one in listed(run, psp, "BIZ") if one["state"] == "active"]
    assert theirs["check_value"] == listed(run, biz)[1]["check_value"]
    assert theirs["offered_by"] == "BIZ"
    assert theirs["verified"] is not None
    shown = run("-c", biz.config, "keys", "list").stdout
    assert "active" in shown
    assert theirs["id"] in shown
    assert listed(run, psp, "BANK") == []


def test_an_exchange_without_an_answer_changes_nothing(run: Run, tmp_path: Path) -> None:
    _, biz = pair(run, tmp_path, "mac")
    give_up_soon(biz)
    biz.reach("PSP", f"http://127.0.0.1:{unused_port()}/sms")
    for command in (("exchange", "PSP"), ("rotate",)):
        failed = run("-c", biz.config, "keys", *command)
        assert failed.exit_code == 1
        assert "no key was exchanged with PSP" in failed.stdout + failed.stderr
    assert {one["state"] for one in listed(run, biz)} == {"pending", "previous"}


def test_whom_no_key_can_be_exchanged_with(run: Run, biz: Folder, tmp_path: Path) -> None:
    plain = run("-c", biz.config, "keys", "exchange", "PSP")
    assert (plain.exit_code, "not protected by MACs" in plain.stderr) == (2, True)
    nobody = run("-c", biz.config, "keys", "exchange", "BANK")
    assert (nobody.exit_code, "there is one with: PSP" in nobody.stderr) == (2, True)
    assert run("-c", biz.config, "keys", "list", "BANK").exit_code == 2
    none = run("-c", biz.config, "keys", "rotate")
    assert (none.exit_code, "no agreement" in none.stderr) == (0, True)


def test_a_key_that_others_know_is_retired(run: Run, tmp_path: Path) -> None:
    psp, biz = pair(run, tmp_path, "mac")
    none = run("-c", biz.config, "keys", "retire", "PSP", "old")
    assert (none.exit_code, "only: none" in none.stderr) == (2, True)
    assert not biz.database.exists()
    with serving(psp) as server:
        biz.reach("PSP", server.line)
        assert run("-c", biz.config, "keys", "exchange", "PSP").exit_code == 0
        (key,) = listed(run, biz)
        sent = run("-c", biz.config, "send", "PS810FTRQ", biz.message(), "--wait")
        assert sent.exit_code == 0, sent.stderr
        # The process that receives learns of it from the file.
        retired = run("-c", psp.config, "keys", "retire", "BIZ", key["id"])
        assert retired.exit_code == 0, retired.stderr
        assert "is retired (it was active)" in retired.stdout
        assert f"msh keys retire PSP {key['id']}" in retired.stderr
        assert "are held" in retired.stderr
        give_up_soon(biz)
        refused = run("-c", biz.config, "send", "PS810FTRQ", biz.message(), "--wait")
        assert refused.exit_code == 1
        assert "in doubt" in refused.stdout
    assert [one["state"] for one in listed(run, psp, "BIZ")] == ["compromised"]
    again = run("-c", psp.config, "keys", "retire", "BIZ", key["id"])
    assert (again.exit_code, "was retired before" in again.stdout) == (0, True)
    unknown = run("-c", psp.config, "keys", "retire", "BIZ", "K9")
    assert (unknown.exit_code, key["id"] in unknown.stderr) == (2, True)


def test_a_key_that_has_retired_is_listed_so_and_forgotten_by_purge(
    run: Run, tmp_path: Path
) -> None:
    _, biz = pair(run, tmp_path, "mac")
    asyncio.run(store_keys(biz, {"old": 9.0, "middle": 8.0, "new": 0.01}))
    assert [one["state"] for one in listed(run, biz)] == ["retired", "previous", "active"]
    purged = run("-c", biz.config, "purge")
    assert "1 retired key forgotten" in purged.stdout
    assert [one["id"] for one in listed(run, biz)] == ["middle", "new"]
    assert "forgotten\n" not in run("-c", biz.config, "purge").stdout


async def store_keys(folder: Folder, ages: dict[str, float]) -> None:
    """Working keys, each verified by a message at once; their ages in days."""
    store = open_store(read_configuration(folder.config).store)
    await store.open(lambda entries: None)
    try:
        for name, days in ages.items():
            at = datetime.now(UTC) - timedelta(days=days)
            key = StoredKey(
                peer="PSP",
                id=name,
                algorithm="hmac-sha-256",
                wrapped=bytes(40),
                check_value="000000",
                ours=True,
                state=State.PENDING,
                offered=at,
            )
            await store.offer_key(key, f"offer-{name}")
            await store.activate_key("PSP", name, f"offer-{name}", at)
            await store.key_verified("PSP", name, f"message-{name}", at)
    finally:
        await store.close()
