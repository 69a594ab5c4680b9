"""What a sender may believe of an answer to its inquiry (PS830), as one table.

Rules, in prose:

- A result (PS831) with a final status says that the other side knows the request and is done with
  it: the doubt is resolved, and that result is the request's outcome.
- "Still processing" leaves the doubt.
- "Not found" leaves it too, since a copy of the request may still be on its way; but to an inquiry
  that was first sent after the request's time to live plus the allowed skew, when any copy would be
  refused, it says that the request was not executed.
- Whatever is about the inquiry itself (its dates, the right to ask, hours, a system error) says
  nothing of the request, and no reply (PS830INQRS) says that it was executed.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from msh.catalog import Meaning, StatusCode


class Said(StrEnum):
    """What an answer to an inquiry says of the request."""

    FINAL = "final"
    PROCESSING = "processing"
    NOT_FOUND = "not-found"
    NOTHING = "nothing"


class Finding(StrEnum):
    """What may be believed."""

    RESULT = "result"
    STILL_IN_DOUBT = "still-in-doubt"
    NOT_EXECUTED = "not-executed"


def _bank(*numbers: int) -> frozenset[StatusCode]:
    return frozenset(StatusCode("BK", number, "E") for number in numbers)


#: 帳務處理中; 原交易收檔中，尚未處理 (TDCC PSP 9.2).
PROCESSING = _bank(107, 112)
#: 無原交易記錄; 查無原交易記錄 (TDCC PSP 9.2).
NOT_FOUND = _bank(105, 110)
#: Refusals that are, or may be, about the inquiry and not about the request (TDCC PSP 9.2).
OF_THE_INQUIRY = _bank(8, 11, 106, 114, 115, 116, 119, 124, 125, 129)

#: By what was said, and whether the inquiry was sent when no copy could be taken any more.
BELIEF: dict[Said, dict[bool, Finding]] = {
    Said.FINAL: {False: Finding.RESULT, True: Finding.RESULT},
    Said.PROCESSING: {False: Finding.STILL_IN_DOUBT, True: Finding.STILL_IN_DOUBT},
    Said.NOT_FOUND: {False: Finding.STILL_IN_DOUBT, True: Finding.NOT_EXECUTED},
    Said.NOTHING: {False: Finding.STILL_IN_DOUBT, True: Finding.STILL_IN_DOUBT},
}


def said_by_result(statuses: Sequence[StatusCode]) -> Said:
    """What a result's body says; its own status first, then those of its lines."""
    if not statuses:
        return Said.NOTHING
    if PROCESSING.intersection(statuses):
        return Said.PROCESSING  # of a line, perhaps: then the request is not done with
    if statuses[0] in NOT_FOUND:
        return Said.NOT_FOUND if NOT_FOUND.issuperset(statuses) else Said.NOTHING
    return Said.FINAL if _is_final(statuses[0]) else Said.NOTHING


def said_by_reply(status: StatusCode) -> Said:
    """What the status code of the inquiry's reply says."""
    if status in PROCESSING:
        return Said.PROCESSING
    return Said.NOT_FOUND if status in NOT_FOUND else Said.NOTHING


def believe(said: Said, *, conclusive: bool) -> Finding:
    """What may be believed; ``conclusive``: no copy could be taken when the inquiry was sent."""
    return BELIEF[said][conclusive]


def _is_final(status: StatusCode) -> bool:
    if status.meaning is Meaning.DONE:
        return True
    refused = status.meaning is Meaning.REFUSED and (status.source, status.kind) == ("BK", "E")
    return refused and status not in OF_THE_INQUIRY
