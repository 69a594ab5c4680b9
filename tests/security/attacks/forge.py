"""Signatures made by hand, with every choice that XML-DSig leaves to the signer.

What is made here is signed truly, over what its references say: it is refused for its shape or its
key alone.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from lxml import etree

from msh.envelope import serialise
from msh.message import Message
from tests.security.certificates import PROFILE, Identity

DS = "http://www.w3.org/2000/09/xmldsig#"
MORE = "http://www.w3.org/2001/04/xmldsig-more#"
MORE_2007 = "http://www.w3.org/2007/05/xmldsig-more#"
ENC = "http://www.w3.org/2001/04/xmlenc#"
EXC = "http://www.w3.org/2001/10/xml-exc-c14n#"
C14N = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
C14N11 = "http://www.w3.org/2006/12/xml-c14n11"
RSA_SHA256 = f"{MORE}rsa-sha256"
SHA256 = f"{ENC}sha256"
ENVELOPED = f"{DS}enveloped-signature"

Make = Callable[[bytes], bytes]


def transform(algorithm: str, content: str = "") -> str:
    """A ds:Transform."""
    return f'<ds:Transform Algorithm="{algorithm}">{content}</ds:Transform>'


USUAL_TRANSFORMS = transform(ENVELOPED) + transform(EXC)


@dataclass
class Reference:
    """A ds:Reference; ``uri`` None leaves the attribute away, ``digest`` None computes it."""

    uri: str | None = ""
    transforms: str | None = USUAL_TRANSFORMS
    method: str = SHA256
    attributes: str = ""
    digest: bytes | None = None
    of: str | None = None  # the Id of what is digested; None: the whole, without signatures


@dataclass
class Form:
    """A signature, as somebody chose to make it."""

    canonicalization: str = EXC
    method: str = RSA_SHA256
    references: list[Reference] = field(default_factory=lambda: [Reference()])
    key_info: str | None = None  # None: the signer's certificate
    make: Make | None = None  # None: the signer's key, by ``method``
    method_content: str = ""
    before: str = ""  # inside ds:Signature, in front of SignedInfo
    behind: str = ""  # behind KeyInfo
    attributes: str = ""


def certificate_info(*ders: bytes) -> str:
    """ds:KeyInfo with these certificates."""
    certificates = "".join(
        f"<ds:X509Certificate>{base64.b64encode(der).decode()}</ds:X509Certificate>" for der in ders
    )
    return f"<ds:KeyInfo><ds:X509Data>{certificates}</ds:X509Data></ds:KeyInfo>"


def signed(
    message: Message | bytes,
    signer: Identity,
    form: Form | None = None,
    prepare: Callable[[Any], None] = lambda root: None,
) -> bytes:
    """The message with a signature of ``form``; ``prepare`` changes its tree before."""
    form = form or Form()
    wire = message if isinstance(message, bytes) else serialise(message, PROFILE)
    root = etree.fromstring(wire)
    prepare(root)
    references = "".join(_reference(one, root) for one in form.references)
    key_info = certificate_info(signer.der) if form.key_info is None else form.key_info
    signature = etree.fromstring(
        f'<ds:Signature xmlns:ds="{DS}"{form.attributes}>{form.before}<ds:SignedInfo>'
        f'<ds:CanonicalizationMethod Algorithm="{form.canonicalization}"/>'
        f'<ds:SignatureMethod Algorithm="{form.method}">{form.method_content}</ds:SignatureMethod>'
        f"{references}</ds:SignedInfo><ds:SignatureValue/>{key_info}{form.behind}</ds:Signature>"
    )
    root[0].append(signature)
    signed_info = signature.find(f"{{{DS}}}SignedInfo")
    data = _canonical(signed_info, form.canonicalization)
    make = form.make or by_key(signer.key, form.method)
    signature.find(f"{{{DS}}}SignatureValue").text = base64.b64encode(make(data)).decode()
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def _reference(one: Reference, root: Any) -> str:
    uri = "" if one.uri is None else f' URI="{one.uri}"'
    transforms = (
        "" if one.transforms is None else f"<ds:Transforms>{one.transforms}</ds:Transforms>"
    )
    digest = one.digest
    if digest is None:
        found = root if one.of is None else root.xpath("//*[@Id=$id]", id=one.of)[0]
        digest = _hash(one.method)(_canonical(found, EXC)).digest()
    value = base64.b64encode(digest).decode()
    return (
        f"<ds:Reference{uri}{one.attributes}>{transforms}"
        f'<ds:DigestMethod Algorithm="{one.method}"/><ds:DigestValue>{value}</ds:DigestValue>'
        "</ds:Reference>"
    )


def _canonical(element: Any, method: str) -> bytes:
    if "exc-c14n" in method:
        return bytes(etree.tostring(copy.deepcopy(element), method="c14n", exclusive=True))
    return bytes(etree.tostring(element, method="c14n", exclusive=False))


def _hash(method: str) -> Any:
    """The hash that ends the URI of a method, or SHA-256 for one that says none."""
    name = method.rpartition("#")[2].rpartition("-")[2].lower().strip()
    sha3 = "sha3" in method
    found = {"224": "sha3_224", "256": "sha3_256", "384": "sha3_384", "512": "sha3_512"}.get(name)
    if sha3 and found:
        return getattr(hashlib, found)
    return {
        "md5": hashlib.md5,
        "sha1": hashlib.sha1,
        "sha224": hashlib.sha224,
        "sha384": hashlib.sha384,
        "sha512": hashlib.sha512,
    }.get(name, hashlib.sha256)


def by_key(key: Any, method: str) -> Make:
    """Sign as ``method`` says, as far as the key can."""
    name = _hash(method)().name.upper()
    algorithm = getattr(hashes, name if hasattr(hashes, name) else "SHA256")()
    if isinstance(key, rsa.RSAPrivateKey):
        pss = padding.PSS(padding.MGF1(algorithm), padding.PSS.DIGEST_LENGTH)
        how = pss if "MGF1" in method or "pss" in method else padding.PKCS1v15()
        return lambda data: key.sign(data, how, algorithm)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return lambda data: key.sign(data)
    return lambda data: _ecdsa(key, data, algorithm)


def _ecdsa(key: ec.EllipticCurvePrivateKey, data: bytes, algorithm: hashes.HashAlgorithm) -> bytes:
    """The form of RFC 4050: r and s, of equal length."""
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(algorithm)))
    size = (key.key_size + 7) // 8
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def by_hmac(secret: bytes, method: str, keep: int | None = None) -> Make:
    """An HMAC, as whoever holds only the public key can make."""
    return lambda data: hmac.digest(secret, data, _hash(method)().name)[:keep]
