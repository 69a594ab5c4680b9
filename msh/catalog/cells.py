"""Reading one row of a JSON table strictly: each mistake is named by file, row and field."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from datetime import time
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import NoReturn

from msh.errors import CatalogError

_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")


class Cells:
    """The cells of one row, taken by field name. Every method raises CatalogError with the place.

    ``number`` is the row's place in its file, counted from 1.
    """

    def __init__(self, file: str, number: int, cells: dict[str, object]) -> None:
        self.file = file
        self.number = number
        self._cells = cells

    def broken(self, field: str, problem: str) -> NoReturn:
        """Raise CatalogError for one field of this row."""
        raise CatalogError(f"{self.file}, row {self.number}, field {field!r}: {problem}")

    def only(self, fields: Collection[str]) -> None:
        """Refuse a row that has a field outside of ``fields``."""
        for field in self._cells:
            if field not in fields:
                self.broken(field, f"unknown field; a row has {', '.join(fields)}")

    def text(self, field: str, *, empty: bool = False) -> str:
        """A text; an empty one only where ``empty`` is set."""
        value = self._take(field)
        if not isinstance(value, str):
            self.broken(field, f"must be a text, not {value!r}")
        if value != value.strip() or not (value or empty):
            self.broken(field, f"must be a text without white space around it, not {value!r}")
        return value

    def optional_text(self, field: str) -> str | None:
        """A text, or None where the row has no such field."""
        return self.text(field) if field in self._cells else None

    def choice(self, field: str, allowed: Collection[str]) -> str:
        """One of the allowed texts."""
        value = self.text(field)
        if value not in allowed:
            self.broken(field, f"must be one of {', '.join(allowed)}, not {value!r}")
        return value

    def texts(self, field: str) -> tuple[str, ...]:
        """A list of distinct, non-empty texts; the list may be empty."""
        value = self._take(field)
        if not isinstance(value, list):
            self.broken(field, f"must be a list of texts, not {value!r}")
        texts = tuple(item for item in value if isinstance(item, str) and item)
        if len(texts) != len(value) or len(set(texts)) != len(texts):
            self.broken(field, f"must be a list of different texts, not {value!r}")
        return texts

    def flag(self, field: str) -> bool:
        """True or false."""
        value = self._take(field)
        if not isinstance(value, bool):
            self.broken(field, f"must be true or false, not {value!r}")
        return value

    def optional_flag(self, field: str) -> bool | None:
        """True, false, or null for None."""
        return None if self._take(field) is None else self.flag(field)

    def time(self, field: str) -> time:
        """A time of day written "HH:MM", in 24 hours."""
        value = self._take(field)
        found = _TIME.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            self.broken(field, f'must be a time of day as "HH:MM", 00:00 to 23:59, not {value!r}')
        return time(int(found[1]), int(found[2]))

    def optional_time(self, field: str) -> time | None:
        """A time of day written "HH:MM", or null for None."""
        return None if self._take(field) is None else self.time(field)

    def _take(self, field: str) -> object:
        if field not in self._cells:
            self.broken(field, "is missing")
        return self._cells[field]


def read_table[Row](file: Path | Traversable, row: Callable[[Cells], Row]) -> list[Row]:
    """Every row of a JSON table (an array of objects), made by ``row``.

    Raises CatalogError where the file cannot be read, is no such array, or has a broken row.
    """
    raise NotImplementedError
