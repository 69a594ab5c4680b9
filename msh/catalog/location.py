"""Where the published tables lie: inside the wheel, or beside the package in a checkout."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from msh.errors import CatalogError

STANDARD = "tdcc-psp-3.4"


def schemas_folder() -> Traversable:
    """The folder ``schemas``; raises `CatalogError` if this installation has none."""
    inside = files("msh") / "schemas"
    if inside.is_dir():
        return inside
    beside = Path(__file__).resolve().parents[2] / "schemas"
    if beside.is_dir():
        return beside
    raise CatalogError(
        "the folder 'schemas' is missing from this installation; install msh again from its wheel"
    )
