"""New message ids: unique without asking anybody, and in order of time."""

from __future__ import annotations

import secrets
from datetime import datetime

_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32: no letter looks like a digit


def new_message_id(party: str, now: datetime) -> str:
    """``PARTY-YYYYMMDD-`` and 16 characters: the time of day, then 40 random bits.

    Ids in order of time keep a store's index growing at its end.
    """
    seconds = (now.hour * 60 + now.minute) * 60 + now.second
    time_of_day = _written(seconds * 1_000_000 + now.microsecond, 8)
    return f"{party[:64]}-{now:%Y%m%d}-{time_of_day}{_written(secrets.randbits(40), 8)}"


def _written(number: int, length: int) -> str:
    characters = []
    for _ in range(length):
        number, digit = divmod(number, 32)
        characters.append(_DIGITS[digit])
    return "".join(reversed(characters))
