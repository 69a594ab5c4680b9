"""Signature wrapping: a genuine signature beside content that it does not cover.

The eight classic shapes (Somorovsky et al., "On Breaking SAML", 2012) move the signed part to
where a verifier finds it and put an evil one where the application looks. Here they are generated:
what is evil, what of the original is kept, where it is stashed, and what ids and references say.
"""

from __future__ import annotations

import copy
from itertools import product
from typing import Any

import pytest
from lxml import etree

from msh.envelope import SOAP, serialise
from tests.security.attacks.forge import DS, MORE, Form, signed
from tests.security.attacks.target import FORMAT, MAC, Target
from tests.security.certificates import PROFILE

pytestmark = pytest.mark.asyncio(loop_scope="module")

NS = PROFILE.namespace
WSU = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
WSSE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"


def _amount(root: Any) -> None:
    root[1].find(".//{*}Amt").text = "1000000"


def _message_id(root: Any) -> None:
    root[0][0].find(f"{{{NS}}}MsgId").text += "-evil"


def _service(root: Any) -> None:
    root[0][0].find(f"{{{NS}}}SvcId").text = "PS830INQRQ"


EVIL = {"amount": _amount, "message-id": _message_id, "service": _service}


def _without_signature(root: Any) -> Any:
    root[0].remove(root[0][1])
    return root


#: What is kept of the original, so that a verifier may find it.
KEPT = {
    "envelope": lambda root: [root],
    "envelope-unsigned": lambda root: [_without_signature(root)],
    "header-and-body": lambda root: list(root),
    "body": lambda root: [root[1]],
    "block": lambda root: [root[0][0]],
    "content": lambda root: [root[1][0]],
}


def _sub(parent: Any, tag: str, place: int | None = None, **attributes: str) -> Any:
    element = etree.Element(tag, attributes)
    parent.insert(len(parent) if place is None else place, element)
    return element


#: Where it is stashed in the evil message, and the code that must follow.
STASHES = {
    # XSW1, XSW8: in the signature, as an Object or not
    "in-the-signature": (lambda root: root[0][1], MAC),
    "in-an-object": (lambda root: _sub(root[0][1], f"{{{DS}}}Object"), MAC),
    "in-an-object-first": (lambda root: _sub(root[0][1], f"{{{DS}}}Object", 0), MAC),
    "in-the-signed-info": (lambda root: root[0][1][0], MAC),
    "in-the-key-info": (lambda root: root[0][1][2], MAC),
    "in-the-signature-value": (lambda root: root[0][1][1], MAC),
    "in-a-transform": (lambda root: next(root.iter(f"{{{DS}}}Transform")), MAC),
    # XSW2, XSW5: beside the signature
    "in-the-header-last": (lambda root: _sub(root[0], "Wrapper"), MAC),
    "in-the-header-between": (lambda root: _sub(root[0], "Wrapper", 1), MAC),
    "in-the-header-first": (lambda root: _sub(root[0], "Wrapper", 0), MAC),
    "in-a-security-header": (lambda root: _sub(root[0], f"{{{WSSE}}}Security"), MAC),
    "in-a-header-for-somebody-else": (
        lambda root: _sub(
            root[0], "W", **{f"{{{SOAP}}}actor": "urn:x", f"{{{SOAP}}}mustUnderstand": "1"}
        ),
        MAC,
    ),
    "in-a-header-to-be-understood": (
        lambda root: _sub(root[0], "Wrapper", **{f"{{{SOAP}}}mustUnderstand": "1"}),
        FORMAT,
    ),
    # XSW3, XSW7: a sibling of the evil part, or in an extension of its own
    "beside-the-content": (lambda root: root[1], FORMAT),
    "beside-the-content-wrapped": (lambda root: _sub(root[1], "Wrapper"), FORMAT),
    "before-the-content-wrapped": (lambda root: _sub(root[1], "Wrapper", 0), FORMAT),
    "behind-the-body": (lambda root: _sub(root, "Wrapper"), FORMAT),
    "before-the-header": (lambda root: _sub(root, "Wrapper", 0), FORMAT),
    "between-header-and-body": (lambda root: _sub(root, f"{{{SOAP}}}Extension", 1), FORMAT),
    "in-the-envelope": (lambda root: root, FORMAT),
    # XSW4, XSW6: within the evil part
    "in-the-content": (lambda root: root[1][0], MAC),
    "in-the-content-wrapped": (lambda root: _sub(root[1][0], "Wrapper"), MAC),
    "in-the-block": (lambda root: root[0][0], FORMAT),
    "in-a-value-of-the-block": (lambda root: root[0][0][0], FORMAT),
}


