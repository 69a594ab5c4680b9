"""The hardened parse: what is refused, what is just within the limits, and what is fine."""

from __future__ import annotations

from dataclasses import replace

import pytest
from lxml import etree

import msh.xml
from msh.errors import MalformedMessage
from msh.xml import STANDARD_SHAPE, Shape, canonical, parse

SECRET = "ACCOUNT-9917"
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


def refused(xml: bytes, shape: Shape = STANDARD_SHAPE) -> str:
    """Why ``xml`` is refused."""
    with pytest.raises(MalformedMessage) as caught:
        parse(xml, shape)
    assert str(caught.value) == f"not a readable message: {caught.value.reason}"
    return caught.value.reason


def said(xml: str, encoding: str) -> bytes:
    """``xml`` led by a declaration of ``encoding``, in UTF-8 bytes."""
    return f'<?xml version="1.0" encoding="{encoding}"?>{xml}'.encode()


# encodings


@pytest.mark.parametrize(
    "encoding", ["UTF-7", "utf-16", "UTF-16LE", "UTF-32", "ISO-8859-1", "latin1", "big5", "x", ""]
)
def test_another_declared_encoding_is_refused(encoding: str) -> None:
    assert refused(said(f"<a>{SECRET}</a>", encoding)) == "the declared encoding is not UTF-8"


@pytest.mark.parametrize(
    "declaration",
    [
        "<?xml version='1.0' encoding='UTF-7'?>",
        '<?xml version="1.0"\n encoding = "UTF-7" ?>',
        '\ufeff<?xml version="1.0" encoding="UTF-7"?>',
    ],
)
def test_it_is_found_however_it_is_written(declaration: str) -> None:
    assert "encoding" in refused(f"{declaration}<a/>".encode())


def test_utf_7_content_is_not_decoded() -> None:
    assert parse(b"<a>+ADw-b/+AD4-</a>").text == "+ADw-b/+AD4-"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
def test_wide_bytes_are_refused(encoding: str) -> None:
    reason = refused(f"<a>{SECRET}</a>".encode(encoding))
    assert "not UTF-8" in reason or "not well-formed" in reason


@pytest.mark.parametrize(
    ("xml", "byte"),
    [
        (b"<a>\xff</a>", 3),
        ("<a>款項</a>".encode("big5"), 3),
        (b"<a>\xed\xa0\x80</a>", 3),  # half of a surrogate pair
        (b"<a>\xc0\xbc</a>", 3),  # an overlong <
        (b"<a>x\xe6\xac</a>", 4),  # cut short
    ],
)
def test_bytes_that_are_not_utf_8_are_refused_with_their_place(xml: bytes, byte: int) -> None:
    assert refused(xml) == f"byte {byte} is not UTF-8"


def test_one_utf_8_mark_is_allowed_and_a_second_is_not() -> None:
    assert parse(b"\xef\xbb\xbf<a/>").tag == "a"
    assert "not well-formed" in refused(b"\xef\xbb\xbf\xef\xbb\xbf<a/>")


# what a message may not hold


@pytest.mark.parametrize(
    "doctype",
    [
        "<!DOCTYPE a>",
        "<!DOCTYPE a []>",
        '<!DOCTYPE a SYSTEM "file:///etc/passwd">',
        '<!DOCTYPE a PUBLIC "-//X//Y" "http://127.0.0.1:1/x.dtd">',
        f'<!DOCTYPE a [<!ENTITY e "{SECRET}">]>',
        '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE a [<!ENTITY % p SYSTEM "http://127.0.0.1:1/x"> %p;]>',
        '<!DOCTYPE a [<!ATTLIST a b CDATA "default">]>',
    ],
)
@pytest.mark.parametrize("content", ["x", "<b/>"])
def test_any_doctype_is_refused(doctype: str, content: str) -> None:
    assert refused(f"{doctype}<a>{content}</a>".encode()) == "a DOCTYPE is not allowed"


def test_an_entity_is_never_expanded() -> None:
    reason = refused(f'<!DOCTYPE a [<!ENTITY e "{SECRET}">]><a>&e;</a>'.encode())
    assert SECRET not in reason
    assert "not well-formed" in refused(b"<a>&nbsp;</a>")


NODES = ["<!--note-->", "<?do it?>", "<!---->", "<?x?>", '<?xml-stylesheet href="x"?>']


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize(
    "around",
    [
        "{}<a/>",
        "{}\n<a/>",
        '<?xml version="1.0"?>{}<a/>',
        "\ufeff{}<a/>",
        "<a/>{}",
        "<a/>\n{}",
        "<a>{}</a>",
        "<a>100{}0000</a>",
        "<a><b/>{}<b/></a>",
        "<a><b><c>x{}</c></b></a>",
    ],
)
def test_comments_and_instructions_are_refused_anywhere(node: str, around: str) -> None:
    reason = refused(around.format(node).encode())
    assert reason == "comments and processing instructions are not allowed"


