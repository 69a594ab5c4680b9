"""``msh suspend``, ``resume`` and ``suspensions``: who or what is refused for now."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from msh.cli.context import ConfigOption, JsonOption, configuration_of, nothing_stored, opened
from msh.cli.output import console, iso, local, print_json, print_table, remark

if TYPE_CHECKING:
    from msh.agreement import Agreement
    from msh.config import Configuration
    from msh.store import Suspension, SuspensionKind

Name = Annotated[
    str,
    typer.Argument(
        metavar="PARTY|SERVICE", help="A party of an agreement, or a service that one accepts."
    ),
]


def suspend(ctx: typer.Context, name: Name, config: ConfigOption = None) -> None:
    """Refuse new messages of a party, or new requests of a service, until `msh resume`.

    At once and in every process of this store, also after a restart. Resends of what was taken
    before still get their stored reply, and what is sent from here still leaves.
    """
    configuration = configuration_of(ctx, config)
    kind = _kind_of(configuration, name)

    async def run() -> bool:
        async with opened(configuration) as store:
            return await store.suspend(kind, name, datetime.now(UTC))

    begun = asyncio.run(run())
    console().print(
        f"{kind} {name} is suspended{'' if begun else ' already'}; `msh resume {name}` ends it",
        soft_wrap=True,
    )


def resume(ctx: typer.Context, name: Name, config: ConfigOption = None) -> None:
    """Take messages of a party, or requests of a service, again: the end of `msh suspend`."""
    configuration = configuration_of(ctx, config)

    async def run() -> list[SuspensionKind]:
        async with opened(configuration) as store:
            # Also what no agreement names any more, or the other kind of the same name.
            now = datetime.now(UTC)
            found = [one.kind for one in await store.suspensions() if one.name == name]
            return [kind for kind in found if await store.resume(kind, name, now)]

    ended = [] if nothing_stored(configuration) else asyncio.run(run())
    for kind in ended:
        console().print(f"{kind} {name} is no longer suspended", soft_wrap=True)
    if not ended:
        kind = _kind_of(configuration, name)
        console().print(f"{kind} {name} was not suspended", soft_wrap=True)


def suspensions(
    ctx: typer.Context, as_json: JsonOption = False, config: ConfigOption = None
) -> None:
    """List what is suspended, oldest first."""
    configuration = configuration_of(ctx, config)
    found: Sequence[Suspension] = ()
    if not nothing_stored(configuration):
        found = asyncio.run(_suspensions(configuration))
    if as_json:
        print_json(
            [{"kind": str(one.kind), "name": one.name, "since": iso(one.since)} for one in found]
        )
    elif not found:
        remark("nothing is suspended")
    else:
        rows = [[str(one.kind), one.name, local(one.since)] for one in found]
        print_table(["kind", "name", "since"], rows, fixed=3)


async def _suspensions(configuration: Configuration) -> Sequence[Suspension]:
    async with opened(configuration) as store:
        return await store.suspensions()


def _taken(agreement: Agreement) -> list[str]:
    """Every service that the peer may use, those for working keys among them."""
    offers = agreement.profile.key_exchange.requests
    return [one for one in (*agreement.accepts, *offers) if agreement.takes(one)]


def _kind_of(configuration: Configuration, name: str) -> SuspensionKind:
    """What ``name`` is. Raises `UsageError` with the names that there are."""
    from msh.errors import UsageError
    from msh.store import SuspensionKind

    agreements = configuration.agreements
    if name in agreements.by_peer:
        return SuspensionKind.PARTY
    if any(agreement.takes(name) for agreement in agreements):
        return SuspensionKind.SERVICE
    services = sorted({one for agreement in agreements for one in _taken(agreement)})
    raise UsageError(
        f"{name}: neither a party nor a service that is accepted here. Parties: "
        f"{', '.join(sorted(agreements.by_peer))}; services: {', '.join(services) or 'none'}"
    )
