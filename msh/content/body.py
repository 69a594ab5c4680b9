"""A body as checks look at it: elements by their local names, and texts without white space."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lxml import etree

from msh.xml import Element


@dataclass(frozen=True, slots=True)
class BodyNames:
    """Local names of what checks look for in a body (TDCC PSP 9.2, 9.5).

    Published are ``SSNID``, ``SVCREFID``, ``BusType``, ``FundPmtSvc``, ``PmtSvc``, ``OUT``,
    ``IN``, the ids, ``BANK`` and ``SWIFTCODE``; a profile may change each.
    """

    ssn_id: str = "SSNID"
    service_ref: str = "SVCREFID"
    business_type: str = "BusType"
    message_kind: str = "Kind"
    shape: str = "FundPmtSvc"
    group: str = "PmtSvc"
    group_id: str = "PMTID"
    out: str = "OUT"
    out_id: str = "PMTOUTID"
    into: str = "IN"
    in_id: str = "PMTINID"
    bank: str = "BANK"
    swift: str = "SWIFTCODE"
    account: str = "Acct"
    currency: str = "Ccy"
    amount: str = "Amt"
    fee: str = "Fee"
    total: str = "Total"
    count: str = "Count"
    settle_date: str = "SettleDate"
    date_from: str = "From"
    date_to: str = "To"
    item: str = "Item"
    status: str = "Status"


class Body:
    """One parsed body. Whatever it is asked for, it looks at elements by their local names."""

    def __init__(self, root: Element) -> None:
        self.root = root

    @property
    def name(self) -> str:
        """The local name of the body's element."""
        return local(self.root)

    def text(self, name: str) -> str | None:
        """The text of the child called ``name``, None without one (or with more than one)."""
        return text_of(self.root, name)

    def all(self, *path: str) -> Iterator[Element]:
        """The elements at ``path``, children of children, in document order."""
        return _at(self.root, path)


def local(element: Element) -> str:
    """An element's name without its namespace."""
    return etree.QName(element).localname


def text_of(element: Element, name: str) -> str | None:
    """The text of ``element``'s child called ``name``, None without one (or with more than one)."""
    found = list(element.iterchildren(f"{{*}}{name}"))
    return (found[0].text or "").strip() if len(found) == 1 else None


def _at(element: Element, path: tuple[str, ...]) -> Iterator[Element]:
    if not path:
        yield element
        return
    for child in element.iterchildren(f"{{*}}{path[0]}"):
        yield from _at(child, path[1:])
