"""New message ids: unique without asking anybody, and in order of time."""

from __future__ import annotations

import os
import random
from datetime import datetime

# Seeded from the system, and again in a forked child: a system call for each id costs more than
# the rest of it, and nothing rests on an id being hard to guess.
_random = random.Random()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)


def new_message_id(party: str, now: datetime) -> str:
    """``PARTY-YYYYMMDD-`` and 20 hexadecimal digits: the time of day, then 40 random bits.

    Ids in order of time keep a store's index growing at its end.
    """
    seconds = (now.hour * 60 + now.minute) * 60 + now.second
    micros = seconds * 1_000_000 + now.microsecond
    day = (now.year * 100 + now.month) * 100 + now.day
    return f"{party[:64]}-{day}-{micros:010X}{_random.getrandbits(40):010X}"
