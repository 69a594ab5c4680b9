"""Requests with as many payments as a test wants."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from msh.content.body import Body
from msh.content.splitting import whole_shape
from msh.envelope import normal_body
from msh.profiles import standard_profile
from msh.xml import parse

CONTENT = standard_profile().content
NAMESPACE = "urn:tdcc:psp:body:3.4"
SIDE = "<BANK>999</BANK><SWIFTCODE>TESTTWTP</SWIFTCODE><Acct>{}</Acct><Ccy>{}</Ccy><Amt>{}</Amt>"


def group(number: int, currency: str = "USD", amount: str = "100.50", remark: str = "") -> str:
    """One payment of OOOI."""
    side = SIDE.format("99900100000001", currency, amount)
    told = f"<PassbookRmk>{remark}</PassbookRmk>" if remark else ""
    return (
        f"<PmtSvc><PMTID>{number}</PMTID><OUT><PMTOUTID>1</PMTOUTID>{side}{told}</OUT>"
        f"<IN><PMTINID>1</PMTINID>{side}</IN></PmtSvc>"
    )


def transfer(
    groups: Sequence[str],
    totals: Sequence[tuple[int, str, str]] = (),
    *,
    reference: str = "20261123000123",
    shape: str = "OOOI",
    between: str = "",
) -> str:
    """A PS810 of these groups."""
    told = "".join(
        f"<Total><Count>{count}</Count><Ccy>{currency}</Ccy><Amt>{amount}</Amt></Total>"
        for count, currency, amount in totals
    )
    return (
        f'<PS810FTRQ xmlns="{NAMESPACE}">'
        f"<SSNID>{reference}</SSNID><SVCREFID>FT{reference}</SVCREFID>"
        f"<BusType>030</BusType><FundPmtSvc>{shape}</FundPmtSvc>"
        f"<SettleDate>2026-11-23</SettleDate>{between.join(groups)}{told}</PS810FTRQ>"
    )


def many(count: int) -> str:
    """A PS810 of ``count`` payments in two currencies, with totals."""
    groups, sums = [], {"USD": [], "TWD": []}
    for number in range(1, count + 1):
        currency = "USD" if number % 3 else "TWD"
        amount = f"{number}.50"
        sums[currency].append(Decimal(amount))
        groups.append(group(number, currency, amount))
    totals = [(len(found), name, f"{sum(found):f}") for name, found in sums.items() if found]
    return transfer(groups, totals)


def collected(count: int) -> str:
    """An IS930 of ``count`` items."""
    items = "".join(
        f"<Item><PMTINID>{number}</PMTINID>"
        f"{SIDE.format(f'9990030{number:07d}', 'TWD', f'{number}.00')}</Item>"
        for number in range(1, count + 1)
    )
    return (
        f'<IS930PIDRQ xmlns="{NAMESPACE}"><Kind>030</Kind><SSNID>S1</SSNID><SVCREFID>R1</SVCREFID>'
        f"<Date>2026-11-23</Date>{items}</IS930PIDRQ>"
    )


def normal(text: str) -> bytes:
    """A body of any size as `split` wants it."""
    return normal_body(text, whole_shape())


def read(body: bytes) -> Body:
    """A body of any size as rules look at it."""
    return Body(parse(body, whole_shape()), len(body))
