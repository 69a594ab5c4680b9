"""The diagrams in the docs are those of the tables."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from msh.protocol import delivery, keys, reception

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "make_diagrams.py"


def load():
    spec = importlib.util.spec_from_file_location("make_diagrams", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make_diagrams = load()


def test_no_diagram_is_stale() -> None:
    assert make_diagrams.stale(make_diagrams.FOLDER) == [], "run python docs/make_diagrams.py"


def test_the_script_checks_from_the_command_line() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--check"], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_missing_or_stale_page_is_found_and_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "diagrams"
    assert make_diagrams.main(["--check"], folder) == 1
    assert not folder.exists()
    assert make_diagrams.main([], folder) == 0
    assert make_diagrams.main(["--check"], folder) == 0
    capsys.readouterr()
    with (folder / "delivery.md").open("a", encoding="utf-8") as page:
        page.write("x")
    assert make_diagrams.main(["--check"], folder) == 1
    assert capsys.readouterr().out == "delivery.md: stale; run python docs/make_diagrams.py\n"


def test_a_changed_table_makes_its_page_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    row = {**delivery.TRANSITIONS[delivery.State.QUEUED]}
    del row[delivery.Event.RESULT]
    monkeypatch.setitem(delivery.TRANSITIONS, delivery.State.QUEUED, row)
    assert make_diagrams.stale(make_diagrams.FOLDER) == ["delivery.md"]


@pytest.mark.parametrize(
    ("page", "protocol"),
    [("delivery.md", delivery), ("reception.md", reception), ("keys.md", keys)],
)
def test_every_transition_is_drawn_and_tabled(page: str, protocol) -> None:
    text = make_diagrams.pages()[page]
    drawn = {
        (start, event, end)
        for start, end, events in re.findall(r"^    (\w+) --> (\w+): (.*)$", text, re.MULTILINE)
        for event in events.split(", ")
    }
    assert drawn == {
        (state.replace("-", "_"), str(event), following.replace("-", "_"))
        for state, row in protocol.TRANSITIONS.items()
        for event, following in row.items()
    }
    lines = [line for line in text.splitlines() if line.startswith("| **")]
    assert len(lines) == len(protocol.State)
    assert all(line.count("|") == len(protocol.Event) + 2 for line in lines)


def test_the_schedule_page_has_the_published_figures() -> None:
    page = make_diagrams.pages()["schedule.md"]
    assert re.findall(r"^\| [\w ]+ \| (\d+) s \|", page, re.MULTILINE) == [
        "0",
        "90",
        "240",
        "510",
        "540",
    ]
    assert re.findall(r"\| (\d+) s \|$", page, re.MULTILINE) == ["60", "120", "240"]
