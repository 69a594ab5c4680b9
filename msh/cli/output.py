"""Printing: JSON for programs, tables and colours for people, and errors in one shape."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

#: Wide enough that nothing is cut where no terminal says how wide it is.
_UNBOUNDED = 400


def prepare() -> None:
    """Print whatever a terminal of any encoding can show, rather than fail.

    What is logged while a command runs that keeps no log is told like everything else on stderr.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(logging.Formatter("msh: %(message)s"))


def console(*, stderr: bool = False) -> Console:
    """Where people read: colours on terminals only, and unbounded lines elsewhere."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    bounded = stream.isatty() or "COLUMNS" in os.environ
    # No markup: what is printed may hold brackets of its own.
    return Console(
        stderr=stderr,
        highlight=False,
        markup=False,
        emoji=False,
        width=None if bounded else _UNBOUNDED,
    )


def print_json(value: Any) -> None:
    """``value`` as JSON in UTF-8, whatever the terminal's encoding."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2).encode())


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[RenderableType]], *, fixed: int = 1
) -> None:
    """A table for people; the first ``fixed`` columns are never wrapped."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    for number, column in enumerate(columns):
        table.add_column(column, no_wrap=number < fixed, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console().print(table)


def complain(text: str) -> None:
    """One message on stderr."""
    typer.echo(typer.style("msh: ", fg="red", bold=True) + text, err=True)


def remark(text: str) -> None:
    """A word to whoever reads along, on stderr, so that stdout holds results alone."""
    typer.echo(f"msh: {text}", err=True)


def iso(moment: datetime | None) -> str | None:
    """ISO 8601 in UTC with Z, to the millisecond."""
    if moment is None:
        return None
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def local_short(moment: datetime, now: datetime) -> str:
    """Time of day if that is today, else date and time, where the reader is."""
    there, today = moment.astimezone(), now.astimezone().date()
    if there.date() == today:
        return f"{there:%H:%M:%S}"
    return f"{there:%m-%d %H:%M}" if there.year == today.year else f"{there:%Y-%m-%d}"


def local(moment: datetime | None) -> str:
    """Date and time of day where the reader is."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}" if moment else ""
