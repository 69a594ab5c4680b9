"""When a service is open, and when it opens next (TDCC PSP 9.6). No clock: moments come in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from msh.businessdays import USUAL, BusinessDays
from msh.catalog import HoursRow

#: Where the published hours are told.
TAIPEI = ZoneInfo("Asia/Taipei")

_DAY = timedelta(days=1)
#: No calendar closes a service for longer.
_LONGEST = 366


@dataclass(frozen=True, slots=True)
class Matter:
    """What is to be sent or taken: a service and what its body says of the business.

    ``sends`` is the side that asks: the sender of the message, or its receiver.
    """

    service: str
    business_type: str | None = None
    message_kind: str | None = None
    sends: bool = True


@dataclass(frozen=True, slots=True)
class SpecialHours:
    """Hours of one day that go before all others, holidays too; closed without ``opens``.

    For one service (None: for all), and for ``business_types`` of it (empty: for all).
    """

    day: date
    service: str | None = None
    business_types: frozenset[str] = frozenset()
    opens: time | None = None
    closes: time | None = None

    def concerns(self, matter: Matter, day: date) -> bool:
        """Whether these are the hours of ``matter`` on ``day``."""
        return (
            self.day == day
            and self.service in (None, matter.service)
            and (not self.business_types or matter.business_type in self.business_types)
        )


@dataclass(frozen=True)
class Hours:
    """The hours of a profile and a site's calendar.

    A service opens at the second that is published and is closed from the second of its end on;
    one without an end stays open until midnight. A service that no row names is always open.
    """

    rows: tuple[HoursRow, ...]
    days: BusinessDays = USUAL
    special: tuple[SpecialHours, ...] = ()
    zone: ZoneInfo = TAIPEI

    def open_at(self, matter: Matter, moment: datetime) -> bool:
        """Whether ``matter`` may begin at ``moment`` (aware)."""
        rows = self._rows(matter)
        local = moment.astimezone(self.zone)
        if not rows and not any(one.concerns(matter, local.date()) for one in self.special):
            return True
        return any(
            opens <= local and (closes is None or local < closes)
            for opens, closes in self._windows(matter, rows, local.date())
        )

    def next_opening(self, matter: Matter, moment: datetime) -> datetime | None:
        """``moment`` if it is open then, else when it opens next; None if not within a year."""
        if self.open_at(matter, moment):
            return moment
        rows = self._rows(matter)
        local = moment.astimezone(self.zone)
        for number in range(_LONGEST + 1):
            day = local.date() + number * _DAY
            windows = self._windows(matter, rows, day)
            starts = sorted(opens for opens, _ in windows if opens > local)
            if starts:
                return starts[0].astimezone(moment.tzinfo)
            if not rows and self.open_at(matter, self._at(day, time())) and number:
                return self._at(day, time()).astimezone(moment.tzinfo)
        return None

    def _windows(
        self, matter: Matter, rows: tuple[HoursRow, ...], day: date
    ) -> Iterator[tuple[datetime, datetime | None]]:
        """From when to when it is open on ``day``; None: until its end."""
        special = [one for one in self.special if one.concerns(matter, day)]
        if special:
            for one in special:
                if one.opens is not None:
                    yield self._window(day, one.opens, one.closes)
        elif day in self.days:
            for row in rows:
                yield self._window(day, row.opens, row.closes)

    def _window(
        self, day: date, opens: time, closes: time | None
    ) -> tuple[datetime, datetime | None]:
        return self._at(day, opens), self._at(day, closes) if closes else None

    def _at(self, day: date, moment: time) -> datetime:
        return datetime.combine(day, moment, self.zone)

    def _rows(self, matter: Matter) -> tuple[HoursRow, ...]:
        """The rows that tell of ``matter``.

        Where 9.6 has hours of both sides, each side has its own; where it has those of one, they
        hold for both. A business type or message kind that no row names has the hours of all.
        """
        rows = [row for row in self.rows if row.code == matter.service]
        ours = [row for row in rows if row.sends in (None, matter.sends)]
        rows = ours or rows
        named = [
            row
            for row in rows
            if (not row.business_types or matter.business_type in row.business_types)
            and (not row.message_kinds or matter.message_kind in row.message_kinds)
        ]
        return tuple(named or rows)


def counts_as_the_next_day(
    rows: Iterable[HoursRow], service: str, kind: str | None, local: datetime
) -> bool:
    """Whether a message of this kind counts to the next business day (9.6.2), at a local moment."""
    return any(
        row.code == service and kind in row.message_kinds and local.time() > row.next_day_after
        for row in rows
        if row.next_day_after is not None
    )


def business_date(hours: Hours, service: str, kind: str | None, moment: datetime) -> date:
    """The day as which what is sent at ``moment`` counts, and which its date has to be.

    The next business day after the published time of day (9.6.2: IS930 for offshore funds after
    15:30), and on a day without business.
    """
    local = moment.astimezone(hours.zone)
    today = local.date()
    late = counts_as_the_next_day(hours.rows, service, kind, local)
    return today if today in hours.days and not late else hours.days.after(today)
