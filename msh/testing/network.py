"""A network inside one process: a transport whose faults are exact, for the virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from enum import StrEnum
from itertools import count

from msh.clock import Clock, SystemClock
from msh.errors import Busy, ConfigurationError, NoAnswer, NotSent, Rejected
from msh.transport.base import (
    ANYBODY,
    Accept,
    Forbidden,
    Gate,
    NotNow,
    Peer,
    Reply,
    Response,
    Silence,
    Taken,
    Unreadable,
)


class Fault(StrEnum):
    """What happens to one exchange."""

    REFUSE = "refuse"  # no connection is made
    LOSE_REQUEST = "lose-request"  # the connection closes, nothing arrived
    LOSE_REPLY = "lose-reply"  # it arrived, and the connection closes before the answer
    SWALLOW_REQUEST = "swallow-request"  # nothing arrives, and nothing comes back, ever
    SWALLOW_REPLY = "swallow-reply"  # it arrives, and nothing comes back, ever
    RECONNECT = "reconnect"  # a pooled connection closed after it arrived; sent once more


class Network:
    """Addresses ``memory://host/path`` and who listens there."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or SystemClock()
        self.listeners: dict[str, Accept] = {}
        self.gates: dict[str, Gate] = {}
        #: Faults by the number of the exchange, from 1.
        self.faults: dict[int, Fault] = {}
        #: What every exchange meets that has no fault of its own.
        self.always: Fault | None = None
        #: The bytes of every exchange, in order.
        self.sent: list[bytes] = []
        #: Takes the place of an answer's bytes, if set.
        self.forge: Callable[[bytes], bytes] | None = None
        self._ports = count(1)

    def transport(self) -> NetworkTransport:
        """A transport for one handler."""
        return NetworkTransport(self)


class NetworkTransport:
    """A `msh.transport.base.Transport` over a `Network`."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._url: str | None = None
        self._in_hand: set[asyncio.Task[object]] = set()

    async def exchange(self, endpoint: str, wire: bytes, timeout: float) -> Response:
        """Deliver by calling the listener, within ``timeout`` seconds of the network's clock."""
        clock = self._network.clock
        try:
            async with clock.timeout(clock.now() + timedelta(seconds=timeout)):
                return await self._exchange(endpoint, wire)
        except TimeoutError:
            raise NoAnswer(f"no answer within {timeout:g} s") from None

    async def _exchange(self, endpoint: str, wire: bytes) -> Response:
        network = self._network
        network.sent.append(wire)
        fault = network.faults.get(len(network.sent), network.always)
        if fault is Fault.REFUSE:
            raise NotSent("connection refused")
        if fault is Fault.LOSE_REQUEST:
            raise NoAnswer("connection closed")
        if fault is Fault.SWALLOW_REQUEST:
            await asyncio.Event().wait()
        if endpoint not in network.listeners:
            raise NotSent("connection refused")
        if fault is Fault.RECONNECT:
            await self._deliver(endpoint, wire)
        answer = await self._deliver(endpoint, wire)
        if fault is Fault.LOSE_REPLY:
            raise NoAnswer("connection closed")
        if fault is Fault.SWALLOW_REPLY:
            await asyncio.Event().wait()
        return Response(
            network.forge(answer) if network.forge else answer, fault is Fault.RECONNECT
        )

    async def _deliver(self, endpoint: str, wire: bytes) -> bytes:
        accept, peer = self._network.listeners[endpoint], Peer("memory")
        if not self._network.gates[endpoint].admits(peer):
            raise Rejected("refused: nobody may come from there")
        task = asyncio.ensure_future(accept(wire, peer, lambda: None))
        self._in_hand.add(task)
        task.add_done_callback(self._in_hand.discard)
        match await asyncio.shield(task):
            case Reply(answer):
                return answer
            case Taken():
                raise NoAnswer("taken; the answer comes by itself")
            case NotNow():
                raise Busy("the other side asked to come back later")
            case Unreadable():
                raise Rejected("refused as unreadable")
            case Forbidden():
                raise Rejected("refused: nobody may come from there")
            case Silence() | _:
                raise NoAnswer("connection closed")

    async def listen(
        self,
        url: str,
        accept: Accept,
        ready: Callable[[], Awaitable[bool]],
        gate: Gate = ANYBODY,
    ) -> str:
        """Take messages at ``url``; a host of ``*`` becomes a free one."""
        url = url.replace("*", f"host{next(self._network._ports)}")
        if url in self._network.listeners:
            raise ConfigurationError(url, ["the address is in use"])
        self._network.listeners[url] = accept
        self._network.gates[url] = gate
        self._url = url
        return url

    async def stop_listening(self) -> None:
        """Take nothing new."""
        if self._url is not None:
            self._network.listeners.pop(self._url, None)
            self._url = None

    async def close(self) -> None:
        """Stop listening, and wait for what was begun from here."""
        await self.stop_listening()
        if self._in_hand:
            await asyncio.gather(*self._in_hand, return_exceptions=True)
