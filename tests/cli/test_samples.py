"""The samples that `msh init` writes: of today, and each with references of its own."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta

import pytest

from msh.businessdays import USUAL
from msh.catalog import load
from msh.cli.samples import sample_body
from msh.content.content import TAIPEI
from msh.errors import UsageError


def dates(text: str) -> list[date]:
    return [date.fromisoformat(found) for found in re.findall(r">(\d{4}-\d\d-\d\d)<", text)]


def references(text: str) -> list[str]:
    return re.findall(r"<(?:SSNID|SVCREFID)>([^<]*)<", text)


def test_days_are_told_from_the_day_given() -> None:
    day = date(2027, 3, 1)
    assert dates(sample_body("PS810FTRQ", day)) == [day]
    assert dates(sample_body("PS860INQRQ", day)) == [date(2027, 2, 7), date(2027, 2, 26)]


def test_the_day_is_the_next_business_day() -> None:
    today = datetime.now(TAIPEI).date()
    (day,) = dates(sample_body("PS810FTRQ"))
    assert day in USUAL
    assert today <= day <= today + timedelta(days=3)
    assert all(day <= today for day in dates(sample_body("PS860INQRQ")))


def test_references_are_of_one_call() -> None:
    first, second = (references(sample_body("PS810FTRQ", date(2027, 3, 1))) for _ in range(2))
    assert len(set(first + second)) == 4
    number = first[0].removeprefix("20270301")
    assert first == [f"20270301{number}", f"FT20270301{number}"]


def test_a_number_makes_the_same_references_again() -> None:
    day = date(2027, 3, 1)
    assert sample_body("PS810FTRQ", day, 7) == sample_body("PS810FTRQ", day, 7)
    assert references(sample_body("PS810FTRQ", day, 7))[0] == "20270301000000000007"


def test_every_service_has_one() -> None:
    for service in load().services:
        assert f"<{service} " in sample_body(service)
    with pytest.raises(UsageError, match="no sample"):
        sample_body("IS990KEORQ")
