"""`msh init`: folders that work as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

import msh
from msh.config import read_configuration
from msh.envelope import normal_body
from msh.profile import Role
from tests.cli.conftest import Run

SERVICES_TO_BANK = {"PS810FTRQ", "PS830INQRQ", "PS850CERQ", "PS860INQRQ"}
SERVICES_TO_BUSINESS = {"PS811FTRRQ", "PS831INRRQ", "PS851CERQ", "PS861INRRQ", "IS930PIDRQ"}
BOTH_WAYS = {"PS802RSDRQ", "IS910SMDRQ", "IS920VASRQ", "IS940PICRQ"}
# role, own id, port, and for each peer what is sent and what is accepted
FOLDERS = [
    ("business", "BIZ", 8711, {"PSP": (SERVICES_TO_BANK, SERVICES_TO_BUSINESS)}),
    (
        "psp",
        "PSP",
        8710,
        {
            "BIZ": (SERVICES_TO_BUSINESS, SERVICES_TO_BANK),
            "BANK": (SERVICES_TO_BANK, SERVICES_TO_BUSINESS),
        },
    ),
    ("bank", "BANK", 8712, {"PSP": (SERVICES_TO_BUSINESS, SERVICES_TO_BANK)}),
]


@pytest.mark.parametrize(("role", "own", "port", "peers"), FOLDERS)
def test_the_configuration_says_who_talks_to_whom(
    run: Run,
    tmp_path: Path,
    role: str,
    own: str,
    port: int,
    peers: dict[str, tuple[set[str], set[str]]],
) -> None:
    assert run("init", "folder", "--role", role).exit_code == 0
    configuration = read_configuration(tmp_path / "folder" / "msh.toml")
    assert (configuration.own, configuration.role) == (own, Role(role))
    assert configuration.listen == f"http://127.0.0.1:{port}/sms"
    assert configuration.store == f"sqlite:///{tmp_path / 'folder' / 'msh.db'}"
    assert set(configuration.agreements.by_peer) == set(peers)
    for peer, (sends, accepts) in peers.items():
        agreement = configuration.agreements[peer]
        assert agreement.sends == sends | BOTH_WAYS
        assert agreement.accepts == accepts | BOTH_WAYS
        assert agreement.outbound == msh.Reliability()
        assert agreement.handling == msh.Handling()
        assert agreement.limits == msh.Limits()


def test_the_folders_find_one_another(run: Run, tmp_path: Path) -> None:
    for role in Role:
        run("init", role, "--role", role)
    made = [read_configuration(tmp_path / role / "msh.toml") for role in Role]
    listening = {one.own: one.listen for one in made}
    for one in made:
        for agreement in one.agreements:
            assert agreement.endpoint == listening[agreement.peer]
            other = next(other for other in made if other.own == agreement.peer)
            back = other.agreements[one.own]
            assert (back.accepts, back.sends) == (agreement.sends, agreement.accepts)


@pytest.mark.parametrize("role", list(Role))
def test_every_sample_can_be_sent_as_it_is(run: Run, tmp_path: Path, role: Role) -> None:
    run("init", "folder", "--role", role)
    configuration = read_configuration(tmp_path / "folder" / "msh.toml")
    sent = {(a.peer, service) for a in configuration.agreements for service in a.sends}
    samples = {path.stem for path in (tmp_path / "folder" / "messages").iterdir()}
    assert samples == {service for _, service in sent}
    for peer, service in sent:
        body = tmp_path / "folder" / "messages" / f"{service}.xml"
        normal = normal_body(body.read_bytes())
        assert normal.startswith(f'<{service} xmlns="urn:tdcc:psp:body:3.4">'.encode())
        made = run("-c", "folder/msh.toml", "compose", service, body, "--to", peer)
        assert made.exit_code == 0, made.stderr


def test_the_transfer_is_about_as_long_as_a_real_one(run: Run, tmp_path: Path) -> None:
    run("init", "folder", "--role", "business")
    body = normal_body((tmp_path / "folder" / "messages" / "PS810FTRQ.xml").read_bytes())
    assert 1_700 <= len(body) <= 2_200


def test_it_says_what_to_run_next(run: Run) -> None:
    said = run("init", "folder", "--role", "business").stdout
    for command in ("cd folder", "msh serve", "msh send PS810FTRQ messages/PS810FTRQ.xml --wait"):
        assert command in said


def test_nothing_is_overwritten(run: Run, tmp_path: Path) -> None:
    run("init", "folder", "--role", "business")
    before = {p: p.read_bytes() for p in (tmp_path / "folder").rglob("*") if p.is_file()}
    again = run("init", "folder", "--role", "psp")
    assert again.exit_code == 2
    assert "msh.toml" in again.stderr
    assert before == {p: p.read_bytes() for p in (tmp_path / "folder").rglob("*") if p.is_file()}


def test_a_file_that_stands_in_the_way_is_kept_too(run: Run, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "handlers.py").write_text("# mine\n")
    refused = run("init", "folder", "--role", "psp")
    assert refused.exit_code == 2
    assert "handlers.py" in refused.stderr
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["handlers.py"]


def test_a_folder_that_cannot_be_made(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused = run("init", "file/folder", "--role", "psp")
    assert refused.exit_code == 2
    assert "cannot be written" in refused.stderr


def test_the_role_must_be_one_of_three(run: Run, tmp_path: Path) -> None:
    assert run("init", "folder", "--role", "broker").exit_code == 2
    assert run("init", "folder").exit_code == 2
    assert not (tmp_path / "folder").exists()
