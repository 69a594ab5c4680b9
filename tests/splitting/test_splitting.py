"""Cutting one request into several: pure, exact, and always the same."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

import msh
from msh.businessdays import USUAL
from msh.content.body import References, Splitting, text_of
from msh.content.splitting import Part, part_reference, split
from msh.envelope import normal_body
from msh.errors import CannotSplit, InvalidBody, MessageTooLarge
from tests.splitting.payments import CONTENT, collected, group, many, normal, read, transfer

MOMENT = datetime(2026, 11, 23, 2, tzinfo=UTC)  # ten o'clock in Taipei


def cut(text: str, limit: int, service: str = "PS810FTRQ", **options: int) -> list[Part]:
    return split(service, normal(text), CONTENT, limit, **options)


def pieces(body: bytes, name: str = "PmtSvc") -> list[bytes]:
    """What repeats in a body, each in canonical bytes."""
    found = read(body).all(name)
    return [etree.tostring(one, method="c14n", exclusive=True, with_tail=False) for one in found]


def faults(service: str, body: bytes) -> list[object]:
    """All that schema and rules have to say."""
    seen = CONTENT.look(body)
    fault = CONTENT.fault(service, seen)
    return [fault] if fault else list(CONTENT.broken(service, seen, MOMENT, USUAL))


def test_the_parts_hold_the_groups_in_order_and_are_valid() -> None:
    whole = many(40)
    assert faults("PS810FTRQ", normal(whole)) == []
    parts = cut(whole, 6000)
    assert len(parts) > 2
    assert [piece for part in parts for piece in pieces(part.body)] == pieces(normal(whole))
    for part in parts:
        assert len(part.body) <= 6000
        assert normal_body(part.body) == part.body
        assert faults("PS810FTRQ", part.body) == []
        assert len(pieces(part.body)) == part.last - part.first + 1
    assert [part.number for part in parts] == list(range(1, len(parts) + 1))
    assert parts[0].first == 1
    assert parts[-1].last == 40
    assert all(one.last + 1 == other.first for one, other in pairwise(parts))


def test_each_part_is_filled_until_the_next_group_is_too_much() -> None:
    parts = cut(transfer([group(n) for n in range(1, 30)]), 5000)
    for part, following in pairwise(parts):
        (first, *_) = pieces(following.body)
        alone = first.replace(b' xmlns="urn:tdcc:psp:body:3.4"', b"")
        assert len(part.body) + len(alone) > 5000


def test_totals_are_those_of_the_part_without_currencies_that_it_has_not() -> None:
    groups = [group(1, "USD", "10.5"), group(2, "USD", "1"), group(3, "TWD", "7.00")]
    whole = transfer(groups, [(2, "USD", "11.5"), (1, "TWD", "7")])
    size = len(normal(transfer(groups[:1], [(2, "USD", "11.5"), (1, "TWD", "7.00")]))) + 5
    told = []
    for part in cut(whole, size):
        (total,) = read(part.body).all("Total")
        told.append([text_of(total, name) for name in ("Count", "Ccy", "Amt")])
        assert faults("PS810FTRQ", part.body) == []
    assert told == [["1", "USD", "10.5"], ["1", "USD", "1"], ["1", "TWD", "7.00"]]


@pytest.mark.parametrize("total", [(3, "USD", "201.00"), (2, "USD", "201.01")])
def test_wrong_totals_are_not_mended(total: tuple[int, str, str]) -> None:
    whole = transfer([group(1), group(2)], [total])
    with pytest.raises(InvalidBody, match="Total is not what the PmtSvc come to") as raised:
        cut(whole, len(normal(whole)) - 1)
    assert "201" not in str(raised.value)


def test_what_is_not_repeated_is_copied() -> None:
    whole = transfer([group(n) for n in range(1, 6)])
    for part in cut(whole, 1500):
        body = read(part.body)
        for name, text in (
            ("BusType", "030"),
            ("FundPmtSvc", "OOOI"),
            ("SettleDate", "2026-11-23"),
            ("SSNID", f"20261123000123-{part.number}"),
            ("SVCREFID", f"FT20261123000123-{part.number}"),
        ):
            assert body.text(name) == text
        references = References(body.text("SSNID"), body.text("SVCREFID"))
        assert references == part.references


def test_a_body_that_fits_is_its_only_part_as_it_is() -> None:
    body = normal(many(3))
    (part,) = split("PS810FTRQ", body, CONTENT, len(body))
    assert part == Part(1, body, References("20261123000123", "FT20261123000123"), 1, 3)
    assert len(split("PS810FTRQ", body, CONTENT, len(body) - 1)) == 2


def test_a_service_of_which_nothing_repeats_is_its_only_part_or_cannot_be_split() -> None:
    body = f'<PS811FTRRQ xmlns="urn:x"><SSNID>1</SSNID><Text>{"x" * 500}</Text></PS811FTRRQ>'
    (part,) = cut(body, 1000, "PS811FTRRQ")
    assert part.body == normal(body)
    with pytest.raises(CannotSplit, match=r"nothing in it repeats.*PS810FTRQ, IS930PIDRQ"):
        cut(body, 100, "PS811FTRRQ")


def test_items_are_split_too() -> None:
    whole = collected(30)
    parts = cut(whole, 2000, "IS930PIDRQ")
    assert len(parts) > 2
    held = [piece for part in parts for piece in pieces(part.body, "Item")]
    assert held == pieces(normal(whole), "Item")
    for part in parts:
        assert len(part.body) <= 2000
        assert faults("IS930PIDRQ", part.body) == []


@pytest.mark.parametrize("place", [0, 4, 9])
def test_one_group_that_is_too_large_is_named_with_its_size(place: int) -> None:
    groups = [group(n) for n in range(1, 11)]
    debit = group(1).partition("</PMTID>")[2].partition("<IN>")[0]
    groups[place] = group(place + 1).replace("</PMTID>", "</PMTID>" + debit * 10)
    with pytest.raises(CannotSplit, match=rf"PmtSvc number {place + 1} alone .* 1,800") as raised:
        cut(transfer(groups), 1800)
    assert isinstance(raised.value, MessageTooLarge)


def test_a_single_group_is_not_divided() -> None:
    whole = transfer([group(1)], shape="OOMI")
    with pytest.raises(CannotSplit, match="PmtSvc number 1 alone"):
        cut(whole, len(normal(whole)) - 1)


def test_elements_are_limited_like_bytes() -> None:
    whole = transfer([group(n) for n in range(1, 11)])
    parts = cut(whole, 1_000_000, elements=60)
    assert len(parts) > 1
    for part in parts:
        assert sum(1 for _ in read(part.body).root.iter()) <= 60


def test_white_space_between_groups_stays() -> None:
    whole = normal(transfer([group(n) for n in range(1, 9)], between="\n  "))
    parts = split("PS810FTRQ", whole, CONTENT, 1500)
    assert all(faults("PS810FTRQ", part.body) == [] for part in parts)
    assert sum(part.body.count(b"\n  ") for part in parts) == 7


def test_something_else_between_groups_has_no_place_in_a_part() -> None:
    whole = transfer([group(1), group(2)], between="<Other/>")
    with pytest.raises(CannotSplit, match="something else between its PmtSvc"):
        cut(whole, len(normal(whole)) - 1)


def test_a_declaration_that_only_content_uses_is_kept() -> None:
    groups = [group(n, remark="x") for n in range(1, 4)]
    whole = transfer(groups).replace("<PS810FTRQ ", '<PS810FTRQ xmlns:q="urn:q" ')
    parts = cut(whole, len(normal(whole)) - 1)
    assert len(parts) == 2
    for part in parts:
        assert b'xmlns:q="urn:q"' in part.body
        assert normal_body(part.body) == part.body


def test_a_site_says_what_repeats_and_how_long_references_are() -> None:
    names = replace(CONTENT.names, group="Zahlung", ssn_id="Nummer")
    site = replace(
        CONTENT, names=names, splitting=Splitting({"IS910SMDRQ": "group"}, reference_length=20)
    )
    body = normal("<x><Nummer>12345678901234567890</Nummer>" + "<Zahlung>11</Zahlung>" * 9 + "</x>")
    parts = split("IS910SMDRQ", body, site, 130)
    assert len(parts) == 3
    assert {len(part.references.ssn_id or "") for part in parts} == {20}
    assert parts[0].references.service_ref is None
    with pytest.raises(CannotSplit, match="nothing in it repeats"):
        split("PS810FTRQ", body, site, 130)


@given(
    text=st.text("0123456789ABCxyz-", min_size=1, max_size=35),
    other=st.text("0123456789ABCxyz-", min_size=1, max_size=35),
    number=st.integers(1, 99_999),
)
def test_references_of_parts_fit_and_stay_apart(text: str, other: str, number: int) -> None:
    made = part_reference(text, number, 35)
    assert made is not None
    assert len(made) <= 35
    assert made != part_reference(text, number + 1, 35)
    if other != text:
        assert made != part_reference(other, number, 35)


@settings(max_examples=60, deadline=None)
@given(
    kinds=st.lists(
        st.tuples(
            st.sampled_from(["USD", "TWD", "JPY"]),
            st.decimals("0.01", "99999.99", places=2),
            st.text("abc集保結算所&<", max_size=12),
        ),
        min_size=1,
        max_size=25,
    ),
    limit=st.integers(1100, 6000),
    told=st.booleans(),
)
def test_parts_together_are_the_whole(
    kinds: list[tuple[str, Decimal, str]], limit: int, told: bool
) -> None:
    groups, sums = [], {}
    for number, (currency, amount, remark) in enumerate(kinds, 1):
        escaped = remark.replace("&", "&amp;").replace("<", "&lt;")
        groups.append(group(number, currency, str(amount), escaped))
        sums.setdefault(currency, []).append(amount)
    totals = [(len(found), name, str(sum(found))) for name, found in sums.items()] if told else []
    whole = normal(transfer(groups, totals))
    parts = split("PS810FTRQ", whole, CONTENT, limit)
    assert parts == split("PS810FTRQ", whole, CONTENT, limit)
    assert [piece for part in parts for piece in pieces(part.body)] == pieces(whole)
    for part in parts:
        assert len(part.body) <= limit
        assert normal_body(part.body) == part.body
        assert CONTENT.fault("PS810FTRQ", CONTENT.look(part.body)) is None
        broken = CONTENT.broken("PS810FTRQ", CONTENT.look(part.body), MOMENT, USUAL)
        assert {one.rule.name for one in broken} <= {"amount-digits"}  # yen have none
    assert len({part.references for part in parts}) == len(parts)


def test_a_body_of_values_may_be_too_large_for_one_message() -> None:
    side = {"BANK": "999", "Acct": "99900100000001", "Ccy": "USD", "Amt": Decimal("1.00")}
    groups = [
        {"PMTID": n, "OUT": [{"PMTOUTID": 1, **side}], "IN": [{"PMTINID": 1, **side}]}
        for n in range(1, 5001)
    ]
    values = {
        "SSNID": "1",
        "SVCREFID": "2",
        "BusType": "030",
        "FundPmtSvc": "OOOI",
        "SettleDate": "2026-11-23",
        "PmtSvc": groups,
    }
    parts = split("PS810FTRQ", msh.bodies.build("PS810FTRQ", values), CONTENT, 1_040_000)
    assert parts[-1].last == 5000


def test_ten_thousand_payments_take_seconds() -> None:
    whole = normal(many(10_000))
    began = time.process_time()
    parts = split("PS810FTRQ", whole, CONTENT, 1_040_000)
    assert time.process_time() - began < 10
    assert parts[-1].last == 10_000
    assert len(parts) == -(-len(whole) // 1_040_000)
    for part in parts:
        assert len(part.body) <= 1_040_000
        assert faults("PS810FTRQ", part.body) == []
