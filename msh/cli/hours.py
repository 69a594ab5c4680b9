"""``msh hours`` and ``msh cut-time``: when services are open, and the end-of-day message."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from msh.cli.context import ConfigOption, JsonOption, agreement_with, configuration_of, require_file
from msh.cli.output import console, iso, local, print_json, print_table
from msh.cli.sending import sending_only
from msh.errors import UsageError

if TYPE_CHECKING:
    from msh.agreement import Agreement
    from msh.config import Configuration
    from msh.receipt import Receipt

Row = dict[str, str | bool | None]
_SERVICE = "IS910SMDRQ"


def hours(ctx: typer.Context, as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Which services are open now, and when the others open next, as this configuration says."""
    configuration = configuration_of(ctx, config)
    now = datetime.now(UTC)
    rows = [row for agreement in configuration.agreements for row in _rows(agreement, now)]
    if as_json:
        print_json(rows)
        return
    if all(agreement.hours is None for agreement in configuration.agreements):
        console().print("hours are not kept here: every service is always open; see [hours]")
        return
    print_table(("party", "service", "business", "open", "opens next"), map(_line, rows), fixed=2)


def _line(row: Row) -> list[str]:
    party, service, business, is_open, opens = row.values()
    then = local(datetime.fromisoformat(str(opens))) if opens else ""
    return [str(party), str(service), str(business), "yes" if is_open else "no", then]


def _rows(agreement: Agreement, now: datetime) -> list[Row]:
    """One for each service that may be sent, and each business of it with hours of its own."""
    from msh.hours import Matter

    found: list[Row] = []
    for service in sorted(agreement.sends):
        for gloss, business_type, kind in _matters(agreement, service):
            matter = Matter(service, business_type, kind)
            opens = agreement.hours.next_opening(matter, now) if agreement.hours else now
            found.append(
                {
                    "party": agreement.peer,
                    "service": service,
                    "business": gloss,
                    "open": opens == now,
                    "opens": iso(opens) if opens != now else None,
                }
            )
    return found


def _matters(agreement: Agreement, service: str) -> list[tuple[str, str | None, str | None]]:
    """What has hours of its own within a service: how it is called, and by what it is known."""
    published = [
        (row.gloss, next(iter(row.business_types), None), next(iter(row.message_kinds), None))
        for row in agreement.profile.catalog.hours
        if row.code == service and row.sends is not False
    ]
    return published or [("", None, None)]


def cut_time(
    ctx: typer.Context,
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to",
            metavar="PARTY",
            help="Only this party; may stand several times. Else all that it may be sent to.",
            show_default=False,
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Queue today's end-of-day message (IS910, kind 011), and print a line for each party.

    Once a day and party, whoever asks: a schedule ([cut_time] in msh.toml) and this command do
    not send it twice. Before its hours begin it is refused.
    """
    configuration = configuration_of(ctx, config)
    require_file(configuration)
    parties = to or [one.peer for one in configuration.agreements if _SERVICE in one.sends]
    if not parties:
        raise UsageError(f"no agreement has {_SERVICE} in `sends`; nobody can be told")
    chosen = [agreement_with(configuration, party) for party in parties]
    for agreement, receipt in zip(chosen, asyncio.run(_queue(configuration, chosen)), strict=True):
        console().print(
            f"{agreement.peer}  {receipt.message_id}  "
            + ("queued" if receipt.created else "was queued before today")
        )


async def _queue(configuration: Configuration, agreements: list[Agreement]) -> list[Receipt]:
    from msh.cuttime import send_cut_time
    from msh.hours import TAIPEI

    async with sending_only(configuration) as handler:
        today = datetime.now(TAIPEI).date()
        return [await send_cut_time(handler.sender, one, today) for one in agreements]
