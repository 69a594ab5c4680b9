"""Between Python's values and SQLite's: times are integers, microseconds since 1970 UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import overload

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_micros(moment: datetime) -> int:
    """Microseconds since the epoch, exactly."""
    return (moment - _EPOCH) // _MICROSECOND


@overload
def to_moment(micros: int) -> datetime: ...
@overload
def to_moment(micros: None) -> None: ...
def to_moment(micros: int | None) -> datetime | None:
    """The aware UTC datetime, or None."""
    return None if micros is None else _EPOCH + timedelta(microseconds=micros)
