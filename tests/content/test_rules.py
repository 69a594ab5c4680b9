"""Each business rule: right, wrong, and at its edges."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest

from msh.businessdays import USUAL, BusinessDays
from msh.content import Body, Broken, Facts, Rule
from msh.content.rules import RULES
from msh.profiles import standard_profile
from msh.xml import Shape, parse
from tests.content.broken import ALL, MONDAY, PAIR, PAY, Case, changed, sample

CONTENT = standard_profile().content
assert CONTENT is not None
REQUESTS = [code for code, row in CONTENT.catalog.services.items() if row.kind == "request"]
SECOND = timedelta(seconds=1)


def broken(
    service: str,
    body: str,
    moment: datetime = MONDAY,
    *,
    days: BusinessDays = USUAL,
    bank: str = "",
    fits: bool = True,
) -> list[Broken]:
    seen = CONTENT.look(body.encode())
    assert seen is not None
    if fits:
        assert CONTENT.fault(service, seen) is None
    return list(CONTENT.broken(service, seen, moment, days, bank))


def names(service: str, body: str, moment: datetime = MONDAY, **options: object) -> list[str]:
    return [one.rule.name for one in broken(service, body, moment, **options)]


@pytest.mark.parametrize("service", REQUESTS)
def test_the_samples_break_no_rule(service: str) -> None:
    assert broken(service, sample(service), bank="999") == []


@pytest.mark.parametrize("case", ALL, ids=lambda case: f"{case.rule}-{case.service}")
def test_each_rule_alone(case: Case) -> None:
    (found,) = broken(case.service, case.body, case.moment, bank=case.bank)
    assert found.rule.name == case.rule
    assert case.said in found.reason


def test_every_rule_has_a_case() -> None:
    by_the_store = {"unique-references"}
    assert {case.rule for case in ALL} | by_the_store == {rule.name for rule in RULES}


@pytest.mark.parametrize("case", ALL, ids=lambda case: f"{case.rule}-{case.service}")
def test_no_reason_holds_a_value(case: Case) -> None:
    (found,) = broken(case.service, case.body, case.moment, bank=case.bank)
    texts = {(one.text or "").strip() for one in CONTENT.look(case.body.encode()).root.iter()}
    for text in texts:
        assert len(text) < 4 or text not in found.reason


def test_the_rules_stand_in_the_order_of_the_code_table() -> None:
    order = list(CONTENT.catalog.statuses)
    places = [order.index(str(rule.code)) for rule in RULES]
    assert places == sorted(places)
    assert CONTENT.rules == RULES
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_several_are_told_in_that_order() -> None:
    body = changed(PAY, ("<PMTID>1", "<PMTID>0"), ("<BANK>999", "<BANK>004"), ("75000.00", "1.00"))
    assert names(PAY, body) == ["sum-amounts", "group-id", "bank-swift"]


def test_results_are_under_no_rule() -> None:
    results = {code for code, row in CONTENT.catalog.services.items() if row.result_of}
    assert not results & {service for rule in RULES for service in rule.services}


def test_each_rule_says_what_it_asks_for() -> None:
    for rule in RULES:
        assert len(rule.text) > 10
        assert rule.text.endswith((".", ")."))


# shapes, ids


def test_one_to_one_may_hold_many_groups_that_each_agree() -> None:
    group = changed(PAY, *PAIR).partition("<PmtSvc>")[2].partition("</PmtSvc>")[0]
    second = group.replace("<PMTID>1", "<PMTID>2").replace("1250000.00", "7.00")
    body = changed(
        PAY,
        *PAIR,
        ("<Total>", f"<PmtSvc>{second}</PmtSvc><Total>"),
        ("<Count>1", "<Count>2"),
        ("</Ccy>\n    <Amt>1250000.00", "</Ccy>\n    <Amt>1250007.00"),
    )
    assert names(PAY, body) == []
    assert names(PAY, body.replace("<Amt>7.00", "<Amt>8.00", 1)) == ["pair-amounts", "totals"]
    assert names(PAY, body.replace("<PMTID>2", "<PMTID>1")) == ["unique-ids"]


def test_any_shape_goes_for_a_business_type_outside_the_table() -> None:
    assert "701" not in CONTENT.catalog.funding
    assert names(PAY, changed(PAY, ("<BusType>010", "<BusType>701"))) == []


def test_a_shape_with_one_side_has_one_of_it() -> None:
    out = sample(PAY).partition("<OUT>")[2].partition("</OUT>")[0]
    two = f"<OUT>{out}</OUT><OUT>{out.replace('PMTOUTID>1', 'PMTOUTID>2', 1)}</OUT>"
    body = changed(PAY, (f"<OUT>{out}</OUT>", two))
    found = broken(PAY, body)
    assert [one.rule.name for one in found] == ["sum-amounts", "totals", "one-debit"]
    assert found[-1].reason == "PmtSvc holds more than one OUT"
    body = changed(PAY, ("<FundPmtSvc>OOMI", "<FundPmtSvc>MOOI"), ("<BusType>010", "<BusType>032"))
    assert [one.reason for one in broken(PAY, body)] == ["PmtSvc holds more than one IN"]


def test_ids_are_numbers_not_texts() -> None:
    assert names(PAY, changed(PAY, ("<PMTOUTID>1", "<PMTOUTID>01"))) == []
    assert names(PAY, changed(PAY, ("<PMTINID>2<", "<PMTINID>01<"))) == ["unique-ids"]
    assert names(PAY, changed(PAY, ("<PMTINID>2<", "<PMTINID>-0<"))) == ["credit-id"]


# money


def test_amounts_are_exact() -> None:
    # As binary floating point 0.1 + 0.2 is not 0.3, and 15 digits and cents are not exact.
    big = changed(
        PAY,
        ("1250000.00", "999999999999999.30"),
        ("500000.00", "999999999999998.00"),
        ("400000.00", "1.00"),
        ("250000.00", "0.10"),
        ("<Amt>75000.00", "<Amt>0.10"),
        ("<Amt>25000.00", "<Amt>0.10"),
        ("</Ccy>\n    <Amt>1250000.00", "</Ccy>\n    <Amt>999999999999999.30"),
    )
    assert names(PAY, big) == []
    assert names(PAY, big.replace("<Amt>0.10", "<Amt>0.11", 1)) == ["sum-amounts"]


def test_digits_of_currencies() -> None:
    for currency, amount, wrong in (
        ("JPY", "100", False),
        ("JPY", "100.0", True),
        ("TWD", "100.5", False),
        ("TWD", "100.505", True),
        ("KWD", "100.505", False),
        ("CLF", "1.0001", False),
    ):
        body = changed("IS940PICRQ", ("USD", currency), ("1250000.00", amount))
        assert names("IS940PICRQ", body) == (["amount-digits"] if wrong else [])


def test_the_currency_of_an_account_is_one() -> None:
    assert names("PS860INQRQ", changed("PS860INQRQ", ("TWD", "TWX"))) == ["currency"]


def test_totals_are_per_currency() -> None:
    group = changed(PAY, *PAIR).partition("<PmtSvc>")[2].partition("</PmtSvc>")[0]
    euro = group.replace("<PMTID>1", "<PMTID>2").replace("USD", "EUR")
    one = sample(PAY).partition("<Total>")[2].partition("</Total>")[0]
    dollars, euros = f"<Total>{one}</Total>", f"<Total>{one.replace('USD', 'EUR')}</Total>"

    def with_totals(*totals: str) -> list[Broken]:
        new = f"<PmtSvc>{euro}</PmtSvc>{''.join(totals)}"
        return broken(PAY, changed(PAY, *PAIR, (dollars, new)))

    assert with_totals(dollars, euros) == with_totals(euros, dollars) == with_totals() == []
    reasons = [
        with_totals(*totals)[0].reason
        for totals in ((dollars,), (dollars, dollars), (dollars, euros.replace("EUR", "CHF")))
    ]
    assert reasons == [
        "a currency of the groups has no Total",
        "Total[2] is of the currency of an earlier one",
        "Total[2] is of a currency that no PmtSvc has",
    ]


# accounts


@pytest.mark.parametrize(
    ("account", "swift", "wrong"),
    [
        ("1234567890", "TESTTWTP", False),
        ("123456789", "TESTTWTP", True),
        ("1234567890123456", "TESTTWTP", False),
        ("12345678901234567", "TESTTWTP", True),
        ("1234-567890", "TESTTWTP", True),
        ("DE89370400440532013000", "COBADEFF", False),
    ],
)
def test_account_formats(account: str, swift: str, wrong: bool) -> None:
    body = changed(
        "PS860INQRQ",
        ("99900100000001", account),
        ("TESTTWTP", swift),
        ("<BANK>999", "<BANK>998" if swift != "TESTTWTP" else "<BANK>999"),
    )
    assert names("PS860INQRQ", body) == (["account-format"] if wrong else [])


@pytest.mark.parametrize(
    ("bank", "swift", "wrong"),
    [
        ("004", "BKTWTWTP", False),
        ("0040037", "BKTWTWTP", False),
        ("004", "BKTWTWTP037", False),
        ("004", "LBOTTWTP", True),
        ("004", "DEUTDEFF", True),
        ("998", "BKTWTWTP", True),  # a bank that is not in the table, a SWIFT code that is
        ("998", "DEUTDEFF", False),  # neither is
    ],
)
def test_bank_and_swift(bank: str, swift: str, wrong: bool) -> None:
    body = changed("PS860INQRQ", ("<BANK>999", f"<BANK>{bank}"), ("TESTTWTP", swift))
    assert names("PS860INQRQ", body) == (["bank-swift"] if wrong else [])
    alone = changed(
        "PS860INQRQ", ("<BANK>999", f"<BANK>{bank}"), ("<SWIFTCODE>TESTTWTP</SWIFTCODE>", "")
    )
    assert names("PS860INQRQ", alone) == []


def test_own_debits_may_be_of_any_branch() -> None:
    body = changed(PAY, ("<BANK>999", "<BANK>9990011"))
    assert names(PAY, body, bank="999") == []
    assert names(PAY, body, bank="004") == ["own-debit"]
    assert names(PAY, body) == []


# days


def test_settlement_is_today_or_later() -> None:
    friday = "2026-11-27"
    assert names(PAY, changed(PAY, ("2026-11-23", friday))) == []
    late = MONDAY.replace(hour=15, minute=59, second=59)  # 23:59:59 in Taipei
    assert names(PAY, sample(PAY), late) == []
    assert names(PAY, sample(PAY), late + SECOND) == ["settlement-date"]


def test_holidays_are_those_of_the_agreement() -> None:
    holiday = BusinessDays(holidays=frozenset({date(2026, 11, 24)}))
    worked = BusinessDays(workdays=frozenset({date(2026, 11, 28)}))
    tuesday = changed(PAY, ("2026-11-23", "2026-11-24"))
    saturday = changed(PAY, ("2026-11-23", "2026-11-28"))
    assert names(PAY, tuesday) == names(PAY, saturday, days=worked) == []
    assert names(PAY, tuesday, days=holiday) == names(PAY, saturday) == ["settlement-date"]


@pytest.mark.parametrize(
    ("kind", "day", "after", "wrong"),
    [
        ("030", "2026-11-23", 0, False),  # 15:30 itself is still today
        ("030", "2026-11-23", 1, True),
        ("031", "2026-11-23", 1, True),
        ("030", "2026-11-24", 1, False),
        ("030", "2026-11-25", 1, True),
        ("030", "2026-11-24", 0, False),
        ("050", "2026-11-23", 1, False),
    ],
)
def test_after_half_past_three_the_next_day_begins(
    kind: str, day: str, after: int, wrong: bool
) -> None:
    moment = MONDAY.replace(hour=7, minute=30) + after * SECOND
    body = changed("IS930PIDRQ", ("2026-11-23", day), ("<Kind>030", f"<Kind>{kind}"))
    assert names("IS930PIDRQ", body, moment) == (["next-business-day"] if wrong else [])


def test_the_next_business_day_may_be_after_a_weekend() -> None:
    friday = datetime.fromisoformat("2026-11-27T16:00+08:00")
    assert names("IS930PIDRQ", changed("IS930PIDRQ", ("2026-11-23", "2026-11-30")), friday) == []
    found = names("IS930PIDRQ", changed("IS930PIDRQ", ("2026-11-23", "2026-11-28")), friday)
    assert found == ["next-business-day"]


@pytest.mark.parametrize(
    ("today", "first", "wrong"),
    [
        ("2026-11-23", "2026-05-23", False),
        ("2026-11-23", "2026-05-22", True),
        ("2026-08-31", "2026-02-28", False),
        ("2026-08-31", "2026-02-27", True),
        ("2028-08-29", "2028-02-29", False),
        ("2026-03-15", "2025-09-15", False),
        ("2026-03-15", "2025-09-14", True),
    ],
)
def test_six_months_back(today: str, first: str, wrong: bool) -> None:
    moment = datetime.fromisoformat(f"{today}T10:00+08:00")
    body = changed("PS860INQRQ", ("2026-11-01", first), ("2026-11-20", today))
    assert names("PS860INQRQ", body, moment) == (["inquiry-age"] if wrong else [])


def test_an_inquiry_may_be_of_today_alone() -> None:
    body = changed("PS860INQRQ", ("2026-11-01", "2026-11-23"), ("2026-11-20", "2026-11-23"))
    assert names("PS860INQRQ", body) == []


# what a body does not have, and what a rule cannot read


@pytest.mark.parametrize("service", REQUESTS)
def test_rules_have_no_opinion_on_what_is_not_there(service: str) -> None:
    assert names(service, f"<{service}/>", fits=False) == []


def test_nothing_that_no_schema_bounds_makes_a_rule_fail() -> None:
    values = ("", "x", "NaN", "1e9999", "-5", "9" * 5000, "１２", "2026-13-45", "9999-12-31")
    leaves = {text for _, text in _leaves(sample(PAY))}
    for value in values:
        for old in leaves:
            found = broken(PAY, sample(PAY).replace(f">{old}<", f">{value}<"), fits=False)
            assert not [one for one in found if "could not be applied" in one.reason]


def _leaves(body: str) -> list[tuple[str, str]]:
    root = CONTENT.look(body.encode()).root
    return [(one.tag, one.text) for one in root.iter() if not len(one)]


def test_what_stands_twice_is_not_guessed() -> None:
    twice = changed(PAY, ("<PMTINID>2<", "<PMTINID>0</PMTINID><PMTINID>2<"))
    assert names(PAY, twice, fits=False) == []
    assert names(PAY, twice.replace("</PMTINID><PMTINID>2", ""), fits=False) == ["credit-id"]


def test_a_rule_that_fails_refuses(caplog: pytest.LogCaptureFixture) -> None:
    def fails(facts: Facts) -> str | None:
        raise KeyError(facts.body.text("SSNID"))

    rule = Rule("ours", RULES[0].code, frozenset({PAY}), fails)
    content = replace(CONTENT, rules=(rule,))
    (found,) = content.broken(PAY, content.look(sample(PAY).encode()), MONDAY, USUAL)
    assert found == Broken(rule, "rule ours could not be applied")
    assert "KeyError at test_rules.py" in caplog.text
    assert "20261123000123" not in caplog.text


def test_ten_thousand_credits_are_not_quadratic() -> None:
    credit = "<IN>" + sample(PAY).partition("<IN>")[2].partition("</IN>")[0] + "</IN>"

    def batch(count: int) -> float:
        credits = "".join(
            credit.replace("PMTINID>1<", f"PMTINID>{n}<").replace("500000.00", "1.00")
            for n in range(1, count + 1)
        )
        body = sample(PAY)
        rest = body.partition("</OUT>")[2].partition("</PmtSvc>")[0]
        body = body.replace(rest, credits).replace("1250000.00", f"{count}.00")
        seen = Body(parse(body.encode(), Shape(elements=1_000_000)))
        began = time.process_time()
        assert list(CONTENT.broken(PAY, seen, MONDAY, USUAL)) == []
        return time.process_time() - began

    batch(1000)
    assert batch(10_000) < 40 * batch(1000)
