"""Which messages are asked for again."""

from __future__ import annotations

from datetime import date, timedelta

from msh.content import References
from msh.store import Asked

REFERENCES = References("S-1", "R-1")


def test_what_is_asked_for() -> None:
    day = date(2026, 11, 21)
    whole = Asked("S", day, ("A",), REFERENCES)
    assert whole.fits("S", day, "A", REFERENCES)
    assert Asked().fits("S", day, "A", None)
    for other in (
        ("T", day, "A", REFERENCES),
        ("S", day + timedelta(days=1), "A", REFERENCES),
        ("S", day, "B", REFERENCES),
        ("S", day, "A", None),
    ):
        assert not whole.fits(*other)
