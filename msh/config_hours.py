"""Reading ``[hours]`` and ``[cut_time]`` of ``msh.toml`` (TDCC PSP 9.6)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path

from msh.agreement import Agreement
from msh.businessdays import USUAL, BusinessDays
from msh.catalog import Service
from msh.hours import Hours, SpecialHours
from msh.profile import Profile
from msh.protocol.cuttime import PUBLISHED, CutTime
from msh.toml import Place

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def read_hours(
    place: Place, folder: Path, profile: Profile | None, *, production: bool
) -> tuple[BusinessDays, Hours | None]:
    """The calendar, and the hours where they hold: in ``production``, or where the table stands."""
    enforce = place.flag("enforce", default=production or not place.missing)
    holidays = place.days("holidays") | _days_of_file(place, folder)
    days = BusinessDays(holidays, place.days("workdays"), _weekdays(place))
    if both := holidays & days.workdays:
        place.problem("workdays", f"{min(both)} is one of the holidays too")
    special = tuple(_special(one, profile) for one in place.tables("exceptions"))
    place.finish()
    if not enforce or profile is None:
        return days, None
    return days, Hours(profile.catalog.hours, days, special)


def read_cut_time(
    place: Place, agreements: Mapping[str, Agreement], listens: bool
) -> CutTime | None:
    """When and to whom the end-of-day message leaves by itself; None: only by command."""
    if place.missing:
        return None
    at = place.time_of_day("at", PUBLISHED)
    to = place.texts("to", example="BIZ")
    if not to:
        place.problem("to", "names nobody; the parties are wanted that are to be told")
    for peer in to:
        agreement = agreements.get(peer)
        if agreement is None:
            place.problem("to", f"there is no agreement with {peer}")
        elif Service.IS910SMDRQ not in agreement.sends:
            place.problem(
                "to", f"{Service.IS910SMDRQ} is not in `sends` of the agreement with {peer}"
            )
    if not listens:
        place.problem("", "is kept by `msh serve`, which needs a [listen]")
    place.finish()
    return CutTime(at, tuple(to)) if at else None


def _special(place: Place, profile: Profile | None) -> SpecialHours:
    day = place.day("date")
    service = place.text("service", default="") or None
    types = place.texts("business_types", example="010")
    closed = place.flag("closed", default=False)
    opens, closes = place.time_of_day("opens"), place.time_of_day("closes")
    if closed and (opens or closes):
        place.problem("closed", "is true, and hours are given; one of both is wanted")
    elif not closed and not opens:
        place.problem("opens", "is missing; a time of day is wanted, or closed = true")
    elif opens and closes and closes <= opens:
        place.problem("closes", f"{closes:%H:%M} is not after {opens:%H:%M}")
    if profile is not None:
        row = profile.catalog.service(service) if service else None
        if service and (row is None or row.kind != "request"):
            place.problem("service", f"{service!r} is no request of {profile.name}")
        for one in types:
            if one not in profile.catalog.business_types:
                place.problem("business_types", f"{one!r} is no business type of {profile.name}")
    if types and not service:
        place.problem("business_types", "belong to a service; set service too")
    place.finish()
    return SpecialHours(day or date.min, service, frozenset(types), opens, closes)


def _weekdays(place: Place) -> frozenset[int]:
    names = place.texts("weekend", example="saturday")
    for name in names:
        if name not in _WEEKDAYS:
            place.problem("weekend", f"{name!r} is none of {', '.join(_WEEKDAYS)}")
    if not names and not place.is_empty("weekend"):
        return USUAL.weekend
    return frozenset(_WEEKDAYS.index(name) for name in names if name in _WEEKDAYS)


def _days_of_file(place: Place, folder: Path) -> frozenset[date]:
    """One date in a line; what follows a # is for people."""
    name = place.text("holidays_file", default="")
    if not name:
        return frozenset()
    try:
        lines = (folder / name).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        place.problem("holidays_file", f"{folder / name}: cannot be read: {error}")
        return frozenset()
    found = set()
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        try:
            found |= {date.fromisoformat(text)} if text else set()
        except ValueError:
            at = f"{folder / name}, line {number}"
            place.problem("holidays_file", f"{at}: {text!r} is no date such as 2026-12-25")
    return frozenset(found)
