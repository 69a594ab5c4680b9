"""Bodies as Python values: what is built is read again, and mistakes are told by their field."""

from __future__ import annotations

import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import msh
from msh import bodies
from msh.catalog import load
from msh.cli.samples import sample_body
from msh.errors import InvalidBody, MalformedMessage, UsageError
from tests.content.generating import values_of

SERVICES = sorted(load().services)
SECRET = "9990010000000777"
ROOT = Path(msh.__file__).resolve().parents[1]


@pytest.fixture
def transfer() -> dict[str, Any]:
    """The values of the sample of a payment."""
    return bodies.of().read("PS810FTRQ", sample_body("PS810FTRQ").encode())


def refused(values: Any, service: str = "PS810FTRQ") -> str:
    with pytest.raises(InvalidBody) as caught:
        bodies.build(service, values)
    assert isinstance(caught.value, UsageError)
    assert caught.value.__cause__ is None
    return str(caught.value).removeprefix(f"{service}: ")


def digits(value: Any) -> Any:
    """``value`` with its numbers as they are written: 1.00 is not 1.0."""
    if isinstance(value, dict):
        return {name: digits(one) for name, one in value.items()}
    if isinstance(value, list):
        return [digits(one) for one in value]
    return (type(value), str(value))


def test_every_service_has_values() -> None:
    assert len(SERVICES) == 26


@pytest.mark.parametrize("service", SERVICES)
@settings(max_examples=25, suppress_health_check=list(HealthCheck), deadline=None)
@given(data=st.data())
def test_what_is_built_is_read_again(service: str, data: st.DataObject) -> None:
    values = data.draw(values_of(service))
    body = bodies.build(service, values)
    assert digits(bodies.of().read(service, body)) == digits(values)
    assert bodies.build(service, values) == body == msh.envelope.normal_body(body)


@pytest.mark.parametrize("service", SERVICES)
def test_a_sample_is_read_and_built_again(service: str) -> None:
    text = sample_body(service)
    body = msh.envelope.normal_body(text)
    message = msh.Message(
        service=service,
        message_id="m-1",
        sender="BIZ",
        receiver="PSP",
        timestamp=datetime.now(UTC),
        body=body,
    )
    again = bodies.build(service, bodies.read(message))
    assert b"".join(again.split()) == b"".join(body.split())


def test_values_are_plain(transfer: dict[str, Any]) -> None:
    credit = transfer["PmtSvc"][0]["IN"][0]
    assert type(transfer) is dict
    assert type(transfer["PmtSvc"]) is list
    assert type(credit) is dict
    assert type(credit["PMTINID"]) is int
    assert type(credit["Amt"]) is Decimal
    assert str(credit["Amt"]) == "500000.00"
    assert type(transfer["SettleDate"]) is date
    assert "Fee" not in credit
    assert bodies.of().read("PS811FTRRQ", result())["PmtSvc"] == []


def result(**values: Any) -> bytes:
    return bodies.build(
        "PS811FTRRQ",
        {"SSNID": "1", "SVCREFID": "1", "BusType": "010", "Status": "PSPBK0000I", **values},
    )


def test_absent_empty_and_zero_are_three_things() -> None:
    read = bodies.of().read
    assert "StatusText" not in read("PS811FTRRQ", result(StatusText=None, PmtSvc=()))
    assert read("PS811FTRRQ", result(StatusText=""))["StatusText"] == ""
    line = {"PMTID": 0, "Status": "PSPBK0126E"}
    assert read("PS811FTRRQ", result(PmtSvc=[line]))["PmtSvc"] == [line]


