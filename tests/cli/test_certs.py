"""`msh certs`: what is there, what ends, what is taken and what is refused."""

from __future__ import annotations

import json
import stat
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from msh.security.issuing import self_signed
from tests.cli.conftest import PATIENCE, Folder, Run, serving
from tests.cli.protected import pair

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)


@pytest.fixture
def signed(run: Run, tmp_path: Path) -> Folder:
    """A business system under signatures, beside its platform."""
    _, biz = pair(run, tmp_path, "signature")
    return biz


def listed(run: Run, folder: Folder) -> list[dict[str, Any]]:
    shown = run("-c", folder.config, "certs", "list", "--json")
    assert shown.exit_code == 0, shown.stderr
    return json.loads(shown.stdout)


def certificate(file: Path, name: str, begins: datetime, ends: datetime, **how: bool) -> Path:
    """A file with a new certificate alone."""
    _, made = self_signed(name, begins, ends, ecdsa=True, **how)
    file.write_bytes(made.public_bytes(Encoding.PEM))
    return file


def pinned(folder: Folder) -> list[str]:
    return sorted(path.name for path in (folder.path / "keys" / "PSP").iterdir())


# list and check


def test_ours_and_the_peers_are_listed(run: Run, signed: Folder) -> None:
    ours, theirs = sorted(listed(run, signed), key=lambda one: one["owner"])
    assert (ours["owner"], ours["use"], ours["signs"]) == ("BIZ", "signing", True)
    assert (theirs["owner"], theirs["use"], theirs["signs"]) == ("PSP", "pinned", False)
    assert ours["state"] == theirs["state"] == "valid"
    assert ours["days_left"] == 364
    assert "O=msh test" in ours["subject"]
    assert Path(ours["file"]) == signed.path / "keys" / "own" / "BIZ.pem"
    shown = run("-c", signed.config, "certs", "list").stdout
    assert "signing, now" in shown
    assert "BIZ.pem" in shown
    assert run("-c", signed.config, "certs", "check").exit_code == 0


@pytest.mark.parametrize(
    ("days", "state", "said"),
    [(30.0, "expires soon", "ends on"), (-1.0, "expired", "has ended on"), (31.0, "valid", "")],
)
def test_what_ends_is_pointed_out(
    run: Run, signed: Folder, days: float, state: str, said: str
) -> None:
    ends = datetime.now(UTC).replace(microsecond=0) + days * DAY
    file = certificate(signed.path / "keys" / "PSP" / "old.pem", "old", NOW - 400 * DAY, ends)
    (row,) = [one for one in listed(run, signed) if one["subject"] == "CN=old"]
    assert (row["state"], row["file"]) == (state, str(file))
    checked = run("-c", signed.config, "certs", "check")
    assert checked.exit_code == (1 if said else 0)
    assert said in checked.stderr
    assert not said or str(file) in checked.stderr


def test_a_file_that_cannot_be_used_is_named_and_the_others_are_listed(
    run: Run, signed: Folder
) -> None:
    broken = signed.path / "keys" / "own" / "broken.pem"
    broken.write_text("nothing")
    shown = run("-c", signed.config, "certs", "list")
    assert (shown.exit_code, "BIZ.pem" in shown.stdout) == (0, True)
    assert str(broken) in shown.stderr
    checked = run("-c", signed.config, "certs", "check")
    assert checked.exit_code == 1
    assert str(broken) in checked.stderr


def test_no_valid_certificate_at_all_is_a_finding(run: Run, signed: Folder) -> None:
    for file in (signed.path / "keys").rglob("*.pem"):
        file.unlink()
    checked = run("-c", signed.config, "certs", "check")
    assert checked.exit_code == 1
    assert "msh certs generate" in checked.stderr
    assert "msh certs import PSP FILE" in checked.stderr


def test_without_signatures_there_is_nothing(run: Run, biz: Folder, tmp_path: Path) -> None:
    assert listed(run, biz) == []
    assert run("-c", biz.config, "certs", "list").exit_code == 0
    assert run("-c", biz.config, "certs", "check").exit_code == 0
    assert run("-c", biz.config, "certs", "generate").exit_code == 2
    file = certificate(tmp_path / "psp.pem", "PSP", NOW, NOW + DAY)
    refused = run("-c", biz.config, "certs", "import", "PSP", file)
    assert (refused.exit_code, "not protected by signatures" in refused.stderr) == (2, True)


# import


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_a_peers_certificate_is_pinned(
    run: Run, signed: Folder, tmp_path: Path, encoding: Encoding
) -> None:
    _, made = self_signed("PSP", NOW - DAY, NOW + 100 * DAY)
    (tmp_path / "psp.crt").write_bytes(made.public_bytes(encoding))
    done = run("-c", signed.config, "certs", "import", "PSP", tmp_path / "psp.crt")
    assert done.exit_code == 0, done.stderr
    assert "within a second" in done.stdout
    shown = bytes.fromhex(done.stderr.split()[-1].replace(":", ""))
    assert shown.hex() in [one["fingerprint"] for one in listed(run, signed)]
    again = run("-c", signed.config, "certs", "import", "PSP", tmp_path / "psp.crt")
    assert (again.exit_code, "already" in again.stderr) == (2, True)
    third = certificate(tmp_path / "third.pem", "PSP", NOW - DAY, NOW + DAY)
    refused = run("-c", signed.config, "certs", "import", "PSP", third)
    assert refused.exit_code == 2
    assert all(name in refused.stderr for name in pinned(signed))
    assert len(pinned(signed)) == 2


