"""A body as checks look at it: elements by their local names, and texts without white space."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

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
    date: str = "Date"
    date_from: str = "From"
    date_to: str = "To"
    item: str = "Item"
    status: str = "Status"
    text: str = "Text"
    service: str = "SvcId"
    message_id: str = "MsgId"


@dataclass(frozen=True, slots=True)
class Splitting:
    """How a request that is too large is cut into several (TDCC PSP 9.7.5, 5).

    ``repeats`` tells for a service what repeats in its body, by a field of `BodyNames` (``group``
    or ``item``); ``reference_length`` is the most characters that SSNID and SVCREFID may have.
    """

    repeats: Mapping[str, str] = field(
        default_factory=lambda: {"PS810FTRQ": "group", "IS930PIDRQ": "item"}
    )
    reference_length: int = 35


class References(NamedTuple):
    """By what the two sides name a piece of business (TDCC PSP 9.2, PSPBK0129E)."""

    ssn_id: str | None
    service_ref: str | None


class LocalNames(dict[str, str]):
    """The local name of each tag that was looked up."""

    def __missing__(self, tag: str) -> str:
        name = self[tag] = tag.rpartition("}")[2]
        return name


class Body:
    """One parsed body. Whatever it is asked for, it looks at elements by their local names.

    ``local`` gives the local name of a tag.
    """

    def __init__(self, root: Element, size: int = 0) -> None:
        self.root = root
        self.local = LocalNames()
        #: In bytes, of the XML it was read from.
        self.size = size

    @property
    def name(self) -> str:
        """The local name of the body's element."""
        return local(self.root)

    def text(self, name: str) -> str | None:
        """The text of the child called ``name``, None without one (or with more than one)."""
        return self._texts.get(name)

    @cached_property
    def _texts(self) -> Mapping[str, str | None]:
        return self.texts(self.root)

    def texts(self, element: Element) -> Mapping[str, str | None]:
        """The texts of ``element``'s children by name; None for a name that more than one has."""
        local = self.local
        found: dict[str, str | None] = {
            local[child.tag]: (child.text or "").strip() for child in element
        }
        if len(found) < len(element):
            counts = Counter(local[child.tag] for child in element)
            found.update({name: None for name, count in counts.items() if count > 1})
        return found

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
