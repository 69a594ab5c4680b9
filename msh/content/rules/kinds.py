"""Rules of message kinds and business types (TDCC PSP 9.3, 9.4 and 9.6)."""

from __future__ import annotations

from msh.content.rule import Facts

#: Kinds that tell a result: 核印結果 and 匯入確認結果 (9.4).
RESULTS = frozenset({"021", "023", "041"})


def kind_of_the_service(facts: Facts) -> str | None:
    """The message kind is one of its service's."""
    name = facts.names.message_kind
    kind = facts.body.text(name)
    row = facts.catalog.message_kinds.get(kind or "")
    if kind is not None and (row is None or row.service != facts.service):
        return f"{name} is none of {facts.service}"
    return None


def type_of_the_service(facts: Facts) -> str | None:
    """The business type is one for which the service is open at all (9.6)."""
    if not facts.business_type:
        return None
    found = False
    for row in facts.catalog.hours:
        if row.code == facts.service:
            if not row.business_types or facts.business_type in row.business_types:
                return None
            found = True
    return f"{facts.names.business_type} is none of {facts.service}" if found else None


def result_has_a_status(facts: Facts) -> str | None:
    """A kind that tells a result has a status code of the tables."""
    names = facts.names
    if facts.body.text(names.message_kind) not in RESULTS:
        return None
    status = facts.body.text(names.status)
    if status is None:
        return f"{names.status} is missing, and {names.message_kind} tells a result"
    return None if status in facts.catalog.statuses else f"{names.status} is no status code"
