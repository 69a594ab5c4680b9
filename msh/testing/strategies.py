"""Hypothesis strategies for messages. Importing this module needs hypothesis.

::

    from hypothesis import given
    from msh.testing.strategies import messages

    @given(messages())
    def test_my_handler_takes_anything(message): ...
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from hypothesis import strategies as st

from msh.catalog import Service, StatusCode
from msh.envelope import normal_body
from msh.message import Message

_CATEGORIES: Final = ("L", "M", "N", "P", "S", "Z", "Cc", "Cf", "Co", "Cn")
_CDATA_END = "]]>"
_NAMES = ("Pay", "PMTID", "Amt", "金額", "_x", "a.b-c", "soap", "Body")
_PREFIXES = ("p", "q", "soap", "scoi", "xsi", "soap-env", "命")
_NAMESPACES = (
    "urn:a",
    "urn:b",
    "urn:tdcc:psp:sms:3.4",
    "http://schemas.xmlsoap.org/soap/envelope/",
    "http://www.w3.org/2001/XMLSchema-instance",
    "urn:a?b=1;c='2'",
)


def identifiers(longest: int = 128) -> st.SearchStrategy[str]:
    """Message ids and party ids: visible ASCII."""
    return st.text(
        st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=longest
    )


def xml_texts(longest: int = 24) -> st.SearchStrategy[str]:
    """Any text that XML can hold: white space, CR, CJK, markup, beyond the BMP."""
    legal = st.characters(codec="utf-8", categories=_CATEGORIES).filter(_is_legal)
    special = st.sampled_from([*"\r\n\t <>&\"'", _CDATA_END, "款項", "𠮷", "p:x", "&amp;", "<?x?>"])
    return st.lists(st.one_of(special, legal), max_size=longest).map("".join)


def bodies() -> st.SearchStrategy[bytes]:
    """Bodies in normal form, from nothing to trees with prefixes, some used by content only."""
    return st.one_of(st.just(""), _elements()).map(normal_body)


def moments() -> st.SearchStrategy[datetime]:
    """Times in UTC, to the microsecond, in any year."""
    return st.datetimes(timezones=st.just(UTC))


def status_codes() -> st.SearchStrategy[StatusCode]:
    """Any well-formed status code, in the published table or not."""
    return st.builds(
        StatusCode, st.sampled_from(["PM", "BK"]), st.integers(0, 9999), st.sampled_from("ISWE")
    )


def messages() -> st.SearchStrategy[Message]:
    """Any message there can be, requests and replies."""
    return st.builds(
        Message,
        service=st.one_of(st.sampled_from([str(service) for service in Service]), identifiers()),
        message_id=identifiers(),
        sender=identifiers(),
        receiver=identifiers(),
        timestamp=moments(),
        body=bodies(),
        ref_to=st.none() | identifiers(),
        expires=st.none() | moments(),
        status=st.none() | status_codes(),
        status_text=xml_texts(),
        ref_digest=st.none() | st.binary(min_size=32, max_size=32),
    )


@st.composite
def _elements(draw: st.DrawFn, depth: int = 0, scope: frozenset[str] = frozenset()) -> str:
    """One element as XML text; ``scope`` are the prefixes that are declared around it."""
    declared = draw(
        st.dictionaries(st.sampled_from(_PREFIXES), st.sampled_from(_NAMESPACES), max_size=2)
    )
    scope = scope | declared.keys()
    prefix = draw(st.sampled_from(["", *sorted(f"{name}:" for name in scope)]))
    name = prefix + draw(st.sampled_from(_NAMES))
    default = draw(st.sampled_from([None, None, "", *_NAMESPACES]))
    if default is not None:
        declared = {**declared, "": default}
    parts = [
        f" xmlns{':' if bound else ''}{bound}={quoteattr(uri)}" for bound, uri in declared.items()
    ]
    for attribute in draw(st.lists(st.sampled_from(_NAMES), max_size=3, unique=True)):
        parts.append(f" {attribute}={_quoted(draw(xml_texts(8)))}")
    if scope:  # one name in a namespace, whose value is a qualified name that only content uses
        around, used = draw(st.tuples(*[st.sampled_from(sorted(scope))] * 2))
        parts.append(f' {around}:type="{used}:T"')
    children = st.one_of(
        xml_texts(8).map(_escaped),
        st.just("<![CDATA[<&]]>"),
        *([_elements(depth + 1, scope)] if depth < 3 else []),
    )
    content = "".join(draw(st.lists(children, max_size=3)))
    return f"<{name}{''.join(parts)}>{content}</{name}>"


def _quoted(text: str) -> str:
    return quoteattr(text, {"\r": "&#13;", "\n": "&#10;", "\t": "&#9;"})


def _escaped(text: str) -> str:
    return escape(text, {"\r": "&#13;"})


def _is_legal(character: str) -> bool:
    code = ord(character)
    return code in (9, 10, 13) or 0x20 <= code <= 0xFFFD or code > 0xFFFF
