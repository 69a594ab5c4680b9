"""`msh suspend`, `resume`, `suspensions`: at once, in a server that runs beside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Folder, Run, serving


def suspended(run: Run, folder: Folder) -> list[tuple[str, str]]:
    shown = run("-c", folder.config, "suspensions", "--json")
    assert shown.exit_code == 0, shown.stderr
    return [(one["kind"], one["name"]) for one in json.loads(shown.stdout)]


def test_what_is_suspended_is_listed_until_it_is_resumed(run: Run, psp: Folder) -> None:
    assert suspended(run, psp) == []
    assert not psp.database.exists()
    for name in ("BIZ", "PS810FTRQ"):
        begun = run("-c", psp.config, "suspend", name)
        assert (begun.exit_code, f"msh resume {name}" in begun.stdout) == (0, True)
    assert suspended(run, psp) == [("party", "BIZ"), ("service", "PS810FTRQ")]
    again = run("-c", psp.config, "suspend", "BIZ")
    assert (again.exit_code, "already" in again.stdout) == (0, True)
    assert "PS810FTRQ" in run("-c", psp.config, "suspensions").stdout
    assert run("-c", psp.config, "resume", "BIZ").exit_code == 0
    assert suspended(run, psp) == [("service", "PS810FTRQ")]
    idle = run("-c", psp.config, "resume", "BIZ")
    assert (idle.exit_code, "was not suspended" in idle.stdout) == (0, True)


@pytest.mark.parametrize("name", ["PS810FTR", "NOBODY", "PS810FTRS", "PSP"])
@pytest.mark.parametrize("command", ["suspend", "resume"])
def test_unknown_names_are_refused_with_the_known_ones(
    run: Run, psp: Folder, command: str, name: str
) -> None:
    refused = run("-c", psp.config, command, name)
    assert refused.exit_code == 2
    assert "Parties: BANK, BIZ" in refused.stderr
    assert "PS810FTRQ" in refused.stderr
    assert suspended(run, psp) == []


def test_what_no_agreement_names_any_more_can_be_resumed(run: Run, psp: Folder) -> None:
    run("-c", psp.config, "suspend", "BIZ")
    psp.change("agreements.BIZ", "agreements.OTHER")
    assert run("-c", psp.config, "resume", "BIZ").exit_code == 0
    assert suspended(run, psp) == []


@pytest.mark.parametrize("name", ["BIZ", "PS810FTRQ"])
def test_a_server_that_runs_refuses_at_once_and_takes_again_at_once(
    run: Run, psp: Folder, biz: Folder, name: str
) -> None:
    biz.wait_for_answers()

    def send(message_id: str, body: Path | None = None) -> dict[str, Any]:
        body = body or biz.another()
        command = ("send", "PS810FTRQ", body, "--msg-id", message_id, "--wait", "--json")
        return json.loads(run("-c", biz.config, *command).stdout)

    with serving(psp) as server:
        biz.reach("PSP", server.line)
        assert send("M1", biz.message())["status"] == "PSPPM0000I"
        run("-c", psp.config, "suspend", name)
        assert send("M2")["status"] == "PSPPM0001W"
        # What was taken before is no new message.
        resent = run("-c", biz.config, "send", "PS810FTRQ", biz.message(), "--msg-id", "M1")
        assert resent.exit_code == 0
        run("-c", psp.config, "resume", name)
        assert send("M3")["status"] == "PSPPM0000I"
        assert server.stop()[0] == 0
    why = run("-c", psp.config, "why", "M2").stdout
    assert f"{name}" in why
    assert "was suspended here" in why
    assert "msh resume" in why
    assert "suspended" in run("-c", psp.config, "show", "M2").stdout
    assert "was suspended" not in run("-c", psp.config, "why", "M3").stdout
    assert "Send it again later" in run("-c", biz.config, "why", "M2").stdout
