"""``[hours]`` and ``[cut_time]``: what they say, and every mistake in them."""

from __future__ import annotations

from datetime import date, time
from pathlib import Path

import pytest

from msh.config import Configuration, read_configuration
from msh.config_hours import read_hours
from msh.errors import ConfigurationError
from msh.profiles import standard_profile
from msh.toml import Place

LEAST = """[party]
id = "PSP"
role = "psp"
[listen]
url = "http://127.0.0.1:0/sms"
[agreements.BIZ]
role = "business"
protection = "none"
endpoint = "http://127.0.0.1:1/sms"
sends = ["IS910SMDRQ", "PS811FTRRQ"]
"""


def read(folder: Path, more: str, top: str = "") -> Configuration:
    file = folder / "msh.toml"
    file.write_text(top + LEAST + more, "utf-8")
    return read_configuration(file)


def mistakes(folder: Path, more: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        read(folder, more)
    return list(caught.value.problems)


def test_without_a_table_nothing_is_closed(tmp_path: Path) -> None:
    assert read(tmp_path, "").agreements["BIZ"].hours is None


def test_in_production_hours_are_kept_unless_it_says_not(tmp_path: Path) -> None:
    profile = standard_profile()
    for content, kept in (({}, True), ({"enforce": False}, False), ({"enforce": True}, True)):
        place = Place(content, "hours", missing=not content)
        _, hours = read_hours(place, tmp_path, profile, production=True)
        assert (hours is not None) is kept
        assert place.problems == []


def test_the_calendar(tmp_path: Path) -> None:
    (tmp_path / "days").write_text("2026-12-25  # Constitution Day\n\n# none\n2027-01-01\n")
    agreement = read(
        tmp_path,
        """[hours]
holidays = [2026-10-10, "2026-10-12"]
holidays_file = "days"
workdays = [2026-11-21]
weekend = ["sunday"]
[[hours.exceptions]]
date = 2026-12-31
service = "PS810FTRQ"
business_types = ["010"]
opens = 09:00:00
closes = "12:00"
[[hours.exceptions]]
date = "2027-01-04"
closed = true
""",
    ).agreements["BIZ"]
    assert agreement.days.holidays == {
        date(2026, 10, 10),
        date(2026, 10, 12),
        date(2026, 12, 25),
        date(2027, 1, 1),
    }
    assert agreement.days.workdays == {date(2026, 11, 21)}
    assert agreement.days.weekend == {6}
    assert agreement.hours is not None
    assert agreement.hours.days == agreement.days
    first, second = agreement.hours.special
    assert (first.service, first.business_types) == ("PS810FTRQ", {"010"})
    assert (first.opens, first.closes) == (time(9), time(12))
    assert (second.service, second.opens, second.day) == (None, None, date(2027, 1, 4))


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("holidays = 3", "hours.holidays: must be a list of dates"),
        ('holidays = ["soon"]', "hours.holidays: 'soon' is no date"),
        ("holidays = [2026-11-21T09:00:00]", "is no date"),
        ('holidays_file = "none"', "hours.holidays_file: "),
        ('holidays_file = "bad"', "line 2: 'x' is no date"),
        ('weekend = ["funday"]', "hours.weekend: 'funday' is none of monday"),
        ("holidays = [2026-11-21]\nworkdays = [2026-11-21]", "is one of the holidays too"),
        ("odd = 1", "hours.odd: is not known here"),
        ("[[hours.exceptions]]\nclosed = true", "hours.exceptions[0].date: is missing"),
        ("[[hours.exceptions]]\ndate = 2026-11-21", "hours.exceptions[0].opens: is missing"),
        (
            "[[hours.exceptions]]\ndate = 2026-11-21\nopens = 09:00:00\ncloses = 09:00:00",
            "hours.exceptions[0].closes: 09:00 is not after 09:00",
        ),
        (
            "[[hours.exceptions]]\ndate = 2026-11-21\nopens = 09:00:00\nclosed = true",
            "hours.exceptions[0].closed: is true, and hours are given",
        ),
        (
            '[[hours.exceptions]]\ndate = 2026-11-21\nclosed = true\nservice = "PS810FTRS"',
            "hours.exceptions[0].service: 'PS810FTRS' is no request",
        ),
        (
            '[[hours.exceptions]]\ndate = 2026-11-21\nclosed = true\nbusiness_types = ["010"]',
            "business_types: belong to a service",
        ),
        (
            '[[hours.exceptions]]\ndate = 2026-11-21\nclosed = true\nservice = "PS810FTRQ"\n'
            'business_types = ["999"]',
            "'999' is no business type",
        ),
        ('[[hours.exceptions]]\ndate = 2026-11-21\nopens = "nine"', "'nine' is no time of day"),
    ],
)
def test_a_mistake_is_told_with_its_key_path(tmp_path: Path, more: str, told: str) -> None:
    (tmp_path / "bad").write_text("2026-11-21\nx\n")
    assert any(told in problem for problem in mistakes(tmp_path, f"[hours]\n{more}\n"))


def test_the_end_of_the_day(tmp_path: Path) -> None:
    cut_time = read(tmp_path, '[cut_time]\nto = ["BIZ"]').cut_time
    assert cut_time is not None
    assert (cut_time.at, cut_time.to) == (time(19, 45), ("BIZ",))
    assert read(tmp_path, "").cut_time is None


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("at = 20:00:00", "cut_time.to: names nobody"),
        ('to = ["BANK"]', "cut_time.to: there is no agreement with BANK"),
        ('to = ["BIZ"]\nat = "late"', "cut_time.at: 'late' is no time of day"),
        ('to = ["BIZ"]\nodd = 1', "cut_time.odd: is not known here"),
    ],
)
def test_mistakes_about_the_end_of_the_day(tmp_path: Path, more: str, told: str) -> None:
    assert any(told in problem for problem in mistakes(tmp_path, f"[cut_time]\n{more}\n"))


def test_the_end_of_the_day_needs_its_service_and_a_server(tmp_path: Path) -> None:
    file = tmp_path / "msh.toml"
    text = LEAST.replace('"IS910SMDRQ", ', "").replace(
        '[listen]\nurl = "http://127.0.0.1:0/sms"\n', ""
    )
    file.write_text(text + '[cut_time]\nto = ["BIZ"]\n', "utf-8")
    with pytest.raises(ConfigurationError) as caught:
        read_configuration(file)
    told = "\n".join(caught.value.problems)
    assert "IS910SMDRQ is not in `sends` of the agreement with BIZ" in told
    assert "needs a [listen]" in told
