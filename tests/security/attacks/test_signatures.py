"""Signatures that say what XML-DSig allows, and this profile does not.

They are made with the party's own key, over what their references say, so that only their shape
can be why they are refused. Controls come first: what is made by hand in the agreed shape is taken.
"""

from __future__ import annotations

import asyncio

import pytest
from lxml import etree

from tests.security.attacks.forge import (
    C14N,
    C14N11,
    DS,
    ENC,
    ENVELOPED,
    EXC,
    MORE,
    MORE_2007,
    RSA_SHA256,
    SHA256,
    USUAL_TRANSFORMS,
    Form,
    Reference,
    signed,
    transform,
)
from tests.security.attacks.target import FORMAT, MAC, Target, names

pytestmark = pytest.mark.asyncio(loop_scope="module")

PREFIXES = '<ec:InclusiveNamespaces xmlns:ec="{}" PrefixList="{}"/>'


def prefix_list(value: str, namespace: str = EXC) -> str:
    """Transforms whose canonicalisation has a PrefixList."""
    return transform(ENVELOPED) + transform(EXC, PREFIXES.format(namespace, value))


def one(**changes: object) -> Form:
    """A form whose only reference is another."""
    return Form(references=[Reference(**changes)])


CONTROLS = {
    "usual": Form(),
    "sha-384": Form(method=f"{MORE}rsa-sha384"),
    "sha-512": Form(method=f"{MORE}rsa-sha512"),
    "digest-sha-384": one(method=f"{MORE}sha384"),
    "digest-sha-512": one(method=f"{ENC}sha512"),
    "prefix-list": one(transforms=prefix_list("unused")),
    "prefix-list-default": one(transforms=prefix_list("#default")),
}


@pytest.mark.parametrize("name", CONTROLS)
async def test_made_by_hand_in_the_agreed_shape(target: Target, name: str) -> None:
    message = target.message()
    await target.takes(signed(message, target.biz, CONTROLS[name]), message)


async def test_made_by_hand_with_an_elliptic_curve(target: Target) -> None:
    message = target.message("BANK")
    await target.takes(signed(message, target.bank, Form(method=f"{MORE}ecdsa-sha256")), message)


# algorithms

METHODS = {
    "rsa-sha1": f"{DS}rsa-sha1",
    "rsa-md5": f"{MORE}rsa-md5",
    "rsa-sha224": f"{MORE}rsa-sha224",
    "rsa-ripemd160": f"{MORE}rsa-ripemd160",
    "rsa-whirlpool": f"{MORE_2007}rsa-whirlpool",
    "rsa-pss": f"{MORE_2007}rsa-pss",
    "rsa-pss-sha1": f"{MORE_2007}sha1-rsa-MGF1",
    "rsa-pss-sha256": f"{MORE_2007}sha256-rsa-MGF1",
    "rsa-pss-sha512": f"{MORE_2007}sha512-rsa-MGF1",
    "dsa-sha1": f"{DS}dsa-sha1",
    "dsa-sha256": "http://www.w3.org/2009/xmldsig11#dsa-sha256",
    "ecdsa-sha1": f"{MORE}ecdsa-sha1",
    "ecdsa-sha224": f"{MORE}ecdsa-sha224",
    "eddsa": "http://www.w3.org/2021/04/xmldsig-more#eddsa-ed25519",
    "hmac-sha1": f"{DS}hmac-sha1",
    "hmac-sha256": f"{MORE}hmac-sha256",
    "hmac-sha512": f"{MORE}hmac-sha512",
    "none": "",
    "a-digest": SHA256,
    "upper-case": RSA_SHA256.upper(),
    "upper-case-fragment": f"{MORE}RSA-SHA256",
    "space-before": f" {RSA_SHA256}",
    "space-behind": f"{RSA_SHA256} ",
    "line-break": f"{RSA_SHA256}&#10;",
    "relative": "#rsa-sha256",
    "another-namespace": f"{DS}rsa-sha256",
    "https": RSA_SHA256.replace("http:", "https:"),
    "escaped": RSA_SHA256.replace("rsa", "%72sa"),
    "lookalike": RSA_SHA256.replace("rsa", "rѕa"),
    "ecdsa-for-an-rsa-key": f"{MORE}ecdsa-sha256",
}
DIGESTS = {
    "sha1": f"{DS}sha1",
    "md5": f"{MORE}md5",
    "sha224": f"{MORE}sha224",
    "ripemd160": f"{ENC}ripemd160",
    "whirlpool": f"{MORE_2007}whirlpool",
    "sha3-256": f"{MORE_2007}sha3-256",
    "sha3-512": f"{MORE_2007}sha3-512",
    "none": "",
    "sha256-of-another-namespace": f"{MORE}sha256",
    "sha384-of-another-namespace": f"{ENC}sha384",
    "upper-case": f"{ENC}SHA256",
    "space-behind": f"{SHA256} ",
    "a-signature-method": RSA_SHA256,
}
CANONICALIZATIONS = {
    "1.0": C14N,
    "1.0-comments": f"{C14N}#WithComments",
    "1.1": C14N11,
    "1.1-comments": f"{C14N11}#WithComments",
    "exclusive-comments": f"{EXC}WithComments",
    "2.0": "http://www.w3.org/2010/xml-c14n2",
    "minimal": "http://www.w3.org/2000/09/xmldsig#minimal",
    "none": "",
    "exclusive-without-the-mark": EXC.rstrip("#"),
    "base64": f"{DS}base64",
    "xslt": "http://www.w3.org/TR/1999/REC-xslt-19991116",
}
FORMS: dict[str, Form] = {}
FORMS |= {f"method:{n}": Form(method=uri) for n, uri in METHODS.items()}
FORMS |= {f"digest:{n}": one(method=uri) for n, uri in DIGESTS.items()}
FORMS |= {f"c14n:{n}": Form(canonicalization=uri) for n, uri in CANONICALIZATIONS.items()}
FORMS["method:with-output-length"] = Form(
    method_content="<ds:HMACOutputLength>8</ds:HMACOutputLength>"
)
FORMS["method:with-pss-parameters"] = Form(
    method_content=f'<p:RSAPSSParams xmlns:p="{MORE_2007}"/>'
)

