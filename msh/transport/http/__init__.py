"""HTTP, both ways, over aiohttp."""

from msh.transport.http.transport import HttpTransport
from msh.transport.http_rules import ListenLimits

__all__ = ["HttpTransport", "ListenLimits"]
