"""`msh check` and `msh codes rules`: what is wrong with a body, all of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msh.content.rules import RULES
from msh.envelope import normal_body, serialise
from msh.message import Message
from msh.profiles import standard_profile
from tests.cli.conftest import Folder, Run
from tests.content.broken import PAY, changed


def written(folder: Path, *changes: tuple[str, str]) -> Path:
    """A request of BIZ in a file, made now."""
    now = datetime.now(UTC)
    day = now.date()
    while day.weekday() > 4:
        day += timedelta(days=1)
    body = changed(PAY, ("2026-11-23", (day + timedelta(days=7)).isoformat()), *changes)
    message = Message(
        service=PAY,
        message_id="BIZ-1",
        sender="BIZ",
        receiver="PSP",
        timestamp=now,
        body=normal_body(body),
    )
    file = folder / "message.xml"
    file.write_bytes(serialise(message, standard_profile()))
    return file


def checking(psp: Folder) -> None:
    """Let the platform's agreement look into bodies."""
    text = psp.config.read_text(encoding="utf-8")
    if "checks_content = true" not in text:
        text = text.replace("checks_content = false\n", "")
        text = text.replace("[agreements.BIZ]\n", "[agreements.BIZ]\nchecks_content = true\n")
        psp.config.write_text(text, encoding="utf-8")


def test_every_fault_is_told(run: Run, psp: Folder, tmp_path: Path) -> None:
    checking(psp)
    file = written(tmp_path, ("<PMTID>1", "<PMTID>0"), ("<Amt>75000.00", "<Amt>75000.01"))
    shown = run("-c", psp.config, "check", file)
    assert shown.exit_code == 1
    first, *faults = shown.stdout.splitlines()
    assert first.startswith("refused  PSPBK0111E  PS810FTRQ  BIZ-1: ")
    assert [fault.split()[:2] for fault in faults] == [
        ["PSPBK0111E", "sum-amounts:"],
        ["PSPBK0126E", "group-id:"],
    ]
    said = json.loads(run("-c", psp.config, "check", file, "--json").stdout)
    assert [fault["rule"] for fault in said["faults"]] == ["sum-amounts", "group-id"]
    assert said["faults"][1] == {
        "status": "PSPBK0126E",
        "rule": "group-id",
        "reason": "PmtSvc/PMTID is 0",
    }


def test_a_misfit_is_told_as_the_schemas(run: Run, psp: Folder, tmp_path: Path) -> None:
    checking(psp)
    file = written(tmp_path, ("<PMTID>1", "<PMTID>x"))
    shown = run("-c", psp.config, "check", file)
    assert shown.exit_code == 1
    assert "  PSPPM0001S  schema: PmtSvc/PMTID " in shown.stdout


def test_a_good_one_has_none(run: Run, psp: Folder, tmp_path: Path) -> None:
    checking(psp)
    shown = run("-c", psp.config, "check", written(tmp_path), "--json")
    assert (shown.exit_code, json.loads(shown.stdout)["faults"]) == (0, [])


def test_the_rules_are_listed(run: Run) -> None:
    rows = json.loads(run("codes", "rules", "--json").stdout)
    assert [row["name"] for row in rows] == [rule.name for rule in RULES]
    shown = run("codes", "rules").stdout
    for rule in RULES:
        assert rule.name in shown
