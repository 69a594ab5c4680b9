"""How lines about messages sound."""

from __future__ import annotations

from enum import StrEnum

from msh.catalog import Meaning, StatusCode


class Tone(StrEnum):
    """How a line sounds; each has a colour on terminals."""

    PLAIN = "default"
    GOOD = "green"
    BAD = "red"
    DOUBT = "yellow"


def tone_of(status: StatusCode | str | None) -> Tone:
    """How an answer with this status sounds."""
    if not status:
        return Tone.PLAIN
    match StatusCode.parse(str(status)).meaning:
        case Meaning.DONE:
            return Tone.GOOD
        case Meaning.REFUSED:
            return Tone.BAD
    return Tone.DOUBT
