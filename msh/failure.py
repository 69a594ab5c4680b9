"""What a log and the journal may say of a failure: its kind, its place, and no content.

The text of an exception may quote a message: an account number that would not parse, a row that
would not go in. So only our own errors, which never do, are quoted, and SQLite's where it names
nothing but tables and columns.
"""

from __future__ import annotations

import os
import re
import sqlite3
import traceback
from pathlib import Path

from msh.errors import ApplyFailed, MshError

_HERE = f"{Path(__file__).parent}{os.sep}"
_NAME = r"[A-Za-z_][A-Za-z0-9_.]*"
# A column that does not exist may be a value somebody forgot to quote, so none with digits in it.
_WORD = r"[A-Za-z_.]+"
_NAMES_ONLY = re.compile(
    rf"no such (table|index|view): {_NAME}"
    rf"|no such column: {_WORD}"
    rf"|table {_NAME} has \d+ columns? but \d+ values? (was|were) supplied"
    rf"|table {_NAME} has no column named {_WORD}"
    rf"|(table|index|view) {_NAME} already exists"
    rf"|\d+ values for \d+ columns"
    rf"|(UNIQUE|NOT NULL) constraint failed: {_NAME}(, {_NAME})*"
    rf"|FOREIGN KEY constraint failed"
    rf"|CHECK constraint failed: {_WORD}"
    rf"|datatype mismatch"
    rf"|(table|view) {_NAME} may not be (modified|dropped)"
    rf"|cannot modify {_NAME} because it is a view"
    rf"|Error binding parameter \S+: type '{_NAME}' is not supported"
    rf"|Incorrect number of bindings supplied\. The current statement uses \d+, and there are \d+"
    rf" supplied\."
    rf"|You can only execute one statement at a time\."
    rf"|(access to {_NAME} is prohibited|not authorized(: the store [a-z]+ its connection)?)"
)


def told(error: BaseException) -> str:
    """``error`` in one line: ``KIND at FILE:LINE: TEXT``, the last only where it is harmless.

    The place is the last one outside msh, so that it is in the code of whoever is to mend it; of
    an error that was raised from another, the other's, if it has one.
    """
    if isinstance(error, ApplyFailed):  # it tells of its cause in the same way
        return f"{type(error).__name__}: {error}"
    said = f": {text}" if (text := _text(error)) else ""
    return f"{type(error).__name__}{_place(error)}{said}"


def _text(error: BaseException) -> str:
    if isinstance(error, MshError):
        return str(error)
    if isinstance(error, sqlite3.Error) and _NAMES_ONLY.fullmatch(str(error)):
        return str(error)
    return ""


def _place(error: BaseException) -> str:
    for one in (error.__cause__, error):
        frames = traceback.extract_tb(one.__traceback__) if one is not None else []
        outside = [frame for frame in frames if not _ours(frame.filename)]
        if outside:
            return _at(outside[-1])
    frames = traceback.extract_tb(error.__traceback__)
    return _at(frames[-1]) if frames else ""


def _at(frame: traceback.FrameSummary) -> str:
    return f" at {Path(frame.filename).name}:{frame.lineno}"


def _ours(file: str) -> bool:
    """Whether a frame is msh's own, of a dataclass's constructor, or of what calls handlers."""
    return (
        file.startswith(_HERE)
        or file == "<string>"
        or Path(file).parts[-3:-1] == ("concurrent", "futures")
    )
