"""The timeline of a message, as a person would want to see it.

::

    PS810FTRQ  BIZ-20261121-000123   BIZ → PSP    answered PSPPM0000I 處理完成, 2 attempts
      09:00:00.000  queued       1,842 bytes, on disk
      09:00:00.004  attempt 1    no answer: connection closed
      09:00:01.011  attempt 2    answered, by the stored reply

`timeline` makes one from what the store holds; `plain` and `styled` write it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from msh.catalog import StatusCode, load
from msh.cli.outcomelines import outcome_line
from msh.cli.tones import Tone as Tone
from msh.cli.tones import tone_of as tone_of
from msh.protocol import delivery as deliveries
from msh.protocol import reception as receptions
from msh.protocol.journal import FIRST_LINES, Entry, Step
from msh.store import Attempt, Delivery, Reception

if TYPE_CHECKING:
    from rich.text import Text

#: The official text of a status code, empty if it has none: `msh.catalog.Catalog.text_of`.
TextOf = Callable[[StatusCode | str], str]
_UNDER_WAY = "under way"


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened: when, what, and what came of it."""

    at: datetime
    label: str
    text: str
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True, slots=True)
class Timeline:
    """A message's heading and its lines, in order."""

    service: str
    message_id: str
    sender: str
    receiver: str
    summary: str
    tone: Tone
    lines: tuple[Line, ...]


def timeline(
    subject: Delivery | Reception,
    entries: Iterable[Entry],
    attempts: Sequence[Attempt] = (),
    *,
    text_of: TextOf | None = None,
    stored_reply: bool = False,
) -> Timeline:
    """The timeline of a delivery or a reception, from its journal entries.

    ``attempts`` tell of those whose journal entries are not given. ``stored_reply`` says that the
    other side is known to have answered from its store. ``text_of`` is the profile's; without it,
    the standard one's.
    """
    text_of = text_of or load().text_of
    if isinstance(subject, Delivery):
        summary, tone = _of_delivery(subject, text_of)
    else:
        summary, tone = _of_reception(subject, text_of)
    lines = _with_attempts(_lines(entries, text_of), attempts)
    if subject.purged:
        lines += _of_purged(subject)
    if stored_reply:
        lines = [_by_stored_reply(line) for line in lines]
    return Timeline(
        service=subject.service,
        message_id=subject.message_id,
        sender=subject.sender,
        receiver=subject.receiver,
        summary=summary,
        tone=tone,
        lines=tuple(sorted(lines, key=lambda line: line.at)),
    )


# headings


def _of_delivery(delivery: Delivery, text_of: TextOf) -> tuple[str, Tone]:
    state, code = delivery.state, _code(delivery.status, text_of)
    count = _counted(delivery.attempts, "attempt")
    match state:
        case deliveries.State.ANSWERED:
            return f"answered {code}, {count}", tone_of(delivery.status)
        case deliveries.State.OUTCOME_UNKNOWN:
            return f"outcome unknown, {code}, {count}", Tone.DOUBT
        case deliveries.State.REFUSED_IN_DOUBT:
            return f"refused {code}, in doubt, {count}", Tone.DOUBT
        case deliveries.State.NOT_SENT:
            return f"undelivered, not sent, {count}", Tone.BAD
        case deliveries.State.IN_DOUBT:
            return f"in doubt, given up after {count}", Tone.DOUBT
        case deliveries.State.RESOLVED:
            return f"resolved by {delivery.resolved_by}, {count}", Tone.GOOD
        case deliveries.State.NOT_EXECUTED:
            return f"not executed, says {delivery.resolved_by}, {count}", Tone.BAD
        case deliveries.State.QUEUED:
            return "queued", Tone.PLAIN
    return f"{state}, {count}", Tone.PLAIN


def _of_reception(reception: Reception, text_of: TextOf) -> tuple[str, Tone]:
    code = _code(reception.status, text_of)
    again = f", {_counted(reception.replays, 'replay')}" if reception.replays else ""
    runs = _counted(reception.runs, "run")
    match reception.state:
        case receptions.State.ANSWERED:
            return f"replied {code}, {runs}{again}", tone_of(reception.status)
        case receptions.State.SET_ASIDE:
            return f"set aside, {code}, {runs}{again}", Tone.DOUBT
        case receptions.State.CLOSED:
            return f"closed, {code}, {runs}{again}", Tone.PLAIN
        case receptions.State.RELEASED:
            return f"to run again, {runs} so far", Tone.DOUBT
        case receptions.State.CLAIMED:
            return "received, waiting for its handler", Tone.PLAIN
        case receptions.State.PARKED:
            return "parked, to be answered later", Tone.PLAIN
    return f"{reception.state}, run {reception.runs}", Tone.PLAIN


# lines


