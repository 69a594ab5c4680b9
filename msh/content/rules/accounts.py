"""Rules of accounts, banks and currencies, of whatever body (TDCC PSP 9.2)."""

from __future__ import annotations

from msh.content.rule import Facts
from msh.content.schema import place

# ours: accounts between banks have up to 16 digits, and no bank's own has fewer than 10.
_SHORTEST, _LONGEST = 10, 16
_HOME = "TW"
#: Characters of a SWIFT code that name the bank and its place, without the branch (ISO 9362).
_OF_THE_BANK = 8


def known_currency(facts: Facts) -> str | None:
    """Every currency is one of ISO 4217."""
    known = facts.currencies
    if known:
        for money in facts.moneys:
            if money.currency is not None and money.currency not in known:
                return f"{place(money.element)}/{facts.names.currency} is no currency of ISO 4217"
    return None


def digits_of_the_currency(facts: Facts) -> str | None:
    """No amount has more decimals than its currency."""
    digits = facts.currencies.get
    for money in facts.moneys:
        most = digits(money.currency or "")
        if most is not None and len((money.text or "").partition(".")[2]) > most:
            at = f"{place(money.element)}/{facts.names.amount}"
            return f"{at} has more decimals than its currency"
    return None


def account_format(facts: Facts) -> str | None:
    """An account has 10 to 16 digits, unless its SWIFT code is of another country."""
    for side in facts.sides:
        account, swift = side.account, side.swift
        if account is None or (account.isdigit() and _SHORTEST <= len(account) <= _LONGEST):
            continue
        if swift is None or swift[4:6] == _HOME:
            return f"{place(side.element)}/{facts.names.account} has not 10 to 16 digits"
    return None


def bank_and_swift(facts: Facts) -> str | None:
    """Bank code and SWIFT code are of one bank, as far as the profile's banks tell."""
    banks = facts.banks
    for side in facts.sides:
        if side.bank is None or side.swift is None:
            continue
        swift = side.swift[:_OF_THE_BANK]
        known = banks.get(side.bank[:3])
        if swift in known if known is not None else not any(swift in all for all in banks.values()):
            continue
        return f"{place(side.element)}: {facts.names.bank} and {facts.names.swift} do not match"
    return None


def account_once(facts: Facts) -> str | None:
    """No two items of a list are for one (virtual) account."""
    seen = set()
    for side in facts.sides:
        account = side.bank, side.account
        if account in seen:
            return f"{place(side.element)}/{facts.names.account} is that of an earlier one"
        seen.add(account)
    return None
