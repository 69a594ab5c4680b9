"""Bytes to message and back: SOAP 1.1 with the header block of the profile (TDCC PSP 9.1).

``parse`` is the only way in. What it returns is what the sender *claims*; whether to believe it is
decided by the agreement's protection.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from functools import lru_cache
from xml.sax.saxutils import escape

from lxml import etree

from msh.catalog import StatusCode
from msh.errors import CatalogError, InvalidBody, MalformedMessage, UsageError
from msh.message import Message
from msh.profile import HeaderNames, Profile
from msh.xml import STANDARD_SHAPE, Element, Shape, canonical
from msh.xml import parse as parse_xml

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
_ENVELOPE, _HEADER, _BODY = (f"{{{SOAP}}}{name}" for name in ("Envelope", "Header", "Body"))
_MUST_UNDERSTAND = f"{{{SOAP}}}mustUnderstand"
_ACTOR = f"{{{SOAP}}}actor"
# Whoever reads an Envelope first is meant by this actor (SOAP 1.1, 4.2.2), and by none.
_HERE = (None, "", "http://schemas.xmlsoap.org/soap/actor/next")
_SPACE = " \t\r\n"  # what XML calls white space
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:?[0-9]{2})?"
)
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Parsed:
    """A message as claimed by whoever sent ``wire``, and the profile it is written in.

    ``root`` is the tree that was read, ``block`` the header block in it; ``key_id`` and ``mac``
    are what the header says of its protection.
    """

    message: Message
    profile: Profile
    wire: bytes
    root: Element = field(repr=False, compare=False)
    block: Element = field(repr=False, compare=False)
    key_id: str = ""
    mac: str = ""


def serialise(message: Message, profile: Profile) -> bytes:
    """The wire bytes of ``message``, unprotected."""
    return enclose(header_block(message, profile), message.body)


def header_block(message: Message, profile: Profile, key_id: str = "") -> bytes:
    """The header block of ``message`` in exclusive canonical form.

    ``key_id`` names the key of a MAC, which `with_mac` adds.
    """
    names, prefix = profile.names, profile.prefix

    def field(name: str, value: str) -> str:
        return f"<{prefix}:{name}>{value}</{prefix}:{name}>"

    header = [
        field(names.service, _escaped(message.service)),
        field(names.message_id, _escaped(message.message_id)),
    ]
    if message.ref_to is not None:
        header.append(field(names.ref_to, _escaped(message.ref_to)))
    if message.ref_digest is not None:
        header.append(field(names.ref_digest, message.ref_digest.hex()))
    header.append(field(names.sender, _escaped(message.sender)))
    header.append(field(names.receiver, _escaped(message.receiver)))
    header.append(field(names.timestamp, _written(message.timestamp)))
    if message.expires is not None:
        header.append(field(names.expires, _written(message.expires)))
    if message.status is not None:
        header.append(field(names.status, str(message.status)))
    if message.status_text:
        header.append(field(names.status_text, _escaped(message.status_text)))
    if key_id:
        header.append(field(names.key_id, _escaped(key_id)))
    block = f"{prefix}:{names.block}"
    namespace = _quoted(profile.namespace)
    return f"<{block} xmlns:{prefix}={namespace}>{''.join(header)}</{block}>".encode()


def with_mac(block: bytes, mac: str, profile: Profile) -> bytes:
    """``block`` with its MAC, which is the last thing in it."""
    prefix, names = profile.prefix, profile.names
    end = f"</{prefix}:{names.block}>".encode()
    element = f"<{prefix}:{names.mac}>{mac}</{prefix}:{names.mac}>".encode()
    return block.removesuffix(end) + element + end


def enclose(block: bytes, body: bytes) -> bytes:
    """The SOAP 1.1 Envelope around a header block and a body."""
    soap = _free_prefix(body)
    head = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<{soap}:Envelope xmlns:{soap}="{SOAP}"><{soap}:Header>'
    )
    middle = f"</{soap}:Header><{soap}:Body>"
    end = f"</{soap}:Body></{soap}:Envelope>"
    return b"".join((head.encode(), block, middle.encode(), body, end.encode()))


def parse(wire: bytes, profiles: Mapping[str, Profile]) -> Parsed:
    """Read ``wire`` as a message of one of ``profiles`` (by header namespace).

    Raises `MalformedMessage`; its reason never quotes the content.
    """
    largest = max((profile.max_bytes for profile in profiles.values()), default=0)
    if len(wire) > largest:
        raise MalformedMessage(f"larger than {largest} bytes")
    root = parse_xml(wire, next(iter(profiles.values())).shape)
    header, body = _soap_parts(root)
    block, profile = _header_block(header, profiles)
    if len(wire) > profile.max_bytes:
        raise MalformedMessage(f"larger than {profile.max_bytes} bytes")
    values = _values(block, profile)
    names = profile.names
    try:
        message = Message(
            service=_required(values, names.service),
            message_id=_required(values, names.message_id),
            sender=_required(values, names.sender),
            receiver=_required(values, names.receiver),
            timestamp=_read(_required(values, names.timestamp), names.timestamp),
            ref_to=values.get(names.ref_to) or None,
            expires=(
                _read(values[names.expires], names.expires) if names.expires in values else None
            ),
            status=StatusCode.parse(values[names.status]) if names.status in values else None,
            status_text=values.get(names.status_text, ""),
            ref_digest=(
                _read_digest(values[names.ref_digest], names.ref_digest)
                if names.ref_digest in values
                else None
            ),
            body=_body(block, body, wire, profile),
        )
    except (UsageError, CatalogError):
        raise MalformedMessage(
            "a header value has a form that is not allowed (ids are 1 to 128 visible ASCII "
            "characters, status codes are ten characters such as PSPPM0000I)"
        ) from None
    return Parsed(
        message,
        profile,
        wire,
        root,
        block,
        key_id=values.get(names.key_id, ""),
        mac=values.get(names.mac, ""),
    )


def believed(parsed: Parsed, message: Message) -> bytes:
    """What to store of ``parsed``, of which ``message`` may be believed: it reads as that.

    The wire bytes; but a signature covers no declaration that only content uses, so bytes that
    read as more than was signed are written anew, without their protection.
    """
    if parsed.message is message or parsed.message == message:
        return parsed.wire
    return serialise(message, parsed.profile)


def normal_body(body: bytes | str | Element, shape: Shape = STANDARD_SHAPE) -> bytes:
    """A caller's body in the normal form of `Message`: one element, canonical, or nothing.

    Prefixes are kept although only content may use them (xsi:type); a default namespace is kept
    where an element is in it. Raises `InvalidBody` with the reason.
    """
    if isinstance(body, str):
        try:
            body = body.encode()
        except UnicodeEncodeError as error:
            raise InvalidBody(
                f"the body cannot be sent: character {error.start} is half of a pair"
            ) from None
    elif not isinstance(body, bytes):
        if not etree.iselement(body):
            raise InvalidBody(f"the body must be bytes or a text, not {type(body).__name__}")
        body = etree.tostring(body, with_tail=False)
    if not body.strip():
        return b""
    try:
        root = parse_xml(body, _within_envelope(shape))
        return canonical(root, _prefixes(root, body.count(b"xmlns") - len(root.nsmap)))
    except MalformedMessage as error:
        raise InvalidBody(f"the body cannot be sent: {error.reason}") from None


def fault(reason: str, profile: Profile | None = None, status: StatusCode | None = None) -> bytes:
    """A SOAP 1.1 Fault for bytes that are not a message; ``status`` goes into its detail."""
    detail = ""
    if profile and status:
        name = f"{profile.prefix}:{profile.names.status}"
        detail = (
            f"<detail><{name} xmlns:{profile.prefix}={_quoted(profile.namespace)}>{status}"
            f"</{name}></detail>"
        )
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<soap:Envelope xmlns:soap="{SOAP}"><soap:Body><soap:Fault>'
        f"<faultcode>soap:Client</faultcode><faultstring>{_escaped(reason)}</faultstring>{detail}"
        "</soap:Fault></soap:Body></soap:Envelope>"
    )
    return text.encode()


def _soap_parts(root: Element) -> tuple[Element, Element]:
    if root.tag != _ENVELOPE:
        raise MalformedMessage("the root is not a SOAP 1.1 Envelope")
    parts = list(root)
    if [part.tag for part in parts] != [_HEADER, _BODY]:
        raise MalformedMessage("an Envelope must hold one Header, then one Body, and nothing else")
    for element in (root, *parts):
        if _has_text(element):
            raise MalformedMessage("text stands between the parts of the Envelope")
    return parts[0], parts[1]


def _header_block(header: Element, profiles: Mapping[str, Profile]) -> tuple[Element, Profile]:
    found: tuple[Element, Profile] | None = None
    for block in header:
        name = etree.QName(block)
        profile = profiles.get(name.namespace or "")
        if profile is not None and name.localname == profile.names.block:
            if found:
                raise MalformedMessage("the header block stands twice")
            found = block, profile
        elif block.get(_MUST_UNDERSTAND) in ("1", "true") and block.get(_ACTOR) in _HERE:
            raise MalformedMessage("a header block that must be understood is not known here")
    if not found:
        raise MalformedMessage("no header block of a profile known here")
    return found


def _values(block: Element, profile: Profile) -> dict[str, str]:
    """The header's values by local name, trimmed (the published sample has stray spaces)."""
    values: dict[str, str] = {}
    known = _element_names(profile.names)
    start = f"{{{profile.namespace}}}"
    if _has_text(block):
        raise MalformedMessage("text stands between the header's elements")
    for element in block:
        tag = element.tag
        if not tag.startswith(start) or len(element):
            raise MalformedMessage("the header holds an element that is not the profile's")
        name = tag[len(start) :]
        if name not in known:
            raise MalformedMessage("the header holds an element that is not the profile's")
        if name in values:
            raise MalformedMessage("a header element stands twice")
        values[name] = (element.text or "").strip(_SPACE)
    return values


