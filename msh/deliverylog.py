"""What the log says of deliveries that do not go as they should.

An observer of the journal, so that nothing is told before it is durable. Attempts may fail by the
thousand while a counterparty is away, so of each kind one line per counterparty and time leaves,
with a count; an end that somebody has to look at is always told.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta

from msh.protocol.delivery import State
from msh.protocol.journal import Entry, Step

_log = logging.getLogger("msh.sender")

#: One line per counterparty, kind of failure and this time; the others are counted.
QUIET = timedelta(seconds=10)

_LOOKED_AT = frozenset(
    {Step.HELD, Step.ATTEMPT_FAILED, Step.GIVEN_UP, Step.ANSWERED, Step.ANSWER_DIFFERS}
)
_ENDS: Mapping[str, str] = {
    State.NOT_SENT: "given up, surely not sent: no copy has left",
    State.IN_DOUBT: "given up, in doubt: a copy may have arrived",
    State.REFUSED_IN_DOUBT: "refused, in doubt: that says nothing of the first copy",
    State.OUTCOME_UNKNOWN: "outcome unknown: the other side had a system error",
}


class DeliveryLog:
    """Logs failed attempts and doubtful ends as warnings: ids, codes and reasons, no content."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, str], datetime] = {}
        self._untold: dict[tuple[str, str], int] = {}

    def __call__(self, entry: Entry) -> None:
        """See one journal entry."""
        if entry.step not in _LOOKED_AT:  # nearly all; this is called for every one
            return
        match entry.step:
            case Step.ATTEMPT_FAILED:
                self._failed(entry)
            case Step.HELD:
                self._held(entry)
            case Step.GIVEN_UP | Step.ANSWERED:
                self._ended(entry)
            case Step.ANSWER_DIFFERS:
                _log.warning(
                    "%s to %s: ALARM: another answer, %s; %s stays",
                    entry.message_id,
                    entry.peer,
                    entry.details.get("status"),
                    entry.details.get("kept"),
                )

    def _untold_before(self, entry: Entry, outcome: str) -> int | None:
        """How many of this kind were not told since the last that was; None: this one is not."""
        kind = entry.peer, outcome
        last = self._told.get(kind)
        if last is not None and entry.at - last < QUIET:
            self._untold[kind] = self._untold.get(kind, 0) + 1
            return None
        self._told[kind] = entry.at
        return self._untold.pop(kind, 0)

    def _held(self, entry: Entry) -> None:
        more = self._untold_before(entry, "held")
        if more is None:
            return
        _log.warning(
            "%s to %s is held: %s%s",
            entry.message_id,
            entry.peer,
            entry.details.get("reason"),
            f" (and {more} more since the last such line)" if more else "",
        )

    def _failed(self, entry: Entry) -> None:
        outcome, detail = entry.details.get("outcome", ""), entry.details.get("detail", "")
        more = self._untold_before(entry, outcome)
        if more is None:
            return
        _log.warning(
            "%s to %s: attempt %s failed, %s%s",
            entry.message_id,
            entry.peer,
            entry.details.get("attempt"),
            detail if detail.startswith(outcome) else f"{outcome}: {detail}",
            f" (and {more} more such attempts since the last such line)" if more else "",
        )

    def _ended(self, entry: Entry) -> None:
        said = _ENDS.get(entry.details.get("state", ""))
        if said is None:
            return
        status = entry.details.get("status")
        _log.warning(
            "%s to %s: %s%s; see `msh why %s`",
            entry.message_id,
            entry.peer,
            said,
            f" ({status})" if status else "",
            entry.message_id,
        )
