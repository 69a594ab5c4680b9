"""Business days: weekends, holidays, and what a site's calendar changes (TDCC PSP 9.6)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

#: Further than any row of holidays reaches: no search goes on for longer.
_LONGEST = 366


@dataclass(frozen=True, slots=True)
class BusinessDays:
    """Which days are business days: all but ``weekend`` (0 is Monday) and ``holidays``.

    ``workdays`` are business days all the same, such as a Saturday that is worked.
    """

    holidays: frozenset[date] = frozenset()
    workdays: frozenset[date] = frozenset()
    weekend: frozenset[int] = frozenset({5, 6})

    def __contains__(self, day: date) -> bool:
        if day in self.workdays:
            return True
        return day not in self.holidays and day.weekday() not in self.weekend

    def after(self, day: date) -> date:
        """The first business day after ``day``. Raises `ValueError` if there is none in a year."""
        for _ in range(_LONGEST):
            day += timedelta(days=1)
            if day in self:
                return day
        raise ValueError(f"no business day in the year before {day}")


#: Monday to Friday.
USUAL = BusinessDays()
