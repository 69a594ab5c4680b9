"""The published tables as frozen rows (TDCC PSP 9.1 to 9.6), read from a profile's folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from datetime import time
from functools import lru_cache
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType
from typing import Any

from msh.catalog.location import STANDARD, schemas_folder
from msh.catalog.soundness import require_sound
from msh.catalog.status import StatusCode
from msh.errors import CatalogError


@dataclass(frozen=True, slots=True)
class ServiceRow:
    """9.1: a service, what answers it, and what tells its business outcome later."""

    code: str
    name: str
    gloss: str
    kind: str
    direction: str
    reply: str | None = None
    request: str | None = None
    result: str | None = None
    result_of: str | None = None


@dataclass(frozen=True, slots=True)
class StatusRow:
    """9.2: a status code, its official text, and an English gloss."""

    code: str
    text: str
    gloss: str
    source: str
    kind: str
    meaning: str


@dataclass(frozen=True, slots=True)
class BusinessTypeRow:
    """9.3: a business type of the PSxxx services."""

    code: str
    name: str
    gloss: str


@dataclass(frozen=True, slots=True)
class MessageKindRow:
    """9.4: a message kind and the ISxxx service it belongs to."""

    code: str
    text: str
    gloss: str
    service: str


@dataclass(frozen=True, slots=True)
class FundingRow:
    """9.5: which debit and credit shapes a business type may use."""

    code: str
    name: str
    patterns: tuple[str, ...]
    shapes: tuple[str, ...]
    out: str
    into: str
    note: str


@dataclass(frozen=True, slots=True)
class HoursRow:
    """9.6: when a service is open, Asia/Taipei. ``closes`` is None where no end is published."""

    code: str
    name: str
    gloss: str
    business_types: tuple[str, ...]
    message_kinds: tuple[str, ...]
    opens: time
    closes: time | None
    in_use: bool
    sends: bool | None
    next_day_after: time | None
    note: str


TABLES: Mapping[str, type[Any]] = MappingProxyType(
    {
        "services": ServiceRow,
        "statuses": StatusRow,
        "business_types": BusinessTypeRow,
        "message_kinds": MessageKindRow,
        "funding": FundingRow,
        "hours": HoursRow,
    }
)


@dataclass(frozen=True)
class Catalog:
    """All tables of one profile.

    ``further`` are services that are not published but needed, such as those of the key exchange.
    """

    services: Mapping[str, ServiceRow]
    statuses: Mapping[str, StatusRow]
    business_types: Mapping[str, BusinessTypeRow]
    message_kinds: Mapping[str, MessageKindRow]
    funding: Mapping[str, FundingRow]
    hours: tuple[HoursRow, ...]
    further: Mapping[str, ServiceRow] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path | Traversable) -> Catalog:
        """Read the six ``.json`` tables of ``folder``; raises `CatalogError` naming the place."""
        tables = {name: _read(folder / f"{name}.json", row) for name, row in TABLES.items()}
        require_sound(folder, tables)
        hours = tuple(tables.pop("hours"))
        return cls(hours=hours, **{name: _by_code(rows) for name, rows in tables.items()})

    def service(self, code: str) -> ServiceRow | None:
        """The service of this code, published or not."""
        return self.services.get(code) or self.further.get(code)

    def reply_for(self, service: str) -> str | None:
        """The RS service that answers ``service``; None if it is no request."""
        row = self.service(service)
        return row.reply if row else None

    def request_for(self, reply: str) -> str | None:
        """The RQ service that ``reply`` answers; None if it is no reply."""
        row = self.service(reply)
        return row.request if row else None

    def result_for(self, service: str) -> str | None:
        """The service that later tells the business outcome of ``service``, if there is one."""
        row = self.services.get(service)
        return row.result if row else None

    def is_reply(self, service: str) -> bool:
        """Whether ``service`` is an RS."""
        return self.request_for(service) is not None

    def is_result(self, service: str) -> bool:
        """Whether ``service`` tells the outcome of an earlier request (PS811 ...)."""
        row = self.services.get(service)
        return row is not None and row.result_of is not None

    def text_of(self, status: StatusCode | str) -> str:
        """The official text of ``status``; empty if it is not in the table."""
        row = self.statuses.get(str(status))
        return row.text if row else ""

    def rows(self, table: str) -> list[dict[str, Any]]:
        """The rows of ``table`` (one of `TABLES`) as plain values that JSON can hold.

        Fields are named as in the files. Raises `CatalogError` for another table.
        """
        if table not in TABLES:
            raise CatalogError(f"there is no table {table!r}; there are {', '.join(TABLES)}")
        content = getattr(self, table)
        rows = content.values() if isinstance(content, Mapping) else content
        return [
            {_in_file(name): _plain(value) for name, value in asdict(row).items()} for row in rows
        ]


@lru_cache(maxsize=8)
def load(name: str = STANDARD) -> Catalog:
    """The catalog of a profile that msh carries, read once."""
    return Catalog.load(schemas_folder() / name)


def _read(file: Traversable | Path, row_type: type[Any]) -> list[Any]:
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CatalogError(f"{file}: cannot be read as JSON: {error}") from None
    if not isinstance(rows, list):
        raise CatalogError(f"{file}: must be a list of rows")
    return [_row(f"{file}, row {number}", row, row_type) for number, row in enumerate(rows, 1)]


def _row(place: str, row: Any, row_type: type[Any]) -> Any:
    if not isinstance(row, dict):
        raise CatalogError(f"{place}: must be an object")
    row = {"into" if name == "in" else name: value for name, value in row.items()}
    known = {one.name: str(one.type) for one in fields(row_type)}
    if unknown := sorted(set(row) - set(known)):
        wanted = ", ".join(_in_file(name) for name in known)
        raise CatalogError(f"{place}, field {unknown[0]}: unknown; a row has {wanted}")
    for one in fields(row_type):
        if one.default is MISSING and one.name not in row:
            raise CatalogError(f"{place}, field {_in_file(one.name)}: missing")
    values = {}
    for name, value in row.items():
        read, wanted = _READ[known[name]]
        try:
            values[name] = read(value)
        except (ValueError, TypeError):
            at = f"{place}, field {_in_file(name)}"
            raise CatalogError(f"{at}: must be {wanted}, not {value!r}") from None
    return row_type(**values)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError
    return tuple(_text(item) for item in value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _time(value: Any) -> time:
    read = time.fromisoformat(_text(value))
    if read.strftime("%H:%M") != value:  # ISO 8601 has other forms as well
        raise ValueError
    return read


def _or_none(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else read(value)


_READ: Mapping[str, tuple[Callable[[Any], Any], str]] = {
    "str": (_text, "a text"),
    "str | None": (_or_none(_text), "a text or null"),
    "tuple[str, ...]": (_texts, "a list of texts"),
    "bool": (_flag, "true or false"),
    "bool | None": (_or_none(_flag), "true, false or null"),
    "time": (_time, 'a time of day as "HH:MM"'),
    "time | None": (_or_none(_time), 'a time of day as "HH:MM" or null'),
}


def _by_code(rows: list[Any]) -> Mapping[str, Any]:
    return MappingProxyType({row.code: row for row in rows})


def _in_file(name: str) -> str:
    return "in" if name == "into" else name  # `in` is a word of Python's own


def _plain(value: Any) -> Any:
    if isinstance(value, time):
        return value.strftime("%H:%M")
    return list(value) if isinstance(value, tuple) else value
