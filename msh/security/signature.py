"""XML signatures (W3C XML Signature Syntax and Processing), by signxml behind a strict shape.

A message carries one signature, over all of it, at one place and of one shape (see
`msh.security.signature_shape`). Whose certificate counts is decided by `msh.security.certificates`,
not by what the message says of its key; and what `Signed.verify` returns was read from the signed
bytes alone, so that nothing that was moved, added or hidden is believed.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree
from signxml.algorithms import CanonicalizationMethod, DigestAlgorithm, SignatureMethod
from signxml.signer import XMLSigner
from signxml.verifier import SignatureConfiguration, XMLVerifier

from msh.envelope import SOAP, Parsed, enclose, header_block, parse
from msh.errors import CannotProtect, MalformedMessage, NotAuthentic
from msh.message import Message
from msh.profile import Profile
from msh.protection import Signature
from msh.security.base import Protected, Verified
from msh.security.certificates import (
    Certificate,
    Credential,
    ExpiryWarnings,
    Listed,
    OwnCredentials,
    PeerCertificates,
)
from msh.security.signature_shape import (
    DIGEST_METHODS,
    DS,
    EXCLUSIVE,
    LARGEST_CERTIFICATE,
    LONGEST_SIGNATURE,
    MOST_PREFIXES,
    SIGNATURE_METHODS,
    Shaped,
    require_shape,
)
from msh.xml import Element

_PLACE: Final = f'<ds:Signature xmlns:ds="{DS}" Id="placeholder"/>'.encode()
_DECLARATION: Final = b'<?xml version="1.0" encoding="UTF-8"?>\n'
_ELSEWHERE = etree.XPath("count(//ds:*) != 1", namespaces={"ds": DS})
_EXCLUSIVE = CanonicalizationMethod(EXCLUSIVE)
_LOOK_EVERY: Final = timedelta(minutes=1)
_LONGEST_PREFIX: Final = 4 * 128  # bytes of UTF-8
_MARKUP: Final = 1_600  # the signature without its values and its PrefixList

# signxml writes what it canonicalises, which is the whole message, to its log.
_signxml_log = logging.getLogger("signxml.processor")
_signxml_log.setLevel(logging.WARNING)
_signxml_log.addFilter(lambda record: record.levelno >= logging.WARNING)
