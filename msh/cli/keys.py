"""``msh keys``: key-encryption keys in files, and the working keys of each agreement."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from msh.cli.context import ConfigOption, agreement_with, configuration_of, require_file
from msh.cli.keylist import check, has_keys, list_keys
from msh.cli.output import console, remark
from msh.cli.retiring import retire

if TYPE_CHECKING:
    from msh import MessageServiceHandler
    from msh.agreement import Agreement
    from msh.config import Configuration
    from msh.store import StoredKey

app = typer.Typer(
    no_args_is_help=True,
    help="Keys for MACs: key-encryption keys in files, working keys that are exchanged.",
)

app.command()(retire)

app.command("list")(list_keys)
app.command()(check)

NewFile = Annotated[Path, typer.Argument(metavar="PATH", help="The file to write; a new one.")]


@app.command()
def generate(
    path: NewFile,
    bits: Annotated[int, typer.Option("--bits", help="128, 192 or 256.")] = 256,
    test: Annotated[
        bool, typer.Option("--test", help="Mark it as a test key, which production refuses.")
    ] = False,
) -> None:
    """Make a key-encryption key, into a new file that only its owner may read.

    Prints the key's check value, never the key.
    """
    from msh.errors import KeyUnusable, UsageError
    from msh.security.key_encryption import new_key_encryption_key

    try:
        key = new_key_encryption_key(bits)
    except KeyUnusable as error:
        raise UsageError(f"--bits: {error}") from None
    _write(path, key, test=test)
    remark(
        "Next: bring the same key to the other side by a way that nobody else can read, not by "
        "mail; there, compare the check value."
    )
    remark(_named(path))


@app.command("import")
def import_key(
    path: NewFile,
    components: Annotated[
        list[str] | None,
        typer.Option(
            "--component",
            metavar="FILE",
            help="A file with one component, or - to type it; 2 or 3 times. Else 2 are typed.",
            show_default=False,
        ),
    ] = None,
    check_value: Annotated[
        str | None,
        typer.Option(
            "--check-value",
            metavar="HEX",
            help="What the key's check value must be; with another one, nothing is written.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Put a key-encryption key together from 2 or 3 components: hexadecimal, XORed.

    Typed components are not shown. Prints the check value of each and of the key.
    """
    from msh.errors import KeyUnusable, UsageError
    from msh.security.key_encryption import combine
    from msh.security.mac import aes_check_value

    if path.exists():  # before anybody has typed anything
        raise UsageError(f"{path} is there already, and nothing is overwritten; name another file")
    given = components or ["-", "-"]
    if not 2 <= len(given) <= 3:
        raise UsageError(f"a key has 2 or 3 components, and {len(given)} were given")
    found = []
    for number, source in enumerate(given, start=1):
        component = _typed(number) if source == "-" else _in_file(Path(source))
        value = aes_check_value(component)
        console().print(f"component {number}: check value {value}", soft_wrap=True)
        found.append(component)
    try:
        key = combine(found)
    except KeyUnusable as error:
        raise UsageError(f"{error}; nothing was written") from None
    if check_value and check_value.upper() != (made := aes_check_value(key)):
        raise UsageError(
            f"the key's check value is {made}, not {check_value.upper()}; nothing was written. "
            "Compare the check value of each component"
        )
    _write(path, key, test=False)
    remark(_named(path))


@app.command()
def exchange(
    ctx: typer.Context,
    party: Annotated[str, typer.Argument(metavar="PARTY", help="With whom.")],
    config: ConfigOption = None,
) -> None:
    """Exchange a new working key, and use it from then on; the one before stays for a while.

    Works with or without a running `msh serve` here; the other side must be running. It is safe to
    repeat at any time.
    """
    configuration = configuration_of(ctx, config)
    require_file(configuration)
    agreement = agreement_with(configuration, party)
    _require_exchange(agreement)
    remark(
        f"exchanging a key with {party}; without an answer, given up after {_longest(agreement)}"
    )

    async def run() -> StoredKey:
        from msh.cli.sending import sending_only

        async with sending_only(configuration) as handler:
            return await _exchanged(handler, party)

    console().print(_exchanged_text(asyncio.run(run())), soft_wrap=True)


