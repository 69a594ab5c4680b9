"""XML signatures (W3C XML Signature Syntax and Processing), by signxml behind a strict shape.

A message carries one signature, over all of it, at one place and of one shape (see
`msh.security.signature_shape`). Whose certificate counts is decided by `msh.security.certificates`,
not by what the message says of its key; and what `Signed.verify` returns was read from the signed
bytes alone, so that nothing that was moved, added or hidden is believed.
"""

from __future__ import annotations

import asyncio
import base64
import copy
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree
from signxml.algorithms import CanonicalizationMethod, DigestAlgorithm, SignatureMethod
from signxml.exceptions import InvalidDigest, InvalidSignature
from signxml.signer import XMLSigner
from signxml.verifier import SignatureConfiguration, XMLVerifier

from msh.envelope import SOAP, Parsed, enclose, header_block, parse
from msh.errors import CannotProtect, MalformedMessage, NotAuthentic
from msh.message import Message
from msh.profile import Profile
from msh.protection import Signature
from msh.security.apart import Apart
from msh.security.base import Protected, Verified
from msh.security.certificates import ExpiryWarnings, Listed, OwnCredentials, PeerCertificates
from msh.security.pem import Credential
from msh.security.signature_shape import (
    DIGEST_METHODS,
    DS,
    EXCLUSIVE,
    LARGEST_CERTIFICATE,
    LONGEST_SIGNATURE,
    MOST_PREFIXES,
    SIGNATURE_METHODS,
    require_shape,
)
from msh.xml import STANDARD_SHAPE, Element, canonical

Result = TypeVar("Result")

_PLACE: Final = f'<ds:Signature xmlns:ds="{DS}" Id="placeholder"/>'.encode()
_DECLARATION: Final = b'<?xml version="1.0" encoding="UTF-8"?>\n'
_LOCATION: Final = f"./{{{SOAP}}}Header/"
_PREFIX_LIST: Final = f"{{{DS}}}SignedInfo/{{{DS}}}CanonicalizationMethod/{{{EXCLUSIVE}}}*"
_TRANSFORM: Final = f"{{{DS}}}SignedInfo/{{{DS}}}Reference/{{{DS}}}Transforms/{{{DS}}}Transform"
_METHODS: Final = {
    "rsa": SignatureMethod.RSA_SHA256,
    "secp256r1": SignatureMethod.ECDSA_SHA256,
    "secp384r1": SignatureMethod.ECDSA_SHA384,
}
_ALLOWED_METHODS: Final = frozenset(map(SignatureMethod, SIGNATURE_METHODS))
_ALLOWED_DIGESTS: Final = frozenset(map(DigestAlgorithm, DIGEST_METHODS))
_OTHERS = etree.XPath("count(//ds:*) != 1", namespaces={"ds": DS})
_LOOK_EVERY: Final = timedelta(minutes=1)
_LARGE: Final = 65_536  # bytes; verifying more would hold up the event loop
_THREADS: Final = 4
_LONGEST_PREFIX: Final = 4 * STANDARD_SHAPE.prefix  # bytes of UTF-8
_MARKUP: Final = 1_000  # of the signature, without its values and PrefixList

_log = logging.getLogger("msh.security")
# signxml writes what it canonicalises, which is the whole message, to its log.
_signxml_log = logging.getLogger("signxml.processor")
_signxml_log.setLevel(logging.WARNING)
_signxml_log.addFilter(lambda record: record.levelno >= logging.WARNING)


def open_signed(
    protection: Signature,
    now: Callable[[], datetime],
    *,
    own: str = "we",
    peer: str = "the peer",
    apart: Apart | None = None,
) -> Signed:
    """The signatures of an agreement. ``own`` and ``peer`` name the parties in warnings.

    ``apart`` has the certificates of the other agreements, which must not be this peer's too.
    ``now`` is the time by which certificates are judged, an aware datetime in UTC. Raises
    `KeyUnusable` where a folder or a file in it cannot be used.
    """
    apart = apart or Apart(now)
    certificates = PeerCertificates(protection, now, apart.changed)
    apart.add(peer, certificates)
    credentials = OwnCredentials(protection.own, now, production=protection.production)
    return Signed(credentials, certificates, apart, now, names=(own, peer))


