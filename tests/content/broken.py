"""Bodies that break one rule each: a sample, and what is changed in it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

SAMPLES = Path(__file__).resolve().parents[2] / "examples" / "messages"
#: Monday, 10:00 in Taipei: the day on which the samples are dated.
MONDAY = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)


def sample(service: str) -> str:
    """The sample as it is shipped."""
    return (SAMPLES / f"{service}.xml").read_text(encoding="utf-8")


def changed(service: str, *changes: tuple[str, str], count: int = 1) -> str:
    """The sample with each (old, new) changed where it is first found."""
    body = sample(service)
    for old, new in changes:
        assert old in body, old
        body = body.replace(old, new, count)
    return body


@dataclass(frozen=True)
class Case:
    """A rule, a body that breaks it and no other, and what is said of it."""

    rule: str
    service: str
    changes: tuple[tuple[str, str], ...]
    said: str
    moment: datetime = MONDAY
    bank: str = ""

    @property
    def body(self) -> str:
        return changed(self.service, *self.changes)


PAY = "PS810FTRQ"
_SECOND_GROUP = sample(PAY).partition("<PmtSvc>")[2].partition("</PmtSvc>")[0]
_FIRST_IN = "<IN>" + sample(PAY).partition("<IN>")[2].partition("</IN>")[0] + "</IN>"
ONE_TO_ONE = (
    ("<FundPmtSvc>OOMI", "<FundPmtSvc>OOOI"),
    ("<BusType>010", "<BusType>011"),
    (sample(PAY).partition("</IN>")[2].partition("</PmtSvc>")[0], ""),
)
#: A batch of one debit and one credit of the same amount.
PAIR = (*ONE_TO_ONE, ("500000.00", "1250000.00"))

CASES = (
    Case(
        "currency",
        "IS940PICRQ",
        (("<Ccy>USD", "<Ccy>USX"),),
        "IS940PICRQ/Ccy is no currency of ISO 4217",
    ),
    Case(
        "amount-digits",
        "IS940PICRQ",
        (("1250000.00", "1250000.001"),),
        "IS940PICRQ/Amt has more decimals than its currency",
    ),
    Case(
        "amount-digits", PAY, (("<Amt>10.00", "<Amt>10.001"),), "PmtSvc/IN[5]/Fee/Amt has more deci"
    ),
    Case(
        "amount-digits",
        "PS850CERQ",
        (("<Ccy>USD", "<Ccy>JPY"),),
        "Sell/Amt has more decimals than its currency",
    ),
    Case(
        "result-status",
        "IS920VASRQ",
        (("<Kind>020", "<Kind>021"),),
        "Status is missing, and Kind tells a result",
    ),
    Case(
        "result-status",
        "IS940PICRQ",
        (("<Kind>040", "<Kind>041"), ("</Amt>", "</Amt><Status>PSPBK0999E</Status>")),
        "Status is no status code",
    ),
    Case(
        "currencies-agree",
        PAY,
        (("<Ccy>USD</Ccy>\n      <Amt>500000", "<Ccy>EUR</Ccy>\n      <Amt>500000"),),
        "PmtSvc holds more than one currency",
    ),
    Case(
        "one-group",
        PAY,
        (
            (
                "<Total>",
                f"<PmtSvc>{_SECOND_GROUP.replace('PMTID>1', 'PMTID>2', 1)}</PmtSvc><Total>",
            ),
            ("<PMTID>1</PMTID>", "<PMTID>3</PMTID>"),
            ("<Count>1", "<Count>2"),
            ("</Ccy>\n    <Amt>1250000.00", "</Ccy>\n    <Amt>2500000.00"),
        ),
        "more than one PmtSvc, which only OOOI may hold",
    ),
    Case("pair-amounts", PAY, ONE_TO_ONE, "PmtSvc: debits and credits come to different amounts"),
    Case("message-kind", "IS910SMDRQ", (("<Kind>010", "<Kind>020"),), "Kind is none of IS910SMDRQ"),
    Case("message-kind", "IS930PIDRQ", (("<Kind>030", "<Kind>999"),), "Kind is none of IS930PIDRQ"),
    Case(
        "sum-amounts",
        PAY,
        (("<Amt>75000.00", "<Amt>75000.01"),),
        "PmtSvc: debits and credits come to different amounts",
    ),
    Case("business-type", PAY, (("<BusType>010", "<BusType>070"),), "BusType is none of PS810FTRQ"),
    Case(
        "shape",
        PAY,
        (("<BusType>010", "<BusType>040"),),
        "FundPmtSvc is none that this BusType may use",
    ),
    Case(
        "unique-ids",
        PAY,
        (("<PMTINID>3<", "<PMTINID>2<"),),
        "PmtSvc/IN[3] has the PMTINID of an earlier one",
    ),
    Case(
        "unique-ids",
        "IS930PIDRQ",
        (("<PMTINID>2<", "<PMTINID>1<"),),
        "Item[2] has the PMTINID of an earlier one",
    ),
    Case(
        "inquiry-age",
        "PS860INQRQ",
        (("<From>2026-11-01", "<From>2026-05-22"),),
        "From is more than six months back",
    ),
    Case(
        "account-format",
        PAY,
        (("99900200000004", "9990020000000A"),),
        "PmtSvc/IN[4]/Acct has not 10 to 16 digits",
    ),
    Case("account-format", "PS860INQRQ", (("99900100000001", "123456789"),), "PS860INQRQ/Acct has"),
    Case(
        "totals",
        PAY,
        (("</Ccy>\n    <Amt>1250000.00", "</Ccy>\n    <Amt>1250000.01"),),
        "Total/Amt is not what the groups come to",
    ),
    Case("totals", PAY, (("<Count>1", "<Count>2"),), "Total/Count is not the number of groups"),
    Case(
        "fee-currency",
        PAY,
        (("<Ccy>USD</Ccy>\n        <Amt>10.00", "<Ccy>TWD</Ccy>\n        <Amt>10.00"),),
        "PmtSvc/IN[5]/Fee is in another currency than its credit",
    ),
    Case(
        "settlement-date",
        PAY,
        (("<SettleDate>2026-11-23", "<SettleDate>2026-11-20"),),
        "SettleDate is in the past",
    ),
    Case(
        "settlement-date",
        "PS850CERQ",
        (("<SettleDate>2026-11-23", "<SettleDate>2026-11-28"),),
        "SettleDate is no business day",
    ),
    Case(
        "next-business-day",
        "IS930PIDRQ",
        (),
        "Date is not the next business day",
        moment=MONDAY + timedelta(hours=5, minutes=30, seconds=1),
    ),
    Case(
        "account-once",
        "IS930PIDRQ",
        (("99900300000002", "99900300000001"),),
        "Item[2]/Acct is that of an earlier one",
    ),
    Case("inquiry-future", "PS860INQRQ", (("<To>2026-11-20", "<To>2026-11-24"),), "To is after"),
    Case(
        "inquiry-order", "PS860INQRQ", (("<To>2026-11-20", "<To>2026-10-31"),), "To is before From"
    ),
    Case("group-id", PAY, (("<PMTID>1", "<PMTID>0"),), "PmtSvc/PMTID is 0"),
    Case("credit-id", PAY, (("<PMTINID>5<", "<PMTINID>00<"),), "PmtSvc/IN[5]/PMTINID is 0"),
    Case("credit-id", "IS930PIDRQ", (("<PMTINID>2<", "<PMTINID>0<"),), "Item[2]/PMTINID is 0"),
    Case(
        "bank-swift",
        PAY,
        (("<BANK>999", "<BANK>004"),),
        "PmtSvc/OUT: BANK and SWIFTCODE do not match",
    ),
    Case("own-debit", PAY, (), "PmtSvc/OUT/BANK is another bank", bank="004"),
    Case("one-debit", PAY, (("<PMTOUTID>1", "<PMTOUTID>2"),), "PmtSvc/OUT/PMTOUTID is not 1"),
    Case(
        "one-credit",
        PAY,
        (*PAIR, ("<PMTINID>1<", "<PMTINID>2<")),
        "PmtSvc/IN/PMTINID is not 1",
    ),
)

#: Broken together with another rule: 0 is not 1 either, where there is one debit.
DEBIT_ID = Case(
    "debit-id",
    PAY,
    (
        ("<FundPmtSvc>OOMI", "<FundPmtSvc>MOOI"),
        ("<BusType>010", "<BusType>032"),
        ("<PMTOUTID>1", "<PMTOUTID>0"),
        (sample(PAY).partition("</IN>")[2].partition("</PmtSvc>")[0], ""),
        ("500000.00", "1250000.00"),
    ),
    "PmtSvc/OUT/PMTOUTID is 0",
)
ALL = (*CASES, DEBIT_ID)


def moved(body: str, day: date) -> str:
    """The body as if it were of ``day``."""
    return body.replace(date(2026, 11, 23).isoformat(), day.isoformat())
