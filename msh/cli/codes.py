"""``msh codes``: the published tables."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from msh.cli.context import USUAL, ConfigOption, JsonOption, named_path
from msh.cli.output import console, print_json, print_table, remark

if TYPE_CHECKING:
    from msh.catalog import Catalog


class Table(StrEnum):
    """The six tables (TDCC PSP appendix 9.1 to 9.6)."""

    SERVICES = "services"
    STATUSES = "statuses"
    BUSINESS_TYPES = "business_types"
    MESSAGE_KINDS = "message_kinds"
    FUNDING = "funding"
    HOURS = "hours"


# Title, and what people are shown: a heading for each field, in order.
_SHOWN: Mapping[Table, tuple[str, Mapping[str, str]]] = {
    Table.SERVICES: (
        "Services (9.1)",
        {
            "code": "code",
            "name": "name",
            "gloss": "in English",
            "direction": "direction",
            "reply": "reply",
            "result": "result",
        },
    ),
    Table.STATUSES: (
        "Status codes (9.2)",
        {"code": "code", "text": "text", "gloss": "in English", "meaning": "meaning"},
    ),
    Table.BUSINESS_TYPES: (
        "Business types (9.3)",
        {"code": "code", "name": "name", "gloss": "in English"},
    ),
    Table.MESSAGE_KINDS: (
        "Message kinds (9.4)",
        {"code": "code", "text": "text", "gloss": "in English", "service": "service"},
    ),
    Table.FUNDING: (
        "Debit and credit shapes (9.5)",
        {
            "code": "code",
            "name": "name",
            "patterns": "patterns",
            "shapes": "shapes",
            "out": "debited",
            "in": "credited",
            "note": "note",
        },
    ),
    Table.HOURS: (
        "Opening hours, Asia/Taipei (9.6)",
        {
            "code": "code",
            "gloss": "in English",
            "opens": "opens",
            "closes": "closes",
            "business_types": "business types",
            "message_kinds": "kinds",
        },
    ),
}


def codes(
    ctx: typer.Context,
    table: Annotated[
        Table | None,
        typer.Argument(
            metavar="TABLE",
            help=f"One of {', '.join(Table)}; without it, all.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Print the published tables: services, status codes, business types, hours ...

    Needs no configuration; with one, the tables are those of its profile.
    """
    catalog = _catalog(ctx, config)
    if as_json:
        print_json(catalog.rows(table) if table else {name: catalog.rows(name) for name in Table})
        return
    for name in [table] if table else list(Table):
        title, columns = _SHOWN[name]
        console().print(title, style="bold")
        rows = catalog.rows(name)
        print_table(
            list(columns.values()),
            [[_cell(row[field]) for field in columns] for row in rows],
        )


def _catalog(ctx: typer.Context, config: Any) -> Catalog:
    from msh.catalog import load
    from msh.config import read_configuration
    from msh.errors import ConfigurationError

    path = named_path(ctx, config)
    if path is None and not USUAL.exists():
        return load()
    try:
        agreements = read_configuration(path or USUAL).agreements
    except ConfigurationError as error:
        if config is not None:
            raise
        # The message about a mistake in msh.toml sends people here, so it must not stop them.
        remark(f"{error.source} has mistakes, so these are the standard profile's tables.")
        return load()
    return next(iter(agreements)).profile.catalog


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return " ".join(value) if isinstance(value, list) else str(value)
