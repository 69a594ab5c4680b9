"""``msh compose``, ``check``, ``send`` and ``resend``: messages on their way out, and checks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from msh.cli.context import (
    ConfigOption,
    JsonOption,
    TimeoutOption,
    WaitOption,
    configuration_of,
    nothing_stored,
    read_body,
    read_input,
    require_file,
)
from msh.cli.output import console, print_json, remark
from msh.cli.splitting import Whole, send_split

if TYPE_CHECKING:
    from rich.text import Text

    from msh import MessageServiceHandler, Receipt
    from msh.config import Configuration
    from msh.store import Delivery

_KEPT = "it is kept; a running `msh serve` goes on with it"
#: How often a timeline on a terminal is brought up to date.
_POLL = 0.1

Service = Annotated[
    str, typer.Argument(metavar="SVCID", help="The service, such as PS810FTRQ; see `msh codes`.")
]
Body = Annotated[
    str, typer.Argument(metavar="BODY.xml", help="The body, one XML element; - reads stdin.")
]
ToOption = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="PARTY",
        help="The receiver, where more than one may get the service.",
        show_default=False,
    ),
]
IdOption = Annotated[
    str | None,
    typer.Option(
        "--msg-id", metavar="ID", help="The message id; else a new one.", show_default=False
    ),
]
RefToOption = Annotated[
    str | None,
    typer.Option(
        "--ref-to",
        metavar="MSGID",
        help="The message it refers to, such as the request whose result it is.",
        show_default=False,
    ),
]


def compose(
    ctx: typer.Context,
    service: Service,
    body: Body,
    to: ToOption = None,
    message_id: IdOption = None,
    ref_to: RefToOption = None,
    config: ConfigOption = None,
) -> None:
    """Print the exact bytes that would leave now. Stores and sends nothing."""
    from msh import MessageServiceHandler

    handler = MessageServiceHandler.from_config(configuration_of(ctx, config), listen=False)
    composing = handler.compose(
        service, read_body(body), to=to, message_id=message_id, ref_to=ref_to
    )
    wire = asyncio.run(composing)
    typer.echo(wire, nl=False)


def check(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help="The message; - reads stdin.")],
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Say whether a message would be accepted here. Stores and answers nothing.

    All that is wrong with its body is told, schema or business rules; the reply would carry the
    first code only. Whether its SSNID and SVCREFID were used before is not looked at.

    Exits with 0 if it would be accepted, 1 if refused, 2 on wrong use.
    """
    from msh import MessageServiceHandler

    handler = MessageServiceHandler.from_config(configuration_of(ctx, config), listen=False)
    examined = asyncio.run(handler.examine(read_input(file)))
    status = str(examined.status) if examined.status else None
    if as_json:
        print_json(
            {
                "accepted": examined.accepted,
                "status": status,
                "reason": examined.reason,
                "message_id": examined.message_id,
                "service": examined.service,
                "faults": [
                    {"status": str(fault.status), "rule": fault.rule, "reason": fault.reason}
                    for fault in examined.faults
                ],
            }
        )
    else:
        word, style = ("accepted", "green") if examined.accepted else ("refused", "red")
        parts = [word, status, examined.service, examined.message_id]
        line = "  ".join(part for part in parts if part)
        console().print(f"{line}: {examined.reason}", style=style, soft_wrap=True)
        for fault in examined.faults:
            told = f"  {fault.status}  {fault.rule}: {fault.reason}"
            console().print(told, highlight=False, soft_wrap=True)
    raise typer.Exit(0 if examined.accepted else 1)


