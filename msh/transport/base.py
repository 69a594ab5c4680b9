"""The contract of a transport: how bytes reach a peer, and how a peer's bytes reach us.

Nothing above this row can tell which transport is in use.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from typing import Protocol

from msh.protection import PeerCertificate
from msh.transport.tls import Tls


@dataclass(frozen=True, slots=True)
class Settings:
    """What transports are made with. ``proxies`` are trusted to say who is behind them."""

    tls: Tls | None = None
    proxies: tuple[IPv4Network | IPv6Network, ...] = ()


@dataclass(frozen=True, slots=True)
class Response:
    """The bytes that came back. ``reconnected``: a second copy was sent on a fresh connection."""

    wire: bytes
    reconnected: bool = False


@dataclass(frozen=True, slots=True)
class Peer:
    """Where bytes came from: the IP address, and what names the TLS certificate if there is one.

    Behind a proxy that ends TLS and is trusted to say so, both are what the proxy says.
    """

    address: str
    certificate: PeerCertificate | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer with these bytes."""

    wire: bytes


@dataclass(frozen=True, slots=True)
class Taken:
    """The bytes were a late reply; they are durable and nothing is sent back."""


@dataclass(frozen=True, slots=True)
class NotNow:
    """Come back later: the first copy is in hand, there is no room, or the store is away."""

    after: timedelta


@dataclass(frozen=True, slots=True)
class Silence:
    """Say nothing: the connection is closed without an answer."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The bytes are no message; ``fault`` is a SOAP Fault that says so."""

    fault: bytes


@dataclass(frozen=True, slots=True)
class Forbidden:
    """Nobody may come from there (HTTP: 403); nothing was read."""


Acceptance = Reply | Taken | NotNow | Silence | Unreadable | Forbidden


class Accept(Protocol):
    """What a listener calls for each message. It never raises, and is never cancelled."""

    async def __call__(self, wire: bytes, peer: Peer, stored: Callable[[], None]) -> Acceptance:
        """Decide on ``wire``; call ``stored`` once the request is durable (MQ settles then)."""
        ...


class Gate(Protocol):
    """Who may come at all: asked before anything of a message is read. It never waits or raises."""

    def expects(self, address: str) -> bool:
        """Whether anybody may come from this IP address, with whatever certificate."""
        ...

    def admits(self, peer: Peer) -> bool:
        """Whether ``peer`` may come; one that may not is counted, and answered as `Forbidden`."""
        ...


class Anybody:
    """The `Gate` that is always open."""

    def expects(self, address: str) -> bool:
        """Yes."""
        return True

    def admits(self, peer: Peer) -> bool:
        """Yes."""
        return True


ANYBODY = Anybody()


class Transport(Protocol):
    """One way to reach peers and to be reached."""

    async def exchange(self, endpoint: str, wire: bytes, timeout: float) -> Response:
        """Send ``wire`` and return the answer, within ``timeout`` seconds.

        Raises `NotSent`, `NoAnswer`, `Busy` or `Rejected`. A pooled connection that closes
        before any byte of a response is tried once more at once, on a fresh one.
        """
        ...

    async def listen(
        self,
        url: str,
        accept: Accept,
        ready: Callable[[], Awaitable[bool]],
        gate: Gate = ANYBODY,
    ) -> str:
        """Serve ``accept`` at ``url`` until `close`; returns the URL with the port in use.

        ``ready`` answers the readiness question. Nothing reaches ``accept`` that comes from a
        peer whom ``gate`` does not admit. Raises `ConfigurationError` if the address cannot be
        used.
        """
        ...

    async def stop_listening(self) -> None:
        """Take no new messages; those in hand are finished and answered."""
        ...

    async def close(self) -> None:
        """Stop listening and close every connection."""
        ...
