"""``msh keys list`` and ``check``: which keys there are, by check value, and what they lack."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from msh.cli.context import (
    ConfigOption,
    JsonOption,
    agreement_with,
    configuration_of,
    nothing_stored,
    opened,
)
from msh.cli.output import complain, console, iso, local, print_json, print_table, remark

if TYPE_CHECKING:
    from msh.agreement import Agreement
    from msh.config import Configuration
    from msh.security.keysource import KeySource
    from msh.store import StoredKey

_MOMENTS = ("offered", "activated", "verified")
_COLOURS = {"active": "green", "pending": "yellow", "retired": "dim", "compromised": "red"}
_NOT_UNWRAPPED = "cannot be unwrapped"


def list_keys(
    ctx: typer.Context,
    party: Annotated[
        str | None,
        typer.Argument(metavar="[PARTY]", help="Only those of this agreement.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List working keys: which is in use, since when, and its check value. Never the keys.

    Before them, the check value of each key-encryption key, to be compared with the other side's.
    """
    configuration = configuration_of(ctx, config, mending=True)
    if party is not None:
        agreement_with(configuration, party)
    found = _stored(configuration, party)
    sources, problems = _sources(configuration, party)
    rows = _rows(configuration, found, sources, datetime.now(UTC))
    if as_json:
        print_json([row | {name: iso(row[name]) for name in _MOMENTS} for row in rows])
        return
    _print_sources(configuration, sources)
    for problem in problems:
        complain(problem)
    if not rows:
        remark("no working keys; `msh keys exchange PARTY` exchanges the first one")
        return
    names = ("party", "state", "id", "check_value", "algorithm", "offered_by", *_MOMENTS)
    print_table(
        [name.replace("_", " ") for name in names],
        [[_cell(row, name) for name in names] for row in rows],
        fixed=4,
    )


def check(ctx: typer.Context, config: ConfigOption = None) -> None:
    """Say what keys lack: exits with 1 if a party has none in use, or one that cannot be used.

    Prints the check value of each key-encryption key: compare it with the other side's.
    """
    configuration = configuration_of(ctx, config)
    found = _stored(configuration, None)
    sources, problems = _sources(configuration, None)
    _print_sources(configuration, sources)
    for peer, source in sources.items():
        keys = [key for key in found if key.peer == peer]
        lost = sum(not unwraps(key, source) for key in keys)
        if lost:
            problems.append(
                f"{peer}: {lost} of {len(keys)} working keys cannot be unwrapped: they were "
                "wrapped under another key-encryption key. Put that one back, or exchange: msh "
                f"keys exchange {peer}"
            )
        elif not any(str(key.state) == "active" for key in keys):
            problems.append(f"{peer}: no working key is in use; msh keys exchange {peer}")
    for problem in problems:
        complain(problem)
    if problems:
        raise typer.Exit(1)
    remark("every party has a working key in use")


def has_keys(agreement: Agreement) -> bool:
    """Whether messages under ``agreement`` are protected by MACs."""
    from msh.protection import Mac

    return isinstance(agreement.protection, Mac)


def unwraps(key: StoredKey, source: KeySource) -> bool:
    """Whether ``key`` was wrapped under the key-encryption key ``source``."""
    from msh.errors import KeyUnusable

    try:
        return bool(source.unwrap(key.wrapped))
    except KeyUnusable:
        return False


def _sources(
    configuration: Configuration, party: str | None
) -> tuple[dict[str, KeySource], list[str]]:
    """The key-encryption keys by party, and what is wrong with others."""
    from msh.errors import KeyUnusable
    from msh.protection import Mac
    from msh.security.keysource import open_key_source

    found: dict[str, KeySource] = {}
    problems = []
    for agreement in configuration.agreements:
        if not isinstance(agreement.protection, Mac) or party not in (None, agreement.peer):
            continue
        try:
            found[agreement.peer] = open_key_source(agreement.protection.key_encryption)
        except KeyUnusable as problem:
            problems.append(f"agreements.{agreement.peer}.mac.key_encryption: {problem}")
    return found, problems


def _print_sources(configuration: Configuration, sources: Mapping[str, KeySource]) -> None:
    from msh.protection import Mac, shown_key_name

    for peer, source in sources.items():
        protection = configuration.agreements[peer].protection
        assert isinstance(protection, Mac)
        name = shown_key_name(protection.key_encryption)
        console().print(
            f"{peer}: key-encryption key {name}, check value {source.check_value}", soft_wrap=True
        )


def _stored(configuration: Configuration, party: str | None) -> Sequence[StoredKey]:
    async def keys() -> Sequence[StoredKey]:
        async with opened(configuration) as store:
            return await store.keys(party)

    return () if nothing_stored(configuration) else asyncio.run(keys())


def _rows(
    configuration: Configuration,
    keys: Sequence[StoredKey],
    sources: Mapping[str, KeySource],
    now: datetime,
) -> list[dict[str, Any]]:
    own = configuration.own
    return [
        {
            "party": key.peer,
            "id": key.id,
            "state": _state(configuration, key, keys, now),
            "usable": key.peer in sources and unwraps(key, sources[key.peer]),
            "algorithm": key.algorithm,
            "check_value": key.check_value,
            "offered_by": own if key.ours else key.peer,
            **{name: getattr(key, name) for name in _MOMENTS},
        }
        for key in sorted(keys, key=lambda key: (key.peer, key.offered))
    ]


def _state(
    configuration: Configuration, key: StoredKey, keys: Sequence[StoredKey], now: datetime
) -> str:
    """The stored state, or *retired*, which is a matter of time and of the agreement."""
    from msh.protection import Mac
    from msh.protocol.keys import retires

    agreement = configuration.agreements.get(key.peer)
    protection = agreement.protection if agreement else None
    overlap = protection.overlap if isinstance(protection, Mac) else timedelta(0)
    of_peer = [one for one in keys if one.peer == key.peer]
    return "retired" if retires(key, of_peer, overlap, now) else str(key.state)


def _cell(row: dict[str, Any], name: str) -> Any:
    from rich.text import Text

    if name in _MOMENTS:
        return local(row[name])
    if name != "state":
        return Text(row[name])
    if row["state"] == "compromised":
        return Text("compromised", style=_COLOURS["compromised"])
    if not row["usable"]:
        return Text(f"{row['state']}, {_NOT_UNWRAPPED}", style="red")
    return Text(_in_words(row), style=_COLOURS.get(row["state"], ""))


def _in_words(row: dict[str, Any]) -> str:
    """The state, with what became of an offer that came to nothing."""
    match row["state"]:
        case "pending":
            return "pending, offered and not in use yet"
        case "previous" | "retired" if row["activated"] is None:
            return f"{row['state']}, offered and never in use"
    return str(row["state"])
