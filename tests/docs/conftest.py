"""Folders of `msh init` that find a live counterparty, for the code in the documents."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from msh.cli import app
from msh.testing.counterparty import Counterparty

ROOT = Path(__file__).resolve().parents[2]
Made = Callable[..., Path]


def unused_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def changed(text: str, old: str, new: str) -> str:
    """``text`` with the first line that fits ``old`` changed."""
    result, count = re.subn(old, new, text, count=1, flags=re.MULTILINE)
    assert count == 1, old
    return result


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """Make a folder for a role and work in it: a free port, quick resends, and ``endpoint``."""
    monkeypatch.delenv("MSH_CONFIG", raising=False)

    def make(role: str, endpoint: str | None = None) -> Path:
        made = tmp_path / role
        done = CliRunner().invoke(app, ["init", str(made), "--role", role])
        assert done.exit_code == 0, done.output
        file = made / "msh.toml"
        text = file.read_text(encoding="utf-8")
        text = changed(
            text, r'^url = "http://127.0.0.1:\d+', f'url = "http://127.0.0.1:{unused_port()}'
        )
        if endpoint is not None:
            text = changed(text, r'^endpoint = "[^"]*"', f'endpoint = "{endpoint}"')
        text = changed(text, r"^interval = 60", "interval = 0.1")
        text = changed(text, r"^timeout = 30", "timeout = 5")
        file.write_text(text, encoding="utf-8")
        monkeypatch.chdir(made)
        return made

    return make


@pytest.fixture
def platform(msh_counterparty: Callable[..., Counterparty]) -> Counterparty:
    """The other side of the business system in the documents."""
    return msh_counterparty()
