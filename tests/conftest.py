"""For every test: nothing secret is shown (see tests/security/masking.py)."""

from __future__ import annotations

import os
import signal

import pytest

from tests.security.masking import Masking

# A shell that runs this in the background has SIGINT ignored, and what is started here would too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """Watch the whole session; keys that tests write are for their owner alone, as all must be."""
    os.umask(0o077)
    config.pluginmanager.register(Masking(), "msh-masking")