@pytest.mark.parametrize(
    ("given", "written"),
    [
        (Decimal("1.00"), "1.00"),
        (Decimal("1"), "1"),
        (Decimal("1E+2"), "100"),
        (Decimal("25E-4"), "0.0025"),
        (Decimal("123456789012345.0001"), "123456789012345.0001"),
        (7, "7"),
        ("7.50", "7.50"),
    ],
)
def test_amounts_keep_their_digits(transfer: dict[str, Any], given: Any, written: str) -> None:
    transfer["PmtSvc"][0]["IN"][0]["Amt"] = given
    assert f"<Amt>{written}</Amt>".encode() in bodies.build("PS810FTRQ", transfer)


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        ("Amt", 0.5, "PmtSvc[1]/IN[3]/Amt is a float"),
        ("Amt", float("nan"), "PmtSvc[1]/IN[3]/Amt is a float"),
        ("PMTINID", 1.0, "PmtSvc[1]/IN[3]/PMTINID is a float"),
        ("Acct", 1e15, "PmtSvc[1]/IN[3]/Acct is a float"),
        ("Fee", {"Ccy": "USD", "Amt": 0.5}, "PmtSvc[1]/IN[3]/Fee/Amt is a float"),
        ("Amt", Decimal("NaN"), "PmtSvc[1]/IN[3]/Amt is NaN or infinite"),
        ("Amt", Decimal("sNaN"), "PmtSvc[1]/IN[3]/Amt is NaN or infinite"),
        ("Amt", Decimal("-Infinity"), "PmtSvc[1]/IN[3]/Amt is NaN or infinite"),
        ("Amt", Decimal("1E+999999"), "PmtSvc[1]/IN[3]/Amt has more than 100 digits"),
        ("Amt", Decimal("1E-999999"), "PmtSvc[1]/IN[3]/Amt has more than 100 digits"),
        ("Amt", Decimal("-5"), "PmtSvc/IN[3]/Amt is not more than the schema asks for"),
        ("Amt", True, "PmtSvc[1]/IN[3]/Amt is of type bool; a Decimal is wanted"),
        ("Amt", [Decimal(1)], "PmtSvc[1]/IN[3]/Amt is of type list; a Decimal is wanted"),
        ("Amt", "1e5", "PmtSvc/IN[3]/Amt is no value of its type"),
        ("PMTINID", Decimal(3), "PmtSvc[1]/IN[3]/PMTINID is of type Decimal; an int is wanted"),
        ("PMTINID", -1, "PmtSvc/IN[3]/PMTINID is less than the schema allows"),
        ("BANK", 999, "PmtSvc[1]/IN[3]/BANK is of type int; a str is wanted"),
        ("Name", b"x", "PmtSvc[1]/IN[3]/Name is of type bytes; a str is wanted"),
        ("Name", "a\0b", "PmtSvc[1]/IN[3]/Name holds a character that no XML may hold"),
        ("Name", "a\ud800", "PmtSvc[1]/IN[3]/Name holds a character that no XML may hold"),
        ("Name", SECRET * 10, "PmtSvc/IN[3]/Name is longer than the schema allows"),
        ("Acct", f"{SECRET}!", "PmtSvc/IN[3]/Acct has not the form"),
        ("Acct", None, "PmtSvc[1]/IN[3]/Acct is missing"),
        ("Acc", SECRET, "PmtSvc[1]/IN[3]/Acc is no field there; did you mean Acct?"),
        ("Fee", SECRET, "PmtSvc[1]/IN[3]/Fee must be a dict of its fields, not str"),
        ("Fee", {"Ccy": "USD"}, "PmtSvc[1]/IN[3]/Fee/Amt is missing"),
        ("Fee", {}, "PmtSvc[1]/IN[3]/Fee/Ccy is missing"),
    ],
)
def test_a_mistake_is_told_by_its_field(
    transfer: dict[str, Any], place: str, value: Any, reason: str
) -> None:
    transfer["PmtSvc"][0]["IN"][2][place] = value
    told = refused(transfer)
    assert told.startswith(reason)
    assert SECRET not in told


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"PmtSvc": 1}, "PmtSvc may stand more than once: a list is wanted, not int"),
        ({"PmtSvc": {}}, "PmtSvc may stand more than once: a list is wanted, not dict"),
        ({"PmtSvc": [[0.5]]}, "PmtSvc[1] must be a dict of its fields, not list"),
        ({"PmtSvc": []}, "PmtSvc is missing"),
        ({"PmtSvc": [None]}, "PmtSvc[1] must be a dict of its fields, not NoneType"),
        ({"BusType": ["010"]}, "BusType is of type list; a str is wanted"),
        ({"BusType": "999"}, "BusType has not the form|BusType is none of the values"),
        ({"SettleDate": datetime(2026, 1, 1)}, "SettleDate is of type datetime; a date is wanted"),
        ({"SettleDate": "20260101"}, "SettleDate "),
        ({"SSNID": None}, "SSNID is missing"),
        ({SECRET[:3]: 1}, "999 is no field there; there are: SSNID, SVCREFID"),
    ],
)
def test_mistakes_at_the_top(transfer: dict[str, Any], change: Any, reason: str) -> None:
    told = refused(transfer | change)
    assert told.startswith(tuple(reason.split("|")))


