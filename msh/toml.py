"""Reading a table of TOML with every mistake collected, each with its key path."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date, time, timedelta
from enum import StrEnum
from typing import Any, TypeVar, overload

Choice = TypeVar("Choice", bound=StrEnum)
_LARGEST_SHOWN = 10**15
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")


class Place:
    """One table of a file. Reading a key that is wrong notes a problem and gives a harmless value.

    Keys that nobody read are mistakes too: ``finish`` reports them.
    """

    def __init__(
        self,
        content: Mapping[str, Any],
        path: str,
        problems: list[str] | None = None,
        *,
        missing: bool = False,
    ) -> None:
        self._content = content
        self._path = path
        self._read: set[str] = set()
        #: Every mistake found so far, in the whole file.
        self.problems: list[str] = [] if problems is None else problems
        #: Whether the table stands in the file at all.
        self.missing = missing

    def names(self) -> list[str]:
        """The keys of this table; all count as read."""
        self._read.update(self._content)
        return list(self._content)

    def problem(self, key: str, text: str) -> None:
        """Note a mistake at ``key``."""
        self.problems.append(f"{self._at(key)}: {text}")

    def problems_below(self, key: str) -> bool:
        """Whether a mistake was noted at ``key`` or under it."""
        at = self._at(key)
        return any(problem.startswith((f"{at}: ", f"{at}.")) for problem in self.problems)

    def table(self, key: str, *, optional: bool = False) -> Place:
        """The table at ``key``."""
        value = self._take(key)
        if value is None:
            if not optional:
                self.problem(key, f"is missing; a table [{self._at(key)}] is wanted")
            return Place({}, self._at(key), self.problems, missing=True)
        if not isinstance(value, dict):
            self.problem(key, f"must be a table [{self._at(key)}]")
            return Place({}, self._at(key), self.problems, missing=True)
        return Place(value, self._at(key), self.problems)

    def tables(self, key: str) -> list[Place]:
        """A list of tables; empty if it is not given."""
        value = self._take(key)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self.problem(key, f"must be a list of tables, each [[{self._at(key)}]]")
            return []
        return [
            Place(item, f"{self._at(key)}[{number}]", self.problems)
            for number, item in enumerate(value)
        ]

    def text(self, key: str, *, default: str | None = None) -> str:
        """A string; required if there is no default."""
        value = self._take(key)
        if value is None:
            if default is None:
                self._wanted(key, "a text")
            return default or ""
        if not isinstance(value, str):
            self.problem(key, f"must be a text in quotes, not {_shown(value)}")
            return default or ""
        return value

    def name(self, key: str, *, default: str) -> str:
        """A string that can be the name of an XML element or a prefix."""
        value = self.text(key, default=default)
        if not _NAME.fullmatch(value):
            self.problem(key, f"{value!r} is not the name of an XML element")
            return default
        return value

    def identifier(self, key: str, *, longest: int) -> str:
        """A party id."""
        value = self.text(key)
        if isinstance(self._content.get(key), str) and not (
            re.fullmatch(r"[\x21-\x7e]+", value) and len(value) <= longest
        ):
            self.problem(key, f"{value!r}: must be 1 to {longest} visible ASCII characters")
        return value

    def texts(self, key: str, *, example: str = "PS810FTRQ") -> list[str]:
        """A list of strings; empty if it is not given."""
        value = self._take(key)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.problem(key, f'must be a list of texts, such as ["{example}"]')
            return []
        return value

    def day(self, key: str) -> date | None:
        """A day, as a date of TOML or as a text; required."""
        value = self._take(key)
        if value is None:
            self._wanted(key, "a date such as 2026-12-25")
            return None
        return self._day(key, value)

    def days(self, key: str) -> frozenset[date]:
        """A list of days; empty if it is not given."""
        value = self._take(key)
        if value is not None and not isinstance(value, list):
            self.problem(key, "must be a list of dates, such as [2026-12-25]")
            return frozenset()
        found = [self._day(key, item) for item in value or ()]
        return frozenset(day for day in found if day)

    def _day(self, key: str, value: Any) -> date | None:
        if type(value) is date:
            return value
        try:
            return date.fromisoformat(value)
        except (TypeError, ValueError):
            self.problem(key, f"{_shown(value)} is no date such as 2026-12-25")
            return None

    def time_of_day(self, key: str, default: time | None = None) -> time | None:
        """A time of day, as one of TOML or as a text; ``default`` if it is not given."""
        value = self._take(key)
        if value is None or isinstance(value, time):
            return default if value is None else value
        try:
            return time.fromisoformat(value)
        except (TypeError, ValueError):
            self.problem(key, f"{_shown(value)} is no time of day such as 19:45")
            return default

    def is_empty(self, key: str) -> bool:
        """Whether an empty list is given, which is not the same as nothing."""
        return self._content.get(key) == []

    @overload
    def choice(self, key: str, choices: type[Choice]) -> Choice | None: ...
    @overload
    def choice(self, key: str, choices: type[Choice], *, default: Choice) -> Choice: ...
    @overload
    def choice(self, key: str, choices: Iterable[str]) -> str | None: ...
    def choice(self, key: str, choices: Any, *, default: Any = None) -> Any:
        """One of ``choices``; required if there is no default."""
        value = self._take(key)
        allowed = ", ".join(f'"{choice}"' for choice in choices)
        if value is None:
            if default is None:
                self._wanted(key, f"one of {allowed}")
            return default
        if value not in list(choices):
            self.problem(key, f"{_shown(value)} is not one of {allowed}")
            return default
        return choices(value) if isinstance(choices, type) else value

    def flag(self, key: str, *, default: bool) -> bool:
        """true or false."""
        value = self._take(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.problem(key, f"must be true or false, not {_shown(value)}")
            return default
        return value

    def number(self, key: str, *, default: float, least: float, most: float) -> float:
        """A number within bounds."""
        value = self._take(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.problem(key, f"must be a number, not {_shown(value)}")
            return default
        if not least <= value <= most:
            self.problem(key, f"{value}: must be from {least:g} to {most:g}")
            return default
        return float(value)

    def whole(self, key: str, *, default: int, least: int, most: int) -> int:
        """A whole number within bounds."""
        value = self.number(key, default=default, least=least, most=most)
        if value != int(value):
            self.problem(key, f"{value:g}: must be a whole number")
            return default
        return int(value)

    def seconds(self, key: str, default: timedelta, *, least: float, most: float) -> timedelta:
        """A duration, written as a number of seconds."""
        usual = default.total_seconds()
        return timedelta(seconds=self.number(key, default=usual, least=least, most=most))

    def finish(self) -> None:
        """Note every key that nobody asked for."""
        for key in self._content:
            if key not in self._read:
                known = ", ".join(sorted(self._read)) or "none"
                self.problem(key, f"is not known here; known are: {known}")

    def _take(self, key: str) -> Any:
        self._read.add(key)
        return self._content.get(key)

    def _wanted(self, key: str, what: str) -> None:
        if not self.missing:
            self.problem(key, f"is missing; {what} is wanted")

    def _at(self, key: str) -> str:
        return ".".join(part for part in (self._path, key) if part) or "the file"


def _shown(value: Any) -> str:
    if isinstance(value, int) and abs(value) > _LARGEST_SHOWN:
        return "a number"  # which may be a key, written in the wrong place
    if value and isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "a table"
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
