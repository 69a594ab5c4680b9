"""The digests: what takes part, what does not, and that no two contents run together."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msh.catalog import StatusCode
from msh.message import Message
from msh.protocol.digest import VERSION, content_digest, message_digest
from msh.testing.strategies import messages

NOW = datetime(2026, 11, 21, tzinfo=UTC)
USUAL = Message(
    service="PS810FTRQ",
    message_id="BIZ-1",
    sender="BIZ",
    receiver="PSP",
    timestamp=NOW,
    body=b"<a></a>",
)
REFRESHABLE = {
    "timestamp": NOW + timedelta(seconds=1),
    "expires": NOW,
    "status": StatusCode.parse("PSPPM0000I"),
    "status_text": "x",
    "ref_digest": bytes(32),
}
CONTENT = {
    "service": "PS811FTRRQ",
    "message_id": "BIZ-2",
    "ref_to": "PSP-1",
    "sender": "BIZ2",
    "receiver": "PSP2",
    "body": b"<a>1</a>",
}


def test_every_field_is_one_or_the_other() -> None:
    assert {field.name for field in fields(Message)} == {*REFRESHABLE, *CONTENT}


@pytest.mark.parametrize("field", REFRESHABLE)
def test_nothing_that_a_resend_may_refresh_takes_part(field: str) -> None:
    changed = replace(USUAL, **{field: REFRESHABLE[field]})
    assert message_digest(changed) == message_digest(USUAL)


@pytest.mark.parametrize("field", CONTENT)
def test_all_content_takes_part(field: str) -> None:
    changed = replace(USUAL, **{field: CONTENT[field]})
    assert message_digest(changed) != message_digest(USUAL)


@given(messages(), messages())
def test_two_messages_have_one_digest_exactly_when_their_content_is_one(
    a: Message, b: Message
) -> None:
    same = all(getattr(a, field) == getattr(b, field) for field in CONTENT)
    assert (message_digest(a) == message_digest(b)) == same
    assert message_digest(replace(b, **{f: getattr(a, f) for f in CONTENT})) == message_digest(a)


@given(st.text("ab1:", min_size=2, max_size=8), st.data())
def test_what_moves_from_one_field_to_the_next_changes_the_digest(
    text: str, data: st.DataObject
) -> None:
    cuts = st.integers(1, len(text) - 1)
    first, second = data.draw(cuts), data.draw(cuts)

    def cut(at: int) -> Message:
        return replace(USUAL, sender=text[:at], receiver=text[at:])

    assert (message_digest(cut(first)) == message_digest(cut(second))) == (first == second)


def test_a_length_that_looks_like_content_fools_nobody() -> None:
    assert content_digest("a", "b", "c", b"") != content_digest("a", "b1:c", None, b"")
    assert content_digest("S", "R", None, b"1:x") != content_digest("S", "R0:", None, b"1:x")


def test_the_definition_is_fixed_for_its_version() -> None:
    written = b"9:PS810FTRQ5:BIZ-10:3:BIZ3:PSP7:<a></a>"
    assert VERSION == 1
    assert message_digest(USUAL) == sha256(written).digest()
    written = b"9:PS810FTRQ3:PSP0:7:<a></a>"
    assert content_digest("PS810FTRQ", "PSP", None, b"<a></a>") == sha256(written).digest()


@pytest.mark.parametrize(
    "other",
    [
        ("PS811FTRRQ", "PSP", None, b"<a></a>"),
        ("PS810FTRQ", "BANK", None, b"<a></a>"),
        ("PS810FTRQ", "PSP", "X-1", b"<a></a>"),
        ("PS810FTRQ", "PSP", None, b"<b></b>"),
    ],
)
def test_a_callers_key_is_held_to_all_it_gave(other: tuple[str, str, str | None, bytes]) -> None:
    assert content_digest(*other) != content_digest("PS810FTRQ", "PSP", None, b"<a></a>")
