"""Draws docs/diagrams/*.md from the tables that the code runs on.

python docs/make_diagrams.py            write what is missing or stale
python docs/make_diagrams.py --check    write nothing; exit 1 if anything is stale
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from msh.agreement import Reliability
from msh.protocol import delivery, keys, reception
from msh.protocol.retry import schedule

FOLDER = Path(__file__).resolve().parent / "diagrams"

Table = Mapping[Any, Mapping[Any, StrEnum]]


def pages() -> dict[str, str]:
    """Every page by its file name, as it ought to be."""
    return {
        "delivery.md": _page(
            "The life of a delivery",
            "What can happen to a message that is sent, and where it stands then.",
            delivery.TRANSITIONS,
            delivery.Event,
            ends=delivery.SETTLED,
        ),
        "reception.md": _page(
            "The life of a reception",
            "What can happen to a message that was received, and where it stands then.",
            reception.TRANSITIONS,
            reception.Event,
            ends=frozenset(reception.State) - reception.OPEN,
        ),
        "keys.md": _page(
            "The life of a working key",
            "What can happen to a key that was offered, and where it stands then.",
            keys.TRANSITIONS,
            keys.Event,
            ends=keys.ENDED,
        ),
        "schedule.md": _schedule(),
    }


def stale(folder: Path) -> list[str]:
    """The names of pages in ``folder`` that are missing or differ from the tables."""
    return [name for name, text in pages().items() if _read(folder / name) != text]


def main(arguments: list[str] | None = None, folder: Path = FOLDER) -> int:
    """Write or check the pages; the exit code."""
    parser = argparse.ArgumentParser(description="Draw docs/diagrams from the tables.")
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 if stale")
    check = parser.parse_args(arguments).check
    wrong = stale(folder)
    for name in wrong:
        print(f"{name}: {'stale; run python docs/make_diagrams.py' if check else 'written'}")
        if not check:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(pages()[name], encoding="utf-8", newline="\n")
    return 1 if check and wrong else 0


def _read(file: Path) -> str | None:
    return file.read_text(encoding="utf-8") if file.is_file() else None


def _page(
    title: str,
    about: str,
    table: Table,
    events: Iterable[StrEnum],
    ends: Collection[StrEnum],
) -> str:
    head = f"# {title}\n\n{_drawn_from('the table of transitions')}\n\n{about}\n"
    return "\n".join([head, _diagram(table, ends), _by_state_and_event(table, events)])


def _drawn_from(what: str) -> str:
    return f"<!-- Drawn by docs/make_diagrams.py from {what}; do not edit. -->"


def _diagram(table: Table, ends: Collection[StrEnum]) -> str:
    """A Mermaid state diagram; events between the same two states share an arrow."""
    lines = ["```mermaid", "stateDiagram-v2"]
    lines += [f'    state "{state}" as {_id(state)}' for state in table]
    lines.append(f"    [*] --> {_id(next(iter(table)))}")
    for state, row in table.items():
        arrows: dict[StrEnum, list[str]] = {}
        for event, following in row.items():
            arrows.setdefault(following, []).append(event)
        for following, named in arrows.items():
            lines.append(f"    {_id(state)} --> {_id(following)}: {', '.join(named)}")
    lines += [f"    {_id(state)} --> [*]" for state in table if state in ends]
    return "\n".join([*lines, "```", ""])


def _id(state: StrEnum) -> str:
    return state.replace("-", "_")


def _by_state_and_event(table: Table, events: Iterable[StrEnum]) -> str:
    """The same as a table: a row for each state, a column for each event."""
    columns = list(events)
    rows = [
        [f"**{state}**", *(row.get(event, "–") for event in columns)]
        for state, row in table.items()
    ]
    return _table(["state", *columns], rows)


def _schedule() -> str:
    usual = Reliability()
    start = datetime(2000, 1, 1, tzinfo=UTC)
    moments = [(moment - start).total_seconds() for moment in schedule(usual, start)]
    waits = [
        usual.interval.total_seconds() * usual.factor**number for number in range(usual.resends)
    ]
    rows = [
        [f"attempt {number}", f"{moment:g} s", f"{wait:g} s" if wait is not None else "–"]
        for number, (moment, wait) in enumerate(zip(moments[:-1], [*waits, None], strict=True), 1)
    ]
    rows.append(["given up", f"{moments[-1]:g} s", "–"])
    return "\n".join(
        [
            "# The retry schedule",
            "",
            _drawn_from("the retry plan and the defaults of Reliability"),
            "",
            f"The defaults: {usual.resends} resends, interval {usual.interval.total_seconds():g} s,"
            f" factor {usual.factor:g}, time-out {usual.timeout.total_seconds():g} s.",
            "The next attempt is due at this attempt's start + time-out + interval, whether",
            "it times out or fails at once, so the schedule never shifts.",
            "",
            _table(["what", "when, from the first attempt on", "interval before the next"], rows),
        ]
    )


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