@pytest.mark.parametrize(
    "xml",
    [
        b"",
        b" \n",
        b"x",
        b"<a",
        b"<a>",
        b"<a></b>",
        b"<a/><b/>",
        b"<a/>" + SECRET.encode(),
        b"\n<?xml version='1.0'?><a/>",
        b"<a b='1' b='2'/>",
        b"<a b=1/>",
        b"<p:a/>",
        b"<a p:b='1'/>",
        b"<a xmlns:p='urn:x' xmlns:q='urn:x' p:b='1' q:b='2'/>",
        b"<a:b:c xmlns:a='urn:x'/>",
        b"<a xmlns:p=''/>",
        b"<a>\x00</a>",
        b"<a>\x0b</a>",
        b"<a>&#0;</a>",
        b"<a>&#xFFFE;</a>",
        b"<a>\xef\xbf\xbe</a>",
        b"<a>]]></a>",
        b"<a>&</a>",
        b"<a>" * 5000 + b"</a>" * 5000,
    ],
)
def test_what_is_not_well_formed_is_refused_with_the_place(xml: bytes) -> None:
    reason = refused(xml)
    assert reason.startswith("XML is not well-formed (line ")
    assert SECRET not in reason


@pytest.mark.parametrize("uri", ["urn:x?a=1&amp;b=2", "urn:&amp;lt;", "urn:&#38;quot;"])
@pytest.mark.parametrize("around", ['<a xmlns="{}"/>', '<a><b xmlns:p="{}"/></a>'])
def test_a_namespace_that_canonical_xml_would_lose_is_refused(uri: str, around: str) -> None:
    assert refused(around.format(uri).encode()) == "a namespace name holds an ampersand"


@pytest.mark.parametrize("uri", ["urn:&lt;x", "urn:&#10;x", "urn:&quot;x", "urn: x"])
def test_a_namespace_that_is_no_uri_is_refused(uri: str) -> None:
    assert "not well-formed" in refused(f'<a xmlns="{uri}"/>'.encode())


# shape: each limit refused just above and accepted at it


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


# what is fine


@pytest.mark.parametrize(
    ("xml", "form"),
    [
        (
            b"<a><![CDATA[<!-- & <?x?> <!DOCTYPE ]]></a>",
            "<a>&lt;!-- &amp; &lt;?x?&gt; &lt;!DOCTYPE </a>",
        ),
        (b"<a>&#27454;&#x9805;&lt;&amp;&gt;&quot;&apos;</a>", "<a>款項&lt;&amp;&gt;\"'</a>"),
        (b"<a>&#13;&#10;</a>", "<a>&#xD;\n</a>"),
        (b"<a b='&#9;&#10;&#13;'/>", '<a b="&#x9;&#xA;&#xD;"></a>'),
        (b"<?xml version='1.0' encoding='utf-8' standalone='yes'?>\n<a/>\n", "<a></a>"),
        (b"<?xml version='1.0'?><a/>", "<a></a>"),
        (b"<?xml version='1.0' encoding='UTF8'?><a/>", "<a></a>"),
        ("<金額>𠮷</金額>".encode(), "<金額>𠮷</金額>"),
        (b"<a c='2' b='1'/>", '<a b="1" c="2"></a>'),
        (b"<a xmlns:p='urn:x'><b/></a>", "<a><b></b></a>"),
        (b"<a>\xc2\x85</a>", "<a>\x85</a>"),
        (b"<a b='x=y=z' c='>'>xmlns xmlns:p=</a>", '<a b="x=y=z" c="&gt;">xmlns xmlns:p=</a>'),
    ],
)
def test_what_is_legitimate_is_read(xml: bytes, form: str) -> None:
    assert canonical(parse(xml)).decode() == form.replace('c="&gt;"', 'c=">"')


def test_many_equal_declarations_on_siblings_are_no_bomb() -> None:
    xml = b"<a>" + b"<b xmlns='urn:x' xmlns:p='urn:y' p:c='1'/>" * 5_000 + b"</a>"
    assert len(parse(xml)) == 5_000


def test_long_texts_and_values_are_no_long_names() -> None:
    assert parse(b"<a b='%s'>%s</a>" % (b"x" * 100_000, b"y" * 100_000)).tag == "a"


def test_a_relative_namespace_cannot_be_canonicalised() -> None:
    with pytest.raises(MalformedMessage, match="a namespace name is relative"):
        canonical(parse(b"<a xmlns='relative'/>"))


def test_prefixes_of_content_are_kept_when_they_are_asked_for() -> None:
    root = parse(b"<a xmlns:p='urn:x' t='p:y'/>")
    assert canonical(root, ["p"]) == b'<a xmlns:p="urn:x" t="p:y"></a>'


@pytest.mark.parametrize("most", [4096, 6])
def test_no_prefix_is_lost_that_another_thread_has_read(
    monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """lxml leaves prefixes out that the canonicalising thread has not read itself."""
    monkeypatch.setattr(msh.xml, "_MOST_PREFIXES", most)
    monkeypatch.setattr(msh.xml, "_familiar", lambda xml: False)
    for number in range(20):
        first, second = f"lost{most}a{number}", f"lost{most}b{number}"
        declared = f'xmlns:{first}="urn:a" xmlns:{second}="urn:b"'
        root = parse(f'<e {declared}><b {first}:type="{second}:T"/></e>'.encode())
        written = canonical(root[0], [first, second])
        assert written == f'<b {declared} {first}:type="{second}:T"></b>'.encode()
