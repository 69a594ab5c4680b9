"""The values that travel: a message, and the reply a handler gives.

Nothing here does I/O. A message is frozen; its body is kept in one normal form, the exclusive
canonical XML of the single element inside ``soap:Body`` (or nothing), so that two equal messages
are equal bytes.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NoReturn

from msh.catalog import StatusCode
from msh.errors import CatalogError, UsageError

#: What a message id or a party id may be: visible ASCII, no white space.
IDENTIFIER = re.compile(r"[\x21-\x7e]{1,128}")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


_FOUR_IDENTIFIERS = re.compile(" ".join([IDENTIFIER.pattern] * 4))


def is_identifier(text: str) -> bool:
    """Whether ``text`` can be a message id, a party id or a service code."""
    return IDENTIFIER.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One SMS message: the header's values and the body (TDCC PSP 9.1, 9.7.5).

    ``timestamp`` and ``expires`` are aware datetimes in UTC. ``status`` is set on replies only;
    ``ref_digest`` (32 bytes) on those that are protected: it binds them to their request.
    White space around ``status_text`` is dropped, as it is from whatever the header holds; raises
    `UsageError` for values that no message can have.
    """

    service: str
    message_id: str
    sender: str
    receiver: str
    timestamp: datetime
    body: bytes = b""
    ref_to: str | None = None
    expires: datetime | None = None
    status: StatusCode | None = None
    status_text: str = ""
    ref_digest: bytes | None = None

    def __post_init__(self) -> None:
        ids = f"{self.service} {self.message_id} {self.sender} {self.receiver}"
        if not _FOUR_IDENTIFIERS.fullmatch(ids):
            self._name_what_is_wrong("service", "message_id", "sender", "receiver")
        if self.ref_to is not None and not is_identifier(self.ref_to):
            self._name_what_is_wrong("ref_to")
        if self.timestamp.tzinfo is not UTC or (
            self.expires is not None and self.expires.tzinfo is not UTC
        ):
            raise UsageError(f"{self.message_id}: timestamp and expires must be in UTC")
        if self.ref_digest is not None and len(self.ref_digest) != 32:
            raise UsageError(f"{self.message_id}: ref_digest must be a SHA-256, 32 bytes")
        if self.status_text:
            self._require_text()

    def _name_what_is_wrong(self, *names: str) -> NoReturn:
        wrong = [name for name in names if not is_identifier(getattr(self, name))]
        raise UsageError(
            f"{wrong[0]} {getattr(self, wrong[0])!r}: must be 1 to 128 visible ASCII characters"
        )

    def _require_text(self) -> None:
        if odd := _NOT_XML.search(self.status_text):
            raise UsageError(
                f"{self.message_id}: status_text holds U+{ord(odd[0]):04X}, which no XML may hold"
            )
        object.__setattr__(self, "status_text", self.status_text.strip(" \t\r\n"))


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to be queued in the transaction that records a reply (see ``Reply.then``).

    ``body`` is one XML element, or None for a message that is meant to have none. Outside the
    hours of its service it waits until they begin.
    """

    service: str
    body: bytes | str | None
    to: str
    key: str | None = None
    message_id: str | None = None
    ref_to: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What a handler answers: a status code, and optionally a body.

    ``apply`` is a short plain function that the store calls with its own database connection, in
    the very transaction that records this reply: its writes and the reply become durable
    together or not at all. It may be called more than once before that commit, so it must do
    nothing else. ``then`` are messages queued in the same transaction.

    Raises `UsageError` for what cannot be a reply, where it is made: in the handler.
    """

    status: StatusCode | str
    body: bytes | str = b""
    text: str = ""
    apply: Callable[[Any], object] | None = field(default=None, compare=False)
    then: tuple[Outgoing, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.status, StatusCode):
            try:
                StatusCode.parse(self.status)
            except CatalogError as error:
                raise UsageError(f"Reply: {error}") from None
        if not isinstance(self.text, str):
            raise UsageError(f"Reply: text must be a text, not {type(self.text).__name__}")
        if self.apply is not None:
            self._require_plain_function(self.apply)
        then = self.then
        if not isinstance(then, tuple) or not all(isinstance(one, Outgoing) for one in then):
            raise UsageError("Reply: then must be a tuple of msh.Outgoing, such as (outgoing,)")

    @staticmethod
    def _require_plain_function(apply: object) -> None:
        if not callable(apply):
            raise UsageError(
                f"Reply: apply must be a function of the connection, not {type(apply).__name__}"
            )
        if inspect.iscoroutinefunction(apply):
            raise UsageError("Reply: apply must be a plain function; nobody awaits an async one")