def _lines(entries: Iterable[Entry], text_of: TextOf) -> list[Line]:
    """One line per entry, but an attempt's end takes the place of its beginning."""
    lines: list[Line] = []
    under_way: dict[tuple[str, int], int] = {}
    for entry in entries:
        line = _line(entry, text_of)
        number = entry.details.get("attempt")
        if number is not None:
            place = under_way.pop((entry.message_id, number), None)
            if entry.step is Step.ATTEMPT_BEGUN:
                under_way[(entry.message_id, number)] = len(lines)
            elif place is not None:
                lines[place] = replace(line, at=lines[place].at)
                continue
            elif entry.step is Step.ANSWERED and entry.details.get("late"):
                line = replace(line, label="late answer")
        lines.append(line)
    return lines


def _line(entry: Entry, text_of: TextOf) -> Line:
    label, text, tone = _told(entry, text_of)
    if entry.details.get("reconnected"):
        text += " (one more copy left, on a fresh connection)"
    return Line(entry.at, label, text, tone)


def _told(entry: Entry, text_of: TextOf) -> tuple[str, str, Tone]:
    """What an entry says: label, text, tone."""
    details = entry.details
    status = details.get("status")
    code = _code(status, text_of)
    run = f"run {details.get('run', '')}".strip()
    size = f"{details.get('bytes', 0):,} bytes"
    match entry.step:
        case Step.QUEUED:
            return "queued", f"{size}, on disk", Tone.PLAIN
        case Step.ATTEMPT_BEGUN:
            return f"attempt {details['attempt']}", _UNDER_WAY, Tone.PLAIN
        case Step.ATTEMPT_FAILED:
            text = _failed(details.get("outcome", ""), details.get("detail", ""))
            return f"attempt {details['attempt']}", text, Tone.DOUBT
        case Step.ANSWERED:
            return _answered(entry, code)
        case Step.ANSWER_REPEATED:
            return "answer", f"the same again, {code}{_often(details)}", Tone.PLAIN
        case Step.ANSWER_DIFFERS:
            text = f"ALARM: another answer, {code}; {details.get('kept')} stays{_often(details)}"
            return "answer", text, Tone.BAD
        case Step.ANSWER_IGNORED:
            return "answer", f"ignored: {details.get('reason')}{_often(details)}", Tone.DOUBT
        case Step.HELD:
            return "held", f"cannot leave now: {details.get('reason')}", Tone.DOUBT
        case Step.GIVEN_UP:
            return _given_up(details.get("state"))
        case Step.RESEND_ASKED:
            return "resend", f"asked for; it was {details.get('was')}", Tone.PLAIN
        case Step.RECEIVED:
            begins = f", {run} begins" if "run" in details else ""
            return "received", f"{size}, on disk{begins}", Tone.PLAIN
        case Step.RUN_BEGUN:
            return run, "begins", Tone.PLAIN
        case Step.HANDLER_FAILED:
            return run, f"failed: {details.get('reason')}; to run again", Tone.DOUBT
        case Step.TAKEN_OVER:
            return "taken over", "from a process that ended or hangs", Tone.DOUBT
        case Step.PARKED:
            return "parked", "to be answered by its id", Tone.PLAIN
        case Step.REPLIED:
            return "replied", code, tone_of(status)
        case Step.REFUSED:
            return "refused", _because(code, details.get("reason")), Tone.BAD
        case Step.SET_ASIDE:
            text = _because(code, details.get("reason"))
            return "set aside", f"{text}; an operator is needed", Tone.DOUBT
        case Step.REPLAYED:
            text = f"a repeat: the stored reply is for it, {code}{_often(details)}"
            return "replayed", text, Tone.GOOD
        case Step.CONFLICT:
            text = f"another message with this id was refused{_often(details)}"
            return "conflict", text, Tone.BAD
        case Step.KEY_OFFERED | Step.KEY_ACTIVATED | Step.KEY_VERIFIED | Step.KEY_RETIRED:
            return _of_key(entry)
    return outcome_line(entry, code)


def _often(details: Mapping[str, Any]) -> str:
    """Of what repeats the journal has some lines only; each says how often it was by then."""
    times = details.get("times", 1)
    return f" (for the {times:,}th time)" if times > FIRST_LINES else ""


def _answered(entry: Entry, code: str) -> tuple[str, str, Tone]:
    number = entry.details.get("attempt")
    label = f"attempt {number}" if number else "answer"
    match entry.details.get("state"):
        case deliveries.State.REFUSED_IN_DOUBT:
            text, tone = f"refused {code}, which says nothing of the first copy", Tone.DOUBT
        case deliveries.State.OUTCOME_UNKNOWN:
            text, tone = f"answered {code}, outcome unknown", Tone.DOUBT
        case _:
            text, tone = f"answered {code}", tone_of(entry.details.get("status"))
    return label, f"{text}, by another way" if entry.details.get("late") else text, tone


