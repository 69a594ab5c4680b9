"""The timeline: what stands in each line, for whatever the journal can tell."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from msh.catalog import StatusCode
from msh.cli.timeline import Tone, plain, styled, timeline
from msh.protocol import delivery as deliveries
from msh.protocol import reception as receptions
from msh.protocol.journal import Direction, Entry, Step
from msh.store import Attempt, Delivery, Reception

START = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
DONE = StatusCode.parse("PSPPM0000I")


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def delivery(**changes: Any) -> Delivery:
    usual: dict[str, Any] = {
        "id": 1,
        "message_id": "BIZ-20261121-000123",
        "service": "PS810FTRQ",
        "sender": "BIZ",
        "receiver": "PSP",
        "ref_to": None,
        "key": None,
        "state": deliveries.State.ANSWERED,
        "queued": START,
        "size": 2345,
        "due": None,
        "attempts": 2,
        "tries": 2,
        "copies": 2,
        "series_began": START,
        "status": DONE,
        "settled": START + timedelta(seconds=2),
        "resolved_by": None,
        "purged": False,
    }
    return Delivery(**usual | changes)


def reception(**changes: Any) -> Reception:
    usual: dict[str, Any] = {
        "id": 1,
        "message_id": "BIZ-20261121-000123",
        "service": "PS810FTRQ",
        "sender": "BIZ",
        "receiver": "PSP",
        "ref_to": None,
        "state": receptions.State.ANSWERED,
        "received": START,
        "size": 2345,
        "due": None,
        "lease": None,
        "owner": "17-abc",
        "runs": 1,
        "replays": 0,
        "status": DONE,
        "answered": START + timedelta(seconds=1),
        "purged": False,
    }
    return Reception(**usual | changes)


def entry(milliseconds: int, step: Step, **details: Any) -> Entry:
    at = START + timedelta(milliseconds=milliseconds)
    direction = Direction.OUTBOUND
    return Entry(at, step, direction, "BIZ-20261121-000123", "PSP", "PS810FTRQ", details)


RESENT = [
    entry(0, Step.QUEUED, bytes=1842),
    entry(4, Step.ATTEMPT_BEGUN, attempt=1, bytes=2345),
    entry(900, Step.ATTEMPT_FAILED, attempt=1, outcome="no answer", detail="connection closed"),
    entry(1011, Step.ATTEMPT_BEGUN, attempt=2, bytes=2345),
    entry(1020, Step.ANSWERED, attempt=2, status="PSPPM0000I", state="answered"),
]


def test_it_reads_as_it_should() -> None:
    assert plain(timeline(delivery(), RESENT, stored_reply=True)) == (
        "PS810FTRQ  BIZ-20261121-000123   BIZ → PSP    answered PSPPM0000I 處理完成, 2 attempts\n"
        "  09:00:00.000  queued       1,842 bytes, on disk\n"
        "  09:00:00.004  attempt 1    no answer: connection closed\n"
        "  09:00:01.011  attempt 2    answered, by the stored reply"
    )


def test_without_knowing_the_other_side_it_says_the_status() -> None:
    assert plain(timeline(delivery(), RESENT)).endswith("attempt 2    answered PSPPM0000I 處理完成")


def test_colours_stand_only_in_the_styled_form() -> None:
    made = timeline(delivery(), RESENT)
    assert styled(made).plain == plain(made)
    colours = {str(span.style) for span in styled(made).spans}
    assert {"bold", "bold green", "dim", "yellow", "green"} <= colours
    assert "\x1b" not in plain(made)


def said(*entries: Entry, subject: Delivery | Reception | None = None) -> list[str]:
    lines = plain(timeline(subject or delivery(), entries)).splitlines()[1:]
    return [line[16:] for line in lines]


def test_an_attempt_under_way() -> None:
    assert said(RESENT[0], RESENT[1])[1] == "attempt 1    under way"


@pytest.mark.parametrize(
    ("step", "details", "line"),
    [
        (
            Step.ATTEMPT_FAILED,
            {"attempt": 1, "outcome": "no answer", "detail": "no answer within 30 s"},
            "attempt 1    no answer within 30 s",
        ),
        (
            Step.ATTEMPT_FAILED,
            {"attempt": 1, "outcome": "not sent", "detail": "refused", "reconnected": True},
            "attempt 1    not sent: refused (one more copy left, on a fresh connection)",
        ),
        (
            Step.ANSWERED,
            {"attempt": 2, "status": "PSPPM0002W", "state": "refused-in-doubt"},
            "attempt 2    refused PSPPM0002W 非服務請求時間, which says nothing of the first copy",
        ),
        (
            Step.ANSWERED,
            {"attempt": 2, "status": "PSPPM9999S", "state": "outcome-unknown"},
            "attempt 2    answered PSPPM9999S 系統發生錯誤, outcome unknown",
        ),
        (
            Step.ANSWERED,
            {"attempt": 2, "status": "PSPPM0000I", "state": "answered", "late": True},
            "late answer  answered PSPPM0000I 處理完成, by another way",
        ),
        (
            Step.ANSWER_REPEATED,
            {"status": "PSPPM0000I", "kept": "PSPPM0000I"},
            "answer       the same again, PSPPM0000I 處理完成",
        ),
        (
            Step.ANSWER_DIFFERS,
            {"status": "PSPPM0001E", "kept": "PSPPM0000I"},
            "answer       ALARM: another answer, PSPPM0001E 無使用此服務權限; PSPPM0000I stays",
        ),
        (
            Step.ANSWER_IGNORED,
            {"reason": "its parties are not the request's"},
            "answer       ignored: its parties are not the request's",
        ),
        (
            Step.GIVEN_UP,
            {"state": "in-doubt", "attempts": 4},
            "given up     in doubt: a copy may have arrived",
        ),
        (
            Step.GIVEN_UP,
            {"state": "not-sent", "attempts": 4},
            "given up     surely not sent: no copy has left",
        ),
        (Step.RESOLVED, {"by": "PSP-9", "state": "resolved"}, "result       came in PSP-9"),
        (
            Step.RESOLVED,
            {"by": "PSP-9", "status": "PSPBK0000I"},
            "result       came in PSP-9, PSPBK0000I 處理完成",
        ),
        (
            Step.OUTCOME,
            {"by": "PSP-9", "status": "PSPBK0000I", "differs": True},
            "result       a different one came in PSP-9, PSPBK0000I 處理完成",
        ),
        (Step.OUTCOME, {"by": "PSP-9"}, "result       another one came in PSP-9"),
        (Step.INQUIRED, {"by": "BIZ-9"}, "inquiry      BIZ-9 asks what became of it"),
        (
            Step.STILL_IN_DOUBT,
            {"by": "PSP-9", "status": "PSPBK0107E", "said": "processing"},
            "inquiry      PSP-9, PSPBK0107E 帳務處理中，請稍後再查詢: that leaves the doubt",
        ),
        (
            Step.NOT_EXECUTED,
            {"by": "PSP-9", "status": "PSPBK0110E"},
            "inquiry      PSP-9, PSPBK0110E 查無原交易記錄: it was not executed",
        ),
        (
            Step.SETTLED,
            {"was": "in-doubt", "state": "resolved", "because": "by phone"},
            "settled      an operator found it resolved: by phone",
        ),
        (Step.REPEAT_ASKED, {"by": "PSP-9"}, "asked for    again, by PSP-9"),
        (Step.REPEATED, {"tries": 2}, "sent again   the same bytes, try 2"),
        (
            Step.AMBIGUOUS,
            {"candidates": 2},
            "untied       2 requests have its references: none is taken",
        ),
        (Step.RERUN_ASKED, {}, "run again    asked for by an operator"),
        (
            Step.RERUN_ENDED,
            {"status": "PSPBK0000I"},
            "run again    ended with PSPBK0000I 處理完成; the stored reply stays",
        ),
        (Step.CLOSED, {"because": "by phone"}, "closed       by an operator: by phone"),
        (Step.RESEND_ASKED, {"was": "in-doubt"}, "resend       asked for; it was in-doubt"),
        (Step.RECEIVED, {"bytes": 2345}, "received     2,345 bytes, on disk"),
        (
            Step.RECEIVED,
            {"bytes": 2345, "run": 1},
            "received     2,345 bytes, on disk, run 1 begins",
        ),
        (Step.RUN_BEGUN, {"run": 2}, "run 2        begins"),
        (
            Step.HANDLER_FAILED,
            {"run": 1, "reason": "ValueError at handlers.py:9"},
            "run 1        failed: ValueError at handlers.py:9; to run again",
        ),
        (Step.TAKEN_OVER, {"run": 1}, "taken over   from a process that ended or hangs"),
        (Step.PARKED, {}, "parked       to be answered by its id"),
        (Step.REPLIED, {"status": "PSPBK0000I"}, "replied      PSPBK0000I 處理完成"),
        (
            Step.REFUSED,
            {"status": "PSPPM0001E", "reason": "no right to use this service"},
            "refused      PSPPM0001E 無使用此服務權限: no right to use this service",
        ),
        (
            Step.SET_ASIDE,
            {"status": "PSPPM9999S", "reason": "no run is left"},
            "set aside    PSPPM9999S 系統發生錯誤: no run is left; an operator is needed",
        ),
        (
            Step.REPLAYED,
            {"status": "PSPPM0000I"},
            "replayed     a repeat: the stored reply is for it, PSPPM0000I 處理完成",
        ),
        (Step.CONFLICT, {}, "conflict     another message with this id was refused"),
    ],
)
def test_every_step_has_its_line(step: Step, details: dict[str, Any], line: str) -> None:
    assert said(entry(0, step, **details)) == [line]


def test_no_step_is_left_out() -> None:
    for step in Step:
        assert len(said(entry(0, step, attempt=1, run=1, bytes=1))) == 1


@pytest.mark.parametrize(
    ("subject", "summary", "tone"),
    [
        (delivery(state=deliveries.State.QUEUED, status=None), "queued", Tone.PLAIN),
        (delivery(state=deliveries.State.SENDING, attempts=1), "sending, 1 attempt", Tone.PLAIN),
        (delivery(state=deliveries.State.WAITING), "waiting, 2 attempts", Tone.PLAIN),
        (
            delivery(status=StatusCode.parse("PSPBK0005E")),
            "answered PSPBK0005E 存款戶餘額不足, 2 attempts",
            Tone.BAD,
        ),
        (
            delivery(state=deliveries.State.OUTCOME_UNKNOWN, status=StatusCode.parse("PSPPM9999S")),
            "outcome unknown, PSPPM9999S 系統發生錯誤, 2 attempts",
            Tone.DOUBT,
        ),
        (
            delivery(
                state=deliveries.State.REFUSED_IN_DOUBT, status=StatusCode.parse("PSPPM0002S")
            ),
            "refused PSPPM0002S 傳送之訊息重複, in doubt, 2 attempts",
            Tone.DOUBT,
        ),
        (
            delivery(state=deliveries.State.NOT_SENT, status=None),
            "undelivered, not sent, 2 attempts",
            Tone.BAD,
        ),
        (
            delivery(state=deliveries.State.IN_DOUBT, status=None),
            "in doubt, given up after 2 attempts",
            Tone.DOUBT,
        ),
        (
            delivery(state=deliveries.State.RESOLVED, status=None, resolved_by="PSP-9"),
            "resolved by PSP-9, 2 attempts",
            Tone.GOOD,
        ),
        (reception(), "replied PSPPM0000I 處理完成, 1 run", Tone.GOOD),
        (reception(runs=2, replays=1), "replied PSPPM0000I 處理完成, 2 runs, 1 replay", Tone.GOOD),
        (
            reception(
                state=receptions.State.SET_ASIDE, status=StatusCode.parse("PSPPM9999S"), runs=3
            ),
            "set aside, PSPPM9999S 系統發生錯誤, 3 runs",
            Tone.DOUBT,
        ),
        (
            reception(state=receptions.State.RELEASED, status=None),
            "to run again, 1 run so far",
            Tone.DOUBT,
        ),
        (
            reception(state=receptions.State.CLAIMED, status=None),
            "received, waiting for its handler",
            Tone.PLAIN,
        ),
        (
            reception(state=receptions.State.PARKED, status=None),
            "parked, to be answered later",
            Tone.PLAIN,
        ),
        (reception(state=receptions.State.RUNNING, status=None), "running, run 1", Tone.PLAIN),
    ],
)
def test_the_heading_sums_up_every_state(
    subject: Delivery | Reception, summary: str, tone: Tone
) -> None:
    made = timeline(subject, [])
    assert (made.summary, made.tone) == (summary, tone)
    assert plain(made) == f"PS810FTRQ  BIZ-20261121-000123   BIZ → PSP    {summary}"


def test_attempts_tell_what_the_entries_leave_out() -> None:
    ended = Attempt(1, START, START + timedelta(seconds=1), "resolved", "by PSP-9", False)
    made = timeline(delivery(), RESENT[:2], [ended])
    assert [line.text for line in made.lines] == [
        "1,842 bytes, on disk",
        "ended by the result message",
    ]
    answered = Attempt(2, START, START + timedelta(seconds=1), "answered", "PSPPM0000I", False)
    running = Attempt(3, START + timedelta(seconds=9), None, None, "", False)
    made = timeline(delivery(), [], [answered, running])
    assert [line.text for line in made.lines] == ["answered PSPPM0000I", "under way"]


def test_a_purged_message_still_has_its_ends() -> None:
    lines = plain(timeline(delivery(purged=True), [])).splitlines()
    assert lines[1].split() == ["09:00:00.000", "queued"]
    assert lines[2] == "  09:00:02.000  ended        content and journal have been purged"
    assert len(plain(timeline(reception(purged=True), [])).splitlines()) == 3


def test_over_midnight_the_date_is_shown() -> None:
    late = entry(24 * 3600 * 1000, Step.RESOLVED, by="PSP-9")
    lines = plain(timeline(delivery(), [RESENT[0], late])).splitlines()
    assert lines[1].startswith("  11-21 09:00:00.000  queued")
    assert lines[2].startswith("  11-22 09:00:00.000  result")
