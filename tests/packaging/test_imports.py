"""What importing msh costs, and what it exports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msh

ROOT = Path(msh.__file__).resolve().parents[1]


def test_import_msh_loads_no_heavy_library():
    code = "import msh, sys; print(*sorted(sys.modules))"
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    assert "msh" in out
    assert {"zeep", "aiohttp", "typer", "rich", "sqlite_utils", "pytest"}.isdisjoint(out)


def test_all_is_what_is_exported():
    public = {
        name
        for name, value in vars(msh).items()
        if not name.startswith("_") and getattr(value, "__module__", "").startswith("msh")
    }
    assert set(msh.__all__) == public | {"__version__"}
    assert msh.__all__ == sorted(msh.__all__)


def test_the_error_tree_in_the_docstring_is_the_one_in_the_code():
    from msh import errors

    def names(kind: type, depth: int = 0) -> list[tuple[int, str]]:
        below = [
            line
            for child in kind.__subclasses__()
            for line in names(child, depth + 1)
            if child.__module__ == "msh.errors"
        ]
        return [(depth, kind.__name__), *below]

    drawn = []
    for line in (errors.__doc__ or "").splitlines():
        stripped = line.strip().lstrip("│├└─ ")
        word = stripped.split(" ")[0]
        if word and hasattr(errors, word):
            drawn.append(((len(line) - len(line.lstrip(" │├└─"))) // 4 - 1, word))
    assert sorted(drawn) == sorted(names(errors.MshError))
