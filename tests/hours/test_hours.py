"""Opening hours: every published row at its edges, calendars, and the next opening."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msh.businessdays import BusinessDays
from msh.catalog import HoursRow, load
from msh.hours import TAIPEI, Hours, Matter, SpecialHours, business_date

MONDAY = date(2026, 11, 23)
SATURDAY = date(2026, 11, 21)
SECOND = timedelta(seconds=1)
ROWS = load().hours
HOURS = Hours(ROWS)


def at(day: date, moment: str | time) -> datetime:
    """A moment in Taipei, told in UTC as clocks tell it."""
    moment = time.fromisoformat(moment) if isinstance(moment, str) else moment
    return datetime.combine(day, moment, TAIPEI).astimezone(UTC)


def matter_of(row: HoursRow) -> Matter:
    """Something to which this row alone applies."""
    return Matter(
        row.code,
        next(iter(row.business_types), None),
        next(iter(row.message_kinds), None),
        row.sends is not False,
    )


def bounds(matter: Matter, rows: tuple[HoursRow, ...]) -> tuple[time, time | None]:
    """The first opening and the last closing of the rows that fit: 040 and 060 are in two."""
    fitting = [
        row
        for row in rows
        if row.code == matter.service
        and row.sends in (None, matter.sends)
        and (not row.business_types or matter.business_type in row.business_types)
        and (not row.message_kinds or matter.message_kind in row.message_kinds)
    ]
    closes = [row.closes for row in fitting]
    last = None if None in closes else max(one for one in closes if one)
    return min(row.opens for row in fitting), last


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.code}-{row.opens}-{row.gloss[:20]}")
def test_every_row_at_its_edges(row: HoursRow) -> None:
    matter = matter_of(row)
    opens, closes = bounds(matter, ROWS)
    assert not HOURS.open_at(matter, at(MONDAY, opens) - SECOND)
    assert HOURS.open_at(matter, at(MONDAY, opens))
    last = at(MONDAY, closes) - SECOND if closes else at(MONDAY, "23:59:59")
    assert HOURS.open_at(matter, last)
    assert not HOURS.open_at(matter, last + SECOND)
    assert not HOURS.open_at(matter, at(SATURDAY, opens))
    assert HOURS.next_opening(matter, at(SATURDAY, opens)) == at(MONDAY, opens)
    assert HOURS.next_opening(matter, last) == last
    assert HOURS.next_opening(matter, last + SECOND) == at(MONDAY + timedelta(days=1), opens)


@pytest.mark.parametrize(
    ("business_type", "closes"), [("010", "16:00"), ("030", "19:30"), ("601", "15:30")]
)
def test_the_business_type_decides(business_type: str, closes: str) -> None:
    matter = Matter("PS810FTRQ", business_type)
    assert HOURS.open_at(matter, at(MONDAY, closes) - SECOND)
    assert not HOURS.open_at(matter, at(MONDAY, closes))


def test_a_type_that_no_row_names_has_the_hours_of_all() -> None:
    for business_type in (None, "070"):
        matter = Matter("PS810FTRQ", business_type)
        assert not HOURS.open_at(matter, at(MONDAY, "07:59:59"))
        assert HOURS.open_at(matter, at(MONDAY, "08:00"))
        assert HOURS.open_at(matter, at(MONDAY, "19:29:59"))


def test_each_side_has_its_own_hours_where_both_are_published() -> None:
    """9.6.2: confirmations are sent until 15:30 and taken until 15:00."""
    late = at(MONDAY, "15:10")
    assert HOURS.open_at(Matter("IS940PICRQ", message_kind="040", sends=True), late)
    assert not HOURS.open_at(Matter("IS940PICRQ", message_kind="040", sends=False), late)
    # Only sending is published: it holds for whoever takes it as well.
    assert not HOURS.open_at(Matter("PS860INQRQ", sends=False), at(MONDAY, "18:00"))


def test_a_service_that_no_row_names_is_always_open() -> None:
    for moment in (at(SATURDAY, "03:00"), at(MONDAY, "12:00")):
        assert HOURS.open_at(Matter("PS802RSDRQ"), moment)
        assert HOURS.next_opening(Matter("PS802RSDRQ"), moment) == moment


def test_holidays_and_workdays() -> None:
    days = BusinessDays(holidays=frozenset({MONDAY}), workdays=frozenset({SATURDAY}))
    hours = Hours(ROWS, days)
    matter = Matter("PS860INQRQ")
    assert hours.open_at(matter, at(SATURDAY, "08:00"))
    assert not hours.open_at(matter, at(MONDAY, "08:00"))
    opens = hours.next_opening(matter, at(SATURDAY, "18:00"))
    assert opens == at(MONDAY + timedelta(days=1), "08:00")


def test_special_hours_go_before_everything() -> None:
    special = (
        SpecialHours(SATURDAY, "PS810FTRQ", frozenset({"010"}), time(10), time(12)),
        SpecialHours(MONDAY),
    )
    hours = Hours(ROWS, special=special)
    bonds, funds = Matter("PS810FTRQ", "010"), Matter("PS810FTRQ", "030")
    assert hours.open_at(bonds, at(SATURDAY, "10:00"))
    assert not hours.open_at(bonds, at(SATURDAY, "12:00"))
    assert not hours.open_at(funds, at(SATURDAY, "10:00"))
    # Closed all day, for services without hours too.
    assert not hours.open_at(bonds, at(MONDAY, "10:00"))
    assert not hours.open_at(Matter("PS802RSDRQ"), at(MONDAY, "10:00"))
    tuesday = MONDAY + timedelta(days=1)
    assert hours.next_opening(bonds, at(MONDAY, "10:00")) == at(tuesday, "09:00")
    assert hours.next_opening(Matter("PS802RSDRQ"), at(MONDAY, "10:00")) == at(tuesday, "00:00")


def test_what_never_opens_has_no_next_opening() -> None:
    hours = Hours(ROWS, BusinessDays(weekend=frozenset(range(7))))
    assert hours.next_opening(Matter("PS860INQRQ"), at(MONDAY, "10:00")) is None


@given(
    row=st.sampled_from(ROWS),
    moment=st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC)),
    holidays=st.frozensets(st.dates(date(2026, 1, 1), date(2027, 1, 31)), max_size=8),
)
def test_the_next_opening_is_the_first(
    row: HoursRow, moment: datetime, holidays: frozenset[date]
) -> None:
    """It is open then, not a second before, and at no time of day between now and then."""
    hours, matter = Hours(ROWS, BusinessDays(holidays)), matter_of(row)
    opens = hours.next_opening(matter, moment)
    assert opens is not None
    assert opens >= moment
    assert hours.open_at(matter, opens)
    if opens > moment:
        assert not hours.open_at(matter, opens - SECOND)
        step = (opens - moment) / 7
        assert not any(hours.open_at(matter, moment + number * step) for number in range(7))


@pytest.mark.parametrize(
    ("kind", "moment", "counts"),
    [
        ("030", at(MONDAY, "15:30"), MONDAY),
        ("030", at(MONDAY, "15:30:01"), date(2026, 11, 24)),
        ("031", at(MONDAY, "15:30:01"), date(2026, 11, 24)),
        ("030", at(date(2026, 11, 27), "16:00"), date(2026, 11, 30)),
        ("050", at(MONDAY, "17:00"), MONDAY),
        ("600", at(MONDAY, "22:59"), MONDAY),
        ("030", at(SATURDAY, "10:00"), MONDAY),
    ],
)
def test_collection_details_of_offshore_funds_late_in_the_day(
    kind: str, moment: datetime, counts: date
) -> None:
    assert business_date(HOURS, "IS930PIDRQ", kind, moment) == counts
