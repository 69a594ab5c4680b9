"""Bytes to message and back: SOAP 1.1 with the header block of the profile (TDCC PSP 9.1).

``parse`` is the only way in. What it returns is what the sender *claims*; whether to believe it is
decided by the agreement's protection.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from xml.sax.saxutils import escape

from lxml import etree

from msh.catalog import StatusCode
from msh.errors import CatalogError, InvalidBody, MalformedMessage, UsageError
from msh.message import Message
from msh.profile import Profile
from msh.xml import STANDARD_SHAPE, Element, Shape, canonical
from msh.xml import parse as parse_xml

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
_ENVELOPE, _HEADER, _BODY = (f"{{{SOAP}}}{name}" for name in ("Envelope", "Header", "Body"))
_MUST_UNDERSTAND = f"{{{SOAP}}}mustUnderstand"
_ACTOR = f"{{{SOAP}}}actor"


@dataclass(frozen=True, slots=True)
class Parsed:
    """A message as claimed by whoever sent ``wire``, and the profile it is written in."""

    message: Message
    profile: Profile
    wire: bytes


def serialise(message: Message, profile: Profile) -> bytes:
    """The wire bytes of ``message``, unprotected."""
    names, prefix = profile.names, profile.prefix
    fields = [
        (names.service, message.service),
        (names.message_id, message.message_id),
        (names.ref_to, message.ref_to),
        (names.sender, message.sender),
        (names.receiver, message.receiver),
        (names.timestamp, _written(message.timestamp)),
        (names.expires, _written(message.expires) if message.expires else None),
        (names.status, str(message.status) if message.status else None),
        (names.status_text, message.status_text or None),
    ]
    header = "".join(
        f"<{prefix}:{name}>{_escaped(value)}</{prefix}:{name}>"
        for name, value in fields
        if value is not None
    )
    block = f"{prefix}:{names.block}"
    head = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<soap:Envelope xmlns:soap="{SOAP}"><soap:Header>'
        f"<{block} xmlns:{prefix}={_quoted(profile.namespace)}>{header}</{block}>"
        "</soap:Header><soap:Body>"
    )
    return head.encode() + message.body + b"</soap:Body></soap:Envelope>"


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
            body=_body(body, wire, profile),
        )
    except (UsageError, CatalogError):
        raise MalformedMessage(
            "a header value has a form that is not allowed (ids are 1 to 128 visible ASCII "
            "characters, status codes are ten characters such as PSPPM0000I)"
        ) from None
    return Parsed(message, profile, wire)


def normal_body(body: bytes | str | Element, shape: Shape = STANDARD_SHAPE) -> bytes:
    """A caller's body in the normal form of `Message`: one element, canonical, or nothing.

    Raises `InvalidBody` with the reason.
    """
    if isinstance(body, str):
        body = body.encode()
    elif not isinstance(body, bytes):
        body = etree.tostring(body, with_tail=False)
    if not body.strip():
        return b""
    try:
        root = parse_xml(body, shape)
        return canonical(root, _prefixes(root, body.count(b"xmlns"), frozenset({SOAP})))
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
        elif block.get(_MUST_UNDERSTAND) in ("1", "true") and _ACTOR not in block.attrib:
            raise MalformedMessage("a header block that must be understood is not known here")
    if not found:
        raise MalformedMessage("no header block of a profile known here")
    return found


def _values(block: Element, profile: Profile) -> dict[str, str]:
    """The header's values by local name, trimmed (the published sample has stray spaces)."""
    values: dict[str, str] = {}
    start = f"{{{profile.namespace}}}"
    if _has_text(block):
        raise MalformedMessage("text stands between the header's elements")
    for element in block:
        tag = element.tag
        if not tag.startswith(start) or len(element):
            raise MalformedMessage("the header holds an element that is not the profile's")
        name = tag[len(start) :]
        if name in values:
            raise MalformedMessage("a header element stands twice")
        values[name] = (element.text or "").strip()
    return values


def _required(values: Mapping[str, str], name: str) -> str:
    value = values.get(name)
    if not value:
        raise MalformedMessage(f"the header has no {name}")
    return value


def _body(body: Element, wire: bytes, profile: Profile) -> bytes:
    children = list(body)
    if not children:
        return b""
    if len(children) > 1:
        raise MalformedMessage("the Body holds more than one element")
    ours = frozenset({SOAP, profile.namespace})
    return canonical(children[0], _prefixes(children[0], wire.count(b"xmlns"), ours))


def _prefixes(element: Element, declarations: int, ours: frozenset[str]) -> list[str]:
    """Prefixes whose declarations must stay with the body, since its text may use them (xsi:type).

    ``declarations`` is how often ``xmlns`` stands in the bytes: only where that is more than the
    envelope's and the body element's own can there be any further in.
    """
    inherited = element.nsmap
    prefixes = {prefix for prefix, uri in inherited.items() if prefix and uri not in ours}
    if declarations > len(inherited) + 1:
        for _, (prefix, _uri) in etree.iterwalk(element, events=("start-ns",)):
            prefixes.add(prefix)
        prefixes.discard("")
    return sorted(prefixes)


def _has_text(element: Element) -> bool:
    if element.text and not element.text.isspace():
        return True
    return any(child.tail and not child.tail.isspace() for child in element)


def _written(moment: datetime) -> str:
    fraction = "milliseconds" if moment.microsecond % 1000 == 0 else "microseconds"
    return moment.replace(tzinfo=None).isoformat(timespec=fraction) + "Z"


def _read(text: str, name: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise MalformedMessage(f"{name} has no time zone")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise MalformedMessage(f"{name} is not a date and time") from None


def _escaped(text: str) -> str:
    return escape(text, {"\r": "&#13;"})


def _quoted(text: str) -> str:
    return '"' + escape(text, {'"': "&quot;"}) + '"'
