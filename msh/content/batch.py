"""The payments of a body, read once for all rules: groups, their debits and credits, totals.

What is not there, is there twice, or cannot be read is None; whether that may be is the schema's
business, and rules have no opinion on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact
from functools import reduce
from typing import NamedTuple

from msh.content.body import Body, BodyNames
from msh.xml import Element

#: The digits before and after the point that are read; far more than any currency needs.
_LONGEST = 30
_AMOUNT = re.compile(r"[+-]?(?:[0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})")
# Enough for the sum of as many such amounts as a message can hold, so that none is ever rounded.
_EXACT = Context(prec=100, traps=[Inexact])
_NOTHING = Decimal(0)


class Money(NamedTuple):
    """An amount as it is written, and its currency."""

    element: Element
    currency: str | None
    text: str | None


class Side(NamedTuple):
    """A debit or a credit (TDCC PSP 9.5, OUT and IN), or an account without either.

    ``text`` is the amount as it is written.
    """

    element: Element
    number: int | None
    bank: str | None
    swift: str | None
    account: str | None
    currency: str | None
    text: str | None
    amount: Decimal | None
    fee: Money | None


class Group(NamedTuple):
    """Debits and credits that belong together (TDCC PSP 9.5, PmtSvc)."""

    element: Element
    number: int | None
    outs: list[Side]
    ins: list[Side]


class Total(NamedTuple):
    """What the groups of one currency should come to."""

    element: Element
    groups: int | None
    currency: str | None
    text: str | None


@dataclass(frozen=True, slots=True)
class Batch:
    """All of them, and every side in document order."""

    groups: list[Group]
    totals: list[Total]
    sides: list[Side]

    @property
    def moneys(self) -> Iterator[Side | Money | Total]:
        """Every amount with its currency."""
        yield from self.sides
        for side in self.sides:
            if side.fee is not None:
                yield side.fee
        yield from self.totals


def read_batch(body: Body, names: BodyNames) -> Batch:
    """The batch in ``body``; empty for one that holds no groups."""
    reader = _Reader(body, names)
    groups, totals, local = [], [], body.local
    for element in body.root:
        name = local[element.tag]
        if name == names.group:
            groups.append(reader.group(element))
        elif name == names.total:
            totals.append(reader.total(element))
    return Batch(groups, totals, reader.sides)


def sides_of(body: Body, names: BodyNames) -> list[Side]:
    """The accounts of a body that holds no groups: its own, and those of its items."""
    reader = _Reader(body, names)
    for element in (body.root, *body.all(names.item)):
        reader.side(element, names.in_id)
    return [side for side in reader.sides if side.account is not None]


def moneys_of(body: Body, names: BodyNames) -> list[Money]:
    """The amounts of a body that holds no groups, wherever they stand."""
    found = []
    for currency in body.root.iter(f"{{*}}{names.currency}"):
        parent = currency.getparent()
        if parent is not None:
            get = body.texts(parent).get
            found.append(Money(parent, get(names.currency), get(names.amount)))
    return found


def number(text: str | None) -> int | None:
    """A whole number as written; None if it is none."""
    try:
        return int(text) if text and len(text) <= _LONGEST else None
    except ValueError:
        return None


def amount_of(text: str | None) -> Decimal | None:
    """An amount as written, exactly; None if it is none."""
    return Decimal(text) if text and _AMOUNT.fullmatch(text) else None


def total_of(amounts: Iterable[Decimal]) -> Decimal:
    """The exact sum of amounts."""
    return reduce(_EXACT.add, amounts, _NOTHING)


class _Reader:
    """Reads groups, and keeps the sides it meets."""

    def __init__(self, body: Body, names: BodyNames) -> None:
        self._body = body
        self._names = names
        self.sides: list[Side] = []

    def group(self, element: Element) -> Group:
        names, local = self._names, self._body.local
        group_id = None
        outs, ins = [], []
        for child in element:
            name = local[child.tag]
            if name == names.into:
                ins.append(self.side(child, names.in_id))
            elif name == names.out:
                outs.append(self.side(child, names.out_id))
            elif name == names.group_id:
                group_id = number((child.text or "").strip())
        return Group(element, group_id, outs, ins)

    def side(self, element: Element, id_name: str) -> Side:
        names = self._names
        texts = self._body.texts(element)
        get = texts.get
        text = get(names.amount)
        side = Side(
            element,
            number(get(id_name)),
            get(names.bank),
            get(names.swift),
            get(names.account),
            get(names.currency),
            text,
            amount_of(text),
            self._fee(element) if names.fee in texts else None,
        )
        self.sides.append(side)
        return side

    def total(self, element: Element) -> Total:
        names = self._names
        get = self._body.texts(element).get
        count = number(get(names.count))
        return Total(element, count, get(names.currency), get(names.amount))

    def _fee(self, side: Element) -> Money | None:
        names = self._names
        for element in side:
            if self._body.local[element.tag] == names.fee:
                get = self._body.texts(element).get
                return Money(element, get(names.currency), get(names.amount))
        return None
