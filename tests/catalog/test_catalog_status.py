"""The ten-character status code (TDCC PSP appendix 9.2)."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msh.catalog import Meaning, Status, StatusCode
from msh.errors import CatalogError, MshError

codes = st.builds(
    StatusCode, st.sampled_from(["PM", "BK"]), st.integers(0, 9999), st.sampled_from(list("ISWE"))
)


def test_a_code_has_its_three_parts() -> None:
    code = StatusCode.parse("PSPBK0107E")
    assert (code.source, code.number, code.kind) == ("BK", 107, "E")
    assert str(code) == "PSPBK0107E"


@pytest.mark.parametrize("status", list(Status))
def test_every_published_code_round_trips(status: Status) -> None:
    assert str(StatusCode.parse(status)) == status.value


@given(codes)
def test_every_well_formed_code_round_trips(code: StatusCode) -> None:
    assert StatusCode.parse(str(code)) == code
    assert len(str(code)) == 10


@given(codes, codes)
def test_codes_are_equal_hashed_and_ordered_by_their_parts(a: StatusCode, b: StatusCode) -> None:
    parts = [(code.source, code.number, code.kind) for code in (a, b)]
    assert (a == b) == (parts[0] == parts[1])
    assert (a < b) == (parts[0] < parts[1])
    assert len({a, b}) == len(set(parts))


@given(st.text(max_size=12))
def test_whatever_is_accepted_is_written_the_same_way(text: str) -> None:
    try:
        code = StatusCode.parse(text)
    except CatalogError:
        return
    assert str(code) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "0 characters"),
        ("PSPBK0000", "9 characters"),
        ("PSPBK00000I", "11 characters"),
        ("PSPP0001W", "9 characters"),
        ("pspbk0000i", "PSPBK0000I would be right"),
        ("PSPBK0000i", "PSPBK0000I would be right"),
        (" PSPBK0000I", "white space"),
        ("PSPBK0000I\n", "white space"),
        ("PSPBK 000I", "white space"),
        ("PSPBK0000I　", "white space"),
        ("PSPBK０００0I", "not ASCII"),
        ("ＰＳＰBK0000I", "not ASCII"),
        ("PSPBK٠000I", "not ASCII"),
        ("PSPBK²000I", "not ASCII"),
        ("PSQBK0000I", "begins with 'PSQ'"),
        ("PSPXX0000I", "source"),
        ("PSPMP0000I", "source"),
        ("PSPBK00A0I", "number"),
        ("PSPBK-001I", "number"),
        ("PSPBK0_01I", "number"),
        ("PSPBK0000X", "kind"),
        ("PSPBK00000", "kind"),
    ],
)
def test_any_other_form_is_refused_with_the_reason(text: str, said: str) -> None:
    with pytest.raises(CatalogError) as caught:
        StatusCode.parse(text)
    assert said in str(caught.value)
    assert "such as PSPBK0000I" in str(caught.value)


@pytest.mark.parametrize("value", [None, 7, b"PSPBK0000I", ["PSPBK0000I"]])
def test_what_is_no_text_is_refused(value: object) -> None:
    with pytest.raises(CatalogError, match="is text, not"):
        StatusCode.parse(cast("Any", value))


def test_a_long_text_is_not_repeated_whole() -> None:
    with pytest.raises(CatalogError) as caught:
        StatusCode.parse("P" * 1_000_000)
    assert len(str(caught.value)) < 300


def test_the_error_is_of_the_tree_and_a_value_error() -> None:
    assert issubclass(CatalogError, MshError)
    assert issubclass(CatalogError, ValueError)


@pytest.mark.parametrize(
    ("source", "number", "kind", "said"),
    [
        ("XX", 0, "I", "source 'XX'"),
        ("pm", 0, "I", "source 'pm'"),
        ("PM", -1, "I", "number -1"),
        ("PM", 10_000, "I", "number 10000"),
        ("PM", True, "I", "number True"),
        ("PM", "0001", "I", "number '0001'"),
        ("PM", 0, "X", "kind 'X'"),
    ],
)
def test_parts_that_no_code_has_are_refused(source: str, number: Any, kind: str, said: str) -> None:
    with pytest.raises(CatalogError, match=said):
        StatusCode(source, number, kind)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("PSPPM0000I", Meaning.DONE),
        ("PSPBK0000I", Meaning.DONE),
        ("PSPBK4242I", Meaning.DONE),
        ("PSPPM0001W", Meaning.LATER),
        ("PSPBK9999W", Meaning.LATER),
        ("PSPBK0002S", Meaning.LATER),
        ("PSPBK0011E", Meaning.LATER),
        ("PSPBK0107E", Meaning.LATER),
        ("PSPBK0112E", Meaning.LATER),
        ("PSPPM9999S", Meaning.SYSTEM_ERROR),
        ("PSPBK9999S", Meaning.SYSTEM_ERROR),
        ("PSPPM0002S", Meaning.REFUSED),
        ("PSPPM0107E", Meaning.REFUSED),
        ("PSPPM0004E", Meaning.REFUSED),
        ("PSPBK0114E", Meaning.REFUSED),
        ("PSPBK9999E", Meaning.REFUSED),
        ("PSPBK0002E", Meaning.REFUSED),
    ],
)
def test_what_a_code_means(text: str, meaning: Meaning) -> None:
    assert StatusCode.parse(text).meaning is meaning


def test_a_code_cannot_change_and_can_be_copied() -> None:
    code = StatusCode.parse("PSPBK0000I")
    with pytest.raises(FrozenInstanceError):
        code.number = 1  # type: ignore[misc]  # assigning is what is tested
    assert copy.deepcopy(code) == code
    assert pickle.loads(pickle.dumps(code)) == code


def test_parsing_again_gives_the_same_value_object() -> None:
    assert StatusCode.parse("PSPBK0000I") is StatusCode.parse("PSPBK0000I")
