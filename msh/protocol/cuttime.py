"""When the end-of-day message leaves (TDCC PSP 9.6.1, 9.6.2): pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

from msh.businessdays import BusinessDays

#: Its message kind (9.4).
KIND = "011"

#: When it leaves, if a configuration does not say.
PUBLISHED = time(19, 45)


@dataclass(frozen=True, slots=True)
class CutTime:
    """When it leaves by itself, in the profile's time zone, and to whom."""

    at: time
    to: tuple[str, ...]


def next_cut(
    cut_time: CutTime, days: BusinessDays, now: datetime, zone: ZoneInfo
) -> tuple[date, datetime]:
    """Today's, if today is a business day (its moment may have passed), else the next one's."""
    today = now.astimezone(zone).date()
    day = today if today in days else days.after(today)
    return day, datetime.combine(day, cut_time.at, zone)
