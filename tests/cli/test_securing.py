"""What whoever secures a link meets: mistakes are told where they were made, and in plain words."""

from __future__ import annotations

import json
import os
import stat
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from msh.config import read_configuration
from msh.security.issuing import self_signed
from msh.security.keysource import open_key_source
from tests.cli.conftest import PATIENCE, Folder, Run, serving
from tests.cli.protected import pair

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)


@pytest.fixture
def signed(run: Run, tmp_path: Path) -> tuple[Folder, Folder]:
    """PSP and BIZ under signatures."""
    return pair(run, tmp_path, "signature")


@pytest.fixture
def maced(run: Run, tmp_path: Path) -> tuple[Folder, Folder]:
    """PSP and BIZ under MACs."""
    return pair(run, tmp_path, "mac")


def another_key(run: Run, folder: Folder, party: str) -> None:
    """A new key-encryption key in the place of the agreed one."""
    (folder.path / "keys" / f"{party}.key").unlink()
    made = run("keys", "generate", folder.path / "keys" / f"{party}.key", "--test")
    assert made.exit_code == 0, made.stderr


def check_value(folder: Folder, party: str) -> str:
    """That of the key-encryption key of an agreement."""
    protection = read_configuration(folder.config).agreements[party].protection
    return open_key_source(protection.key_encryption).check_value  # type: ignore[union-attr]


# different keys on both sides


def test_different_key_encryption_keys_are_told_soon_and_on_both_sides(
    run: Run, maced: tuple[Folder, Folder]
) -> None:
    psp, biz = maced
    another_key(run, psp, "BIZ")
    biz.change("resends = 0\ninterval = 0", "resends = 3\ninterval = 60")
    with serving(psp) as server:
        biz.reach("PSP", server.line)
        began = time.monotonic()
        failed = run("-c", biz.config, "keys", "exchange", "PSP")
        assert time.monotonic() - began < PATIENCE  # and not for the 540 s of the schedule
        code, errors = server.stop()
    assert (failed.exit_code, code) == (1, 0)
    assert "different key-encryption keys" in failed.stderr
    assert check_value(biz, "PSP") in failed.stderr
    assert check_value(biz, "PSP") != check_value(psp, "BIZ")
    line = next(one for one in errors.splitlines() if "refused unread" in one)
    assert "key-encryption keys" in line
    assert "from 127.0.0.1" in line
    assert "claiming to be IS990KEORQ BIZ-key-" in line
    assert "of BIZ to PSP" in line
    for folder, party in ((biz, "PSP"), (psp, "BIZ")):
        shown = run("-c", folder.config, "keys", "check")
        assert check_value(folder, party) in shown.stdout
        assert (shown.exit_code, "no working key is in use" in shown.stderr) == (1, True)


def test_keys_that_cannot_be_unwrapped_are_told_in_one_line(
    run: Run, maced: tuple[Folder, Folder]
) -> None:
    psp, biz = maced
    with serving(psp) as server:
        biz.reach("PSP", server.line)
        for _ in range(2):
            assert run("-c", biz.config, "keys", "exchange", "PSP").exit_code == 0
        sound = run("-c", biz.config, "keys", "check")
        assert (sound.exit_code, "has a working key in use" in sound.stderr) == (0, True)
        assert server.stop()[0] == 0
    another_key(run, biz, "PSP")
    shown = run("-c", biz.config, "keys", "list")
    assert shown.exit_code == 0
    assert shown.stdout.count("cannot be unwrapped") == 2
    assert check_value(biz, "PSP") in shown.stdout
    as_json = json.loads(run("-c", biz.config, "keys", "list", "--json").stdout)
    assert [row["usable"] for row in as_json] == [False, False]
    checked = run("-c", biz.config, "keys", "check")
    assert (checked.exit_code, checked.stderr.count("\n")) == (1, 1)
    assert "2 of 2 working keys cannot be unwrapped" in checked.stderr


