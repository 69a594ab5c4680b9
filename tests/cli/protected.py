"""Two folders of `msh init` that are protected, the business system beside its platform."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import HASTE, PATIENCE, Folder, Run


def pair(run: Run, folder: Path, kind: str) -> tuple[Folder, Folder]:
    """PSP and BIZ under this protection, each with what it needs of the other."""
    made = run("init", folder / "psp", "--role", "psp", "--protection", kind)
    assert made.exit_code == 0, made.stderr
    made = run("init", folder / "biz", "--role", "business", "--peer", folder / "psp")
    assert made.exit_code == 0, made.stderr
    biz = Folder(folder / "biz")
    biz.change("resends = 3\ninterval = 60", "resends = 0\ninterval = 0")
    biz.change("timeout = 30", f"timeout = {PATIENCE}")
    return Folder(folder / "psp"), biz


def give_up_soon(biz: Folder) -> None:
    """For a platform that does not answer."""
    biz.change(f"timeout = {PATIENCE}", f"timeout = {HASTE}")
