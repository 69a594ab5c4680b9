"""Observers see every journal entry of this process as it becomes durable."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Protocol

from msh.protocol.journal import Entry

_log = logging.getLogger("msh.observer")


class Observer(Protocol):
    """Anything that wants to know: telemetry, a console, a test."""

    def __call__(self, entry: Entry, /) -> None:
        """Called on the event loop after the commit, in the journal's order. Must not block."""
        ...


class Observers:
    """Hands entries to each observer; one that fails never harms a message."""

    def __init__(self, observers: Iterable[Observer] = ()) -> None:
        self._observers = list(observers)

    def add(self, observer: Observer) -> None:
        """See entries from now on."""
        self._observers.append(observer)

    def notify(self, entries: Sequence[Entry]) -> None:
        """Tell every observer of every entry."""
        for observer in self._observers:
            for entry in entries:
                try:
                    observer(entry)
                except Exception:
                    _log.exception("observer %r failed on %s", observer, entry.step)
