"""What a command works on: the configuration it is given, and that configuration's store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from msh.agreement import Agreement
    from msh.config import Configuration
    from msh.protocol.journal import Direction, Entry
    from msh.store import Store

#: Where the configuration is looked for when nothing names one.
USUAL = Path("msh.toml")

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="The configuration; else MSH_CONFIG, else ./msh.toml.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON on stdout, for programs.")]
WaitOption = Annotated[
    bool,
    typer.Option("--wait", help="Deliver it from here, and wait for its end, one way or another."),
]
TimeoutOption = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        min=0,
        metavar="SECONDS",
        help="With --wait: how long, at most. The message goes on as before.",
        show_default=False,
    ),
]


def named_path(ctx: typer.Context, given: Path | None) -> Path | None:
    """The configuration that the command line or MSH_CONFIG names, if one does."""
    outer: Path | None = ctx.find_root().obj
    return given or outer


def configuration_of(
    ctx: typer.Context, given: Path | None, *, mending: bool = False
) -> Configuration:
    """The configuration to work with (``mending``: see `read_configuration`).

    Raises `ConfigurationError`.
    """
    from msh.config import read_configuration

    return read_configuration(named_path(ctx, given) or USUAL, mending=mending)


def agreement_with(configuration: Configuration, party: str) -> Agreement:
    """The agreement with ``party``. Raises `NotAgreed`, which names those that there are."""
    from msh.errors import NotAgreed

    agreement = configuration.agreements.get(party)
    if agreement is None:
        known = ", ".join(sorted(configuration.agreements.by_peer))
        raise NotAgreed(f"no agreement with party {party!r}; there is one with: {known}")
    return agreement


def read_input(name: str) -> bytes:
    """The bytes of a file, or of standard input for ``-``. Raises `UsageError`."""
    from msh.errors import UsageError

    if name == "-":
        return typer.get_binary_stream("stdin").read()
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise UsageError(f"{name}: cannot be read: {error.strerror}; - reads stdin") from None


def read_body(name: str) -> bytes:
    """As `read_input`, but nothing is no body: the export before it may have failed."""
    from msh.errors import UsageError

    content = read_input(name)
    if not content.strip():
        shown = "stdin" if name == "-" else name
        raise UsageError(f"{shown}: is empty; a body is one XML element. Nothing was queued")
    return content


def require_file(configuration: Configuration) -> None:
    """Refuse a store in memory, which would be another one for each command."""
    from msh.errors import ConfigurationError

    if configuration.store == "sqlite::memory:":
        raise ConfigurationError(
            str(configuration.path),
            ["store: is in memory, which ends with this command; set sqlite:///FILE"],
        )


def nothing_stored(configuration: Configuration) -> bool:
    """Whether the store's file does not exist yet: looking must not make one."""
    require_file(configuration)
    scheme, _, path = configuration.store.partition(":///")
    return scheme == "sqlite" and not Path(path).exists()


@asynccontextmanager
async def opened(configuration: Configuration) -> AsyncIterator[Store]:
    """The configuration's store, open. Raises `StoreError`."""
    from msh.store import open_store

    require_file(configuration)
    store = open_store(configuration.store)
    await store.open(lambda entries: None, configuration.agreements.own)
    try:
        yield store
    finally:
        await store.close()


async def whole_journal(
    store: Store, message_id: str, direction: Direction, peer: str
) -> Sequence[Entry]:
    """Every journal entry of one message."""
    entries: list[Entry] = []
    while True:
        after = entries[-1].number or 0 if entries else 0
        more = await store.journal(message_id=message_id, direction=direction, after=after)
        entries.extend(more)
        if not more:
            return [entry for entry in entries if entry.peer == peer]
