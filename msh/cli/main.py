"""The ``msh`` command: its commands, and one shape for every error."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from msh import __version__
from msh.cli import (
    certs,
    codes,
    deciding,
    hours,
    init,
    keys,
    looking,
    output,
    sending,
    serve,
    splitting,
    suspending,
    upkeep,
    wsdl,
)
from msh.errors import ConfigurationError, MshError, UsageError


class _Commands(TyperGroup):
    """Turns each error into one message and an exit code: 2 is wrong use, 1 all else."""

    def main(  # type: ignore[override]  # the other arguments go through as they come
        self, args: Sequence[str] | None = None, **options: Any
    ) -> Any:
        """As typer's, but what is wrong with the command line is told like every other error."""
        if not (sys.argv[1:] if args is None else args):
            return super().main(args, **options)  # prints the help
        try:
            code = super().main(args, **options | {"standalone_mode": False})
        except typer.Abort:
            code = 1
        except Exception as error:
            if not hasattr(error, "format_message"):
                raise
            output.complain(_wrong_use(error))
            code = getattr(error, "exit_code", 2)
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (UsageError, ConfigurationError) as error:
            output.complain(str(error))
            raise typer.Exit(2) from None
        except MshError as error:
            output.complain(str(error))
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except Exception as error:
            # typer's own exceptions (exit, wrong options) know their code; typer handles them.
            closed = isinstance(error, OSError) and error.errno == errno.EPIPE
            if closed or isinstance(error, typer.Abort) or hasattr(error, "exit_code"):
                raise
            output.complain(_defect(error))
            raise typer.Exit(1) from None


def _wrong_use(error: Any) -> str:
    """What is wrong with the command line, and where the right one is told."""
    said = error.format_message().replace("Value error, ", "").rstrip(".")
    context = getattr(error, "ctx", None)
    return f"{said}; see `{context.command_path} --help`" if context else said


def _defect(error: Exception) -> str:
    """What nobody foresaw: the disk under stdout, or a mistake in msh."""
    if isinstance(error, OSError):
        return str(error)
    if os.environ.get("MSH_TRACEBACK"):
        return "".join(traceback.format_exception(error))
    last = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(last.filename).name}:{last.lineno}"
    return (
        f"a defect in msh: {type(error).__name__} at {place}: {error}\n"
        "Set MSH_TRACEBACK=1 to see where from, and report it."
    )


app = typer.Typer(
    cls=_Commands,
    name="msh",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"msh {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    ctx: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            metavar="FILE",
            envvar="MSH_CONFIG",
            help="The configuration; else ./msh.toml. Also after the command.",
            show_default=False,
        ),
    ] = None,
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version, and end."
        ),
    ] = False,
) -> None:
    """A Message Service Handler: payment messages, resent until answered, known when repeated.

    Begin with `msh init DIR --role business`. Each command has its own --help.
    """
    ctx.obj = config


_BEGIN, _SEND, _LOOK, _KEEP = "Begin", "Send and check", "Look", "Upkeep"
_PROTECT = "Keys, certificates and suspension"

app.command("init", rich_help_panel=_BEGIN)(init.init)
app.command("serve", rich_help_panel=_BEGIN)(serve.serve)
app.command("send", rich_help_panel=_SEND)(sending.send)
app.command("resend", rich_help_panel=_SEND)(sending.resend)
app.command("compose", rich_help_panel=_SEND)(sending.compose)
app.command("check", rich_help_panel=_SEND)(sending.check)
app.command("split", rich_help_panel=_SEND)(splitting.split)
app.command("cut-time", rich_help_panel=_SEND)(hours.cut_time)
app.command("list", rich_help_panel=_LOOK)(looking.list_messages)
app.command("show", rich_help_panel=_LOOK)(looking.show)
app.command("why", rich_help_panel=_LOOK)(looking.why)
app.command("batch", rich_help_panel=_LOOK)(splitting.batch)
app.command("tail", rich_help_panel=_LOOK)(looking.tail)
app.command("hours", rich_help_panel=_LOOK)(hours.hours)
app.command("codes", rich_help_panel=_LOOK)(codes.codes)
app.command("wsdl", rich_help_panel=_BEGIN)(wsdl.wsdl)
app.add_typer(keys.app, name="keys", rich_help_panel=_PROTECT)
app.add_typer(certs.app, name="certs", rich_help_panel=_PROTECT)
app.command("suspend", rich_help_panel=_PROTECT)(suspending.suspend)
app.command("resume", rich_help_panel=_PROTECT)(suspending.resume)
app.command("suspensions", rich_help_panel=_PROTECT)(suspending.suspensions)
app.command("rerun", rich_help_panel=_KEEP)(deciding.rerun)
app.command("close", rich_help_panel=_KEEP)(deciding.close)
app.command("settle", rich_help_panel=_KEEP)(deciding.settle)
app.command("purge", rich_help_panel=_KEEP)(upkeep.purge)


def main() -> None:
    """Run the command line: the entry point ``msh``."""
    output.prepare()
    app(prog_name="msh")
