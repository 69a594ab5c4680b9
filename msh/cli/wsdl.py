"""``msh wsdl``: what SOAP software needs to send to this party."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from msh.cli.context import USUAL, ConfigOption, named_path

if TYPE_CHECKING:
    from msh.profile import Profile


def wsdl(
    ctx: typer.Context,
    endpoint: Annotated[
        str | None,
        typer.Option(
            "--endpoint",
            metavar="URL",
            help="Where the service is found; else where msh.toml listens.",
            show_default=False,
        ),
    ] = None,
    folder: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="The folder to write.")
    ] = Path("wsdl"),
    config: ConfigOption = None,
) -> None:
    """Write the WSDL for SOAP software, with every schema that it loads.

    Needs no configuration; with one, names and schemas are those of its profile, and the address is
    where it listens. Nothing that exists is overwritten.
    """
    from msh.cli.files import write_new
    from msh.errors import UsageError
    from msh.wsdl import WSDL_FILE, files

    profile, listens = _profile(ctx, config)
    if endpoint is not None:
        _require_address(endpoint)
    made = files(profile, endpoint or listens)
    there = [name for name in made if (folder / name).exists()]
    if there:
        raise UsageError(
            f"{folder / there[0]} is there already, and nothing is overwritten; name another "
            "folder with --out"
        )
    # The WSDL comes last: a folder that holds it is whole.
    for name in sorted(made, key=lambda name: name == WSDL_FILE):
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{path.parent}: cannot be made: {error.strerror}") from None
        write_new(path, made[name])
    typer.echo(folder / WSDL_FILE)


def _profile(ctx: typer.Context, config: Path | None) -> tuple[Profile, str | None]:
    """The profile to describe, and where it is listened for."""
    from msh.config import read_configuration
    from msh.profiles import standard_profile

    path = named_path(ctx, config)
    if path is None and not USUAL.exists():
        return standard_profile(), None
    configuration = read_configuration(path or USUAL)
    return next(iter(configuration.agreements)).profile, configuration.listen


def _require_address(url: str) -> None:
    from msh.errors import UsageError

    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"--endpoint {url}: http://HOST/PATH or https://HOST/PATH is wanted")
