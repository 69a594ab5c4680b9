"""`msh why`: every state in plain words, exact about doubt."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from msh.catalog import StatusCode, load
from msh.cli.explaining import why_delivery, why_reception
from msh.protocol import delivery as deliveries
from msh.protocol import reception as receptions
from msh.store import Attempt
from tests.cli.conftest import Folder, Run
from tests.cli.test_timeline import START, delivery, reception

CATALOG = load()
NOW = START + timedelta(minutes=5)
FAILED = [Attempt(1, START, START, "no answer", "connection closed", False)]
D, R = deliveries.State, receptions.State
UNSURE = [D.SENDING, D.WAITING, D.OUTCOME_UNKNOWN, D.REFUSED_IN_DOUBT, D.IN_DOUBT]


def status(code: str) -> dict[str, StatusCode]:
    return {"status": StatusCode.parse(code)}


def of_delivery(state: D, **changes: Any) -> str:
    changes.setdefault("status", None)
    return why_delivery(delivery(state=state, **changes), FAILED, CATALOG, NOW)


def of_reception(state: R, **changes: Any) -> str:
    return why_reception(reception(state=state, **changes), CATALOG, NOW)


@pytest.mark.parametrize(
    ("state", "changes", "words"),
    [
        (D.QUEUED, {"attempts": 0}, ["nothing has left", "safe on disk", "msh serve"]),
        (D.SENDING, {"attempts": 1}, ["Attempt 1 is under way", "not known", "nothing to do"]),
        (
            D.WAITING,
            {"due": NOW + timedelta(seconds=60)},
            ["2 attempts got no answer", "no answer: connection closed", "2 copies may have",
             "in doubt", "in 60 s"],
        ),
        (D.WAITING, {"copies": 0, "due": NOW}, ["Surely no copy has left", "due now"]),
        (
            D.ANSWERED,
            status("PSPPM0000I") | {"attempts": 1},
            ["處理完成", "by the only attempt", "PS811FTRRQ", "nothing to do but await"],
        ),
        (
            D.ANSWERED,
            status("PSPPM0000I") | {"resolved_by": "PSP-9"},
            ["after 2 attempts", "came in PSP-9"],
        ),
        (
            D.ANSWERED,
            status("PSPPM0000I") | {"service": "IS910SMDRQ"},
            ["There is nothing to do."],
        ),
        (D.ANSWERED, status("PSPPM0002W"), ["no effect", "later, as a new message"]),
        (D.ANSWERED, status("PSPBK0005E"), ["was refused", "no effect", "Correct"]),
        (D.ANSWERED, status("PSPBK0107E"), ["still being worked on", "stays unknown"]),
        (D.ANSWERED, status("PSPBK0105E"), ["was not found there", "in doubt unless"]),
        (
            D.OUTCOME_UNKNOWN,
            status("PSPPM9999S"),
            ["system error", "may or may not have taken effect", "msh resend", "never send"],
        ),
        (
            D.REFUSED_IN_DOUBT,
            status("PSPPM0002W"),
            ["says nothing of the first", "may have taken effect, or not", "never send"],
        ),
        (D.NOT_SENT, {}, ["surely no copy has left", "no effect", "endpoint", "msh resend"]),
        (
            D.IN_DOUBT,
            {},
            ["given up", "2 copies may have arrived", "in doubt", "Ask PSP", "PS811FTRRQ",
             "msh settle",
             "never send"],
        ),
        (
            D.RESOLVED,
            {"resolved_by": "PSP-9"},
            ["No answer to it was recorded", "PSP-9", "known there", "nothing to do"],
        ),
        (
            D.RESOLVED,
            {"resolved_by": "an operator"},
            ["an operator found that it was executed", "nothing to do"],
        ),
        (
            D.NOT_EXECUTED,
            {"resolved_by": "PSP-9"},
            ["was not executed", "PSP-9", "as a new message"],
        ),
        (
            D.RESOLVED,
            status("PSPPM9999S") | {"resolved_by": "PSP-9"},
            ["PSPPM9999S", "left doubt", "PSP-9"],
        ),
        (D.NOT_SENT, {"purged": True}, ["have been purged"]),
    ],
)  # fmt: skip
def test_a_delivery(state: D, changes: dict[str, Any], words: list[str]) -> None:
    said = of_delivery(state, **changes)
    assert said.startswith("PS810FTRQ" if "service" not in changes else "IS910SMDRQ")
    for word in words:
        assert word in said
    assert "\n" not in said


@pytest.mark.parametrize("state", UNSURE)
@pytest.mark.parametrize("code", [None, "PSPPM0001E", "PSPPM9999S"])
def test_doubt_is_never_called_a_refusal(state: D, code: str | None) -> None:
    said = of_delivery(state, **(status(code) if code else {}))
    assert "refused" not in said
    assert "no effect" not in said
    assert "was executed" not in said
    assert "may have" in said or "may or may not" in said


@pytest.mark.parametrize(
    ("state", "changes", "words"),
    [
        (
            R.CLAIMED,
            {"runs": 0, "lease": NOW + timedelta(seconds=9)},
            ["waits for its handler", "17-abc has it"],
        ),
        (R.CLAIMED, {"runs": 1, "lease": NOW}, ["after 1 run", "takes it over"]),
        (
            R.RUNNING,
            {"lease": NOW + timedelta(seconds=9)},
            ["Run 1 of its handler has begun", "may have happened already", "nothing to do"],
        ),
        (R.RUNNING, {"lease": START}, ["not been heard of", "takes it over"]),
        (R.RELEASED, {"due": NOW}, ["has failed", "not an answer", "runs again", "msh show"]),
        (R.PARKED, {}, ["parked", "nothing to do here"]),
        (
            R.ANSWERED,
            {"replays": 2},
            ["處理完成", "it was handled", "2 times", "no further effect"],
        ),
        (R.ANSWERED, {"replays": 1}, ["came once"]),
        (R.ANSWERED, status("PSPBK0005E"), ["did not accept it"]),
        (R.ANSWERED, status("PSPPM9999S"), ["that handler must say"]),
        (
            R.ANSWERED,
            status("PSPPM0001E") | {"runs": 0},
            ["by the checks", "no handler ran", "no effect here"],
        ),
        (
            R.SET_ASIDE,
            status("PSPPM9999S") | {"runs": 3},
            ["3 runs", "set aside", "unknown", "operator", "PS811FTRRQ", "msh show"],
        ),
        (
            R.SET_ASIDE,
            status("PSPPM9999S") | {"runs": 0},
            ["nothing was done here", "operator"],
        ),
        (R.ANSWERED, {"purged": True}, ["have been purged"]),
    ],
)  # fmt: skip
def test_a_reception(state: R, changes: dict[str, Any], words: list[str]) -> None:
    said = of_reception(state, **changes)
    assert said.startswith("PS810FTRQ BIZ-20261121-000123 from BIZ was received here")
    for word in words:
        assert word in said


def test_an_unknown_code_and_a_far_next_step() -> None:
    assert "answered PSPPM7777E on" in of_delivery(D.ANSWERED, **status("PSPPM7777E"))
    assert "(in 4 min)" in of_delivery(D.WAITING, due=NOW + timedelta(minutes=4))
    assert "(in 5 h)" in of_delivery(D.WAITING, due=NOW + timedelta(hours=5))


def test_the_command_explains_what_is_stored(run: Run, biz: Folder) -> None:
    run("-c", biz.config, "send", "PS810FTRQ", biz.message(), "--msg-id", "M1", "--wait")
    said = run("-c", biz.config, "why", "M1")
    assert said.exit_code == 0
    assert "surely no copy has left" in said.stdout
    unknown = run("-c", biz.config, "why", "M2")
    assert unknown.exit_code == 2
    assert "M2: no message of that id" in unknown.stderr
