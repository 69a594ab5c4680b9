"""Every row of what an answer to an inquiry lets believe."""

from __future__ import annotations

import pytest

from msh.catalog import StatusCode
from msh.catalog.tables import load
from msh.protocol.outcome import (
    BELIEF,
    NOT_FOUND,
    OF_THE_INQUIRY,
    PROCESSING,
    Finding,
    Said,
    believe,
    said_by_reply,
    said_by_result,
)


def codes(*texts: str) -> list[StatusCode]:
    return [StatusCode.parse(text) for text in texts]


@pytest.mark.parametrize(
    ("said", "sure", "finding"),
    [
        (Said.FINAL, False, Finding.RESULT),
        (Said.FINAL, True, Finding.RESULT),
        (Said.PROCESSING, False, Finding.STILL_IN_DOUBT),
        (Said.PROCESSING, True, Finding.STILL_IN_DOUBT),
        (Said.NOT_FOUND, False, Finding.STILL_IN_DOUBT),
        (Said.NOT_FOUND, True, Finding.NOT_EXECUTED),
        (Said.NOTHING, False, Finding.STILL_IN_DOUBT),
        (Said.NOTHING, True, Finding.STILL_IN_DOUBT),
    ],
)
def test_the_table(said: Said, sure: bool, finding: Finding) -> None:
    assert believe(said, conclusive=sure) is finding


def test_the_table_is_whole() -> None:
    assert set(BELIEF) == set(Said)
    assert all(set(row) == {False, True} for row in BELIEF.values())


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["PSPBK0000I"], Said.FINAL),
        (["PSPPM0000I"], Said.FINAL),
        (["PSPBK0005E"], Said.FINAL),
        (["PSPBK0109E", "PSPBK0109E"], Said.FINAL),
        (["PSPBK0000I", "PSPBK0005E"], Said.FINAL),
        (["PSPBK0107E"], Said.PROCESSING),
        (["PSPBK0112E"], Said.PROCESSING),
        (["PSPBK0000I", "PSPBK0107E"], Said.PROCESSING),
        (["PSPBK0105E"], Said.NOT_FOUND),
        (["PSPBK0110E", "PSPBK0105E"], Said.NOT_FOUND),
        (["PSPBK0110E", "PSPBK0000I"], Said.NOTHING),
        (["PSPBK0110E", "PSPBK0112E"], Said.PROCESSING),
        (["PSPBK0124E"], Said.NOTHING),
        (["PSPBK0114E"], Said.NOTHING),
        (["PSPBK0001S"], Said.NOTHING),
        (["PSPBK0002S"], Said.NOTHING),
        (["PSPPM0002W"], Said.NOTHING),
        (["PSPPM0001E"], Said.NOTHING),
        (["PSPBK9999S"], Said.NOTHING),
        (["PSPPM9999S"], Said.NOTHING),
        ([], Said.NOTHING),
    ],
    ids=str,
)
def test_what_a_result_says(texts: list[str], said: Said) -> None:
    assert said_by_result(codes(*texts)) is said


@pytest.mark.parametrize("text", sorted(load().statuses))
def test_no_reply_says_that_it_was_executed(text: str) -> None:
    status = StatusCode.parse(text)
    expected = Said.NOTHING
    if status in PROCESSING:
        expected = Said.PROCESSING
    if status in NOT_FOUND:
        expected = Said.NOT_FOUND
    assert said_by_reply(status) is expected


def test_the_codes_are_published() -> None:
    published = {StatusCode.parse(text) for text in load().statuses}
    assert published >= PROCESSING | NOT_FOUND | OF_THE_INQUIRY
    assert not PROCESSING & NOT_FOUND
    assert not OF_THE_INQUIRY & (PROCESSING | NOT_FOUND)