@app.command()
def rotate(
    ctx: typer.Context,
    older_than: Annotated[
        float,
        typer.Option(
            "--older-than", min=0, metavar="DAYS", help="How old a key may be; 0 exchanges all."
        ),
    ] = 1,
    config: ConfigOption = None,
) -> None:
    """Exchange a new working key wherever the present one is older; for a daily job.

    Exits with 1 if any exchange failed; the others are made all the same.
    """
    configuration = configuration_of(ctx, config)
    require_file(configuration)
    agreements = [a for a in configuration.agreements if has_keys(a)]
    if not agreements:
        remark("no agreement is protected by MACs, so there is no key to exchange")
        return
    failed = asyncio.run(_rotate(configuration, agreements, timedelta(days=older_than)))
    raise typer.Exit(1 if failed else 0)


# key-encryption keys


def _write(path: Path, key: bytes, *, test: bool) -> None:
    from msh.cli.files import SECRET, write_new
    from msh.security.key_encryption import key_file_text
    from msh.security.mac import aes_check_value

    write_new(path, key_file_text(key, test=test).encode(), SECRET)
    marked = ", a test key" if test else ""
    value = aes_check_value(key)
    console().print(f"{path}: {len(key) * 8} bits{marked}, check value {value}", soft_wrap=True)


def _named(path: Path) -> str:
    return (
        f'Then name it in msh.toml, in [agreements.PARTY.mac]: key_encryption = "file:{path}" '
        "(relative to msh.toml), and run `msh keys exchange PARTY`."
    )


def _typed(number: int) -> bytes:
    """A component typed at the terminal; asked for again while it is none."""
    from msh.errors import KeyUnusable, UsageError
    from msh.security.key_encryption import read_component

    if not sys.stdin.isatty():
        raise UsageError("components are typed at a terminal; else name files with --component")
    while True:
        text = typer.prompt(f"component {number} (not shown)", hide_input=True, err=True)
        try:
            return read_component(text)
        except KeyUnusable as error:
            remark(f"component {number}: {error}; type it again")


def _in_file(path: Path) -> bytes:
    from msh.errors import KeyUnusable, UsageError
    from msh.security.key_encryption import read_component

    try:
        return read_component(path.read_text(encoding="ascii"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: it holds something else than hexadecimal digits") from None
    except KeyUnusable as error:
        raise UsageError(f"{path}: {error}") from None


# exchanging


def _require_exchange(agreement: Agreement) -> None:
    """Raises `NotAgreed` where no working key can be exchanged from here."""
    from msh.errors import NotAgreed

    peer = agreement.peer
    if not has_keys(agreement):
        raise NotAgreed(
            f"messages with {peer} are not protected by MACs, so there is no key to exchange; see "
            f"agreements.{peer}.protection"
        )
    if agreement.endpoint is None:
        raise NotAgreed(
            f"the agreement with {peer} has no endpoint; set agreements.{peer}.endpoint, or let "
            f"{peer} exchange the key"
        )


def _longest(agreement: Agreement) -> str:
    from msh.protocol.retry import schedule

    now = datetime.now(UTC)
    return f"{(schedule(agreement.outbound, now)[-1] - now).total_seconds():g} s"


async def _exchanged(handler: MessageServiceHandler, party: str) -> StoredKey:
    from msh.errors import DeliveryError, SecurityError

    try:
        return await handler.exchange_key(party)
    except DeliveryError as error:
        raise SecurityError(
            f"no key was exchanged with {party}: {error}. The key in use stays; see that {party} "
            "can be reached, and exchange again"
        ) from None


def _exchanged_text(key: StoredKey) -> str:
    return f"{key.peer}: {key.id} is the {key.state} key, check value {key.check_value}"


async def _rotate(
    configuration: Configuration, agreements: Sequence[Agreement], older_than: timedelta
) -> bool:
    """Every exchange that is due, all at once, so that a party that is away holds up nobody."""
    from msh.cli.sending import sending_only
    from msh.errors import MshError
    from msh.protocol.keys import State

    out = console()

    async def one(handler: MessageServiceHandler, agreement: Agreement) -> bool:
        keys = await handler.store.keys(agreement.peer)
        active = next((key for key in keys if key.state is State.ACTIVE), None)
        if active is not None:
            age = datetime.now(UTC) - (active.activated or active.offered)
            if age < older_than:
                days = age / timedelta(days=1)
                text = f"{agreement.peer}: {active.id} is {days:.1f} days old, and stays"
                out.print(text, soft_wrap=True)
                return True
        try:
            _require_exchange(agreement)
            text = _exchanged_text(await _exchanged(handler, agreement.peer))
        except MshError as error:
            out.print(f"{agreement.peer}: FAILED: {error}", style="red", soft_wrap=True)
            return False
        out.print(text, soft_wrap=True)
        return True

    async with sending_only(configuration) as handler:
        done = await asyncio.gather(*(one(handler, agreement) for agreement in agreements))
    return not all(done)
