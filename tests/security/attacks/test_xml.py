"""What an XML parser can be made to do: refused with a SOAP Fault and 0001S before anything else.

Each is worked into a genuine message, signed or MACed, so that only this is wrong with it.
"""

from __future__ import annotations

import re

import pytest

from msh.envelope import normal_body
from tests.security.attacks.forge import signed
from tests.security.attacks.target import ACCOUNT, DECLARATION, FORMAT, MAC, Target, names

pytestmark = pytest.mark.asyncio(loop_scope="module")

SENDERS = ["BIZ", "HMAC"]

LAUGHS = "".join(
    f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' if n else '<!ENTITY l0 "lol">' for n in range(10)
)
DOCTYPES = {
    "empty": ("<!DOCTYPE soap:Envelope>", ""),
    "empty-subset": ("<!DOCTYPE soap:Envelope []>", ""),
    "of-another-root": ("<!DOCTYPE x>", ""),
    "of-html": ("<!DOCTYPE html>", ""),
    "system": ('<!DOCTYPE x SYSTEM "file:///etc/passwd">', ""),
    "system-network": ('<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd">', ""),
    "public": ('<!DOCTYPE x PUBLIC "-//W3C//DTD XHTML 1.0//EN" "http://127.0.0.1:1/x">', ""),
    "internal-entity": ('<!DOCTYPE x [<!ENTITY e "100">]>', "&e;"),
    "internal-entity-not-used": ('<!DOCTYPE x [<!ENTITY e "100">]>', ""),
    "external-entity": ('<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>', "&e;"),
    "external-entity-network": ('<!DOCTYPE x [<!ENTITY e SYSTEM "http://127.0.0.1:1/">]>', "&e;"),
    "external-entity-public": ('<!DOCTYPE x [<!ENTITY e PUBLIC "x" "file:///etc/passwd">]>', "&e;"),
    "external-entity-relative": ('<!DOCTYPE x [<!ENTITY e SYSTEM "pyproject.toml">]>', "&e;"),
    "external-entity-php": ('<!DOCTYPE x [<!ENTITY e SYSTEM "php://filter/read=x">]>', "&e;"),
    "external-entity-jar": ('<!DOCTYPE x [<!ENTITY e SYSTEM "jar:file:///x!/y">]>', "&e;"),
    "external-entity-device": ('<!DOCTYPE x [<!ENTITY e SYSTEM "file:///dev/zero">]>', "&e;"),
    "unparsed-entity": (
        '<!DOCTYPE x [<!NOTATION n SYSTEM "n"><!ENTITY e SYSTEM "x" NDATA n>]>',
        "",
    ),
    "parameter-entity": (
        '<!DOCTYPE x [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]>',
        "",
    ),
    "parameter-entity-network": (
        '<!DOCTYPE x [<!ENTITY % p SYSTEM "http://127.0.0.1:1/x.dtd"> %p;]>',
        "",
    ),
    "parameter-entity-internal": (
        "<!DOCTYPE x [<!ENTITY % p '<!ENTITY e \"100\">'> %p;]>",
        "&e;",
    ),
    "parameter-entity-out-of-band": (
        '<!DOCTYPE x [<!ENTITY % f SYSTEM "file:///etc/passwd"><!ENTITY % d SYSTEM '
        '"http://127.0.0.1:1/x.dtd"> %d; %f;]>',
        "",
    ),
    "bomb-of-laughs": (f"<!DOCTYPE x [{LAUGHS}]>", "&l9;"),
    "bomb-quadratic": (f'<!DOCTYPE x [<!ENTITY e "{"x" * 10_000}">]>', "&e;" * 10_000),
    "bomb-of-itself": ('<!DOCTYPE x [<!ENTITY e "&f;"><!ENTITY f "&e;">]>', "&e;"),
    "bomb-of-parameters": (
        "<!DOCTYPE x [<!ENTITY % a 'x'>"
        + "".join(f"<!ENTITY % a{n} '{'%a;' * 10}'>" for n in range(9))
        + "]>",
        "",
    ),
    "bomb-of-attributes": (
        "<!DOCTYPE x [<!ATTLIST Amt " + " ".join(f'a{n} CDATA "x"' for n in range(5_000)) + ">]>",
        "",
    ),
    "default-attribute": ('<!DOCTYPE x [<!ATTLIST Amt currency CDATA "USD">]>', ""),
    "default-namespace": ('<!DOCTYPE x [<!ATTLIST Pay xmlns CDATA "urn:evil">]>', ""),
    "id-attribute": ("<!DOCTYPE x [<!ATTLIST soap:Body wsu:Id ID #IMPLIED>]>", ""),
    "element": ("<!DOCTYPE x [<!ELEMENT Amt (#PCDATA)>]>", ""),
    "comment": ("<!DOCTYPE x [<!-- x -->]>", ""),
    "instruction": ("<!DOCTYPE x [<?x?>]>", ""),
    "in-lower-case": ("<!doctype x>", ""),
    "not-closed": ("<!DOCTYPE x [", ""),
}