def test_an_unknown_certificate_is_told_on_both_sides(
    run: Run, signed: tuple[Folder, Folder]
) -> None:
    psp, biz = signed
    for file in (psp.path / "keys" / "BIZ").iterdir():
        file.unlink()
    with serving(psp) as server:
        biz.reach("PSP", server.line)
        sent = run("-c", biz.config, "send", "PS810FTRQ", biz.message(), "--msg-id", "M1", "--wait")
        assert sent.exit_code == 1
        _, errors = server.stop()
    assert (
        "PSPPM0004E, which anybody could have written" in run("-c", biz.config, "show", "M1").stdout
    )
    why = run("-c", biz.config, "why", "M1").stdout
    assert "most likely PSP does not know our certificate" in why
    line = next(one for one in errors.splitlines() if "refused unread" in one)
    rows = json.loads(run("-c", biz.config, "certs", "list", "--json").stdout)
    (ours,) = [row for row in rows if row["signs"]]
    assert "claiming to be PS810FTRQ M1 of BIZ to PSP" in line
    assert f"SHA-256 {ours['fingerprint']}" in line
    assert "of the issuer CN=BIZ" in line


# files that cannot be used


def test_every_file_that_cannot_be_used_is_told_before_anything_runs(
    run: Run, signed: tuple[Folder, Folder]
) -> None:
    _, biz = signed
    keys = biz.path / "keys"
    (keys / "PSP" / "junk.pem").write_text("junk")
    (keys / "own" / "BIZ.pem").chmod(0o640)
    for command in (["serve"], ["send", "PS810FTRQ", biz.message()]):
        refused = run("-c", biz.config, *command)
        assert refused.exit_code == 2
        assert f"agreements.PSP.signature.peer: {keys}/PSP/junk.pem: holds no" in refused.stderr
        assert f"agreements.PSP.signature.own: {keys}/own/BIZ.pem: other users" in refused.stderr
        assert "2 mistakes" in refused.stderr
    # What only looks works all the same, and says it too.
    checked = run("-c", biz.config, "certs", "check")
    assert (checked.exit_code, "mode 0640" in checked.stderr) == (1, True)


def test_a_key_that_is_no_key_is_refused_with_its_key_path(
    run: Run, maced: tuple[Folder, Folder]
) -> None:
    _, biz = maced
    file = biz.path / "keys" / "PSP.key"
    file.write_text("00" * 32)
    refused = run("-c", biz.config, "send", "PS810FTRQ", biz.message())
    assert refused.exit_code == 2
    assert "agreements.PSP.mac.key_encryption: " in refused.stderr
    assert "is one byte repeated" in refused.stderr
    assert run("-c", biz.config, "keys", "check").exit_code == 1


def test_what_has_another_name_is_named(run: Run, signed: tuple[Folder, Folder]) -> None:
    _, biz = signed
    own = biz.path / "keys" / "own"
    (own / "BIZ.pem").rename(own / "BIZ.crt")
    checked = run("-c", biz.config, "certs", "check")
    assert "whose names end in .pem are read, not BIZ.crt" in checked.stderr
    run(
        "-c",
        biz.config,
        "send",
        "PS810FTRQ",
        biz.message(),
        "--msg-id",
        "M1",
        "--wait",
        "--timeout",
        "1",
    )
    why = run("-c", biz.config, "why", "M1").stdout
    assert "not BIZ.crt" in why
    assert "msh certs check" in why
    assert "keys exchange" not in why


def test_a_held_message_names_its_id_and_what_to_do_once(
    run: Run, maced: tuple[Folder, Folder]
) -> None:
    _, biz = maced
    run(
        "-c",
        biz.config,
        "send",
        "PS810FTRQ",
        biz.message(),
        "--msg-id",
        "M1",
        "--wait",
        "--timeout",
        "1",
    )
    why = run("-c", biz.config, "why", "M1").stdout
    assert (why.count("M1"), why.count("msh keys exchange PSP")) == (1, 1)
    assert "certs" not in why


# at the start