def _required(values: Mapping[str, str], name: str) -> str:
    value = values.get(name)
    if not value:
        raise MalformedMessage(f"the header has no {name}")
    return value


def _body(block: Element, body: Element, wire: bytes, profile: Profile) -> bytes:
    children = list(body)
    if not children:
        return b""
    if len(children) > 1:
        raise MalformedMessage("the Body holds more than one element")
    element = children[0]
    # Each prefix in scope was declared once at least; any further declaration may be in the body.
    further = wire.count(b"xmlns") - len(element.nsmap.keys() | block.nsmap.keys())
    return canonical(element, _prefixes(element, further, (SOAP, profile.namespace)))


def _prefixes(element: Element, further: int, envelope: tuple[str, ...] = ()) -> list[str]:
    """Prefixes whose declarations must stay with the body, since its text may use them (xsi:type).

    ``further`` is at least the number of declarations inside ``element`` or hidden by others;
    ``envelope`` are the namespaces of what lies around it, which its text does not use.
    """
    parent = element.getparent()
    outer = {} if parent is None else parent.nsmap
    prefixes = {
        prefix
        for prefix, uri in element.nsmap.items()
        if prefix and not (uri in envelope and outer.get(prefix) == uri)
    }
    if further:
        for _, (prefix, _uri) in etree.iterwalk(element, events=("start-ns",)):
            prefixes.add(prefix)
        prefixes.discard("")
    return sorted(prefixes)


