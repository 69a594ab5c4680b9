"""The business rules of the payment platform, in the order of the code table (TDCC PSP 9.2).

A site extends or trims the list in ``profile.toml`` (see `msh.content.ruleset`).
"""

from __future__ import annotations

from collections.abc import Callable

from msh.catalog import StatusCode
from msh.content.rule import Facts, Rule
from msh.content.rules import accounts, dates, kinds, payments, references

# Results (PS811 ...) are under no rule: refusing one would lose the outcome of a payment.
_PAYMENTS = ("PS810FTRQ",)
_SETTLED = ("PS810FTRQ", "PS850CERQ")
_INQUIRIES = ("PS860INQRQ",)
_LISTS = ("IS930PIDRQ",)
_KINDS = ("IS910SMDRQ", "IS920VASRQ", "IS930PIDRQ", "IS940PICRQ")
_TELLING = ("IS920VASRQ", "IS940PICRQ")
_ACCOUNTS = ("PS810FTRQ", "PS860INQRQ", "IS920VASRQ", "IS930PIDRQ", "IS940PICRQ")
_MONEY = ("PS810FTRQ", "PS850CERQ", "PS860INQRQ", "IS920VASRQ", "IS930PIDRQ", "IS940PICRQ")
_TYPED = ("PS810FTRQ", "PS830INQRQ", "PS850CERQ", "PS860INQRQ")
#: The requests that begin something; any other refers to one by its SSNID and SVCREFID.
BEGINNING = ("PS810FTRQ", "PS850CERQ", "PS860INQRQ", "IS920VASRQ", "IS930PIDRQ", "IS940PICRQ")


def _rule(
    name: str,
    code: str,
    services: tuple[str, ...],
    broken: Callable[[Facts], str | None],
    check: str = "rule",
) -> Rule:
    return Rule(name, StatusCode.parse(code), frozenset(services), broken, check)


UNIQUE_REFERENCES = _rule(
    "unique-references", "PSPBK0129E", BEGINNING, references.unique_references
)

RULES: tuple[Rule, ...] = (
    _rule("currency", "PSPBK0001S", _MONEY, accounts.known_currency, "format"),
    _rule("amount-digits", "PSPBK0001S", _MONEY, accounts.digits_of_the_currency, "format"),
    _rule("result-status", "PSPBK0001S", _TELLING, kinds.result_has_a_status, "format"),
    _rule("currencies-agree", "PSPBK0101E", _PAYMENTS, payments.currencies_agree),
    _rule("one-group", "PSPBK0102E", _PAYMENTS, payments.one_group),
    _rule("pair-amounts", "PSPBK0103E", _PAYMENTS, payments.pairs_agree),
    _rule("message-kind", "PSPBK0106E", _KINDS, kinds.kind_of_the_service, "message_kind"),
    _rule("sum-amounts", "PSPBK0111E", _PAYMENTS, payments.sums_agree),
    _rule("business-type", "PSPBK0114E", _TYPED, kinds.type_of_the_service),
    _rule("shape", "PSPBK0114E", _PAYMENTS, payments.shape_allowed),
    _rule("unique-ids", "PSPBK0114E", (*_PAYMENTS, *_LISTS), payments.unique_ids),
    _rule("inquiry-age", "PSPBK0115E", _INQUIRIES, dates.not_six_months_back),
    _rule("account-format", "PSPBK0116E", _ACCOUNTS, accounts.account_format),
    _rule("totals", "PSPBK0120E", _PAYMENTS, payments.totals_agree),
    _rule("fee-currency", "PSPBK0121E", _PAYMENTS, payments.fee_currency),
    _rule("settlement-date", "PSPBK0122E", _SETTLED, dates.settled_on_a_business_day),
    _rule("next-business-day", "PSPBK0122E", _LISTS, dates.counted_as_the_next_day),
    _rule("account-once", "PSPBK0123E", _LISTS, accounts.account_once),
    _rule("inquiry-future", "PSPBK0124E", _INQUIRIES, dates.not_in_the_future),
    _rule("inquiry-order", "PSPBK0125E", _INQUIRIES, dates.in_order),
    _rule("group-id", "PSPBK0126E", _PAYMENTS, payments.group_id_not_zero),
    _rule("debit-id", "PSPBK0127E", _PAYMENTS, payments.out_id_not_zero),
    _rule("credit-id", "PSPBK0128E", (*_PAYMENTS, *_LISTS), payments.in_id_not_zero),
    UNIQUE_REFERENCES,
    _rule("bank-swift", "PSPBK0130E", _ACCOUNTS, accounts.bank_and_swift),
    _rule("own-debit", "PSPBK0131E", _PAYMENTS, payments.debit_of_this_bank),
    _rule("one-debit", "PSPBK0132E", _PAYMENTS, payments.one_debit),
    _rule("one-credit", "PSPBK0133E", _PAYMENTS, payments.one_credit),
)