def test_serve_tells_at_its_start_that_nothing_can_be_signed(
    run: Run, signed: tuple[Folder, Folder]
) -> None:
    psp, _ = signed
    ended, _ = self_signed("PSP", NOW - 9 * DAY, NOW - DAY, ecdsa=True, test=True)
    (psp.path / "keys" / "own" / "PSP.pem").write_bytes(ended)
    with serving(psp) as server:
        _, errors = server.stop()
    assert "nothing can be sent to BIZ, nor its messages answered" in errors


# modes


def test_the_store_is_for_its_owner_alone(run: Run, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        run("init", tmp_path / "biz", "--role", "business")
        biz = Folder(tmp_path / "biz")
        assert run("-c", biz.config, "send", "PS810FTRQ", biz.message()).exit_code == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE(biz.database.stat().st_mode) == 0o600


# production


def test_production_takes_no_test_certificate_and_lets_it_be_replaced(
    run: Run, signed: tuple[Folder, Folder], tmp_path: Path
) -> None:
    _, biz = signed
    _, theirs = self_signed("PSP", NOW - DAY, NOW + 300 * DAY, ecdsa=True, test=True)
    (tmp_path / "test.pem").write_bytes(theirs.public_bytes(Encoding.PEM))
    biz.change('profile = "', 'production = true\nprofile = "')
    refused = run("-c", biz.config, "certs", "import", "PSP", tmp_path / "test.pem")
    assert (refused.exit_code, "is a test certificate" in refused.stderr) == (2, True)
    assert run("-c", biz.config, "certs", "generate", "--test").exit_code == 2
    made = run("-c", biz.config, "certs", "generate")
    assert made.exit_code == 0, made.stderr
    old = biz.path / "keys" / "own" / "BIZ.pem"
    assert f"Remove {old}" in made.stderr
    assert "signs from now on" in made.stderr
    (biz.path / "ours.pem").write_text(made.stdout)
    old.unlink()
    # The peer's is still one for tests.
    still = run("-c", biz.config, "send", "PS810FTRQ", biz.message())
    assert (still.exit_code, "signature.peer" in still.stderr) == (2, True)
    for file in (biz.path / "keys" / "PSP").iterdir():
        file.unlink()
    _, theirs = self_signed("PSP", NOW - DAY, NOW + 300 * DAY, ecdsa=True)
    (tmp_path / "real.pem").write_bytes(theirs.public_bytes(Encoding.PEM))
    taken = run("-c", biz.config, "certs", "import", "PSP", tmp_path / "real.pem")
    assert (taken.exit_code, "if it differs, remove" in taken.stderr) == (0, True)
    checked = run("-c", biz.config, "certs", "check")
    assert checked.exit_code == 0, checked.stderr


def in_pairs(fingerprint: str) -> str:
    """As openssl writes one."""
    return ":".join(fingerprint[at : at + 2].upper() for at in range(0, 64, 2))


def test_a_successor_that_signs_at_once_is_warned_of(
    run: Run, signed: tuple[Folder, Folder]
) -> None:
    _, biz = signed
    made = run("-c", biz.config, "certs", "generate", "--begins-in", "0")
    assert made.exit_code == 0
    assert "is refused there" in made.stderr
    listed = json.loads(run("-c", biz.config, "certs", "list", "--json").stdout)
    # Not by "signs": the one before it may have begun in the same second.
    (newest,) = [one for one in listed if in_pairs(one["fingerprint"]) in made.stderr]
    assert newest["fingerprint"][:16] in run("-c", biz.config, "certs", "list").stdout


# in words


def test_services_for_working_keys_are_listed(run: Run, maced: tuple[Folder, Folder]) -> None:
    _, biz = maced
    assert "IS990KEORQ offers one" in run("codes", "services").stdout
    assert run("-c", biz.config, "suspend", "IS990KEORQ").exit_code == 0
    refused = run("-c", biz.config, "suspend", "NONE")
    assert "IS990KEORQ, IS991KECRQ" in refused.stderr


def test_every_message_on_stderr_says_who_speaks(run: Run, signed: tuple[Folder, Folder]) -> None:
    _, biz = signed
    for command in (["suspensions"], ["certs", "generate"], ["keys", "list"], ["certs", "none"]):
        told = run("-c", biz.config, *command)
        assert told.stderr.startswith("msh: ")