def test_what_is_no_dict_at_all() -> None:
    assert refused([]) == "the body must be a dict of its fields, not list"
    assert refused(None) == "the body must be a dict of its fields, not NoneType"


def test_half_of_an_optional_group_and_both_of_a_choice() -> None:
    told = refused({"SSNID": "1"}, "PS802RSDRQ")
    assert told == "PS802RSDRQ is not complete. Expected is ( SVCREFID )"
    both = {"PMTID": 1, "PMTOUTID": 1, "PMTINID": 1, "Status": "PSPBK0000I"}
    with pytest.raises(InvalidBody, match="PmtSvc/PMTINID is not expected here"):
        result(PmtSvc=[both])


@pytest.mark.parametrize("name", ["PMTOUTID", "PMTINID"])
def test_a_zero_is_no_absence_in_a_choice_either(name: str) -> None:
    line = {"PMTID": 1, name: 0, "Status": "PSPBK0000I"}
    assert bodies.of().read("PS811FTRRQ", result(PmtSvc=[line]))["PmtSvc"] == [line]


def test_codes_may_be_given_as_such() -> None:
    assert b"<Status>PSPBK0005E</Status>" in result(Status=msh.StatusCode.parse("PSPBK0005E"))


def test_a_service_without_a_schema() -> None:
    for service, hint in (("PS810FTRX", "did you mean PS810FTR"), ("MSG", "msh codes services")):
        with pytest.raises(UsageError, match=hint):
            bodies.build(service, {})
        with pytest.raises(UsageError, match=hint):
            bodies.of().read(service, b"<a/>")


def test_what_is_read_must_fit_its_schema(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    body = sample_body("PS810FTRQ").replace("<Amt>500000.00", f"<Amt>{SECRET}x").encode()
    with pytest.raises(MalformedMessage) as caught:
        bodies.of().read("PS810FTRQ", body)
    assert caught.value.reason.startswith("PS810FTRQ: PmtSvc/IN[1]/Amt ")
    assert SECRET not in str(caught.value) + caplog.text
    for nothing in (b"", b"<PS810FTRQ", b"<other/>"):
        with pytest.raises(MalformedMessage, match="PS810FTRQ"):
            bodies.of().read("PS810FTRQ", nothing)


def test_what_zeep_cannot_read_is_told(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would give None, and write the value into its log."""
    from zeep.xsd.types import builtins

    def fail(self: object, value: str) -> None:
        raise ValueError(value)

    ours = bodies.of(msh.profiles.standard_profile())
    monkeypatch.setattr(builtins.Decimal, "pythonvalue", fail)
    with pytest.raises(MalformedMessage) as caught:
        ours.read("PS810FTRQ", sample_body("PS810FTRQ").encode())
    assert "PmtSvc[1]/OUT[1]/Amt holds what no Python value can hold" in str(caught.value)
    assert "1250000" not in caplog.text


def test_nothing_is_changed_by_building(transfer: dict[str, Any]) -> None:
    before = deepcopy(transfer)
    bodies.build("PS810FTRQ", transfer)
    assert transfer == before


def test_many_threads_build_and_read_at_once(transfer: dict[str, Any]) -> None:
    ours = bodies.of(msh.profiles.standard_profile())  # which has learnt nothing yet
    wrong = deepcopy(transfer)
    wrong["PmtSvc"][0]["IN"][1]["Acct"] = "?"

    def work(number: int) -> str:
        if number % 2:
            with pytest.raises(InvalidBody) as caught:
                ours.build("PS810FTRQ", wrong)
            return str(caught.value)
        assert ours.read("PS810FTRQ", ours.build("PS810FTRQ", transfer)) == transfer
        return ""

    with ThreadPoolExecutor(8) as pool:
        told = set(pool.map(work, range(200)))
    (reason,) = told - {""}
    assert reason.startswith("PS810FTRQ: PmtSvc/IN[2]/Acct has not the form")


def test_zeep_is_loaded_when_it_is_used_and_not_before() -> None:
    code = (
        "import sys, msh; assert 'zeep' not in sys.modules;"
        "msh.bodies.of(); assert 'zeep' not in sys.modules;"
        "msh.bodies.build('IS910SMDRQ', {'Kind': '010', 'Text': 'x'});"
        "assert 'zeep' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
