"""``msh hours``, ``msh cut-time`` and ``msh send --when-open``."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from msh.cli import app
from msh.cli.samples import sample_body

CONFIGURATION = """[party]
id = "PSP"
role = "psp"
[hours]
{hours}
[agreements.BIZ]
role = "business"
protection = "none"
endpoint = "http://127.0.0.1:1/sms"
sends = ["IS910SMDRQ", "PS860INQRQ"]
"""
CLOSED = 'weekend = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]'


def run(folder: Path, hours: str, *words: str):
    file = folder / "msh.toml"
    file.write_text(CONFIGURATION.format(hours=hours), "utf-8")
    return CliRunner().invoke(app, ["--config", str(file), *words])


def test_what_is_closed_for_a_year_is_shown_so(tmp_path: Path) -> None:
    shown = json.loads(run(tmp_path, CLOSED, "hours", "--json").stdout)
    assert {row["service"] for row in shown} == {"IS910SMDRQ", "PS860INQRQ"}
    assert {row["open"] for row in shown} == {False}
    assert {row["opens"] for row in shown} == {None}
    assert "PS860INQRQ" in run(tmp_path, CLOSED, "hours").stdout


def test_without_hours_everything_is_open(tmp_path: Path) -> None:
    assert "always open" in run(tmp_path, "enforce = false", "hours").stdout


def test_the_end_of_day_message_is_queued_once(tmp_path: Path) -> None:
    first = run(tmp_path, "enforce = false", "cut-time")
    assert (first.exit_code, first.stdout.split()[0]) == (0, "BIZ"), first.output
    again = run(tmp_path, "enforce = false", "cut-time", "--to", "BIZ")
    assert again.stdout.split()[1] == first.stdout.split()[1]
    assert "before" in again.stdout


def test_what_is_sent_out_of_hours_is_refused(tmp_path: Path) -> None:
    body = tmp_path / "body.xml"
    body.write_text(sample_body("PS860INQRQ"), "utf-8")
    refused = run(tmp_path, CLOSED, "send", "PS860INQRQ", str(body), "--when-open")
    assert refused.exit_code != 0
    taken = run(tmp_path, "enforce = false", "send", "PS860INQRQ", str(body), "--when-open")
    assert taken.exit_code == 0, taken.output
