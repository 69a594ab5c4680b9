"""``msh purge``: removing what is no longer needed."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from msh.cli.context import ConfigOption, configuration_of, nothing_stored, opened
from msh.cli.output import console

if TYPE_CHECKING:
    from msh.config import Configuration


def purge(
    ctx: typer.Context,
    contents_days: Annotated[
        float | None,
        typer.Option(
            "--contents-days",
            min=1,
            max=36500,
            metavar="N",
            help="Keep content for N days (else retention.days).",
            show_default=False,
        ),
    ] = None,
    ids_days: Annotated[
        float | None,
        typer.Option(
            "--ids-days",
            min=1,
            max=36500,
            metavar="N",
            help="Keep ids for N days: no fewer than retention.ids_days.",
            show_default=False,
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Remove content that is older than it must be kept, forget the oldest ids and retired keys.

    Never what is unanswered, still being delivered, in doubt or set aside. A running `msh serve`
    does this by itself, once an hour.
    """
    from msh.errors import UsageError

    configuration = configuration_of(ctx, config)
    retention = configuration.retention
    contents = timedelta(days=contents_days) if contents_days else retention.contents
    ids = timedelta(days=ids_days) if ids_days else max(retention.ids, contents)
    if ids < retention.ids:
        raise UsageError(
            f"ids are kept for {_days(retention.ids)}, by which repeats are recognised, and not "
            f"forgotten after {_days(ids)}; to keep them for a shorter time from now on, set "
            "retention.ids_days"
        )
    if ids < contents:
        raise UsageError(
            f"ids must be kept at least as long as content: {_days(ids)} is less than "
            f"{_days(contents)}"
        )
    removed, forgotten, keys = 0, 0, 0
    if not nothing_stored(configuration):
        removed, forgotten, keys = asyncio.run(_purge(configuration, contents, ids))
    said = (
        f"content of {removed:,} messages removed (older than {_days(contents)}), "
        f"{forgotten:,} ids forgotten (older than {_days(ids)})"
    )
    if keys:
        said += f", {keys:,} retired key{'s' if keys > 1 else ''} forgotten"
    console().print(said, soft_wrap=True)


async def _purge(
    configuration: Configuration, contents: timedelta, ids: timedelta
) -> tuple[int, int, int]:
    """Purge with a count that runs on terminals; how many contents, ids and keys went."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    removed = forgotten = 0
    out = console(stderr=True)
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as progress:
        task = progress.add_task("purging", total=None)
        async with opened(configuration) as store:
            now = datetime.now(UTC)
            async for step in store.purge(now - contents, now - ids, now):
                removed, forgotten = removed + step.contents, forgotten + step.ids
                progress.update(task, description=f"{removed:,} contents, {forgotten:,} ids")
            keys = await store.forget_keys(keys_kept_since(configuration, contents, now))
    return removed, forgotten, keys


def keys_kept_since(configuration: Configuration, contents: timedelta, now: datetime) -> datetime:
    """Retired keys recognise repeats for as long as content is kept, from when they retired on."""
    from msh.protection import Mac

    overlaps = [
        agreement.protection.overlap
        for agreement in configuration.agreements
        if isinstance(agreement.protection, Mac)
    ]
    return now - contents - max(overlaps, default=timedelta(0))


def _days(span: timedelta) -> str:
    days = span / timedelta(days=1)
    return f"{days:g} day{'' if days == 1 else 's'}"
