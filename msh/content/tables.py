"""Tables that rules look into, beside ``profile.toml``: currencies and banks."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from msh.errors import CatalogError

_CURRENCY = re.compile(r"[A-Z]{3}")
_BANK = re.compile(r"[0-9]{3}")
_SWIFT = re.compile(r"[A-Z]{6}[A-Z0-9]{2}")


def read_currencies(folder: Path | Traversable) -> Mapping[str, int]:
    """How many decimals a currency has (ISO 4217), from ``currencies.json``; empty without it.

    Raises `CatalogError` naming file and row.
    """
    found: dict[str, int] = {}
    for place, row in _rows(folder / "currencies.json", "code", "digits"):
        code, digits = row["code"], row["digits"]
        if not (isinstance(code, str) and _CURRENCY.fullmatch(code)) or code in found:
            raise CatalogError(f"{place}, field code: must be three letters, and in one row only")
        if type(digits) is not int or not 0 <= digits <= 4:
            raise CatalogError(f"{place}, field digits: must be a whole number from 0 to 4")
        found[code] = digits
    return found


def read_banks(folder: Path | Traversable) -> Mapping[str, frozenset[str]]:
    """The SWIFT codes of banks, of eight characters, by bank code, from ``banks.json``.

    Empty without it. Raises `CatalogError` naming file and row.
    """
    found: dict[str, frozenset[str]] = {}
    for place, row in _rows(folder / "banks.json", "code", "name", "swift"):
        code, swift = row["code"], row["swift"]
        if not (isinstance(code, str) and _BANK.fullmatch(code)) or code in found:
            raise CatalogError(f"{place}, field code: must be three digits, and in one row only")
        if not (isinstance(swift, list) and swift and all(_is_swift(one) for one in swift)):
            raise CatalogError(
                f"{place}, field swift: must be a list of SWIFT codes of eight characters"
            )
        found[code] = frozenset(swift)
    return found


def _is_swift(value: Any) -> bool:
    return isinstance(value, str) and _SWIFT.fullmatch(value) is not None


def _rows(file: Path | Traversable, *fields: str) -> list[tuple[str, dict[str, Any]]]:
    if not file.is_file():
        return []
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CatalogError(f"{file}: cannot be read as JSON: {error}") from None
    if not isinstance(rows, list):
        raise CatalogError(f"{file}: must be a list of rows")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or set(row) != set(fields):
            raise CatalogError(f"{file}, row {number}: must be an object of {', '.join(fields)}")
    return [(f"{file}, row {number}", row) for number, row in enumerate(rows, 1)]
