"""The one shape of a signature that is read, checked before anything of it is computed.

XML-DSig (W3C XML Signature Syntax and Processing) lets the signer choose what is signed and how it
is transformed first; most attacks on it are such choices. So there is no choice here::

    soap:Header
      the profile's header block
      ds:Signature
        ds:SignedInfo
          ds:CanonicalizationMethod    exclusive c14n
          ds:SignatureMethod           RSA (PKCS#1 v1.5) or ECDSA with SHA-256, SHA-384, SHA-512
          ds:Reference  URI=""
            ds:Transforms
              ds:Transform             enveloped-signature
              ds:Transform             exclusive c14n
                ec:InclusiveNamespaces   optional; at most 16 prefixes
            ds:DigestMethod            SHA-256, SHA-384 or SHA-512
            ds:DigestValue
        ds:SignatureValue
        ds:KeyInfo
          ds:X509Data
            ds:X509Certificate

Nothing may be missing, repeated, in another order, or there besides; no attribute but those
named, and no element of the ds namespace anywhere else in the message.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection
from typing import Final

from lxml import etree

from msh.envelope import Parsed
from msh.errors import NotAuthentic
from msh.xml import Element

DS: Final = "http://www.w3.org/2000/09/xmldsig#"
EXCLUSIVE: Final = "http://www.w3.org/2001/10/xml-exc-c14n#"
ENVELOPED: Final = f"{DS}enveloped-signature"
#: How many prefixes a PrefixList may hold: a canonicaliser looks each up at every element.
MOST_PREFIXES: Final = 16
#: The largest certificate, in bytes of DER, and the longest signature (RSA of 8192 bits).
LARGEST_CERTIFICATE: Final = 4096
LONGEST_SIGNATURE: Final = 1024

_MORE: Final = "http://www.w3.org/2001/04/xmldsig-more#"
_ENCRYPTION: Final = "http://www.w3.org/2001/04/xmlenc#"
SIGNATURE_METHODS: Final = frozenset(
    f"{_MORE}{name}-{digest}"
    for name in ("rsa", "ecdsa")
    for digest in ("sha256", "sha384", "sha512")
)
#: Digest methods and the lengths of their values in bytes.
DIGEST_METHODS: Final = {
    f"{_ENCRYPTION}sha256": 32,
    f"{_MORE}sha384": 48,
    f"{_ENCRYPTION}sha512": 64,
}

_NAMES: Final = {
    name: f"{{{DS}}}{name}"
    for name in (
        "Signature",
        "SignedInfo",
        "CanonicalizationMethod",
        "SignatureMethod",
        "Reference",
        "Transforms",
        "Transform",
        "DigestMethod",
        "DigestValue",
        "SignatureValue",
        "KeyInfo",
        "X509Data",
        "X509Certificate",
    )
}
_SPACE: Final = " \t\r\n"
_LIST = re.compile(rf"[^\s]+(?: [^\s]+){{0,{MOST_PREFIXES - 1}}}")
_SPACES = re.compile(r"[ \t\r\n]+")
_COUNT = etree.XPath("count(//ds:*)", namespaces={"ds": DS})


def require_shape(parsed: Parsed) -> bytes:
    """Check the shape of the signature of ``parsed``, whose tree is left as it is.

    Returns the certificate that it names, DER, not looked into yet. Raises `NotAuthentic` with a
    reason that quotes nothing of the message.
    """
    walk = _Walk()
    signed_info, value, key_info = walk.children(
        _signature(parsed), "Signature", ("SignedInfo", "SignatureValue", "KeyInfo")
    )
    _require_signed_info(walk, signed_info)
    _content(value, "SignatureValue", LONGEST_SIGNATURE)
    (data,) = walk.children(key_info, "KeyInfo", ("X509Data",))
    (certificate,) = walk.children(data, "X509Data", ("X509Certificate",))
    der = _content(certificate, "X509Certificate", LARGEST_CERTIFICATE)
    if _COUNT(parsed.root) != walk.seen:
        raise NotAuthentic("an element of XML-DSig stands outside the signature's place")
    return der


def _signature(parsed: Parsed) -> Element:
    header = parsed.block.getparent()
    assert header is not None  # `parse` found the block in it
    blocks = list(header)
    signatures = [block for block in blocks if block.tag == _NAMES["Signature"]]
    if not signatures:
        raise NotAuthentic("there is no signature in the header, and one is agreed")
    if len(blocks) != 2 or blocks[0] is not parsed.block:
        raise NotAuthentic("the header must hold its block, then one signature, and nothing else")
    return signatures[0]


def _require_signed_info(walk: _Walk, signed_info: Element) -> None:
    canonicalization, method, reference = walk.children(
        signed_info, "SignedInfo", ("CanonicalizationMethod", "SignatureMethod", "Reference")
    )
    _algorithm(canonicalization, "CanonicalizationMethod", (EXCLUSIVE,))
    _algorithm(method, "SignatureMethod", SIGNATURE_METHODS)
    # URI="" is the whole message, which the first transform leaves the signature out of.
    transforms, digest_method, digest_value = walk.children(
        reference, "Reference", ("Transforms", "DigestMethod", "DigestValue"), [("URI", "")]
    )
    enveloped, exclusive = walk.children(transforms, "Transforms", ("Transform", "Transform"))
    _algorithm(enveloped, "Transform", (ENVELOPED,))
    _algorithm(exclusive, "Transform", (EXCLUSIVE,), leaf=False)
    _require_prefix_list(exclusive)
    length = DIGEST_METHODS[_algorithm(digest_method, "DigestMethod", DIGEST_METHODS)]
    if len(_content(digest_value, "DigestValue", length)) != length:
        raise NotAuthentic("DigestValue has not the length of its method")


def _require_prefix_list(transform: Element) -> None:
    _require_blank(transform, "Transform")
    children = list(transform)
    if not children:
        return
    if len(children) != 1 or children[0].tag != f"{{{EXCLUSIVE}}}InclusiveNamespaces":
        raise NotAuthentic("Transform holds something else than one InclusiveNamespaces")
    inclusive = children[0]
    if inclusive.keys() != ["PrefixList"] or len(inclusive) or inclusive.text:
        raise NotAuthentic("InclusiveNamespaces holds something else than one PrefixList")
    if not _LIST.fullmatch(str(inclusive.get("PrefixList"))):
        raise NotAuthentic(
            f"PrefixList must be 1 to {MOST_PREFIXES} prefixes with one space between them"
        )


class _Walk:
    """Counts the elements of the ds namespace that were seen where they belong."""

    def __init__(self) -> None:
        self.seen = 1  # the Signature itself

    def children(
        self,
        element: Element,
        name: str,
        names: tuple[str, ...],
        attributes: list[tuple[str, str]] | None = None,
    ) -> list[Element]:
        """The children of ``element``: exactly those ``names``, in this order."""
        if element.items() != (attributes or []):
            raise NotAuthentic(f"{name} has other attributes than it must have")
        _require_blank(element, name)
        children = list(element)
        if [child.tag for child in children] != [_NAMES[child] for child in names]:
            raise NotAuthentic(f"{name} must hold {', '.join(names)} and nothing else")
        self.seen += len(children)
        return children


def _algorithm(element: Element, name: str, allowed: Collection[str], *, leaf: bool = True) -> str:
    if element.keys() != ["Algorithm"]:
        raise NotAuthentic(f"{name} has other attributes than it must have")
    if leaf and (len(element) or element.text):
        raise NotAuthentic(f"{name} holds something, and must be empty")
    algorithm = str(element.get("Algorithm"))
    if algorithm not in allowed:
        raise NotAuthentic(f"the algorithm of {name} is not allowed")
    return algorithm


def _content(element: Element, name: str, most: int) -> bytes:
    """The bytes of a base64 element, in the one way to write them (line breaks aside)."""
    if element.keys() or len(element):
        raise NotAuthentic(f"{name} has attributes or elements")
    text = element.text or ""
    if len(text) > 2 * most + 64:
        raise NotAuthentic(f"{name} is longer than {most} bytes")
    packed = _SPACES.sub("", text)
    try:
        content = base64.b64decode(packed, validate=True)
    except (binascii.Error, ValueError):
        raise NotAuthentic(f"{name} is not base64") from None
    if not content or base64.b64encode(content).decode() != packed:
        raise NotAuthentic(f"{name} is not base64")
    if len(content) > most:
        raise NotAuthentic(f"{name} is longer than {most} bytes")
    return content


def _require_blank(element: Element, name: str) -> None:
    text = element.text
    for child in element:
        if text and text.strip(_SPACE):
            break
        text = child.tail
    if text and text.strip(_SPACE):
        raise NotAuthentic(f"text stands in {name}")