def _with_doctype(wire: bytes, doctype: str, used: str) -> bytes:
    changed = wire.replace(b"<soap:Envelope", doctype.encode() + b"<soap:Envelope", 1)
    return changed.replace(b"<Amt>100<", b"<Amt>" + (used or "100").encode() + b"<")


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize("name", names(DOCTYPES))
async def test_a_doctype(target: Target, name: str, sender: str) -> None:
    wire = _with_doctype(await target.genuine(sender), *DOCTYPES[name])
    await target.refuses(wire, FORMAT)


ENTITIES = {
    "unknown": b"&e;",
    "of-html": b"&nbsp;",
    "parameter": b"&%p;",
    "not-closed": b"&lt",
    "a-nul": b"&#0;",
    "a-nul-hexadecimal": b"&#x0;",
    "a-control": b"&#x8;",
    "a-surrogate": b"&#xD800;",
    "a-non-character": b"&#xFFFE;",
    "beyond-unicode": b"&#x110000;",
    "huge": b"&#" + b"9" * 100_000 + b";",
}


@pytest.mark.parametrize("place", ["Amt", "scoi:MsgId"])
@pytest.mark.parametrize("name", ENTITIES)
async def test_a_reference_that_is_none_of_xml_s_own(target: Target, name: str, place: str) -> None:
    tag = f"<{place}>".encode()
    wire = (await target.genuine()).replace(tag, tag + ENTITIES[name])
    await target.refuses(wire, FORMAT)


# XInclude: nothing is included, and whoever adds it breaks the signature

XINCLUDE = "http://www.w3.org/2001/XInclude"
INCLUDES = {
    "text": 'href="file:///etc/passwd" parse="text"',
    "xml": 'href="file:///etc/hostname"',
    "network": 'href="http://127.0.0.1:1/x"',
    "itself": 'href="" xpointer="xpointer(/)"',
    "fallback": 'href="none"',
}


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize("name", INCLUDES)
async def test_xinclude_added(target: Target, name: str, sender: str) -> None:
    include = f'<xi:include xmlns:xi="{XINCLUDE}" {INCLUDES[name]}/>'.encode()
    genuine = await target.genuine(sender)
    await target.refuses(genuine.replace(b"<Amt>100", b"<Amt>" + include), MAC)
    await target.refuses(genuine.replace(b"<scoi:MsgId>", b"<scoi:MsgId>" + include), FORMAT)
    beside = genuine.replace(b"<soap:Header>", b"<soap:Header>" + include)
    if sender == "BIZ":
        await target.refuses(beside, MAC)


@pytest.mark.parametrize("name", INCLUDES)
async def test_xinclude_of_the_party_itself_stays_as_it_is(target: Target, name: str) -> None:
    body = f'<xi:include xmlns:xi="{XINCLUDE}" {INCLUDES[name]}></xi:include>'
    message = target.message(body=normal_body(body))
    await target.takes(signed(message, target.biz), message)
    assert b"xi:include" in target.calls[-1].body


# floods

PLACES = {
    "envelope": "<soap:Envelope ",
    "header": "<soap:Header",
    "block": "<scoi:MessageHeader ",
    "value": "<scoi:MsgId",
    "body": "<soap:Body",
    "content": "<Pay ",
    "leaf": "<Amt",
}
FLOODS = {
    "33-attributes": " ".join(f'a{n}=""' for n in range(33)),
    "9000-attributes": " ".join(f'a{n}=""' for n in range(9_000)),
    "90000-attributes": " ".join(f'a{n}=""' for n in range(90_000)),
    "attributes-of-one-prefix": 'xmlns:p="urn:p" ' + " ".join(f'p:a{n}=""' for n in range(9_000)),
    "17-namespaces": " ".join(f'xmlns:p{n}="urn:{n}"' for n in range(17)),
    "500-namespaces": " ".join(f'xmlns:p{n}="urn:{n}"' for n in range(500)),
    "9000-namespaces": " ".join(f'xmlns:p{n}="u"' for n in range(9_000)),
    "a-long-attribute-name": f'{"a" * 50_000}=""',
    "a-long-prefix": f'xmlns:{"p" * 50_000}="urn:p"',
    "an-attribute-twice": 'a="" a=""',
    "a-namespace-with-an-ampersand": 'xmlns:p="urn:a&amp;b"',
}