def _given_up(state: str | None) -> tuple[str, str, Tone]:
    if state == deliveries.State.NOT_SENT:
        return "given up", "surely not sent: no copy has left", Tone.BAD
    return "given up", "in doubt: a copy may have arrived", Tone.DOUBT


def _of_key(entry: Entry) -> tuple[str, str, Tone]:
    key, details = entry.details.get("key"), entry.details
    match entry.step:
        case Step.KEY_OFFERED:
            by = "here" if details.get("ours") else f"by {entry.peer}"
            value = details.get("check_value")
            return "key", f"{key} offered {by}, check value {value}", Tone.PLAIN
        case Step.KEY_ACTIVATED:
            return "key", f"{key} is the active one", Tone.GOOD
        case Step.KEY_RETIRED:
            return "key", f"{key} was retired by hand: nothing under it counts", Tone.BAD
    return "key", f"a message verified under {key} for the first time", Tone.GOOD


def _with_attempts(lines: Sequence[Line], attempts: Sequence[Attempt]) -> list[Line]:
    """Attempts that the entries leave out, or leave open (a result may end one)."""
    of_attempts = {line.label: line for line in map(_of_attempt, attempts)}
    known = [
        of_attempts.pop(line.label, line) if line.text == _UNDER_WAY else line for line in lines
    ]
    told = {line.label for line in known}
    return known + [line for line in of_attempts.values() if line.label not in told]


def _of_attempt(attempt: Attempt) -> Line:
    label = f"attempt {attempt.number}"
    if attempt.outcome is None:
        return Line(attempt.began, label, _UNDER_WAY)
    if attempt.outcome == "answered":
        return Line(attempt.began, label, f"answered {attempt.detail}", tone_of(attempt.detail))
    return Line(attempt.began, label, _failed(attempt.outcome, attempt.detail), Tone.DOUBT)


def _of_purged(subject: Delivery | Reception) -> list[Line]:
    """What is left of a message whose content was purged: when it came and when it ended."""
    if isinstance(subject, Delivery):
        moments = (("queued", subject.queued), ("ended", subject.settled))
    else:
        moments = (("received", subject.received), ("replied", subject.answered))
    return [
        Line(at, label, "content and journal have been purged" if number else "")
        for number, (label, at) in enumerate(moments)
        if at is not None
    ]


def _by_stored_reply(line: Line) -> Line:
    answered = line.label.startswith("attempt") and line.text.startswith("answered")
    return replace(line, text="answered, by the stored reply") if answered else line


def _failed(outcome: str, detail: str) -> str:
    """``no answer: connection closed``, but nothing said twice."""
    if outcome == "resolved":
        return "ended by the result message"
    if not detail or detail == outcome:
        return outcome
    return detail if detail.startswith(outcome) else f"{outcome}: {detail}"


def _because(code: str, reason: str | None) -> str:
    return f"{code}: {reason}" if reason else code


def _code(status: StatusCode | str | None, text_of: TextOf) -> str:
    if not status:
        return "no status"
    return f"{status} {text_of(status)}".rstrip()


def _counted(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"


# writing


def plain(timeline: Timeline) -> str:
    """The timeline as text, without a line feed at its end."""
    return "\n".join(["".join(_heading(timeline)), *map("".join, _rows(timeline.lines))])


def styled(timeline: Timeline) -> Text:
    """The same for `rich`, with colours."""
    from rich.text import Text

    head, tail = _heading(timeline)
    text = Text.assemble((head, "bold"), (tail, f"bold {timeline.tone}"))
    if timeline.lines:
        text.append("\n").append_text(styled_lines(timeline.lines))
    return text


def styled_lines(lines: Sequence[Line]) -> Text:
    """Lines alone, for `rich`."""
    from rich.text import Text

    rows = zip(_rows(lines), lines, strict=True)
    return Text("\n").join(
        Text.assemble((at, "dim"), label, (said, str(line.tone)))
        for (at, label, said), line in rows
    )


def _heading(timeline: Timeline) -> tuple[str, str]:
    parties = f"{timeline.sender} → {timeline.receiver}"
    return f"{timeline.service}  {timeline.message_id}   {parties}    ", timeline.summary


def _rows(lines: Sequence[Line]) -> Iterator[tuple[str, str, str]]:
    """Time of day where the reader is, with the date only if the lines are of several days."""
    moments = [line.at.astimezone() for line in lines]
    day = "" if len({moment.date() for moment in moments}) < 2 else "%m-%d "
    for moment, line in zip(moments, lines, strict=True):
        at = f"  {moment.strftime(day + '%H:%M:%S')}.{moment.microsecond // 1000:03}  "
        yield at, f"{line.label:<11}  ", line.text
