"""For every test: nothing secret is shown (see tests/security/masking.py)."""

from __future__ import annotations

import pytest

from tests.security.masking import Masking


def pytest_configure(config: pytest.Config) -> None:
    """Watch the whole session."""
    config.pluginmanager.register(Masking(), "msh-masking")
