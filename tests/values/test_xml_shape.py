"""The shape of XML that is read: each limit refused just above and accepted at it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from lxml import etree

import msh.xml
from msh.xml import STANDARD_SHAPE, Shape, parse
from tests.values.test_xml import refused

SMALL = Shape(
    depth=4,
    elements=6,
    attributes=3,
    all_attributes=5,
    namespaces=3,
    declarations=4,
    name=10,
    prefix=5,
)


def elements(count: int) -> bytes:
    return b"<a>" + b"<b/>" * (count - 1) + b"</a>"


def nested(depth: int) -> bytes:
    return b"<a>" * depth + b"</a>" * depth


def attributes(count: int) -> bytes:
    return b"<a><b " + b" ".join(b"c%d='%d'" % (n, n) for n in range(count)) + b"/></a>"


def declared_on_root(count: int) -> bytes:
    return b"<a " + b" ".join(b"xmlns:p%d='urn:%d'" % (n, n) for n in range(count)) + b"/>"


def declared_in_depth(count: int) -> bytes:
    start = b"".join(b"<a xmlns='urn:%d'>" % n for n in range(count))
    return start + b"</a>" * count


def declared_on_siblings(count: int) -> bytes:
    return b"<a>" + b"".join(b"<b xmlns:p%d='urn:x'/>" % n for n in range(count)) + b"</a>"


def declared_in_all(count: int) -> bytes:
    return b"<a>" + b"<b xmlns='urn:x'/>" * count + b"</a>"


def element_name(length: int) -> bytes:
    return b"<a><%s/></a>" % (b"b" * length)


def cjk_element_name(length: int) -> bytes:
    return f"<a><{'金' * length}/></a>".encode()


def namespaced_name(length: int) -> bytes:
    return b"<p:%s xmlns:p='urn:a-rather-long-name-that-does-not-count'/>" % (b"b" * length)


def attributes_in_all(count: int) -> bytes:
    pairs, one = divmod(count, 2)
    return b"<a>" + b"<b c='1' d='2'/>" * pairs + b"<b c='1'/>" * one + b"</a>"


def attribute_name(length: int) -> bytes:
    return b"<a><b %s='1'/></a>" % (b"c" * length)


def prefix_name(length: int) -> bytes:
    return b"<a xmlns:%s='urn:x'/>" % (b"p" * length)


@pytest.mark.parametrize(
    ("make", "limit", "what"),
    [
        (nested, SMALL.depth, "deep"),
        (elements, SMALL.elements, "elements"),
        (attributes, SMALL.attributes, "attributes on one element"),
        (declared_on_root, SMALL.namespaces, "namespaces in scope"),
        (declared_in_depth, SMALL.namespaces, "namespaces in scope"),
        (declared_on_siblings, SMALL.namespaces, "namespace prefixes"),
        (declared_in_all, SMALL.declarations, "namespace declarations"),
        (element_name, SMALL.name, "a name longer"),
        (cjk_element_name, SMALL.name, "a name longer"),
        (namespaced_name, SMALL.name, "a name longer"),
        (attribute_name, SMALL.name, "a name longer"),
        (prefix_name, SMALL.prefix, "a name longer"),
        (attributes_in_all, SMALL.all_attributes, "attributes in all"),
    ],
)
def test_each_limit_holds_exactly(make, limit: int, what: str) -> None:
    parse(make(limit), SMALL)
    reason = refused(make(limit + 1), SMALL)
    assert what in reason
    assert str(limit) in reason


@pytest.mark.parametrize(
    "xml",
    [
        nested(32),
        elements(60_000),
        attributes(32),
        attributes_in_all(20_000),
        prefix_name(32),
        declared_on_root(16),
        declared_in_depth(16),
        declared_in_all(20_000),
        element_name(128),
        attribute_name(128),
    ],
)
def test_the_standard_limits_are_reached(xml: bytes) -> None:
    parse(xml)


@pytest.mark.parametrize(
    "bomb",
    [
        declared_on_root(200),
        declared_on_root(500),
        declared_on_siblings(40_000),
        attributes(70_000),
        elements(260_000),
        b"<a xmlns='urn:%s'>" % b"x" * 250 + b"</a>" * 250,
        b'<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">'
        + b"".join(b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9))
        + b"]><a b='&j;'>&j;</a>",
    ],
    ids=["root-200", "root-500", "siblings", "attributes", "elements", "deep", "laughs"],
)
def test_a_bomb_is_refused_before_any_canonicalisation(
    bomb: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reached(*_: object, **__: object) -> bytes:
        pytest.fail("canonicalised")

    monkeypatch.setattr(msh.xml, "canonical", reached)
    monkeypatch.setattr("msh.envelope.canonical", reached)
    monkeypatch.setattr(etree, "tostring", reached)
    assert len(bomb) < 1_100_000
    refused(bomb)
    with pytest.raises(msh.InvalidBody):
        msh.envelope.normal_body(bomb)


def prefixes_and_elements(prefixes: int, length: int, count: int, root: bool) -> bytes:
    names = [b"p" * (length - 2) + b"%02d" % n for n in range(prefixes)]
    declared = [b" xmlns:%b='u:'" % name for name in names]
    if root:
        return b"<a%b>" % b"".join(declared) + b"<b/>" * (count - 1) + b"</a>"
    apart = b"".join(b"<b%b/>" % one for one in declared)
    return b"<a>" + apart + b"<b/>" * (count - prefixes - 1) + b"</a>"


@pytest.mark.parametrize("root", [True, False])
@pytest.mark.parametrize(("prefixes", "length"), [(14, 32), (16, 30), (14, 4), (5, 20)])
def test_prefixes_times_elements_have_a_limit(prefixes: int, length: int, root: bool) -> None:
    most = STANDARD_SHAPE.lookups // (prefixes * (length + 4))
    assert most < STANDARD_SHAPE.elements
    parse(prefixes_and_elements(prefixes, length, most, root))
    reason = refused(prefixes_and_elements(prefixes, length, most + 1, root))
    assert "namespace prefixes than so many elements" in reason


def test_usual_prefixes_go_with_any_number_of_elements() -> None:
    names = ("soap", "scoi", "xsi", "xsd", "pay", "ns0")
    declared = b"".join(b" xmlns:%b='u:'" % name.encode() for name in names)
    assert len(parse(b"<a%b>" % declared + b"<b/>" * 59_999 + b"</a>")) == 59_999


@pytest.mark.parametrize("node", [b"<!---->", b"<?a?>"])
def test_the_first_of_many_comments_ends_it(node: bytes) -> None:
    reason = refused(b"<a>" + node * 100_000 + b"</a>")
    assert reason == "comments and processing instructions are not allowed"


@pytest.mark.parametrize("depth", [0, 201])
def test_a_depth_that_the_parser_cannot_reach_is_no_shape(depth: int) -> None:
    with pytest.raises(ValueError, match="1 to 200"):
        replace(STANDARD_SHAPE, depth=depth)