def test_one_that_is_valid_later_counts_later(run: Run, signed: Folder, tmp_path: Path) -> None:
    file = certificate(tmp_path / "psp.pem", "PSP", NOW + 5 * DAY, NOW + 100 * DAY)
    done = run("-c", signed.config, "certs", "import", "PSP", file)
    assert done.exit_code == 0
    assert "within a second" not in done.stdout


def wrong_files(folder: Folder, tmp_path: Path) -> Sequence[tuple[Path, str]]:
    """Files that are no certificate of a peer, and what is said of each."""
    ended = certificate(tmp_path / "ended", "PSP", NOW - 9 * DAY, NOW - DAY)
    ours = (folder.path / "keys" / "own" / "BIZ.pem").read_bytes()
    alone = tmp_path / "ours"
    alone.write_bytes(x509.load_pem_x509_certificate(ours).public_bytes(Encoding.PEM))
    private = tmp_path / "private"
    private.write_bytes(ours)
    two = tmp_path / "two"
    two.write_bytes(ended.read_bytes() + alone.read_bytes())
    odd = tmp_path / "odd"
    odd.write_bytes(b"\x30\x03abc")
    return [
        (ended, "has ended"),
        (alone, "one of ours"),
        (private, "private key"),
        (two, "2 certificates"),
        (odd, "no certificate"),
        (tmp_path / "absent", "No such file"),
    ]


def test_what_is_not_taken_as_a_peers_certificate(run: Run, signed: Folder, tmp_path: Path) -> None:
    before = pinned(signed)
    for file, why in wrong_files(signed, tmp_path):
        refused = run("-c", signed.config, "certs", "import", "PSP", file)
        assert (refused.exit_code, why in refused.stderr) == (2, True), refused.stderr
        assert "PRIVATE KEY" not in refused.stdout + refused.stderr
    file = certificate(tmp_path / "psp.pem", "PSP", NOW, NOW + DAY)
    assert run("-c", signed.config, "certs", "import", "BANK", file).exit_code == 2
    assert pinned(signed) == before


# generate, and a whole rollover


@pytest.mark.parametrize("options", [(), ("--ecdsa",), ("--name", "biz.example", "--test")])
def test_a_generated_certificate_signs_at_once_where_there_is_none(
    run: Run, signed: Folder, options: tuple[str, ...]
) -> None:
    (signed.path / "keys" / "own" / "BIZ.pem").unlink()
    made = run("-c", signed.config, "certs", "generate", "--days", "90", *options)
    assert made.exit_code == 0, made.stderr
    assert "PRIVATE KEY" not in made.stdout + made.stderr
    alone = x509.load_pem_x509_certificate(made.stdout.encode())
    (file,) = (signed.path / "keys" / "own").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    (ours,) = [one for one in listed(run, signed) if one["owner"] == "BIZ"]
    assert ours["signs"]
    assert ours["days_left"] in (89, 90)
    assert ours["subject"] == alone.subject.rfc4514_string()
    assert ("msh test" in ours["subject"]) == ("--test" in options)
    assert ("biz.example" in ours["subject"]) == ("--name" in options)


def test_a_successor_begins_later_and_a_third_is_refused(run: Run, signed: Folder) -> None:
    made = run("-c", signed.config, "certs", "generate")
    assert made.exit_code == 0, made.stderr
    first, second = sorted(
        (one for one in listed(run, signed) if one["owner"] == "BIZ"),
        key=lambda one: one["not_before"],
    )
    assert (first["signs"], second["signs"]) == (True, False)
    assert second["state"] == "not yet valid"
    refused = run("-c", signed.config, "certs", "generate")
    assert (refused.exit_code, "already" in refused.stderr) == (2, True)


@pytest.mark.parametrize("name", ["", "x" * 65])
def test_a_name_that_no_certificate_can_hold(run: Run, signed: Folder, name: str) -> None:
    (signed.path / "keys" / "own" / "BIZ.pem").unlink()
    refused = run("-c", signed.config, "certs", "generate", "--name", name)
    assert refused.exit_code == (0 if not name else 2)  # no name is our party id
    assert bool(list((signed.path / "keys" / "own").iterdir())) == (not name)


def test_a_certificate_is_replaced_while_messages_flow(
    run: Run, signed: Folder, tmp_path: Path
) -> None:
    psp = Folder(tmp_path / "psp")

    def send() -> int:
        sent = run("-c", signed.config, "send", "PS810FTRQ", signed.another(), "--wait")
        return sent.exit_code

    with serving(psp) as server:
        signed.reach("PSP", server.line)
        assert send() == 0
        made = run("-c", signed.config, "certs", "generate", "--begins-in", "0", "--ecdsa")
        assert made.exit_code == 0, made.stderr
        (tmp_path / "new.pem").write_text(made.stdout)
        taken = run("-c", psp.config, "certs", "import", "BIZ", tmp_path / "new.pem")
        assert taken.exit_code == 0, taken.stderr
        (signed.path / "keys" / "own" / "BIZ.pem").unlink()
        signed.change(f"timeout = {PATIENCE}", "timeout = 2")
        # The server looks at its folders once a second; the first may come too early for it.
        assert send() == 0 or send() == 0
    ours = [one for one in listed(run, signed) if one["owner"] == "BIZ"]
    assert len(ours) == 1
