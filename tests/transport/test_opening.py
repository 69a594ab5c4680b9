"""Finding the transport for a URL."""

from __future__ import annotations

import subprocess
import sys

import pytest

from msh.errors import ConfigurationError
from msh.transport import open_transport
from msh.transport.http import HttpTransport


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_http(scheme: str) -> None:
    transport = open_transport(scheme)
    assert isinstance(transport, HttpTransport)
    await transport.close()


@pytest.mark.parametrize("scheme", ["", "ftp", "HTTP:"])
def test_an_unknown_scheme_is_told_what_there_is(scheme: str) -> None:
    with pytest.raises(ConfigurationError, match="http, https"):
        open_transport(scheme)


@pytest.mark.parametrize("module", ["msh", "msh.transport", "msh.transport.asgi"])
def test_aiohttp_is_loaded_only_when_used(module: str) -> None:
    asked = f"import sys, {module}; print('aiohttp' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