class Signed:
    """Protection by XML signatures, both ways (see `msh.security.base.Security`).

    The key of a protected or verified message is its certificate's fingerprint.
    """

    active = True
    #: An upper bound, whichever credential signs: certificate, signature and PrefixList at their
    #: largest.
    overhead = (
        _MARKUP
        + 4 * -(-LARGEST_CERTIFICATE // 3)
        + 4 * -(-LONGEST_SIGNATURE // 3)
        + MOST_PREFIXES * (_LONGEST_PREFIX + 1)
    )

    def __init__(
        self,
        own: OwnCredentials,
        peer: PeerCertificates,
        apart: Apart,
        now: Callable[[], datetime],
        *,
        names: tuple[str, str] = ("we", "the peer"),
    ) -> None:
        self._own, self._peer, self._apart, self._now = own, peer, apart, now
        self._names = names
        self._signer = _Signer()
        #: How many threads work for it now.
        self.working = 0
        self._verifier = _Verifier()
        # Apart from each other: strangers' messages must not queue before our own.
        self._signing = ThreadPoolExecutor(_THREADS, thread_name_prefix="msh-signing")
        self._verifying = ThreadPoolExecutor(_THREADS, thread_name_prefix="msh-verifying")
        self._lacks = False
        self._warnings, self._warned = ExpiryWarnings(), now()
        self._warnings.give(self.listed(), self._warned)

    async def protect(self, message: Message, profile: Profile) -> Protected:
        """The message signed with our certificate whose validity began last.

        Raises `CannotProtect` where none is valid, or the body itself uses XML-DSig.
        """
        self.look()
        credential = self._own.signing()
        return await self._in_thread(self._signing, self._signer.sign, message, profile, credential)

    async def verify(self, parsed: Parsed) -> Verified:
        """What the peer signed, read again from the signed bytes. Raises `NotAuthentic`."""
        self.look()
        shown = require_shape(parsed)
        try:
            certificate = self._peer.trusted(shown)
            self._apart.require(certificate)
        except NotAuthentic as error:
            raise NotAuthentic(error.reason, shown) from None
        now = self._now()
        if len(parsed.wire) <= _LARGE:
            signed = self._verifier.signed_bytes(parsed.root, certificate.x509, now)
        else:
            signed = await self._in_thread(
                self._verifying, _Verifier().signed_bytes, parsed.root, certificate.x509, now
            )
        try:
            message = parse(signed, {parsed.profile.namespace: parsed.profile}).message
        except MalformedMessage as error:
            raise NotAuthentic(f"what was signed is {error}") from None
        claimed = parsed.message
        if (message.sender, message.receiver) != (claimed.sender, claimed.receiver):
            raise NotAuthentic("what was signed is between other parties")
        return Verified(message, certificate.fingerprint)

    async def _in_thread(
        self, pool: ThreadPoolExecutor, function: Callable[..., Result], *arguments: Any
    ) -> Result:
        self.working += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(pool, function, *arguments)
        finally:
            self.working -= 1

    def retired(self, key: str) -> bool:
        """Whether the certificate ``key`` is no longer valid, or no longer ours."""
        return all(one.certificate.fingerprint != key for one in self._own.usable())

    def listed(self) -> list[Listed]:
        """Our certificates, the peer's and the anchors, for people."""
        own, peer = self._names
        return self._own.listed(own) + self._peer.listed(peer)

    def look(self, *, at_once: bool = False) -> Sequence[Listed]:
        """Warn of certificates that end soon, if it is time to look; returns those looked at.

        Called for every message; without one, ``at_once``, which also tells that none could sign.
        """
        now = self._now()
        if not at_once and abs(now - self._warned) < _LOOK_EVERY:
            return ()
        self._warned = now
        listed = self.listed()
        self._warnings.give(listed, now)
        if at_once:
            self._tell_lack()
        return listed

    def _tell_lack(self) -> None:
        told, self._lacks = self._lacks, False
        try:
            self._own.signing()
        except CannotProtect as error:
            self._lacks, peer = True, self._names[1]
            if not told:
                _log.error("nothing can be sent to %s, nor its messages answered: %s", peer, error)

    async def close(self) -> None:
        """Let go of threads."""
        self._signing.shutdown()
        self._verifying.shutdown()


class _Signer:
    """Signs messages, in any thread."""

    def __init__(self) -> None:
        self._key_infos: dict[str, bytes] = {}
        self._signers = {
            name: _PrefixListSigner(
                signature_algorithm=method,
                digest_algorithm=DigestAlgorithm.SHA256,
                c14n_algorithm=CanonicalizationMethod(EXCLUSIVE),
            )
            for name, method in _METHODS.items()
        }

    def sign(self, message: Message, profile: Profile, credential: Credential) -> Protected:
        """The message with its signature. Raises `CannotProtect`."""
        try:
            wire = self._signed(message, profile, credential)
        except (CannotProtect, MemoryError):
            raise
        except Exception as error:  # whatever it is, nothing may leave unsigned
            raise CannotProtect(
                f"it cannot be signed ({type(error).__name__}); msh is at fault, so please report "
                "it"
            ) from None
        return Protected(wire, credential.certificate.fingerprint)

    def _signed(self, message: Message, profile: Profile, credential: Credential) -> bytes:
        root = etree.fromstring(
            enclose(header_block(message, profile) + _PLACE, message.body),
            etree.XMLParser(resolve_entities=False),
        )
        if _OTHERS(root):
            raise CannotProtect(
                "its body holds elements of XML-DSig, which a signed message may not; send what "
                "they belong to in base64"
            )
        prefixes = content_prefixes(message.body)
        if len(prefixes) > MOST_PREFIXES:
            raise CannotProtect(f"its content uses more than {MOST_PREFIXES} prefixes")
        key = credential.key
        name = key.curve.name if isinstance(key, ec.EllipticCurvePrivateKey) else "rsa"
        signed = self._signers[name].sign(
            root,
            key=key,
            key_info=self._key_info(credential),
            inclusive_ns_prefixes=prefixes or None,
        )
        return _DECLARATION + etree.tostring(signed, encoding="utf-8")

    def _key_info(self, credential: Credential) -> Element:
        certificate = credential.certificate
        written = self._key_infos.get(certificate.fingerprint)
        if written is None:
            der = base64.b64encode(certificate.x509.public_bytes(Encoding.DER)).decode()
            written = (
                f'<ds:KeyInfo xmlns:ds="{DS}"><ds:X509Data><ds:X509Certificate>{der}'
                "</ds:X509Certificate></ds:X509Data></ds:KeyInfo>"
            ).encode()
            self._key_infos[certificate.fingerprint] = written
        return etree.fromstring(written)


class _PrefixListSigner(XMLSigner):
    """signxml's signer, with a PrefixList where an enveloped signature needs it.

    signxml computes the digest with the inclusive prefixes, but names them only at the
    canonicalisation of SignedInfo, where nothing uses them. So that element is moved to the
    transform, before SignedInfo is signed.
    """

    def __init__(self, **how: Any) -> None:
        super().__init__(**how)
        self.signature_annotators.insert(0, _move_prefix_list)

    def get_root(self, data: Any) -> Any:
        """A copy, with the namespaces around it; ``data`` is a whole document."""
        return copy.deepcopy(data)


class _Verifier(XMLVerifier):
    """signxml's verifier without its copies of the message. Not for two threads at once.

    signxml copies a tree by writing it as ASCII and parsing that again, four times for a message:
    slow, and names such as 金額 cannot be written so. Here it works on the tree itself, which gets
    its signature back afterwards; a copy would also leave all names of a stranger's message in the
    dictionary of this thread (see `msh.xml`). What was signed is not read here: `Signed.verify`
    does that. The signature alone is copied, as a tree: what that leaves out, namespaces declared
    around it and not used in it, exclusive c14n leaves out too.
    """

    _root: Element | None = None
    _signed: bytes | None = None

    def get_root(self, data: Any) -> Any:
        """The tree itself."""
        return data

    def _c14n(
        self, nodes: Any, algorithm: CanonicalizationMethod, inclusive_ns_prefixes: Any = None
    ) -> bytes:
        """By ours: signxml's own loses prefixes that another thread has read."""
        if algorithm.value != EXCLUSIVE:
            raise NotAuthentic("another canonicalisation than the agreed one")
        return canonical(nodes, inclusive_ns_prefixes or ())

    def _tostring(self, xml_node: Any, **how: Any) -> Any:
        return xml_node

    def _fromstring(self, xml_string: Any, **how: Any) -> Any:
        if xml_string is self._root:
            return xml_string
        if xml_string is self._signed:
            return None
        if isinstance(xml_string, bytes):
            return super()._fromstring(xml_string, **how)  # type: ignore[no-untyped-call]
        return copy.deepcopy(xml_string)

    def _apply_transforms(self, payload: Any, **how: Any) -> Any:
        self._signed = super()._apply_transforms(payload, **how)
        return self._signed

    def signed_bytes(self, root: Element, certificate: x509.Certificate, now: datetime) -> bytes:
        """The canonical bytes that the signature covers. Raises `NotAuthentic`."""
        config = SignatureConfiguration(
            location=_LOCATION,
            signature_methods=_ALLOWED_METHODS,
            digest_algorithms=_ALLOWED_DIGESTS,
            verification_time=now,
        )
        self._root = root
        header = root[0]
        block, signature = header
        space = block.tail
        try:
            result = self.verify(
                root, x509_cert=certificate, validate_schema=False, expect_config=config
            )
            assert not isinstance(result, list)  # one reference is expected
            return result.signed_data
        except MemoryError:
            raise
        except Exception as error:  # signxml, lxml and cryptography raise whatever they like
            raise NotAuthentic(_reason(error)) from None
        finally:
            self._root = self._signed = None
            if len(header) == 1:  # signxml removed it, and moved the white space behind it
                header.append(signature)
                block.tail = space


def _move_prefix_list(signature: Element, *, signing_settings: Any) -> None:
    found = signature.find(_PREFIX_LIST)
    if found is not None:
        _enveloped, exclusive = signature.iterfind(_TRANSFORM)
        exclusive.append(found)


def content_prefixes(body: bytes) -> list[str]:
    """The prefixes whose declarations exclusive c14n would drop from ``body`` without a list.

    Empty if it would drop none; else all that are declared in it, as in its normal form.
    """
    if b"xmlns:" not in body:
        return []
    root = etree.fromstring(body, etree.XMLParser(resolve_entities=False))
    if canonical(root) == body:
        return []
    walk = etree.iterwalk(root, events=("start-ns",))
    return sorted({prefix for _, (prefix, _uri) in walk} - {""})


def _reason(error: Exception) -> str:
    """Why a signature does not verify; the words of the libraries may quote the message."""
    if isinstance(error, InvalidDigest):
        return "the message is not the one that was signed"
    if isinstance(error, InvalidSignature):
        return "the signature is not that of the certificate's key"
    return "the signature cannot be verified"
