"""`msh init --protection`: two folders made beside each other work together."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from msh.config import read_configuration
from msh.errors import ConfigurationError
from msh.protection import Mac, Plain, Signature
from tests.cli.conftest import Folder, Run, serving, unused_port
from tests.cli.protected import pair

KINDS = {"none": Plain, "signature": Signature, "mac": Mac}


@pytest.mark.parametrize("kind", KINDS)
def test_the_configuration_says_so_on_both_sides(run: Run, tmp_path: Path, kind: str) -> None:
    psp, biz = pair(run, tmp_path, kind)
    bank = run("init", "bank", "--role", "bank", "--peer", "psp")
    assert bank.exit_code == 0, bank.stderr
    for folder in (psp, biz, Folder(tmp_path / "bank")):
        for agreement in read_configuration(folder.config).agreements:
            assert isinstance(agreement.protection, KINDS[kind])


@pytest.mark.parametrize("kind", ["signature", "mac"])
def test_a_message_is_answered_under_it(run: Run, tmp_path: Path, kind: str) -> None:
    psp, biz = pair(run, tmp_path, kind)
    with serving(psp) as server:
        biz.reach("PSP", server.line)
        if kind == "mac":
            assert run("-c", biz.config, "keys", "exchange", "PSP").exit_code == 0
        sent = run("-c", biz.config, "send", "PS810FTRQ", biz.message(), "--wait", "--json")
    assert json.loads(sent.stdout)["status"] == "PSPPM0000I", sent.stderr
    # One that the other side sends unprotected is refused.
    biz.change(f'protection = "{kind}"', 'protection = "none"')
    text = biz.config.read_text()
    start = text.index(f"[agreements.PSP.{kind}]")
    biz.config.write_text(text[:start] + text[text.index("[agreements.PSP.outbound]") :])
    with serving(psp) as server:
        biz.reach("PSP", server.line)
        refused = run("-c", biz.config, "send", "PS810FTRQ", biz.message(), "--wait", "--json")
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["status"] == "PSPPM0004E"


@pytest.mark.parametrize("kind", ["signature", "mac"])
def test_production_refuses_the_test_keys(run: Run, tmp_path: Path, kind: str) -> None:
    for folder in pair(run, tmp_path, kind):
        folder.change("grace = 30", "production = true\ngrace = 30")
        with pytest.raises(ConfigurationError) as raised:
            read_configuration(folder.config)
        assert all("production" in problem for problem in raised.value.problems)


@pytest.mark.parametrize("kind", ["signature", "mac"])
def test_keys_are_for_their_owner_alone(run: Run, tmp_path: Path, kind: str) -> None:
    for folder in pair(run, tmp_path, kind):
        keys = folder.path / "keys"
        assert stat.S_IMODE(keys.stat().st_mode) == 0o700
        private = [path for path in keys.rglob("*") if path.is_file() and path.parent.name != "PSP"]
        assert private
        for path in private:
            if "BIZ" not in str(path.parent):  # certificates of a peer are no secret
                assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_it_says_how_to_go_on(run: Run, tmp_path: Path) -> None:
    first = run("init", "psp", "--role", "psp", "--protection", "mac").stdout
    assert "msh init DIR --role bank --peer psp" in first
    second = run("init", "biz", "--role", "business", "--peer", "psp").stdout
    assert "msh keys exchange PSP" in second
    assert "msh init DIR" not in second
    signed = run("init", "other", "--role", "psp", "--protection", "signature").stdout
    assert "keys exchange" not in signed


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--role", "business", "--peer", "missing"), "no such file"),
        (("--role", "psp", "--peer", "psp"), "no agreement with PSP"),
        (("--role", "business", "--peer", "psp", "--protection", "signature"), "both sides"),
        (("--role", "business", "--peer", "psp", "--protection", "none"), "both sides"),
    ],
)
def test_what_does_not_fit_together_is_refused_before_anything_is_written(
    run: Run, tmp_path: Path, options: tuple[str, ...], why: str
) -> None:
    run("init", "psp", "--role", "psp", "--protection", "mac")
    refused = run("init", "new", *options)
    assert refused.exit_code == 2
    assert why in refused.stderr
    assert not (tmp_path / "new").exists()


def test_no_key_of_other_than_tests_is_copied(run: Run, tmp_path: Path) -> None:
    run("init", "psp", "--role", "psp", "--protection", "mac")
    key = tmp_path / "psp" / "keys" / "BIZ.key"
    key.write_text(key.read_text().replace("# msh test key\n", ""))
    refused = run("init", "biz", "--role", "business", "--peer", "psp")
    assert (refused.exit_code, "test key" in refused.stderr) == (2, True)
    assert not (tmp_path / "biz").exists()


def test_a_second_business_system_beside_one_platform_takes_nothing_over(
    run: Run, tmp_path: Path
) -> None:
    pair(run, tmp_path, "signature")
    pinned = tmp_path / "psp" / "keys" / "BIZ" / "BIZ.pem"
    before = pinned.read_bytes()
    refused = run("init", "other", "--role", "business", "--peer", "psp")
    assert refused.exit_code == 2
    assert str(pinned) in refused.stderr
    assert pinned.read_bytes() == before
    assert not (tmp_path / "other").exists()


def test_without_a_key_a_message_is_held_and_says_why(run: Run, tmp_path: Path) -> None:
    psp, biz = pair(run, tmp_path, "mac")
    biz.reach("PSP", f"http://127.0.0.1:{unused_port()}/sms")
    command = ("send", "PS810FTRQ", biz.message(), "--msg-id", "M1")
    run("-c", biz.config, *command, "--wait", "--timeout", "1")
    assert "queued, held" in run("-c", biz.config, "list").stdout
    (row,) = json.loads(run("-c", biz.config, "list", "--json").stdout)
    assert (row["held"], row["attempts"]) == (True, 0)
    assert "held" in run("-c", biz.config, "show", "M1").stdout
    why = run("-c", biz.config, "why", "M1").stdout
    assert "nothing has left" in why
    assert "It is held" in why
    assert "msh keys exchange PSP" in why
    with serving(psp) as server:
        biz.reach("PSP", server.line)
        assert run("-c", biz.config, "keys", "exchange", "PSP").exit_code == 0
        again = run("-c", biz.config, *command, "--wait")
    assert again.exit_code == 0, again.stderr
    assert "It is held" not in run("-c", biz.config, "why", "M1").stdout
