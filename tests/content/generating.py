"""Values for a body, generated from its schema."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st
from lxml import etree

from msh.catalog import schemas_folder

FOLDER = schemas_folder() / "tdcc-psp-3.4" / "bodies"
XS = "{http://www.w3.org/2001/XMLSchema}"
COMMON = etree.fromstring((FOLDER / "common.xsd").read_bytes())
# What XML can hold. A C1 control or a non-character is allowed, and nobody's name.
TEXTS = st.characters(
    codec="utf-8", exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"
)


def named(kind: str, name: str) -> Any:
    """A type or group of common.xsd."""
    (found,) = (one for one in COMMON.iterchildren(f"{XS}{kind}") if one.get("name") == name)
    return found


def values_of(service: str) -> st.SearchStrategy[dict[str, Any]]:
    """Any values that the body of ``service`` can have, as they are read."""
    schema = etree.fromstring((FOLDER / f"{service}.xsd").read_bytes())
    element = schema.find(f"{XS}element")
    return element_values(element)


def element_values(element: Any) -> st.SearchStrategy[Any]:
    kind = element.get("type")
    if kind is None:
        return fields_of(element.find(f"{XS}complexType"))
    for one in COMMON.iterchildren(f"{XS}complexType"):
        if one.get("name") == kind:
            return fields_of(one)
    return simple(named("simpleType", kind))


def fields_of(kind: Any) -> st.SearchStrategy[dict[str, Any]]:
    @st.composite
    def made(draw: st.DrawFn) -> dict[str, Any]:
        return dict(drawn(draw, kind.find(f"{XS}sequence")))

    return made()


def drawn(draw: st.DrawFn, sequence: Any) -> Iterator[tuple[str, Any]]:
    for part in sequence.iterchildren(f"{XS}element", f"{XS}group", f"{XS}choice"):
        least, most = part.get("minOccurs", "1"), part.get("maxOccurs", "1")
        if part.tag == f"{XS}element" and most != "1":
            yield (
                part.get("name"),
                draw(st.lists(element_values(part), min_size=int(least), max_size=3)),
            )
        elif least == "0" and draw(st.booleans()):
            continue
        elif part.tag == f"{XS}element":
            yield part.get("name"), draw(element_values(part))
        elif part.tag == f"{XS}group":
            yield from drawn(draw, named("group", part.get("ref")).find(f"{XS}sequence"))
        else:
            one = draw(st.sampled_from(list(part.iterchildren(f"{XS}element", f"{XS}group"))))
            if one.tag == f"{XS}group":
                yield from drawn(draw, named("group", one.get("ref")).find(f"{XS}sequence"))
            else:
                yield one.get("name"), draw(element_values(one))


def simple(kind: Any) -> st.SearchStrategy[Any]:
    restriction = kind.find(f"{XS}restriction")
    base = restriction.get("base")

    def facet(name: str) -> str | None:
        found = restriction.find(f"{XS}{name}")
        return None if found is None else found.get("value")

    enumerated = [one.get("value") for one in restriction.iterchildren(f"{XS}enumeration")]
    if enumerated:
        return st.sampled_from(enumerated)
    if base == "xs:int":
        return st.integers(int(facet("minInclusive") or 0), int(facet("maxInclusive") or 0))
    if base == "xs:date":
        return st.dates()
    pattern = facet("pattern")
    if base == "xs:decimal":
        numbers = st.from_regex(f"\\A(?:{pattern})\\Z").map(Decimal)
        return numbers.filter(lambda one: one > 0) if facet("minExclusive") else numbers
    assert base == "xs:string"
    if pattern:
        return st.from_regex(f"\\A(?:{pattern})\\Z")
    return st.text(
        TEXTS, min_size=int(facet("minLength") or 0), max_size=int(facet("maxLength") or 9)
    )
