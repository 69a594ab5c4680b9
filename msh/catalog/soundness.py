"""Whether tables that can be read also fit together (TDCC PSP 9.1 to 9.6).

Every mistake is a `CatalogError` naming file, row (counted from 1) and field.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from msh.catalog.status import StatusCode
from msh.errors import CatalogError

# 9.5 names the shapes in words, 9.2 (PSPBK0102E, 0132E, 0133E) by these letters.
SHAPES: Mapping[str, str] = {"一扣一入": "OOOI", "一扣多入": "OOMI", "多扣一入": "MOOI"}

# 9.6.1 opens key change too, which is no service of 9.1.
KEY_CHANGE = "KEYCHANGE"

_BACK = {"reply": "request", "request": "reply", "result": "result_of", "result_of": "result"}


def require_sound(folder: Path | Traversable, tables: Mapping[str, Sequence[Any]]) -> None:
    """Check the rows of all tables, by table name, against the rules and each other."""
    services = {row.code: row for row in tables["services"]}
    known = _known(tables)
    for table, rows in tables.items():
        seen: set[str] = set()
        for number, row in enumerate(rows, 1):
            place = f"{folder / f'{table}.json'}, row {number}"
            _require_text(place, row)
            if table != "hours" and row.code in seen:
                raise CatalogError(f"{place}, field code: {row.code} stands in an earlier row")
            seen.add(row.code)
            for field, (allowed, wanted) in known.get(table, {}).items():
                _require_known(f"{place}, field {field}", getattr(row, field), allowed, wanted)
            if table == "services":
                _require_pairs(place, row, services)
            elif table == "statuses":
                _require_status(place, row)
            elif table == "funding":
                _require_shapes(place, row)


def _known(
    tables: Mapping[str, Sequence[Any]],
) -> Mapping[str, Mapping[str, tuple[Collection[str], str]]]:
    """The values a field may have, by table and field, and how to say so."""
    codes = {table: {row.code for row in rows} for table, rows in tables.items()}
    requests = {row.code for row in tables["services"] if row.kind == "request"}
    service = (codes["services"], "a service of services.json")
    request = (requests, "a request of services.json")
    business_type = (codes["business_types"], "a code of business_types.json")
    message_kind = (codes["message_kinds"], "a code of message_kinds.json")
    directions = ("to-bank", "to-business", "both")
    return {
        "services": {
            "kind": (("request", "reply"), "request or reply"),
            "direction": (directions, ", ".join(directions)),
            "reply": service,
            "request": service,
            "result": service,
            "result_of": service,
        },
        "message_kinds": {"service": request},
        "funding": {
            "code": business_type,
            "patterns": (SHAPES, " or ".join(SHAPES)),
        },
        "hours": {
            "code": (requests | {KEY_CHANGE}, f"a request of services.json or {KEY_CHANGE}"),
            "business_types": business_type,
            "message_kinds": message_kind,
        },
    }


def _require_text(place: str, row: Any) -> None:
    for field in ("code", "name", "text", "gloss"):
        value = getattr(row, field, None)
        if value is not None and (not value or value != value.strip()):
            raise CatalogError(
                f"{place}, field {field}: must be a text without white space around it,"
                f" not {value!r}"
            )


def _require_known(at: str, value: Any, allowed: Collection[str], wanted: str) -> None:
    for item in value if isinstance(value, tuple) else (value,):
        if item is not None and item not in allowed:
            raise CatalogError(f"{at}: must be {wanted}, not {item!r}")


def _require_pairs(place: str, row: Any, services: Mapping[str, Any]) -> None:
    needed, foreign = ("reply", "request") if row.kind == "request" else ("request", "reply")
    if getattr(row, needed) is None:
        raise CatalogError(f"{place}, field {needed}: missing; a {row.kind} has one")
    if getattr(row, foreign) is not None:
        raise CatalogError(f"{place}, field {foreign}: a {row.kind} has none")
    for field, back in _BACK.items():
        other = getattr(row, field)
        if other is not None and getattr(services[other], back) != row.code:
            raise CatalogError(
                f"{place}, field {field}: {other} does not point back;"
                f" its {back} is {getattr(services[other], back)}"
            )


def _require_status(place: str, row: Any) -> None:
    try:
        code = StatusCode.parse(row.code)
    except CatalogError as error:
        raise CatalogError(f"{place}, field code: {error}") from None
    for field in ("source", "kind", "meaning"):
        right = str(getattr(code, field))
        if getattr(row, field) != right:
            raise CatalogError(
                f"{place}, field {field}: must be {right!r} for {row.code},"
                f" not {getattr(row, field)!r}"
            )


def _require_shapes(place: str, row: Any) -> None:
    right = tuple(SHAPES[pattern] for pattern in row.patterns)
    if not right or row.shapes != right:
        raise CatalogError(
            f"{place}, field shapes: must be {list(right) or 'one shape at least'} as its"
            f" patterns say, not {list(row.shapes)}"
        )