# transforms

XSLT = "http://www.w3.org/TR/1999/REC-xslt-19991116"
STYLESHEET = (
    '<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">'
    '<xsl:template match="/"><xsl:copy-of select="document(\'file:///etc/passwd\')"/>'
    "</xsl:template></xsl:stylesheet>"
)
TRANSFORMS = {
    "xslt": transform(XSLT, STYLESHEET),
    "xslt-without-stylesheet": transform(XSLT),
    "xpath": transform(
        "http://www.w3.org/TR/1999/REC-xpath-19991116",
        "<ds:XPath>not(ancestor-or-self::ds:Signature)</ds:XPath>",
    ),
    "xpath-of-ebms": transform(
        "http://www.w3.org/TR/1999/REC-xpath-19991116",
        '<ds:XPath xmlns:SOAP="http://schemas.xmlsoap.org/soap/envelope/">'
        "not(ancestor-or-self::node()[@SOAP:actor])</ds:XPath>",
    ),
    "xpath-of-nothing": transform(
        "http://www.w3.org/TR/1999/REC-xpath-19991116", "<ds:XPath>false()</ds:XPath>"
    ),
    "xpath-filter": transform(
        "http://www.w3.org/2002/06/xmldsig-filter2",
        '<f:XPath xmlns:f="http://www.w3.org/2002/06/xmldsig-filter2" Filter="subtract">/'
        "</f:XPath>",
    ),
    "base64": transform(f"{DS}base64"),
    "c14n-1.0": transform(C14N),
    "c14n-1.0-comments": transform(f"{C14N}#WithComments"),
    "c14n-1.1": transform(C14N11),
    "exclusive-comments": transform(f"{EXC}WithComments"),
    "decrypt": transform("http://www.w3.org/2002/07/decrypt#XML"),
    "security-token": transform(
        "http://docs.oasis-open.org/wss/2004/01/"
        "oasis-200401-wss-soap-message-security-1.0#STR-Transform"
    ),
    "attachment": transform(
        "http://docs.oasis-open.org/wss/oasis-wss-SwAProfile-1.1#Attachment-Complete-Transform"
    ),
    "unknown": transform("urn:unknown"),
}
_ENVELOPED, _EXC = transform(ENVELOPED), transform(EXC)
for _name, _other in TRANSFORMS.items():
    FORMS |= {
        f"transforms:{_name}-first": one(transforms=_other + _ENVELOPED + _EXC),
        f"transforms:{_name}-between": one(transforms=_ENVELOPED + _other + _EXC),
        f"transforms:{_name}-last": one(transforms=_ENVELOPED + _EXC + _other),
        f"transforms:{_name}-for-c14n": one(transforms=_ENVELOPED + _other),
        f"transforms:{_name}-alone": one(transforms=_other),
    }
FORMS |= {
    f"transforms:{name}": one(transforms=value)
    for name, value in {
        "no-element": None,
        "none": "",
        "enveloped-alone": _ENVELOPED,
        "exclusive-alone": _EXC,
        "turned-round": _EXC + _ENVELOPED,
        "exclusive-twice": _ENVELOPED + _EXC + _EXC,
        "enveloped-twice": _ENVELOPED + _ENVELOPED + _EXC,
        "nested": transform(ENVELOPED, _EXC) + _EXC,
        "xpath-in-exclusive": _ENVELOPED + transform(EXC, "<ds:XPath>1</ds:XPath>"),
        "text-in-exclusive": _ENVELOPED + transform(EXC, "x"),
        "space-in-enveloped": transform(ENVELOPED, " ") + _EXC,
        "prefix-list-empty": prefix_list(""),
        "prefix-list-of-17": prefix_list(" ".join("abcdefghijklmnopq")),
        "prefix-list-huge": prefix_list(" ".join(f"p{n}" for n in range(5000))),
        "prefix-list-spaces": prefix_list("a  b"),
        "prefix-list-tab": prefix_list("a&#9;b"),
        "prefix-list-space-first": prefix_list(" a"),
        "prefix-list-of-another-namespace": prefix_list("a", DS),
        "prefix-list-twice": _ENVELOPED + transform(EXC, PREFIXES.format(EXC, "a") * 2),
        "prefix-list-without-list": _ENVELOPED
        + transform(EXC, f'<ec:InclusiveNamespaces xmlns:ec="{EXC}"/>'),
        "prefix-list-in-enveloped": transform(ENVELOPED, PREFIXES.format(EXC, "a")) + _EXC,
    }.items()
}