@pytest.mark.parametrize(
    ("evil", "kept", "stash"),
    list(product(EVIL, KEPT, STASHES)),
    ids=lambda value: value,
)
async def test_the_original_is_stashed_beside_an_evil_message(
    target: Target, evil: str, kept: str, stash: str
) -> None:
    wire = await target.genuine()
    root, original = etree.fromstring(wire), etree.fromstring(wire)
    EVIL[evil](root)
    place, code = STASHES[stash]
    place(root).extend(KEPT[kept](original))
    await target.refuses(etree.tostring(root), code)


IDS = ["Id", "ID", "id", f"{{{WSU}}}Id", "{http://www.w3.org/XML/1998/namespace}id"]
URIS = ["", "#original", "#xpointer(id('original'))"]


@pytest.mark.parametrize("signature", ["outside", "inside", "both"])
@pytest.mark.parametrize("uri", URIS, ids=["whole", "id", "xpointer"])
@pytest.mark.parametrize("name", IDS, ids=["Id", "ID", "id", "wsu:Id", "xml:id"])
async def test_duplicate_ids(target: Target, name: str, uri: str, signature: str) -> None:
    """The evil Body and the stashed one share an id, and the reference is bent towards it."""
    wire = await target.genuine()
    root, original = etree.fromstring(wire), etree.fromstring(wire)
    _amount(root)
    for tree in (root, original):
        tree[1].set(name, "original")
    for tree in (root, original):
        next(tree.iter(f"{{{DS}}}Reference")).set("URI", uri)
    if signature == "inside":
        _without_signature(root)
    elif signature == "outside":
        _without_signature(original)
    _sub(root[0], "Wrapper").append(original)
    # An xml:id that stands twice is an error to the parser itself (xml:id 1.0, 4).
    await target.refuses(etree.tostring(root), FORMAT if "namespace" in name else MAC)


# a whole signed message inside another

OUTER = {
    "root-of-no-namespace": "<Wrapper/>",
    "another-envelope": f'<s:Envelope xmlns:s="{SOAP}"/>',
    "envelope-of-soap-1.2": '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"/>',
    "body-as-root": f'<s:Body xmlns:s="{SOAP}"/>',
    "header-as-root": f'<s:Header xmlns:s="{SOAP}"/>',
    "signature-as-root": f'<ds:Signature xmlns:ds="{DS}"/>',
    "block-as-root": f'<p:MessageHeader xmlns:p="{NS}"/>',
}


@pytest.mark.parametrize("copies", [1, 2])
@pytest.mark.parametrize("name", OUTER)
async def test_another_root(target: Target, name: str, copies: int) -> None:
    outer = etree.fromstring(OUTER[name])
    for _ in range(copies):
        outer.append(etree.fromstring(await target.genuine()))
    await target.refuses(etree.tostring(outer), FORMAT)


@pytest.mark.parametrize("signature", ["inner", "outer", "both", "enveloping"])
@pytest.mark.parametrize("sender", ["BIZ", "BANK"])
async def test_a_signed_message_as_the_body_of_another(
    target: Target, sender: str, signature: str
) -> None:
    inner = etree.fromstring(await target.genuine("BIZ"))
    root = etree.fromstring(await target.genuine(sender))
    root[1].remove(root[1][0])
    root[1].append(inner)
    if signature == "inner":
        _without_signature(root)
    elif signature == "outer":
        _without_signature(inner)
    elif signature == "enveloping":
        taken = inner[0][1]
        _without_signature(root)
        root[0].append(taken)
    await target.refuses(etree.tostring(root), MAC)


