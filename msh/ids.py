"""New message ids: unique without asking anybody, and in order of time."""

from __future__ import annotations

import secrets
from datetime import datetime


def new_message_id(party: str, now: datetime) -> str:
    """``PARTY-YYYYMMDD-`` and 20 hexadecimal digits: the time of day, then 40 random bits.

    Ids in order of time keep a store's index growing at its end.
    """
    seconds = (now.hour * 60 + now.minute) * 60 + now.second
    micros = seconds * 1_000_000 + now.microsecond
    day = (now.year * 100 + now.month) * 100 + now.day
    return f"{party[:64]}-{day}-{micros:010X}{secrets.randbits(40):010X}"