# references

URIS = {
    "of-an-id": "#body",
    "of-an-unknown-id": "#none",
    "xpointer-root": "#xpointer(/)",
    "xpointer-id": "#xpointer(id('body'))",
    "xpointer-element": "#element(/1)",
    "file": "file:///etc/passwd",
    "file-relative": "message.xml",
    "path": "/etc/passwd",
    "ftp": "ftp://127.0.0.1/x",
    "https": "https://127.0.0.1:1/x",
    "cid": "cid:payload",
    "data": "data:text/plain,x",
    "mark": "#",
    "query": "?",
    "dot": ".",
    "space": " ",
    "encoded-mark": "%23body",
}
FORMS |= {f"uri:{n}": one(uri=uri) for n, uri in URIS.items()}
FORMS |= {
    "uri:none": one(uri=None),
    "uri:of-the-body": one(uri="#body", of="body"),
    "uri:of-the-body-exclusive": one(uri="#body", of="body", transforms=_EXC),
    "uri:of-the-header-block": one(uri="#block", of="block", transforms=_EXC),
    "uri:of-the-envelope": one(uri="#envelope", of="envelope"),
    "reference:a-type": one(attributes=f' Type="{DS}Manifest"'),
    "reference:an-id": one(attributes=' Id="r"'),
    "reference:a-foreign-attribute": one(attributes=' xmlns:x="urn:x" x:URI=""'),
    "reference:none": Form(references=[]),
    "reference:two": Form(references=[Reference(), Reference()]),
    "reference:three": Form(references=[Reference()] * 3),
    "reference:whole-then-body": Form(
        references=[Reference(), Reference(uri="#body", of="body", transforms=_EXC)]
    ),
    "reference:body-then-whole": Form(
        references=[Reference(uri="#body", of="body", transforms=_EXC), Reference()]
    ),
    "reference:body-and-block": Form(
        references=[
            Reference(uri="#block", of="block", transforms=_EXC),
            Reference(uri="#body", of="body", transforms=_EXC),
        ]
    ),
    "reference:many": Form(references=[Reference(digest=bytes(32))] * 400),
    "reference:empty-digest": one(digest=b""),
    "reference:digest-cut": one(digest=bytes(31)),
    "reference:digest-long": one(digest=bytes(33)),
    "reference:other-digest": one(digest=bytes(32)),
}


def _identified(root: etree._Element) -> None:
    """Ids for references to parts; they are part of what is signed."""
    for name, element in (("envelope", root), ("block", root[0][0]), ("body", root[1])):
        element.set("Id", name)


@pytest.mark.parametrize("name", names(FORMS))
async def test_a_form_that_is_not_agreed(target: Target, name: str) -> None:
    """0004E, although the party itself made it."""
    wire = signed(target.message(), target.biz, FORMS[name], _identified)
    await target.refuses(wire, MAC)


async def test_no_reference_is_fetched(target: Target) -> None:
    """A server that a reference, a transform, a key or a schema names is never called."""
    called: list[object] = []

    def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        called.append(writer)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/x"
        sheet = STYLESHEET.replace("file:///etc/passwd", url)
        info = f'<ds:KeyInfo><ds:RetrievalMethod URI="{url}"/></ds:KeyInfo>'
        location = ' xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:schemaLocation="{} {}"'
        for form in (
            one(uri=url),
            one(transforms=USUAL_TRANSFORMS + transform(XSLT, sheet)),
            Form(key_info=info),
            Form(attributes=location.format(DS, url)),
        ):
            await target.refuses(signed(target.message(), target.biz, form), MAC)
        wire = signed(target.message(), target.biz)
        doctype = f'<!DOCTYPE x SYSTEM "{url}">'.encode()
        await target.refuses(
            wire.replace(b"<soap:Envelope", doctype + b"<soap:Envelope", 1), FORMAT
        )
        body = f'<a xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="{url}"/></a>'
        message = target.message(body=body.encode())
        await target.refuses(signed(message, target.bank), MAC)
        instruction = f'<?xml-stylesheet href="{url}"?>'.encode()
        await target.refuses(wire.replace(b"<soap:Env", instruction + b"<soap:Env", 1), FORMAT)
        await asyncio.sleep(0.05)
    assert called == []
