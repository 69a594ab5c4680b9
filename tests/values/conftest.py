"""Where the files of these tests lie."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the configuration is written."""
    return tmp_path / "msh.toml"
