"""``msh rerun``, ``close`` and ``settle``: what an operator decides about a single message."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from msh.cli.context import ConfigOption, configuration_of, nothing_stored, opened
from msh.cli.output import console

if TYPE_CHECKING:
    from msh.config import Configuration
    from msh.store import Store

Result = TypeVar("Result")

MessageId = Annotated[str, typer.Argument(metavar="MSGID", help="The message's id.")]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="PARTY",
        help="Who sent it, if several parties sent one of that id.",
        show_default=False,
    ),
]
Because = Annotated[
    str,
    typer.Option("--because", metavar="TEXT", help="What was found out, for the journal."),
]


class Found(StrEnum):
    """What an operator found out."""

    EXECUTED = "executed"
    NOT_EXECUTED = "not-executed"


def rerun(
    ctx: typer.Context, message_id: MessageId, sender: From = None, config: ConfigOption = None
) -> None:
    """Have the handler of a message that was set aside run once more.

    A running `msh serve` does it. The stored reply stays what it is; the outcome is told by a
    result message, where the service has one. See to what made the handler fail first.
    """

    async def act(store: Store) -> None:
        peer = await _sender_of(store, message_id, sender)
        await store.rerun(peer, message_id, datetime.now(UTC))

    _act(ctx, config, message_id, act)
    console().print(
        f"{message_id} runs again as soon as `msh serve` runs; `msh show {message_id}` tells how "
        "that ended",
        soft_wrap=True,
    )


def close(
    ctx: typer.Context,
    message_id: MessageId,
    because: Because,
    sender: From = None,
    config: ConfigOption = None,
) -> None:
    """Close a message that was set aside: its sender knows what became of it.

    From now on it is purged like any other. The stored reply stays what it is.
    """
    _require_text(because)

    async def act(store: Store) -> None:
        peer = await _sender_of(store, message_id, sender)
        await store.close_reception(peer, message_id, because, datetime.now(UTC))

    _act(ctx, config, message_id, act)
    console().print(f"{message_id} is closed", soft_wrap=True)


def settle(
    ctx: typer.Context,
    message_id: MessageId,
    found: Annotated[Found, typer.Argument(help="What the other side says of it.")],
    because: Because,
    config: ConfigOption = None,
) -> None:
    """End the doubt about a message sent from here, with what the other side said of it.

    Only on its word: a message that was executed and is settled as not executed is paid twice if
    it is sent again as a new one.
    """
    _require_text(because)
    configuration = configuration_of(ctx, config)
    own = configuration.agreements.own

    async def act(store: Store) -> str:
        executed = found is Found.EXECUTED
        now = datetime.now(UTC)
        settled = await store.settle(own, message_id, executed=executed, because=because, now=now)
        return str(settled.state)

    state = _act(ctx, config, message_id, act)
    console().print(f"{message_id} is {state}, as an operator found", soft_wrap=True)


def _act(
    ctx: typer.Context,
    given: ConfigOption,
    message_id: str,
    act: Callable[[Store], Awaitable[Result]],
) -> Result:
    """Do it in the configuration's store. Raises `UnknownMessage` if there is none."""
    from msh.cli.finding import unknown

    configuration = configuration_of(ctx, given)
    if nothing_stored(configuration):
        raise unknown(configuration, message_id)
    return asyncio.run(_in_store(configuration, act))


async def _in_store(
    configuration: Configuration, act: Callable[[Store], Awaitable[Result]]
) -> Result:
    async with opened(configuration) as store:
        return await act(store)


async def _sender_of(store: Store, message_id: str, given: str | None) -> str:
    """Who sent it; the store says whether that is right."""
    from msh.errors import UnknownMessage, UsageError

    if given is not None:
        return given
    found = sorted({one.sender for one in await store.receptions(message_id=message_id)})
    if not found:
        raise UnknownMessage(f"{message_id}: no message of that id was received here")
    if len(found) > 1:
        raise UsageError(f"{message_id}: was sent by {', '.join(found)}; say which with --from")
    return found[0]


def _require_text(because: str) -> None:
    from msh.errors import UsageError

    if not because.strip():
        raise UsageError("--because: say what was found out, for whoever asks later")
