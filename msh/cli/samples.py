"""Sample bodies for ``msh init``, one for each request service.

The field lists of chapter 8 are not published. Names that appendix 9 publishes (SSNID, SVCREFID,
BusType, FundPmtSvc, PMTID, PMTOUTID, PMTINID, BANK, SWIFTCODE, PassbookRmk) stand here as they do
there; all others are ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

#: The namespace of these bodies.
NAMESPACE = "urn:tdcc:psp:body:3.4"

# A field with text, or a group of fields.
_Field = tuple[str, "str | Sequence[_Field]"]

_BANK = (("BANK", "999"), ("SWIFTCODE", "TESTTWTP"))
_IDS = (("SSNID", "20261121000123"), ("SVCREFID", "FT20261121000123"))


def _money(amount: str) -> tuple[_Field, ...]:
    return (("Ccy", "USD"), ("Amt", amount))


def _credit(number: int, name: str, amount: str) -> _Field:
    return (
        "PMTIN",
        (
            ("PMTINID", str(number)),
            *_BANK,
            ("Acct", f"99900200000{number:03}"),
            ("Name", name),
            *_money(amount),
            ("PassbookRmk", "債券還本付息"),
        ),
    )


# One debit and several credits, 一扣多入 (9.5): PMTOUTID is 1, and the amounts agree.
_TRANSFER: tuple[_Field, ...] = (
    *_IDS,
    ("BusType", "010"),
    ("FundPmtSvc", "OOMI"),
    ("SettleDate", "2026-11-23"),
    ("PMTID", "1"),
    (
        "PMTOUT",
        (
            ("PMTOUTID", "1"),
            *_BANK,
            ("Acct", "99900100000001"),
            ("Name", "集保結算所"),
            *_money("1250000.00"),
            ("PassbookRmk", "債券還本付息"),
        ),
    ),
    _credit(1, "投資人甲", "500000.00"),
    _credit(2, "投資人乙", "400000.00"),
    _credit(3, "投資人丙", "250000.00"),
    _credit(4, "投資人丁", "75000.00"),
    _credit(5, "投資人戊", "25000.00"),
)
_DONE: tuple[_Field, ...] = (("Status", "PSPBK0000I"), ("StatusText", "處理完成"))
_ACCOUNT: tuple[_Field, ...] = (*_BANK, ("Acct", "99900100000001"), ("Ccy", "USD"))
_EXCHANGE: tuple[_Field, ...] = (("SellCcy", "USD"), ("SellAmt", "10000.00"), ("BuyCcy", "TWD"))

#: The content of each request service's sample.
_CONTENT: Mapping[str, Sequence[_Field]] = {
    "PS810FTRQ": _TRANSFER,
    "PS811FTRRQ": (*_IDS, ("BusType", "010"), ("PMTID", "1"), ("PMTOUTID", "1"), *_DONE),
    "PS830INQRQ": (*_IDS, ("BusType", "010"), ("PMTID", "1")),
    "PS831INRRQ": (*_IDS, ("BusType", "010"), ("PMTID", "1"), *_DONE),
    "PS802RSDRQ": (*_IDS, ("SvcId", "PS811FTRRQ"), ("Date", "2026-11-21")),
    "IS910SMDRQ": (("Kind", "010"), ("Text", "本日作業正常。")),
    "IS920VASRQ": (("Kind", "020"), ("SSNID", "20261121000124"), *_ACCOUNT),
    "IS930PIDRQ": (
        ("Kind", "030"),
        ("PMTINID", "1"),
        *_BANK,
        ("Acct", "99900100000001"),
        *_money("500000.00"),
    ),
    "IS940PICRQ": (
        ("Kind", "040"),
        *_BANK,
        ("Acct", "99900100000001"),
        *_money("1250000.00"),
        ("Date", "2026-11-23"),
    ),
    "PS850CERQ": (*_IDS, ("BusType", "010"), ("PMTID", "1"), *_EXCHANGE),
    "PS851CERQ": (*_IDS, ("BusType", "010"), ("PMTID", "1"), *_EXCHANGE, *_DONE),
    "PS860INQRQ": (*_ACCOUNT, ("From", "2026-11-01"), ("To", "2026-11-21")),
    "PS861INRRQ": (*_ACCOUNT, ("Balance", "1250000.00"), *_DONE),
}


def sample_body(service: str) -> str:
    """A plausible body for ``service``, to be sent as it is."""
    content = _CONTENT.get(service, _IDS)
    lines = "".join(_written(field, "  ") for field in content)
    return f'<{service} xmlns="{NAMESPACE}">\n{lines}</{service}>\n'


def _written(field: _Field, indent: str) -> str:
    name, value = field
    if isinstance(value, str):
        return f"{indent}<{name}>{escape(value)}</{name}>\n"
    inner = "".join(_written(one, indent + "  ") for one in value)
    return f"{indent}<{name}>\n{inner}{indent}</{name}>\n"
