"""``msh keys retire``: a working key that others know."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from msh.cli.context import (
    ConfigOption,
    agreement_with,
    configuration_of,
    nothing_stored,
    opened,
)
from msh.cli.output import console, remark

if TYPE_CHECKING:
    from msh.config import Configuration
    from msh.store import StoredKey


def retire(
    ctx: typer.Context,
    party: Annotated[str, typer.Argument(metavar="PARTY", help="Whose agreement it is of.")],
    key: Annotated[str, typer.Argument(metavar="KEYID", help="Its id; see `msh keys list`.")],
    config: ConfigOption = None,
) -> None:
    """Retire a working key that is lost or known to others; it never comes back.

    At once and in every process of this store: nothing under it counts any more, neither messages
    nor repeats nor replies. The other side has to retire it too.
    """
    from msh.errors import UsageError
    from msh.protocol.keys import State

    configuration = configuration_of(ctx, config)
    agreement = agreement_with(configuration, party)
    kept = {} if nothing_stored(configuration) else asyncio.run(_retired(configuration, party, key))
    if key not in kept:
        raise UsageError(
            f"there is no working key {key} with {party} here, only: {', '.join(kept) or 'none'}. "
            "What is not known here counts for nothing"
        )
    was = kept[key].state
    if was is State.COMPROMISED:
        console().print(f"{party}: {key} was retired before", soft_wrap=True)
        return
    console().print(f"{party}: {key} is retired (it was {was})", soft_wrap=True)
    remark(
        f"Next: {party} must retire it too (`msh keys retire {agreement.own} {key}` there), and a "
        f"new one is exchanged: msh keys exchange {party}."
    )
    if was is State.ACTIVE:
        remark(f"Until then messages to {party} are held.")


async def _retired(configuration: Configuration, party: str, key: str) -> dict[str, StoredKey]:
    """Retire ``key``; the keys of ``party`` by id, as they were before."""
    async with opened(configuration) as store:
        kept = {one.id: one for one in await store.keys(party)}
        await store.retire_key(party, key, datetime.now(UTC))
        return kept