def _open(place: str) -> bytes:
    return PLACES[place].encode()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", FLOODS)
async def test_a_flood_in_a_start_tag(target: Target, name: str, place: str) -> None:
    genuine = await target.genuine()
    start = _open(place)
    assert genuine.count(start) == 1
    space = b"" if start.endswith(b" ") else b" "
    wire = genuine.replace(start, start + space + FLOODS[name].encode() + b" ")
    wire = wire.replace(b" >", b">")
    await target.refuses(wire, FORMAT)


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize("depth", [31, 200, 255, 257, 5_000, 100_000])
@pytest.mark.parametrize("place", ["<Amt>", "<soap:Body>", "<soap:Header>", "<scoi:MsgId>"])
async def test_depth(target: Target, place: str, depth: int, sender: str) -> None:
    nested = b"<a>" * depth + b"</a>" * depth
    wire = (await target.genuine(sender)).replace(place.encode(), place.encode() + nested)
    await target.refuses(wire, FORMAT)


async def test_depth_with_namespaces_redeclared(target: Target) -> None:
    nested = "".join(f'<a xmlns:p{n}="urn:p">' for n in range(20)) + "</a>" * 20
    wire = (await target.genuine()).replace(b"<Amt>", b"<Amt>" + nested.encode())
    await target.refuses(wire, FORMAT)


@pytest.mark.parametrize("sender", SENDERS)
async def test_elements(target: Target, sender: str) -> None:
    wire = (await target.genuine(sender)).replace(b"<Amt>", b"<Amt>" + b"<a/>" * 60_000)
    await target.refuses(wire, FORMAT)


@pytest.mark.parametrize("sender", SENDERS)
async def test_size(target: Target, sender: str) -> None:
    wire = (await target.genuine(sender)).replace(b"<Amt>", b"<Amt>" + b" " * 1_048_576)
    await target.refuses(wire, FORMAT)


# comments and processing instructions, which cut a text in two for some readers

HIDDEN = {
    "comment": b"<!-- -->",
    "empty-comment": b"<!---->",
    "comment-with-markup": b"<!--</Amt><Amt>1000000-->",
    "instruction": b"<?x?>",
    "instruction-with-markup": b"<?x </Amt><Amt>1000000 ?>",
    "stylesheet": b'<?xml-stylesheet type="text/xsl" href="file:///etc/passwd"?>',
    "declaration": b'<?xml version="1.0"?>',
}
AT = {
    "before-the-declaration": b"<?xml version",
    "before-the-root": b"<soap:Envelope",
    "in-the-envelope": b"<soap:Header>",
    "in-the-header": b"<scoi:MessageHeader",
    "in-the-block": b"<scoi:SvcId>",
    "in-a-message-id": b"</scoi:MsgId>",
    "in-a-sender": b"IZ</scoi:Sender>",
    "in-the-body": b"<Pay",
    "in-the-content": b"<Amt>",
    "in-the-amount": b"0</Amt>",
    "in-the-signature": b"<ds:SignedInfo>",
    "in-the-reference": b"<ds:DigestMethod",
    "in-the-transforms": b"<ds:Transform ",
    "in-the-digest": b"</ds:DigestValue>",
    "in-the-value": b"</ds:SignatureValue>",
    "in-the-certificate": b"</ds:X509Certificate>",
    "behind-the-body": b"</soap:Envelope>",
}


@pytest.mark.parametrize("place", AT)
@pytest.mark.parametrize("name", HIDDEN)
async def test_a_comment_or_an_instruction(target: Target, name: str, place: str) -> None:
    genuine = await target.genuine()
    assert AT[place] in genuine
    wire = genuine.replace(AT[place], HIDDEN[name] + AT[place], 1)
    await target.refuses(wire, FORMAT)
    await target.refuses(genuine + HIDDEN[name], FORMAT)


