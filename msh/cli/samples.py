"""Sample bodies, one for each service: those of ``examples/messages``, dated anew.

They lie inside the wheel, or beside the package in a checkout.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import count
from pathlib import Path
from secrets import randbelow

from msh.businessdays import USUAL
from msh.errors import CatalogError, UsageError
from msh.hours import TAIPEI

#: The day on which the samples are written; all other days in them are told from it.
_WRITTEN = date(2026, 11, 23)
_DATE = re.compile(r"(?<=>)\d{4}-\d{2}-\d{2}(?=<)")
_REFERENCE = re.compile(r"(?<=<SSNID>)[^<]*|(?<=<SVCREFID>)[^<]*")
# Begun anywhere, so that two processes of one day hardly meet.
_numbers = count(randbelow(10**11))


def sample_body(service: str, day: date | None = None, number: int | None = None) -> str:
    """A body of ``service`` to be sent on ``day``, by default the next business day in Taipei.

    Its SSNID and SVCREFID are those of no other call, unless made of the same ``number``. Raises
    `UsageError` for a service that has no sample.
    """
    day = _next_business_day() if day is None else day
    number = next(_numbers) if number is None else number
    shift = day - _WRITTEN
    text = _sample(service)
    text = _DATE.sub(lambda found: str(date.fromisoformat(found[0]) + shift), text)
    return _REFERENCE.sub(lambda found: _reference(found[0], day, number), text)


def samples_folder() -> Traversable:
    """The folder of the samples; raises `CatalogError` if this installation has none."""
    inside = files("msh") / "examples" / "messages"
    if inside.is_dir():
        return inside
    beside = Path(__file__).resolve().parents[2] / "examples" / "messages"
    if beside.is_dir():
        return beside
    raise CatalogError(
        "the folder 'examples/messages' is missing from this installation; install msh again from "
        "its wheel"
    )


def _sample(service: str) -> str:
    file = samples_folder() / f"{service}.xml"
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"{service}: there is no sample of it") from None


def _reference(written: str, day: date, number: int) -> str:
    """``written``, which begins with the letters of its kind, with a day and number of its own."""
    letters = written.rstrip("0123456789")
    return f"{letters}{day:%Y%m%d}{number % 10**12:012}"


def _next_business_day() -> date:
    today = datetime.now(TAIPEI).date()
    return today if today in USUAL else USUAL.after(today)
