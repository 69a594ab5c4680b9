"""``msh codes``: the published tables."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from msh.cli.context import USUAL, ConfigOption, JsonOption, named_path
from msh.cli.output import console, print_json, print_table, remark

if TYPE_CHECKING:
    from msh.profile import Profile


class Table(StrEnum):
    """The six tables (TDCC PSP appendix 9.1 to 9.6), and the business rules."""

    SERVICES = "services"
    STATUSES = "statuses"
    BUSINESS_TYPES = "business_types"
    MESSAGE_KINDS = "message_kinds"
    FUNDING = "funding"
    HOURS = "hours"
    RULES = "rules"


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
    Table.RULES: (
        "Business rules, in the order in which they are looked at",
        {"code": "code", "name": "name", "text": "what it asks for", "services": "services"},
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
    """Print the published tables: services, status codes, business types, hours ...; the rules.

    Needs no configuration; with one, the tables are those of its profile.
    """
    profile = _profile(ctx, config)
    if as_json:
        print_json(
            _rows(profile, table) if table else {name: _rows(profile, name) for name in Table}
        )
        return
    for name in [table] if table else list(Table):
        title, columns = _SHOWN[name]
        console().print(title, style="bold")
        rows = _rows(profile, name)
        print_table(
            list(columns.values()),
            [[_cell(row[field]) for field in columns] for row in rows],
        )
        if name is Table.SERVICES:
            exchange = profile.key_exchange
            console().print(
                "Not published, for working keys: "
                f"{exchange.offer} offers one, {exchange.offer_reply} proves that it was read, "
                f"{exchange.confirm} confirms, {exchange.confirm_reply} ends it.\n",
                soft_wrap=True,
            )


def _rows(profile: Profile, table: Table) -> list[dict[str, Any]]:
    if table is not Table.RULES:
        return profile.catalog.rows(table)
    return [
        {
            "code": str(rule.code),
            "name": rule.name,
            "text": rule.text,
            "services": sorted(rule.services),
        }
        for rule in (profile.content.rules if profile.content else ())
    ]


def _profile(ctx: typer.Context, config: Any) -> Profile:
    from msh.config import read_configuration
    from msh.errors import ConfigurationError
    from msh.profiles import standard_profile

    path = named_path(ctx, config)
    if path is None and not USUAL.exists():
        return standard_profile()
    try:
        agreements = read_configuration(path or USUAL).agreements
    except ConfigurationError as error:
        if config is not None:
            raise
        # The message about a mistake in msh.toml sends people here, so it must not stop them.
        remark(f"{error.source} has mistakes, so these are the standard profile's tables.")
        return standard_profile()
    return next(iter(agreements)).profile


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return " ".join(value) if isinstance(value, list) else str(value)
