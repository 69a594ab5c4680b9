"""The values a store takes and gives about what follows a reply: results, inquiries, repeats."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from msh.catalog import StatusCode
from msh.content import References


@dataclass(frozen=True, slots=True)
class Result:
    """That a received message tells the outcome of an earlier request of service ``of``.

    ``statuses`` are its body's: that of the whole first, then those of its lines.
    """

    of: str
    references: References | None = None
    statuses: tuple[StatusCode, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A result that came for a delivery, in the message ``message_id`` (``reception``)."""

    message_id: str
    service: str
    reception: int
    status: StatusCode | None
    received: datetime


@dataclass(frozen=True, slots=True)
class Inquiry:
    """That a message asks what became of the delivery ``about``.

    A "not found" is believed if the inquiry was first sent after ``conclusive``; without it, never.
    """

    about: int
    conclusive: datetime | None


@dataclass(frozen=True, slots=True)
class Asked:
    """Which messages are asked for again (PS802): those that fit everything that is given.

    ``day`` is when they were sent, in the profile's time zone.
    """

    service: str | None = None
    day: date | None = None
    message_ids: tuple[str, ...] = ()
    references: References | None = None

    def fits(self, service: str, day: date, message_id: str, references: References | None) -> bool:
        """Whether a message is one of those asked for."""
        return (
            self.service in (None, service)
            and self.day in (None, day)
            and (not self.message_ids or message_id in self.message_ids)
            and (self.references is None or self.references == references)
        )


@dataclass(frozen=True, slots=True)
class Repeat:
    """An ended delivery whose ``wire`` is to leave once more. ``tries`` counts this one."""

    delivery: int
    wire: bytes
    began: datetime
    tries: int