def send(
    ctx: typer.Context,
    service: Service,
    body: Body,
    to: ToOption = None,
    key: Annotated[
        str | None,
        typer.Option(
            "--key",
            metavar="KEY",
            help="Your own name for it: the same key and content are the same message again.",
            show_default=False,
        ),
    ] = None,
    message_id: IdOption = None,
    ref_to: RefToOption = None,
    when_open: Annotated[
        bool,
        typer.Option(
            "--when-open", help="Outside the hours of its service: queue it until they begin."
        ),
    ] = False,
    split: Annotated[
        bool,
        typer.Option("--split", help="As several requests, if it is too large: see `msh batch`."),
    ] = False,
    wait: WaitOption = False,
    timeout: TimeoutOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Queue a message, and print its id once it is safe on disk.

    A running `msh serve` delivers it; with --wait it is delivered from here as well, and the exit
    code is 0 if it was answered as done, 1 if refused, in doubt or undelivered, 2 on wrong use.
    """
    configuration = configuration_of(ctx, config)
    require_file(configuration)
    content = read_body(body)
    _require_wait(wait, timeout)
    if split:
        _require_no_ids(message_id, ref_to)
        whole = Whole(service, content, to, key, when_open)
        raise typer.Exit(send_split(configuration, whole, wait, timeout, as_json))

    async def run() -> tuple[Receipt, Delivery, str]:
        async with sending_only(configuration) as handler:
            receipt = await handler.send(
                service,
                content,
                to=to,
                key=key,
                message_id=message_id,
                ref_to=ref_to,
                when_open=when_open,
            )
            if not as_json:
                typer.echo(receipt.message_id)
            told = await _outcome(handler, configuration, receipt, wait, as_json, timeout)
            return receipt, *told

    receipt, delivery, text = asyncio.run(run())
    if as_json:
        print_json(
            {
                "message_id": delivery.message_id,
                "state": str(delivery.state),
                "status": str(delivery.status) if delivery.status else None,
                "text": text,
                "attempts": delivery.attempts,
                "created": receipt.created,
            }
        )
    elif not wait:
        remark(
            "queued; a running `msh serve` delivers it"
            if receipt.created
            else f"queued before, nothing new was queued; it is {delivery.state}"
        )
    raise typer.Exit(0 if not wait or done(delivery) else 1)


def resend(
    ctx: typer.Context,
    message_id: Annotated[str, typer.Argument(metavar="MSGID", help="The message's id.")],
    wait: WaitOption = False,
    timeout: TimeoutOption = None,
    config: ConfigOption = None,
) -> None:
    """Begin a new series of attempts for a message without an answer, with the same bytes.

    A running `msh serve` makes them; with --wait they are made from here as well.
    """
    from msh.cli.finding import unknown

    configuration = configuration_of(ctx, config)
    _require_wait(wait, timeout)
    if nothing_stored(configuration):
        raise unknown(configuration, message_id)

    async def run() -> Delivery:
        async with sending_only(configuration) as handler:
            receipt = await handler.resend(message_id)
            delivery, _ = await _outcome(handler, configuration, receipt, wait, False, timeout)
            return delivery

    delivery = asyncio.run(run())
    if not wait:
        remark(
            f"{message_id}: a new series of attempts begins; a running `msh serve` makes them, "
            "or give --wait"
        )
    raise typer.Exit(0 if not wait or done(delivery) else 1)


def _require_no_ids(message_id: str | None, ref_to: str | None) -> None:
    from msh.errors import UsageError

    if message_id or ref_to:
        raise UsageError("--split gives each part an id of its own; leave --msg-id and --ref-to")


def _require_wait(wait: bool, timeout: float | None) -> None:
    from msh.errors import UsageError

    if timeout is not None and not wait:
        raise UsageError("--timeout is for --wait: without that, nothing is waited for")


def done(delivery: Delivery) -> bool:
    """Whether the other side has taken the request: answered as done, or its result came."""
    from msh.catalog import Meaning
    from msh.protocol.delivery import State

    if delivery.state is State.ANSWERED:
        return delivery.status is not None and delivery.status.meaning is Meaning.DONE
    return delivery.state is State.RESOLVED


@asynccontextmanager
async def sending_only(configuration: Configuration) -> AsyncIterator[MessageServiceHandler]:
    """A handler that queues, and delivers only what it is told to."""
    from msh import MessageServiceHandler

    handler = MessageServiceHandler.from_config(configuration, listen=False)
    await handler.start(deliver=False)
    try:
        yield handler
    finally:
        await handler.stop()


async def _outcome(
    handler: MessageServiceHandler,
    configuration: Configuration,
    receipt: Receipt,
    wait: bool,
    quiet: bool,
    timeout: float | None,
) -> tuple[Delivery, str]:
    """Where the message stands, after its end if that is waited for, and what the reply says."""
    from msh.cli.finding import text_of_reply

    if not wait:
        delivery = await receipt.delivery()
    else:
        try:
            async with asyncio.timeout(timeout):
                if quiet:
                    await handler.sender.deliver_only(receipt)
                else:
                    await _watched(handler, configuration, receipt)
        except TimeoutError:
            remark(f"{receipt.message_id} has not ended within {timeout:g} s; {_KEPT}")
        except asyncio.CancelledError:
            remark(f"{receipt.message_id}: {_KEPT}")
            raise
        delivery = await receipt.delivery()
    return delivery, await text_of_reply(handler.store, configuration, delivery)


async def _watched(
    handler: MessageServiceHandler, configuration: Configuration, receipt: Receipt
) -> None:
    """Deliver, and show the timeline: as it grows on a terminal, else once it has ended."""
    from rich.live import Live

    delivering = asyncio.create_task(handler.sender.deliver_only(receipt))
    out = console()
    try:
        if not out.is_terminal:
            await delivering
            out.print(await _timeline(handler, configuration, receipt), soft_wrap=True)
            return
        logging.disable(logging.WARNING)  # the timeline says the same
        with Live(console=out, auto_refresh=False, vertical_overflow="visible") as live:
            while True:
                await asyncio.wait([delivering], timeout=_POLL)
                live.update(await _timeline(handler, configuration, receipt), refresh=True)
                if delivering.done():
                    delivering.result()
                    return
    finally:
        logging.disable(logging.NOTSET)
        delivering.cancel()
        await asyncio.gather(delivering, return_exceptions=True)


async def _timeline(
    handler: MessageServiceHandler, configuration: Configuration, receipt: Receipt
) -> Text:
    from msh.cli.finding import catalog_of, look
    from msh.cli.timeline import styled, timeline

    found = await look(handler.store, configuration, await receipt.delivery())
    text_of = catalog_of(configuration).text_of
    return styled(timeline(found.subject, found.journal, found.attempts, text_of=text_of))
