"""The ten-character status code and what it means (TDCC PSP appendix 9.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from msh.errors import CatalogError

_FORM = re.compile(r"PSP(PM|BK)([0-9]{4})([ISWE])")
_RIGHT = (
    "A status code is PSP, then PM or BK, four digits 0-9 and one of I, S, W, E: "
    "ten characters, such as PSPBK0000I."
)

# The rule for codes whose kind alone says too little.
_SYSTEM_ERROR = (9999, "S")
_TRY_LATER = frozenset({("BK", 2, "S"), ("BK", 11, "E"), ("BK", 107, "E"), ("BK", 112, "E")})


class Meaning(StrEnum):
    """What a status code says about the request it answers."""

    DONE = "done"  # accepted, or carried out
    LATER = "later"  # not now: a new message may succeed
    REFUSED = "refused"  # the same request would be refused again
    SYSTEM_ERROR = "system-error"  # the outcome is unknown


@dataclass(frozen=True, slots=True, order=True)
class StatusCode:
    """A status code as a value: ``source`` "PM" or "BK", ``number`` 0-9999, ``kind`` I, S, W or E.

    Any well-formed code is one, in the published table or not. Ordered by source, number, kind.
    Raises CatalogError for a part that no code can have (TDCC PSP appendix 9.2).
    """

    source: str
    number: int
    kind: str

    def __post_init__(self) -> None:
        if self.source not in ("PM", "BK"):
            raise CatalogError(
                f"status code source {self.source!r} is unknown; use 'PM' (platform) or 'BK' (bank)"
            )
        if type(self.number) is not int or not 0 <= self.number <= 9999:
            raise CatalogError(
                f"status code number {self.number!r} is no whole number from 0 to 9999"
            )
        if self.kind not in ("I", "S", "W", "E"):
            raise CatalogError(
                f"status code kind {self.kind!r} is unknown; use 'I', 'S', 'W' or 'E'"
            )

    @classmethod
    def parse(cls, text: str) -> StatusCode:
        """The code written as ``text``, exactly ten ASCII characters; nothing is trimmed.

        Raises CatalogError saying what is wrong with ``text`` and what a code looks like.
        """
        if not isinstance(text, str):
            raise CatalogError(f"a status code is text, not {type(text).__name__}. {_RIGHT}")
        return _parse(text)

    @property
    def meaning(self) -> Meaning:
        """Done, later, refused or system error; also for codes outside of the table."""
        if self.kind == "I":
            return Meaning.DONE
        if (self.number, self.kind) == _SYSTEM_ERROR:
            return Meaning.SYSTEM_ERROR
        if self.kind == "W" or (self.source, self.number, self.kind) in _TRY_LATER:
            return Meaning.LATER
        return Meaning.REFUSED

    def __str__(self) -> str:
        return f"PSP{self.source}{self.number:04d}{self.kind}"


@lru_cache(maxsize=1024)
def _parse(text: str) -> StatusCode:
    found = _FORM.fullmatch(text)
    if found is None:
        shown = text if len(text) <= 40 else text[:40] + "…"
        raise CatalogError(f"{shown!r} is no status code: {_fault(text)}. {_RIGHT}")
    source, number, kind = found.groups()
    return StatusCode(source, int(number), kind)


def _fault(text: str) -> str:
    """The first thing wrong with a text that is no status code."""
    if any(character.isspace() for character in text):
        return "it contains white space"
    if not text.isascii():
        odd = next(character for character in text if not character.isascii())
        return f"it contains {odd!r} (U+{ord(odd):04X}), which is not ASCII"
    if len(text) != 10:
        return f"it has {len(text)} characters instead of ten"
    if _FORM.fullmatch(text.upper()):
        return f"it is in lower case; {text.upper()} would be right"
    if not text.startswith("PSP"):
        return f"it begins with {text[:3]!r} instead of 'PSP'"
    if text[3:5] not in ("PM", "BK"):
        return f"its source (characters 4-5) is {text[3:5]!r} instead of 'PM' or 'BK'"
    if not text[5:9].isdigit():
        return f"its number (characters 6-9) is {text[5:9]!r} instead of four digits"
    return f"its kind (last character) is {text[9]!r} instead of 'I', 'S', 'W' or 'E'"
