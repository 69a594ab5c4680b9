"""The hardened parse: encodings and content that are refused, and what is fine."""

from __future__ import annotations

import pytest

import msh.xml
from msh.errors import MalformedMessage
from msh.xml import STANDARD_SHAPE, Shape, canonical, parse

SECRET = "ACCOUNT-9917"


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
