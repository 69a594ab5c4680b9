"""How bytes travel: the contract, and the implementation that a URL's scheme names."""

from __future__ import annotations

from msh.errors import ConfigurationError
from msh.transport.base import (
    Accept,
    Acceptance,
    Forbidden,
    Gate,
    NotNow,
    Peer,
    Reply,
    Response,
    Settings,
    Silence,
    Taken,
    Transport,
    Unreadable,
)

__all__ = [
    "Accept",
    "Acceptance",
    "Forbidden",
    "Gate",
    "NotNow",
    "Peer",
    "Reply",
    "Response",
    "Settings",
    "Silence",
    "Taken",
    "Transport",
    "Unreadable",
    "open_transport",
]


def open_transport(scheme: str, settings: Settings | None = None) -> Transport:
    """The transport for URLs of ``scheme``.

    Raises `ConfigurationError` for an unknown one, or if the files of ``settings.tls`` cannot be
    used.
    """
    if scheme in ("http", "https"):
        from msh.transport.http import HttpTransport

        return HttpTransport.of(scheme, settings or Settings())
    raise ConfigurationError(scheme, ["no transport for this scheme; there are: http, https"])