def _free_prefix(body: bytes) -> str:
    """A prefix for the Envelope that ``body`` does not declare, so that none of it is lost."""
    prefix = "soap"
    while f"xmlns:{prefix}=".encode() in body:
        prefix += "-env"
    return prefix


@lru_cache(maxsize=64)
def _within_envelope(shape: Shape) -> Shape:
    """What a body may have, so that the message around it is still within ``shape``.

    An XML signature has 15 elements and two namespaces.
    """
    return replace(
        shape,
        depth=max(shape.depth - 2, 1),
        elements=shape.elements - 3 - len(fields(HeaderNames)) - 15,
        namespaces=shape.namespaces - 4,
    )


@lru_cache(maxsize=64)
def _element_names(names: HeaderNames) -> frozenset[str]:
    return frozenset(getattr(names, f.name) for f in fields(names)) - {names.block}


def _has_text(element: Element) -> bool:
    text = element.text
    if text and text.strip(_SPACE):
        return True
    for child in element:
        tail = child.tail
        if tail and tail.strip(_SPACE):
            return True
    return False


def _written(moment: datetime) -> str:
    fraction = "milliseconds" if moment.microsecond % 1000 == 0 else "microseconds"
    return moment.replace(tzinfo=None).isoformat(timespec=fraction) + "Z"


def _read(text: str, name: str) -> datetime:
    """A date and time of XML Schema, with its zone."""
    found = _MOMENT.fullmatch(text)
    if found and not found[2]:
        raise MalformedMessage(f"{name} has no time zone")
    try:
        if found:
            return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise MalformedMessage(f"{name} is not a date and time")


def _read_digest(text: str, name: str) -> bytes:
    if not _DIGEST.fullmatch(text):
        raise MalformedMessage(f"{name} is not a SHA-256 in 64 hexadecimal digits")
    return bytes.fromhex(text)


_MARKUP = re.compile(r"[<>&\r]")


def _escaped(text: str) -> str:
    return escape(text, {"\r": "&#xD;"}) if _MARKUP.search(text) else text


@lru_cache(maxsize=64)
def _quoted(text: str) -> str:
    return '"' + escape(text, {'"': "&quot;"}) + '"'
