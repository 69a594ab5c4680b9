"""The same message spelt otherwise, and what only looks the same.

XML lets one message be written in many ways. Where canonicalisation makes them one, it is the very
same message to whoever handles it; everything else is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from lxml import etree

from msh.envelope import normal_body
from msh.transport.base import Peer, Silence
from tests.security.attacks.forge import DS, EXC
from tests.security.attacks.target import BODY, FORMAT, KEY, MAC, RIGHT, Target
from tests.security.certificates import PROFILE

pytestmark = pytest.mark.asyncio(loop_scope="module")

SENDERS = ["BIZ", "BANK", "HMAC"]
Change = Callable[[bytes], bytes]


def _replace(old: str, new: str, count: int = -1) -> Change:
    return lambda wire: wire.replace(old.encode(), new.encode(), count)


def _prefix(old: str, new: str) -> Change:
    def change(wire: bytes) -> bytes:
        for start in ("<", "</", "xmlns:"):
            end = "=" if start == "xmlns:" else ":"
            wire = wire.replace(f"{start}{old}{end}".encode(), f"{start}{new}{end}".encode())
        return wire

    return change


#: Not one of these changes what the message says.
SAME: dict[str, Change] = {
    "no-declaration": lambda wire: wire.partition(b"?>")[2].lstrip(),
    "a-bom": lambda wire: b"\xef\xbb\xbf" + wire,
    "in-lower-case-utf-8": _replace('encoding="UTF-8"', 'encoding="utf8"'),
    "standalone": _replace("?>", ' standalone="yes"?>', 1),
    "no-encoding": _replace(' encoding="UTF-8"', "", 1),
    "line-breaks-behind": lambda wire: wire + b"\r\n\r\n",
    "line-breaks-before": lambda wire: wire.replace(b"<soap:Env", b"\n\n<soap:Env", 1),
    "single-quotes": lambda wire: wire.replace(b'"', b"'"),
    "space-in-a-start-tag": _replace("<soap:Body>", "<soap:Body \n\t>"),
    "space-in-an-end-tag": _replace("</Amt>", "</Amt\r\n >"),
    "cdata": _replace("<Amt>100<", "<Amt><![CDATA[100]]><"),
    "cdata-in-parts": _replace("<Amt>100<", "<Amt>1<![CDATA[0]]>0<"),
    "empty-cdata": _replace("<Amt>100<", "<Amt>100<![CDATA[]]><"),
    "cdata-in-a-header-value": lambda wire: re.sub(
        rb"<scoi:MsgId>([^<]*)<", rb"<scoi:MsgId><![CDATA[\1]]><", wire
    ),
    "references": _replace("<Amt>100<", "<Amt>&#49;&#x30;&#0048;<"),
    "a-declaration-twice": _replace(
        "<soap:Body>", '<soap:Body xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/">'
    ),
    "a-declaration-not-used": _replace("<soap:Envelope ", '<soap:Envelope xmlns:a="urn:a" '),
    "a-declaration-moved-out": lambda wire: wire.replace(
        f' xmlns:scoi="{PROFILE.namespace}"'.encode(), b""
    ).replace(b"<soap:Envelope ", f'<soap:Envelope xmlns:scoi="{PROFILE.namespace}" '.encode()),
    "xml-prefix-declared": _replace(
        "<soap:Envelope ", '<soap:Envelope xmlns:xml="http://www.w3.org/XML/1998/namespace" '
    ),
    "default-namespace-undeclared": _replace("<soap:Body>", '<soap:Body xmlns="">'),
    "a-default-namespace-not-used": _replace("<soap:Envelope ", '<soap:Envelope xmlns="urn:b" '),
}


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize("name", SAME)
async def test_the_same_message_spelt_otherwise(target: Target, name: str, sender: str) -> None:
    """Taken; and what is handled is the message to the byte, whatever was added around it."""
    message = target.message(sender)
    genuine = await target.protected(message)
    wire = SAME[name](genuine)
    assert wire != genuine
    if sender == "HMAC" and name == "a-declaration-not-used":
        # A MAC is made over the body with every declaration that its content could use.
        await target.refuses(wire, MAC)
        return
    await target.takes(wire, message)


#: Only for a reader who is not strict are these the same. The code for signatures, and for MACs.
OTHER: dict[str, tuple[Change, str, str]] = {
    "another-prefix-for-soap": (_prefix("soap", "s"), MAC, "taken"),
    "another-prefix-for-the-header": (_prefix("scoi", "s"), MAC, MAC),
    "a-prefix-bound-otherwise": (
        _replace("<scoi:MsgId>", '<scoi:MsgId xmlns:scoi="urn:x">'),
        FORMAT,
        FORMAT,
    ),
    "soap-bound-otherwise": (
        _replace("<soap:Body>", '<soap:Body xmlns:soap="urn:x">'),
        FORMAT,
        FORMAT,
    ),
    "content-bound-otherwise": (_replace('xmlns="urn:pay"', 'xmlns="urn:pax"'), MAC, MAC),
    "content-with-a-prefix": (
        lambda wire: wire.replace(b"<Pay xmlns=", b"<p:Pay xmlns:p=").replace(b"</Pay", b"</p:Pay"),
        MAC,
        MAC,
    ),
    "namespace-in-upper-case": (_replace("urn:pay", "URN:PAY"), MAC, MAC),
    "namespace-escaped": (_replace('"urn:pay"', '"urn:p%61y"'), MAC, MAC),
    "namespace-with-a-space": (
        _replace('"urn:pay"', '"urn:pay "'),
        FORMAT,
        FORMAT,
    ),
    "namespace-relative": (_replace("<Pay ", '<Pay xmlns:r="r" r:a="" '), FORMAT, FORMAT),
    "soap-namespace-with-a-slash-less": (
        _replace("soap/envelope/", "soap/envelope"),
        FORMAT,
        FORMAT,
    ),
    "soap-1.2": (
        _replace(
            "http://schemas.xmlsoap.org/soap/envelope/", "http://www.w3.org/2003/05/soap-envelope"
        ),
        FORMAT,
        FORMAT,
    ),
    "white-space-in-the-amount": (_replace("<Amt>100", "<Amt> 100"), MAC, MAC),
    "a-carriage-return": (_replace("<Amt>100", "<Amt>100&#13;"), MAC, MAC),
    "a-line-break": (_replace("<Amt>100", "<Amt>100\r\n"), MAC, MAC),
    "a-tab-in-a-message-id": (_replace("</scoi:MsgId>", "\t</scoi:MsgId>"), MAC, MAC),
    "a-no-break-space": (_replace("<Amt>100", "<Amt>100\xa0"), MAC, MAC),
    "a-zero-width-space": (_replace("<Amt>100", "<Amt>1\u200b00"), MAC, MAC),
    "a-bom-within": (_replace("<Amt>100", "<Amt>\ufeff100"), MAC, MAC),
    "right-to-left": (_replace("<Amt>100", "<Amt>\u202e001"), MAC, MAC),
    "full-width-digits": (_replace("<Amt>100", "<Amt>１００"), MAC, MAC),
    "arabic-digits": (_replace("<Amt>100", "<Amt>١٠٠"), MAC, MAC),
    "a-combining-character": (_replace("PlantedOwner", "PlantedOwne\u0301r"), MAC, MAC),
    "a-cyrillic-name": (_replace("<Owner>", "<Оwner>"), FORMAT, FORMAT),
    "a-cyrillic-element": (lambda wire: wire.replace(b"Owner>", "Оwner>".encode()), MAC, MAC),
    "a-cyrillic-message-id": (_replace("<scoi:MsgId>", "<scoi:MsgId>В"), FORMAT, FORMAT),
    "a-cyrillic-body": (
        lambda wire: wire.replace(b"soap:Body>", "soap:Вody>".encode()),
        FORMAT,
        FORMAT,
    ),
    "a-sender-in-full-width": (
        lambda wire: re.sub(rb"Sender>(\w)", "Sender>Ｂ".encode(), wire, count=1),
        FORMAT,
        FORMAT,
    ),
    "must-understand-on-the-block": (
        _replace("<scoi:MessageHeader ", '<scoi:MessageHeader soap:mustUnderstand="1" '),
        MAC,
        MAC,
    ),
    "an-actor-on-the-block": (
        _replace("<scoi:MessageHeader ", '<scoi:MessageHeader soap:actor="urn:x" '),
        MAC,
        MAC,
    ),
    "encoding-style": (_replace("<Pay ", '<Pay xmlns:e="urn:e" e:encodingStyle="x" '), MAC, MAC),
    "xsi-nil": (
        _replace("<Amt>", '<Amt xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:nil="true">'),
        MAC,
        MAC,
    ),
    "xsi-type": (
        _replace("<Pay ", '<Pay xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:type="x" '),
        MAC,
        MAC,
    ),
    "xml-space": (_replace("<Amt>", '<Amt xml:space="preserve">'), MAC, MAC),
    "xml-base": (_replace("<Pay ", '<Pay xml:base="http://evil/" '), MAC, MAC),
    "a-header-to-be-understood": (
        _replace("</soap:Header>", '<x soap:mustUnderstand="1"/></soap:Header>'),
        FORMAT,
        FORMAT,
    ),
    "a-header-to-be-understood-by-the-next": (
        _replace(
            "</soap:Header>",
            '<x soap:mustUnderstand="1" '
            'soap:actor="http://schemas.xmlsoap.org/soap/actor/next"/></soap:Header>',
        ),
        FORMAT,
        FORMAT,
    ),
    "a-foreign-header-behind": (_replace("</soap:Header>", "<x/></soap:Header>"), MAC, "taken"),
    "a-foreign-header-in-front": (_replace("<soap:Header>", "<soap:Header><x/>"), MAC, "taken"),
    "an-attribute-on-the-body": (_replace("<soap:Body>", '<soap:Body Id="x">'), MAC, "taken"),
    "encoding-style-on-the-envelope": (
        _replace("<soap:Envelope ", '<soap:Envelope xmlns:q="urn:q" q:encodingStyle="" '),
        MAC,
        MAC,
    ),
    "a-line-break-in-the-body": (_replace("<soap:Body>", "<soap:Body>\n"), MAC, "taken"),
}


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize("name", OTHER)
async def test_what_only_looks_the_same(target: Target, name: str, sender: str) -> None:
    """A MAC covers the header block and the body, and nothing that may stand around them."""
    message = target.message(sender)
    genuine = await target.protected(message)
    change, for_signatures, for_macs = OTHER[name]
    wire = change(genuine)
    assert wire != genuine
    code = for_macs if sender == "HMAC" else for_signatures
    if code == "taken":
        await target.takes(wire, message)
    else:
        await target.refuses(wire, code)


# PrefixList


@pytest.mark.parametrize(
    "value", ["x", "soap", "ds", "xml", "xmlns", "#default", "#DEFAULT", "a b c", "é", "&#38;"]
)
async def test_a_prefix_list_added_to_a_genuine_signature(target: Target, value: str) -> None:
    root = etree.fromstring(await target.genuine())
    last = list(root.iter(f"{{{DS}}}Transform"))[-1]
    inclusive = etree.SubElement(last, f"{{{EXC}}}InclusiveNamespaces")
    inclusive.set("PrefixList", value)
    await target.refuses(etree.tostring(root, encoding="utf-8"), MAC)


async def test_a_listed_prefix_cannot_be_bound_otherwise(target: Target) -> None:
    """Content that uses a prefix is signed with its declaration."""
    body = normal_body('<Pay xmlns="urn:pay" xmlns:t="urn:types" kind="t:credit"/>')
    message = target.message(body=body)
    wire = await target.protected(message)
    assert b'PrefixList="t"' in wire
    for old, new in (
        (b"urn:types", b"urn:evil"),
        (b' xmlns:t="urn:types"', b""),
        (b'PrefixList="t"', b'PrefixList="u"'),
        (b'PrefixList="t"', b'PrefixList="t u"'),
    ):
        await target.refuses(wire.replace(old, new), MAC)
    await target.takes(wire, message)


# addresses and rates: what a flood of refusals does to others


async def test_a_flood_from_one_address_is_answered_with_silence_and_hinders_nobody(
    target: Target,
) -> None:
    wire = (await target.genuine()).replace(b"<Amt>100", b"<Amt>200")
    last = await target.store.last_entry()
    found = [await target.handler.accept(wire, Peer("203.0.113.9")) for _ in range(120)]
    assert found.count(Silence()) >= 60
    assert await target.store.last_entry() == last
    await target.serves()
    message = target.message()
    protected = await target.protected(message)
    acceptance = await target.handler.accept(protected, Peer("203.0.113.9"))
    assert b"PSPPM0000I" in getattr(acceptance, "wire", b"")  # authentic, also from there
    target.accepted.add(message.message_id)


@pytest.mark.parametrize("name", ["SvcId", "MsgId", "Sender", "Receiver", "RefToMsgId", "KeyId"])
@pytest.mark.parametrize(
    "value",
    [
        "&lt;/scoi:MsgId>&lt;scoi:StatusCode>PSPPM0000I&lt;/scoi:StatusCode>",
        "&#34;&#39;&gt;",
        "x" * 128,
        "$(id)",
        "%n%s",
        "../../etc/passwd",
    ],
    ids=["markup", "quotes", "long", "shell", "format", "path"],
)
async def test_an_id_that_is_no_id_is_harmless(target: Target, name: str, value: str) -> None:
    """What a refusal must echo is escaped: it stays a refusal."""
    genuine = await target.genuine("HMAC", ref_to="x")
    wire = re.sub(
        f"<scoi:{name}>[^<]*<".encode(), f"<scoi:{name}>{value}<".encode(), genuine, count=1
    )
    assert wire != genuine
    await target.refuses(wire, MAC, RIGHT, KEY, FORMAT)


async def test_the_body_of_the_tests_is_in_normal_form() -> None:
    assert normal_body(BODY) == BODY