async def test_a_party_cannot_sign_for_another_around_its_message(target: Target) -> None:
    """BANK signs truly: its own message with one of BIZ inside, and one in BIZ's name."""
    form = Form(method=f"{MORE}ecdsa-sha256")
    inner = await target.genuine("BIZ")
    start = inner.index(b"<soap:Envelope")
    message = target.message("BANK", body=inner[start:])
    await target.refuses(signed(message, target.bank, form), MAC)
    message = target.message("BIZ")
    await target.refuses(signed(message, target.bank, form), MAC)


@pytest.mark.parametrize("name", ["Signature", "SignedInfo", "Object", "Reference", "Other"])
async def test_a_party_cannot_send_signatures_in_its_content(target: Target, name: str) -> None:
    """Truly signed as a whole, and still refused: an element of XML-DSig has one place."""
    form = Form(method=f"{MORE}ecdsa-sha256")
    for body in (
        f'<ds:{name} xmlns:ds="{DS}"></ds:{name}>',
        f'<Pay xmlns="urn:pay"><ds:{name} xmlns:ds="{DS}"></ds:{name}></Pay>',
    ):
        message = target.message("BANK", body=body.encode())
        await target.refuses(signed(message, target.bank, form), MAC)
    message = target.message("BANK", body=b'<Pay xmlns="urn:pay"></Pay>')
    await target.takes(signed(message, target.bank, form), message)


# SOAP: Bodies, Headers and blocks


def _body(root: Any) -> Any:
    evil = copy.deepcopy(root[1])
    evil.find(".//{*}Amt").text = "1000000"
    return evil


SHAPES = {
    "two-bodies-evil-last": lambda root: root.append(_body(root)),
    "two-bodies-evil-first": lambda root: root.insert(1, _body(root)),
    "a-body-before-the-header": lambda root: root.insert(0, _body(root)),
    "the-body-first": lambda root: root.insert(0, root[1]),
    "the-body-in-the-header": lambda root: root[0].append(root[1]),
    "the-header-in-the-body": lambda root: root[1].append(root[0]),
    "no-body": lambda root: root.remove(root[1]),
    "no-header": lambda root: root.remove(root[0]),
    "two-headers": lambda root: root.insert(0, copy.deepcopy(root[0])),
    "a-header-behind": lambda root: root.append(copy.deepcopy(root[0])),
    "two-blocks": lambda root: root[0].append(copy.deepcopy(root[0][0])),
    "two-blocks-evil-first": lambda root: (
        root[0].insert(0, copy.deepcopy(root[0][0])),
        _message_id(root),
    ),
    "no-block": lambda root: root[0].remove(root[0][0]),
    "a-body-of-soap-1.2": lambda root: setattr(
        root[1], "tag", "{http://www.w3.org/2003/05/soap-envelope}Body"
    ),
    "a-body-of-no-namespace": lambda root: setattr(root[1], "tag", "Body"),
    "a-body-in-lower-case": lambda root: setattr(root[1], "tag", f"{{{SOAP}}}body"),
    "a-header-of-another-namespace": lambda root: setattr(root[0], "tag", "{urn:x}Header"),
    "a-block-of-another-namespace": lambda root: setattr(root[0][0], "tag", "{urn:x}MessageHeader"),
    "a-block-in-lower-case": lambda root: setattr(root[0][0], "tag", f"{{{NS}}}messageheader"),
    "text-in-the-envelope": lambda root: setattr(root[0], "tail", "x"),
    "text-in-the-header": lambda root: setattr(root[0], "text", "x"),
    "text-in-the-body": lambda root: setattr(root[1], "text", "x"),
    "text-behind-the-content": lambda root: setattr(root[1][0], "tail", "x"),
    "text-in-the-block": lambda root: setattr(root[0][0][0], "tail", "x"),
    "two-contents": lambda root: root[1].append(copy.deepcopy(root[1][0])),
    "two-contents-evil-first": lambda root: root[1].insert(0, _body(root)[0]),
}


@pytest.mark.parametrize("sender", ["BIZ", "BANK", "HMAC"])
@pytest.mark.parametrize("name", SHAPES)
async def test_another_shape_of_the_envelope(target: Target, name: str, sender: str) -> None:
    root = etree.fromstring(await target.genuine(sender))
    SHAPES[name](root)
    await target.refuses(etree.tostring(root), FORMAT)


VALUES = ["SvcId", "MsgId", "Sender", "Receiver", "Timestamp", "TimeToLive"]


