"""SSNID and SVCREFID are unique: judged by the store, as it takes a message (TDCC PSP 9.2)."""

from __future__ import annotations

from msh.content.body import Body, BodyNames, References
from msh.content.rule import Facts


def unique_references(facts: Facts) -> str | None:
    """SSNID and SVCREFID are those of no other message that is kept (the store looks)."""
    return None


def reused(names: BodyNames) -> str:
    """Why a message is refused whose references another one holds."""
    return f"{names.ssn_id} or {names.service_ref} is that of another message"


def references_of(body: Body, names: BodyNames) -> References:
    """The references in a body."""
    return References(body.text(names.ssn_id) or None, body.text(names.service_ref) or None)