@pytest.mark.parametrize("name", HIDDEN)
@pytest.mark.parametrize("at", ["</scoi:MAC>", "</scoi:KeyId>", "0</Amt>", "</scoi:MsgId>"])
async def test_a_comment_or_an_instruction_under_a_mac(target: Target, name: str, at: str) -> None:
    place = at.encode()
    wire = (await target.genuine("HMAC")).replace(place, HIDDEN[name] + place, 1)
    await target.refuses(wire, FORMAT)


# not XML, or not all of it


BROKEN = {
    "nothing": lambda wire: b"",
    "white-space": lambda wire: b" \r\n\t",
    "a-nul": lambda wire: b"\0",
    "text": lambda wire: b"hello",
    "json": lambda wire: b'{"Amt": 1}',
    "html": lambda wire: b"<!doctype html><p>",
    "a-bom-alone": lambda wire: b"\xef\xbb\xbf",
    "declaration-alone": lambda wire: DECLARATION,
    "cut-in-half": lambda wire: wire[: len(wire) // 2],
    "cut-by-one": lambda wire: wire[:-1],
    "twice": lambda wire: wire + wire,
    "twice-without-declaration": lambda wire: wire + wire.removeprefix(DECLARATION),
    "text-behind": lambda wire: wire + b"x",
    "text-before": lambda wire: b"x" + wire,
    "space-before-the-declaration": lambda wire: b" " + wire,
    "nul-behind": lambda wire: wire + b"\0",
    "gzip": lambda wire: b"\x1f\x8b\x08\x00" + wire,
    "xml-1.1-control": lambda wire: wire.replace(b'"1.0"', b'"1.1"').replace(
        b"<Amt>", b"<Amt>&#x1;"
    ),
    "backwards": lambda wire: wire[::-1],
    "upper-case": lambda wire: wire.upper(),
    "an-element-not-closed": lambda wire: wire.replace(b"</Amt>", b""),
    "elements-crossed": lambda wire: wire.replace(b"</Amt><Account>", b"<Account></Amt>"),
    "a-prefix-not-declared": lambda wire: wire.replace(b"<Amt>", b'<Amt q:a="">'),
    "an-attribute-without-quotes": lambda wire: wire.replace(b"<Amt>", b"<Amt a=1>"),
    "lt-in-an-attribute": lambda wire: wire.replace(b"<Amt>", b'<Amt a="<">'),
    "cdata-not-closed": lambda wire: wire.replace(b"<Amt>", b"<Amt><![CDATA["),
    "cdata-end-in-text": lambda wire: wire.replace(b"<Amt>", b"<Amt>]]>"),
    "xml-prefix-bound-otherwise": lambda wire: wire.replace(b"<Amt>", b'<Amt xmlns:xml="urn:x">'),
    "xmlns-prefix-bound": lambda wire: wire.replace(b"<Amt>", b'<Amt xmlns:xmlns="urn:x">'),
    "a-prefix-unbound": lambda wire: wire.replace(b"<scoi:SvcId>", b'<scoi:SvcId xmlns:scoi="">'),
}


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize("name", BROKEN)
async def test_not_xml(target: Target, name: str, sender: str) -> None:
    genuine = await target.genuine(sender)
    wire = BROKEN[name](genuine)
    assert wire != genuine
    await target.refuses(wire, FORMAT)


async def test_a_fault_does_not_quote_what_was_sent(target: Target) -> None:
    """Neither where the parser stopped, nor names, nor what stands beside it."""
    for wire in (
        f"<{ACCOUNT}x".encode(),
        f"<a {ACCOUNT}".encode(),
        f"<a>&{ACCOUNT};</a>".encode(),
        f"<a><x{ACCOUNT}></b></a>".encode(),
        f"<?xml version='1.0' encoding='{ACCOUNT}'?><a/>".encode(),
        f"<a xmlns:p{ACCOUNT}='{ACCOUNT}'><{ACCOUNT}/></a>".encode(),
        f"<p{ACCOUNT}:a/>".encode(),
        f"<!DOCTYPE a{ACCOUNT}><a/>".encode(),
        re.sub(rb">PS810FTRQ<", f">{ACCOUNT}é<".encode(), await target.genuine()),
        re.sub(rb">2026-[^<]*<", f">{ACCOUNT}<".encode(), await target.genuine()),
    ):
        assert await target.code(wire) == FORMAT