@pytest.mark.parametrize("sender", ["BIZ", "HMAC"])
@pytest.mark.parametrize("how", ["twice", "twice-evil-first", "nested", "foreign-beside"])
@pytest.mark.parametrize("name", VALUES)
async def test_a_value_of_the_header_twice(
    target: Target, name: str, how: str, sender: str
) -> None:
    root = etree.fromstring(await target.genuine(sender))
    element = root[0][0].find(f"{{{NS}}}{name}")
    other = copy.deepcopy(element)
    match how:
        case "twice":
            root[0][0].append(other)
        case "twice-evil-first":
            other.text = "PS830INQRQ"
            root[0][0].insert(0, other)
        case "nested":
            element.append(other)
        case "foreign-beside":
            other.tag = f"{{urn:x}}{name}"
            element.addnext(other)
    await target.refuses(etree.tostring(root), FORMAT)


# two signatures, none, or one somewhere else

PLACES = {
    "first-in-the-header": lambda root, one: root[0].insert(0, one),
    "last-in-the-header": lambda root, one: root[0].append(one),
    "in-a-wrapper": lambda root, one: _sub(root[0], "W").append(one),
    "in-a-security-header": lambda root, one: _sub(root[0], f"{{{WSSE}}}Security").append(one),
    "in-the-signature": lambda root, one: root[0].findall(f"{{{DS}}}Signature")[0].append(one),
    "in-the-content": lambda root, one: root[1][0].append(one),
    "in-a-leaf": lambda root, one: root[1][0][1].append(one),
}
BADLY = {
    "in-the-block": lambda root, one: root[0][0].append(one),
    "in-the-body": lambda root, one: root[1].append(one),
    "in-the-envelope": lambda root, one: root.append(one),
    "first-in-the-envelope": lambda root, one: root.insert(0, one),
}


@pytest.mark.parametrize("whose", ["its-own", "of-another-message", "of-another-party"])
@pytest.mark.parametrize("name", [*PLACES, *BADLY])
async def test_a_second_signature(target: Target, name: str, whose: str) -> None:
    root = etree.fromstring(await target.genuine())
    second = copy.deepcopy(root[0][1])
    if whose == "of-another-message":
        second = etree.fromstring(await target.genuine())[0][1]
    elif whose == "of-another-party":
        second = etree.fromstring(await target.genuine("BANK"))[0][1]
    (PLACES | BADLY)[name](root, second)
    await target.refuses(etree.tostring(root), FORMAT if name in BADLY else MAC)


@pytest.mark.parametrize("name", ["first-in-the-header", *list(PLACES)[2:4], *list(PLACES)[5:]])
async def test_the_signature_stands_elsewhere(target: Target, name: str) -> None:
    root = etree.fromstring(await target.genuine())
    PLACES[name](root, root[0][1])
    await target.refuses(etree.tostring(root), MAC)


@pytest.mark.parametrize("name", BADLY)
async def test_the_signature_stands_where_nothing_may(target: Target, name: str) -> None:
    root = etree.fromstring(await target.genuine())
    BADLY[name](root, root[0][1])
    await target.refuses(etree.tostring(root), FORMAT)


@pytest.mark.parametrize("sender", ["BIZ", "BANK", "CHAIN", "OLD"])
async def test_no_signature_where_one_is_agreed(target: Target, sender: str) -> None:
    await target.refuses(serialise(target.message(sender), PROFILE), MAC)


@pytest.mark.parametrize(
    "name", ["Header", "Body", "Envelope", "MessageHeader", "MsgId", "Pay", "Amt", "Signature"]
)
@pytest.mark.parametrize("attribute", ["Id", "xml:id", "xml:base", "xml:space", "xml:lang", "x:y"])
async def test_an_attribute_added_anywhere(target: Target, name: str, attribute: str) -> None:
    """Also one that some canonicalisation would inherit, or leave out."""
    root = etree.fromstring(await target.genuine())
    prefix, _, local = attribute.rpartition(":")
    space = {"xml": "{http://www.w3.org/XML/1998/namespace}", "x": "{urn:x}"}.get(prefix, "")
    next(root.iter(f"{{*}}{name}")).set(f"{space}{local}", "original")
    await target.refuses(etree.tostring(root), MAC)
