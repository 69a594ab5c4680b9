"""``msh serve``: the handler as a process of its own."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit, urlunsplit

import typer

from msh.cli.context import ConfigOption, configuration_of
from msh.cli.upkeep import keys_kept_since

if TYPE_CHECKING:
    from msh import MessageServiceHandler
    from msh.config import Configuration
    from msh.protocol.journal import Entry

_log = logging.getLogger("msh.serve")

#: How often content that is old enough is removed.
PURGING = timedelta(hours=1)


class LogLevel(StrEnum):
    """How much the log on stderr tells; each journal entry only at debug."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def serve(
    ctx: typer.Context,
    host: Annotated[
        str | None,
        typer.Option("--host", help="Listen there instead of at listen.url.", show_default=False),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            min=0,
            max=65535,
            help="Listen there instead of at listen.url; 0 takes a free port.",
            show_default=False,
        ),
    ] = None,
    log_level: Annotated[
        LogLevel, typer.Option("--log-level", help="How much the log on stderr tells.")
    ] = LogLevel.INFO,
    config: ConfigOption = None,
) -> None:
    """Receive and answer messages, and deliver what is queued, until told to stop.

    Prints `listening on URL` when it is ready. SIGTERM or Ctrl-C ends it cleanly: what is in hand
    is finished first; a second Ctrl-C does not wait for that.
    """
    configuration = configuration_of(ctx, config)
    receives = any(agreement.accepts for agreement in configuration.agreements)
    listen = listen_url(configuration, host, port) if receives else None
    logging.basicConfig(
        stream=sys.stderr,
        level=log_level.upper(),
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
    )
    handler = _handler(replace(configuration, listen=listen), log_level)
    if receives:
        load_handlers(configuration, handler)
    with asyncio.Runner(loop_factory=_faster_loop()) as runner:
        runner.run(_run(handler, configuration))


def listen_url(configuration: Configuration, host: str | None, port: int | None) -> str:
    """Where to listen: ``listen.url``, with another host or port if given.

    Raises `ConfigurationError` where there is neither an address nor a port.
    """
    from msh.errors import ConfigurationError

    if configuration.listen is None and port is None:
        raise ConfigurationError(
            str(configuration.path),
            ["listen.url: is missing, and agreements accept services; give it, or --port"],
        )
    path = next(iter(configuration.agreements)).profile.path
    parts = urlsplit(configuration.listen or f"http://127.0.0.1{path}")
    name = host or parts.hostname or "127.0.0.1"
    number = port if port is not None else parts.port
    shown = f"[{name}]" if ":" in name else name
    netloc = shown if number is None else f"{shown}:{number}"
    return urlunsplit((parts.scheme, netloc, parts.path, parts.query, ""))


def load_handlers(configuration: Configuration, handler: MessageServiceHandler) -> None:
    """Run the handlers file and its ``register(handler)``.

    Raises `ConfigurationError` naming file and line of whatever is wrong with it.
    """
    from msh.errors import ConfigurationError

    path = configuration.handlers
    if path is None:
        raise ConfigurationError(
            str(configuration.path),
            [
                'handlers: is missing, and agreements accept services; write handlers = "FILE.py",'
                " a file with a function register(handler)"
            ],
        )
    if not path.is_file():
        raise ConfigurationError(
            str(configuration.path), [f"handlers: {path} does not exist, or is no file"]
        )
    register = _register_of(path)
    _guarded(path, lambda: register(handler))


def _register_of(path: Path) -> Callable[[Any], object]:
    from msh.errors import ConfigurationError

    spec = importlib.util.spec_from_file_location(f"msh_handlers_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ConfigurationError(str(path), ["is no Python file; its name must end in .py"])
    module, loader = importlib.util.module_from_spec(spec), spec.loader
    # As for a script, so that the file can import its neighbours, and pickle finds its names.
    sys.path.insert(0, str(path.parent))
    sys.modules[spec.name] = module
    _guarded(path, lambda: loader.exec_module(module))
    register = getattr(module, "register", None)
    if not callable(register):
        raise ConfigurationError(
            str(path), ["has no function register(handler); `msh init` writes an example"]
        )
    return register  # type: ignore[no-any-return]  # a user's module: only a call can tell more


def _guarded(path: Path, run: Callable[[], object]) -> None:
    """Whatever the user's file raises, as one line that names the place in it."""
    from msh.errors import ConfigurationError

    try:
        run()
    except Exception as error:
        line: int | None = None
        if isinstance(error, SyntaxError) and error.filename == str(path):
            line = error.lineno
        for frame in traceback.extract_tb(error.__traceback__):
            if frame.filename == str(path):
                line = frame.lineno
        place = f"line {line}: " if line else ""
        raise ConfigurationError(str(path), [f"{place}{type(error).__name__}: {error}"]) from error


def _faster_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, if it is installed (about a sixth more messages per second)."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _handler(configuration: Configuration, log_level: LogLevel) -> MessageServiceHandler:
    from msh import MessageServiceHandler

    observers = [_note] if log_level is LogLevel.DEBUG else []
    return MessageServiceHandler.from_config(configuration, observers=observers)


def _note(entry: Entry) -> None:
    _log.debug("%s %s %s %s", entry.direction, entry.service, entry.message_id, entry.step)


async def _run(handler: MessageServiceHandler, configuration: Configuration) -> None:
    """Serve until a signal comes."""
    stopping = asyncio.Event()
    _on_signals(stopping)
    async with handler:
        if handler.url is not None:
            typer.echo(f"listening on {handler.url}")
        else:
            typer.echo("sending only: no agreement accepts a service")
        sys.stdout.flush()
        purging = asyncio.create_task(_purge_hourly(handler, configuration))
        try:
            await stopping.wait()
            _log.info("stopping: finishing what is in hand")
        finally:
            purging.cancel()
            await asyncio.gather(purging, return_exceptions=True)
    _log.info("stopped")


def _on_signals(stopping: asyncio.Event) -> None:
    """The first SIGTERM or SIGINT stops cleanly; the next one does what it always does."""
    loop = asyncio.get_running_loop()
    signals = signal.SIGTERM, signal.SIGINT

    def stop() -> None:
        stopping.set()
        for number in signals:
            loop.remove_signal_handler(number)

    with suppress(NotImplementedError):  # Windows: Ctrl-C arrives as KeyboardInterrupt
        for number in signals:
            loop.add_signal_handler(number, stop)


async def _purge_hourly(handler: MessageServiceHandler, configuration: Configuration) -> None:
    from msh.errors import StoreError

    retention = configuration.retention
    while True:
        now = datetime.now(UTC)
        removed = 0
        try:
            async for step in handler.store.purge(
                now - retention.contents, now - retention.ids, now
            ):
                removed += step.contents + step.ids
            removed += await handler.store.forget_keys(
                keys_kept_since(configuration, retention.contents, now)
            )
        except StoreError as error:
            _log.error("cannot purge now: %s", error)
        if removed:
            _log.info("purged %d messages, ids and keys past their retention", removed)
        await asyncio.sleep(PURGING.total_seconds())
