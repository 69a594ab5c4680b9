"""Rules of days, as seen on the day of the first receipt in Taipei (TDCC PSP 9.2 and 9.6)."""

from __future__ import annotations

from calendar import monthrange
from datetime import date

from msh.content.rule import Facts
from msh.hours import counts_as_the_next_day

_MONTHS = 6


def settled_on_a_business_day(facts: Facts) -> str | None:
    """The settlement date is a business day, and not in the past."""
    name = facts.names.settle_date
    day = _day(facts, name)
    if day is None:
        return None
    if day < facts.today:
        return f"{name} is in the past"
    return None if day in facts.days else f"{name} is no business day"


def counted_as_the_next_day(facts: Facts) -> str | None:
    """What comes after the hour that ends the day (9.6) is dated the next business day."""
    name = facts.names.date
    day, kind = _day(facts, name), facts.body.text(facts.names.message_kind)
    if day is None or not counts_as_the_next_day(
        facts.catalog.hours, facts.service, kind, facts.moment
    ):
        return None
    if day == facts.days.after(facts.today):
        return None
    return f"{name} is not the next business day, to which it counts at this hour"


def not_six_months_back(facts: Facts) -> str | None:
    """An inquiry begins not more than six months back."""
    name = facts.names.date_from
    day = _day(facts, name)
    if day is not None and day < _months_before(facts.today):
        return f"{name} is more than six months back"
    return None


def not_in_the_future(facts: Facts) -> str | None:
    """No day of an inquiry is after today."""
    for name in (facts.names.date_from, facts.names.date_to):
        day = _day(facts, name)
        if day is not None and day > facts.today:
            return f"{name} is after today"
    return None


def in_order(facts: Facts) -> str | None:
    """An inquiry does not end before it begins."""
    first, last = _day(facts, facts.names.date_from), _day(facts, facts.names.date_to)
    if first is not None and last is not None and last < first:
        return f"{facts.names.date_to} is before {facts.names.date_from}"
    return None


def _day(facts: Facts, name: str) -> date | None:
    try:
        return date.fromisoformat(facts.body.text(name) or "")
    except ValueError:
        return None


def _months_before(day: date) -> date:
    """The same day six months earlier, or that month's last."""
    year, month = divmod(day.year * 12 + day.month - 1 - _MONTHS, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))
