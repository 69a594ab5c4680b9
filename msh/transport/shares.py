"""How much of a listener one peer may have, so that nobody takes all of it. Pure.

A neighbourhood (`msh.protocol.source.neighbourhood`) is one peer here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msh.protocol.source import Network, contains, neighbourhood
from msh.transport.http_rules import ListenLimits


class Share:
    """Of one thing, at most ``most`` for each holder."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: dict[str, int] = {}

    def take(self, holder: str, amount: int = 1) -> bool:
        """Give ``holder`` so much more, or nothing if that is over its share."""
        held = self._held.get(holder, 0) + amount
        if held > self._most:
            return False
        self._held[holder] = held
        return True

    def give_back(self, holder: str, amount: int = 1) -> None:
        """``holder`` has so much less; one with nothing left is forgotten."""
        left = self._held.get(holder, 0) - amount
        if left > 0:
            self._held[holder] = left
        else:
            self._held.pop(holder, None)


class Places:
    """Who has which of the connections.

    ``expects`` says from where messages may come. All other addresses, of which one may be there
    to ask for health, have a few places together and fewer each; they take none of anybody's. A
    listed proxy stands for many peers: it has no share of its own.
    """

    def __init__(
        self, limits: ListenLimits, expects: Callable[[str], bool], proxies: Sequence[Network]
    ) -> None:
        self._limits = limits
        self._expects = expects
        self._proxies = proxies
        self._taken = 0
        self._each = Share(limits.connections_each)
        self._strangers = Share(limits.strangers)
        self._strangers_each = Share(limits.strangers_each)

    def take(self, address: str) -> Callable[[], None] | str:
        """A place for a connection from ``address``: how to leave it, or why there is none."""
        limits = self._limits
        if self._taken >= limits.connections:
            return f"all {limits.connections} places are taken"
        place = neighbourhood(address)
        if self._proxies and contains(self._proxies, address):
            held: list[tuple[Share, str]] = []
        elif self._expects(address):
            if not self._each.take(place):
                return f"one address has {limits.connections_each} already"
            held = [(self._each, place)]
        else:
            if not self._strangers_each.take(place):
                return f"one address that nobody admits has {limits.strangers_each} already"
            if not self._strangers.take(""):
                self._strangers_each.give_back(place)
                return f"addresses that nobody admits have {limits.strangers} already"
            held = [(self._strangers_each, place), (self._strangers, "")]
        self._taken += 1

        def leave() -> None:
            self._taken -= 1
            for share, holder in held:
                share.give_back(holder)

        return leave
