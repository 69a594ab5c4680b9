"""Genuine signatures whose parts were left away, doubled, moved or written otherwise."""

from __future__ import annotations

import pytest
from lxml import etree

from tests.security.attacks.forge import DS, SHA256, Form, signed
from tests.security.attacks.target import FORMAT, MAC, Target

pytestmark = pytest.mark.asyncio(loop_scope="module")

ELEMENTS = [
    "SignedInfo",
    "CanonicalizationMethod",
    "SignatureMethod",
    "Reference",
    "Transforms",
    "DigestMethod",
    "DigestValue",
    "SignatureValue",
    "KeyInfo",
    "X509Data",
    "X509Certificate",
]
CHANGES = [
    "left-away",
    "twice",
    "twice-with-the-copy-first-and-empty",
    "emptied",
    "renamed",
    "in-no-namespace",
    "in-another-namespace",
    "in-the-case-of-others",
    "an-id",
    "a-foreign-attribute",
    "a-child",
    "a-ds-child",
    "text",
    "wrapped",
    "last",
    "first",
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", [*ELEMENTS, "Signature"])
async def test_an_element_of_the_signature_is_changed(
    target: Target, name: str, change: str
) -> None:
    root = etree.fromstring(await target.genuine())
    before = etree.tostring(root)
    element = next(root.iter(f"{{{DS}}}{name}"))
    _change(element, change)
    wire = etree.tostring(root)
    if wire == before:  # where it would be moved to, it is already
        assert change in ("first", "last")
        root[0][0].append(element)
        await target.refuses(etree.tostring(root), FORMAT)
        return
    await target.refuses(wire, MAC)


def _change(element: etree._Element, change: str) -> None:
    parent = element.getparent()
    assert parent is not None
    copy = etree.fromstring(etree.tostring(element, with_tail=False))
    name = etree.QName(element).localname
    match change:
        case "left-away":
            parent.remove(element)
        case "twice":
            element.addnext(copy)
        case "twice-with-the-copy-first-and-empty":
            element.addprevious(etree.Element(element.tag))
        case "emptied":
            for child in list(element):
                element.remove(child)
            element.text = None
            if not copy.text and not len(copy):
                element.attrib.clear()
        case "renamed":
            element.tag = f"{{{DS}}}Other"
        case "in-no-namespace":
            element.tag = name
        case "in-another-namespace":
            element.tag = f"{{http://www.w3.org/2000/09/xmldsig}}{name}"
        case "in-the-case-of-others":
            element.tag = f"{{{DS}}}{name.swapcase()}"
        case "an-id":
            element.set("Id", "x")
        case "a-foreign-attribute":
            element.set("{urn:x}Algorithm", "x")
        case "a-child":
            element.append(etree.Element("x"))
        case "a-ds-child":
            element.insert(0, etree.Element(f"{{{DS}}}Object"))
        case "text":
            element.text = (element.text or "") + "!"
        case "wrapped":
            wrapper = etree.Element("x")
            element.addprevious(wrapper)
            wrapper.append(element)
        case "last":
            parent.append(element)
        case "first":
            parent.insert(0, element)


VALUES = ["DigestValue", "SignatureValue", "X509Certificate"]
BASE64 = {
    "cut-at-the-end": lambda text: text[:-4],
    "cut-in-front": lambda text: text[4:],
    "nothing": lambda text: "",
    "spaces": lambda text: "   ",
    "no-padding": lambda text: text[:-5].rstrip("=") + "=",
    "more-padding": lambda text: text + "=",
    "padding-within": lambda text: text[:4] + "====" + text[4:],
    "more-behind": lambda text: text + "AAAA",
    "twice": lambda text: text + text,
    "url-alphabet": lambda text: text[:8] + "-_-_" + text[12:],
    "a-dot": lambda text: text[:8] + "." + text[8:],
    "full-width": lambda text: "Ａ" + text[1:],
    "no-break-space": lambda text: text[:8] + "\xa0" + text[8:],
    "form-feed-lookalike": lambda text: text[:8] + "\u2028" + text[8:],
    "hexadecimal": lambda text: "0123456789abcdef" * 4,
    "much-white-space": lambda text: text[:8] + "\n" * 40_000 + text[8:],
    "megabyte": lambda text: "A" * 500_000,
}


@pytest.mark.parametrize("how", BASE64)
@pytest.mark.parametrize("name", VALUES)
async def test_a_value_of_the_signature_is_written_otherwise(
    target: Target, name: str, how: str
) -> None:
    root = etree.fromstring(await target.genuine())
    element = next(root.iter(f"{{{DS}}}{name}"))
    element.text = BASE64[how](element.text or "")
    await target.refuses(etree.tostring(root, encoding="utf-8"), MAC)


OBJECTS = {
    "empty": "<ds:Object/>",
    "manifest": f'<ds:Object><ds:Manifest><ds:Reference URI=""><ds:DigestMethod Algorithm='
    f'"{SHA256}"/><ds:DigestValue>AAAA</ds:DigestValue></ds:Reference></ds:Manifest></ds:Object>',
    "properties": '<ds:Object><ds:SignatureProperties><ds:SignatureProperty Target=""/>'
    "</ds:SignatureProperties></ds:Object>",
    "foreign": "<ds:Object><x/></ds:Object>",
    "not-ds": '<x:Object xmlns:x="urn:x"/>',
    "another-signature": "<ds:Signature/>",
    "another-signed-info": "<ds:SignedInfo/>",
    "another-key-info": "<ds:KeyInfo/>",
    "text": "x",
}


@pytest.mark.parametrize("place", ["before", "behind"])
@pytest.mark.parametrize("name", OBJECTS)
async def test_something_beside_the_signature_s_parts(
    target: Target, name: str, place: str
) -> None:
    form = Form(**{place: OBJECTS[name]})
    await target.refuses(signed(target.message(), target.biz, form), MAC)
