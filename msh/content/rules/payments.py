"""Rules of batches: ids, shapes, currencies and amounts (TDCC PSP 9.2 and 9.5)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from msh.content.batch import Group, Side, amount_of, total_of
from msh.content.rule import Facts
from msh.content.schema import place

# 一扣一入, 一扣多入, 多扣一入 (9.5).
ONE_TO_ONE, ONE_TO_MANY, MANY_TO_ONE = "OOOI", "OOMI", "MOOI"


def currencies_agree(facts: Facts) -> str | None:
    """The debits and credits of a group are in one currency."""
    for group in facts.batch.groups:
        currencies = {side.currency for side in group.outs + group.ins} - {None}
        if len(currencies) > 1:
            return f"{place(group.element)} holds more than one currency"
    return None


def one_group(facts: Facts) -> str | None:
    """OOMI and MOOI hold one group per batch."""
    if facts.shape in (ONE_TO_MANY, MANY_TO_ONE) and len(facts.batch.groups) > 1:
        return f"more than one {facts.names.group}, which only {ONE_TO_ONE} may hold"
    return None


def pairs_agree(facts: Facts) -> str | None:
    """In each group of OOOI the debit is the credit."""
    return _amounts_differ(facts) if facts.shape == ONE_TO_ONE else None


def sums_agree(facts: Facts) -> str | None:
    """In OOMI and MOOI the debits come to as much as the credits."""
    return _amounts_differ(facts) if facts.shape in (ONE_TO_MANY, MANY_TO_ONE) else None


def shape_allowed(facts: Facts) -> str | None:
    """The shape is one that the business type may use (9.5)."""
    row = facts.catalog.funding.get(facts.business_type)
    if row is not None and facts.shape and facts.shape not in row.shapes:
        return f"{facts.names.shape} is none that this {facts.names.business_type} may use"
    return None


def unique_ids(facts: Facts) -> str | None:
    """No two groups, no two debits and no two credits of a group have one id."""
    names = facts.names
    groups = facts.batch.groups
    if found := _repeated(groups):
        return f"{place(found.element)} has the {names.group_id} of an earlier one"
    for group in groups:
        if found := _repeated(group.outs):
            return f"{place(found.element)} has the {names.out_id} of an earlier one"
        if found := _repeated(group.ins):
            return f"{place(found.element)} has the {names.in_id} of an earlier one"
    if not groups and (found := _repeated(facts.sides)):  # the items of a list
        return f"{place(found.element)} has the {names.in_id} of an earlier one"
    return None


def totals_agree(facts: Facts) -> str | None:
    """Totals, if given, name each currency once, its number of groups and what they come to."""
    batch, names = facts.batch, facts.names
    if not batch.totals:
        return None
    amounts: dict[str | None, list[Decimal | None]] = {}
    for group in batch.groups:
        currency = next((side.currency for side in group.outs), None)
        amounts.setdefault(currency, []).append(_sum(group.outs))
    seen = set()
    for total in batch.totals:
        if total.currency in seen:
            return f"{place(total.element)} is of the currency of an earlier one"
        seen.add(total.currency)
        found = amounts.get(total.currency)
        if found is None:
            return f"{place(total.element)} is of a currency that no {names.group} has"
        if total.groups is not None and total.groups != len(found):
            return f"{place(total.element)}/{names.count} is not the number of groups"
        amount, come_to = amount_of(total.text), _added(found)
        if amount is not None and come_to is not None and amount != come_to:
            return f"{place(total.element)}/{names.amount} is not what the groups come to"
    if len(seen) < len(amounts):
        return f"a currency of the groups has no {names.total}"
    return None


def fee_currency(facts: Facts) -> str | None:
    """A fee is in the currency of its credit."""
    for side in facts.batch.sides:
        fee = side.fee
        if fee and fee.currency and side.currency and fee.currency != side.currency:
            return f"{place(fee.element)} is in another currency than its credit"
    return None


def group_id_not_zero(facts: Facts) -> str | None:
    """PMTID is not 0."""
    return _zero(facts.batch.groups, facts.names.group_id)


def out_id_not_zero(facts: Facts) -> str | None:
    """PMTOUTID is not 0."""
    outs = (side for group in facts.batch.groups for side in group.outs)
    return _zero(outs, facts.names.out_id)


def in_id_not_zero(facts: Facts) -> str | None:
    """PMTINID is not 0."""
    groups = facts.batch.groups
    credits = (side for group in groups for side in group.ins) if groups else facts.sides
    return _zero(credits, facts.names.in_id)


def one_debit(facts: Facts) -> str | None:
    """OOMI and OOOI have one debit in each group, and its PMTOUTID is 1."""
    if facts.shape in (ONE_TO_MANY, ONE_TO_ONE):
        for group in facts.batch.groups:
            if found := _not_one(group, group.outs, facts.names.out, facts.names.out_id):
                return found
    return None


def one_credit(facts: Facts) -> str | None:
    """MOOI and OOOI have one credit in each group, and its PMTINID is 1."""
    if facts.shape in (MANY_TO_ONE, ONE_TO_ONE):
        for group in facts.batch.groups:
            if found := _not_one(group, group.ins, facts.names.into, facts.names.in_id):
                return found
    return None


def debit_of_this_bank(facts: Facts) -> str | None:
    """Every debit is of the bank that was asked; only where that bank said which one it is."""
    if facts.bank:
        for group in facts.batch.groups:
            for side in group.outs:
                if side.bank is not None and not side.bank.startswith(facts.bank):
                    return f"{place(side.element)}/{facts.names.bank} is another bank"
    return None


def _sum(sides: Sequence[Side]) -> Decimal | None:
    """What they come to; None where an amount is missing or cannot be read."""
    return sides[0].amount if len(sides) == 1 else _added([side.amount for side in sides])


def _added(amounts: Sequence[Decimal | None]) -> Decimal | None:
    known = [amount for amount in amounts if amount is not None]
    return total_of(known) if len(known) == len(amounts) else None


def _amounts_differ(facts: Facts) -> str | None:
    for group in facts.batch.groups:
        debits, credits = _sum(group.outs), _sum(group.ins)
        if debits is not None and credits is not None and debits != credits:
            return f"{place(group.element)}: debits and credits come to different amounts"
    return None


def _repeated(found: Iterable[Group] | Iterable[Side]) -> Group | Side | None:
    seen = set()
    for one in found:
        if one.number is not None:
            if one.number in seen:
                return one
            seen.add(one.number)
    return None


def _zero(found: Iterable[Group] | Iterable[Side], name: str) -> str | None:
    for one in found:
        if one.number == 0:
            return f"{place(one.element)}/{name} is 0"
    return None


def _not_one(group: Group, sides: Sequence[Side], side: str, name: str) -> str | None:
    if len(sides) > 1:
        return f"{place(group.element)} holds more than one {side}"
    if sides and sides[0].number not in (1, None):
        return f"{place(sides[0].element)}/{name} is not 1"
    return None
