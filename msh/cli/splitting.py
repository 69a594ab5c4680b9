"""``msh split``, ``batch``, and ``send --split``: requests too large for one message."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from msh.cli.context import (
    ConfigOption,
    JsonOption,
    configuration_of,
    nothing_stored,
    read_body,
    require_file,
)
from msh.cli.output import console, print_json, print_table, remark

if TYPE_CHECKING:
    from msh import Batch, BatchPart, MessageServiceHandler, Part, Progress
    from msh.config import Configuration

_HEAD = ["part", "message", "groups", "SSNID", "SVCREFID", "fate"]


def split(
    ctx: typer.Context,
    body: Annotated[
        str,
        typer.Argument(metavar="BODY.xml", help="The body, one XML element; - reads stdin."),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Write the parts there.", show_default=False),
    ] = None,
    service: Annotated[
        str | None,
        typer.Option(
            "--service",
            metavar="SVCID",
            help="The service, if the body's element is not called by it.",
            show_default=False,
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="PARTY",
            help="The receiver, where more than one may get the service.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Cut a request that is too large for one message into several. Stores and sends nothing.

    Each part fits into a message with the largest protection of the agreement, and has an SSNID
    and an SVCREFID of its own. With --out they become files, none of which may be there already.
    """
    from msh import MessageServiceHandler

    content = read_body(body)
    handler = MessageServiceHandler.from_config(configuration_of(ctx, config), listen=False)
    service = service or _service_of(content)
    parts = asyncio.run(handler.split(service, content, to=to))
    names = _written(parts, out, service) if out is not None else []
    if as_json:
        print_json(
            [
                {
                    "part": part.number,
                    "first": part.first,
                    "last": part.last,
                    "bytes": len(part.body),
                    "ssn_id": part.references.ssn_id,
                    "service_ref": part.references.service_ref,
                    "file": names[part.number - 1] if names else None,
                }
                for part in parts
            ]
        )
        return
    rows = [
        [
            str(part.number),
            _groups(part.first, part.last),
            f"{len(part.body):,}",
            part.references.ssn_id or "",
            part.references.service_ref or "",
            *names[part.number - 1 : part.number],
        ]
        for part in parts
    ]
    head = ["part", "groups", "bytes", "SSNID", "SVCREFID", *(["file"] if names else [])]
    print_table(head, rows, fixed=3)


def batch(
    ctx: typer.Context,
    key: Annotated[str, typer.Argument(metavar="KEY", help="The key that it was sent with.")],
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show where each part of a request stands that was sent as several.

    Exits with 0 if the other side has taken every part, else 1.
    """
    from msh.errors import UnknownMessage

    configuration = configuration_of(ctx, config)
    if nothing_stored(configuration):
        where = configuration.store.partition(":///")[2]
        raise UnknownMessage(f"{key}: no batch of that key; {where} does not exist yet")

    async def run() -> Progress:
        from msh.cli.sending import sending_only

        async with sending_only(configuration) as handler:
            return await (await handler.batch(key)).progress()

    progress = asyncio.run(run())
    _print(key, progress, as_json)
    raise typer.Exit(0 if progress.done else 1)


@dataclass(frozen=True)
class Whole:
    """What `msh send --split` is given."""

    service: str
    body: bytes
    to: str | None
    key: str | None
    when_open: bool


def send_split(
    configuration: Configuration, whole: Whole, wait: bool, timeout: float | None, as_json: bool
) -> int:
    """What ``msh send --split`` does; returns the exit code."""
    require_file(configuration)

    async def run() -> tuple[Batch, Progress]:
        from msh.cli.sending import sending_only

        async with sending_only(configuration) as handler:
            sent = await handler.send_split(
                whole.service, whole.body, to=whole.to, key=whole.key, when_open=whole.when_open
            )
            if wait:
                await _delivered(handler, sent, timeout)
            return sent, await sent.progress()

    sent, progress = asyncio.run(run())
    _print(sent.key, progress, as_json)
    if not wait and not as_json:
        remark(
            f"queued as batch {sent.key}; a running `msh serve` delivers it"
            if sent.created
            else f"queued before as batch {sent.key}, nothing new was queued"
        )
    return 0 if not wait or progress.done else 1


async def _delivered(handler: MessageServiceHandler, sent: Batch, timeout: float | None) -> None:
    """All at once: one that is in doubt does not keep back the rest."""
    deliver = handler.sender.deliver_only
    try:
        async with asyncio.timeout(timeout):
            await asyncio.gather(*(deliver(receipt) for receipt in sent.receipts))
    except TimeoutError:
        remark(
            f"batch {sent.key} has not ended within {timeout:g} s; its parts are kept; a running "
            "`msh serve` goes on with them"
        )


def _service_of(body: bytes) -> str:
    """The name of the body's element."""
    from msh.content.body import local
    from msh.content.splitting import whole_shape
    from msh.errors import InvalidBody, MalformedMessage
    from msh.xml import parse

    try:
        return local(parse(body, whole_shape()))
    except MalformedMessage as error:
        raise InvalidBody(f"the body cannot be split: {error.reason}") from None


def _written(parts: Sequence[Part], out: Path, service: str) -> list[str]:
    from msh.cli.files import SECRET, write_new
    from msh.errors import UsageError

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{out}: cannot be made: {error.strerror}") from None
    width = max(3, len(str(len(parts))))
    paths = [out / f"{service}-{part.number:0{width}d}.xml" for part in parts]
    for path in paths:  # before any is written
        if path.exists():
            raise UsageError(
                f"{path} is there already, and nothing is overwritten; name another folder, or "
                "move it away"
            )
    for path, part in zip(paths, parts, strict=True):
        write_new(path, part.body, SECRET)
    return [str(path) for path in paths]


def _print(key: str, progress: Progress, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "key": key,
                "done": progress.done,
                "ended": progress.ended,
                "forgotten": progress.forgotten,
                "parts": [_row(part) for part in progress.parts],
            }
        )
        return
    rows = [
        [
            str(part.number),
            part.message_id,
            _groups(part.first, part.last),
            part.references.ssn_id or "",
            part.references.service_ref or "",
            " ".join(text for text in (part.fate, str(part.status or "")) if text),
        ]
        for part in progress.parts
    ]
    print_table(_HEAD, rows, fixed=3)
    counts = ", ".join(f"{count} {fate}" for fate, count in sorted(progress.counts.items()))
    forgotten = f", {progress.forgotten} forgotten" if progress.forgotten else ""
    console().print(f"{counts}{forgotten}", highlight=False)


def _row(part: BatchPart) -> dict[str, object]:
    return {
        "part": part.number,
        "message_id": part.message_id,
        "first": part.first,
        "last": part.last,
        "ssn_id": part.references.ssn_id,
        "service_ref": part.references.service_ref,
        "fate": str(part.fate),
        "status": str(part.status) if part.status else None,
    }


def _groups(first: int, last: int) -> str:
    return f"{first}-{last}" if last > first else str(last or "")
