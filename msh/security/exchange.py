"""What the messages of a key exchange carry, as bodies of the engine's own messages.

The *offer* brings the new key, wrapped under the key-encryption key (RFC 3394). The reply to it,
and the *confirm*, each hold a *proof*: a MAC under the new key over who proves it and which key
it is, which only a side that could unwrap the key can make.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from datetime import UTC, datetime

from lxml import etree

from msh.errors import KeyUnusable, MalformedMessage, NotAuthentic
from msh.message import is_identifier
from msh.protection import MacAlgorithm
from msh.security.mac import KeyedMac
from msh.security.maced import EXCHANGE_KEY
from msh.xml import Element, parse

NAMESPACE = "urn:msh:key-exchange:1"


@dataclass(frozen=True, slots=True)
class KeyOffer:
    """The body of an offer."""

    key: str
    made: datetime
    algorithm: str
    wrapped: bytes = field(repr=False)
    check_value: str

    def body(self) -> bytes:
        """The offer as XML."""
        return _written(
            "KeyOffer",
            KeyId=self.key,
            Made=self.made.astimezone(UTC).isoformat(timespec="microseconds"),
            Algorithm=self.algorithm,
            WrappedKey=base64.b64encode(self.wrapped).decode(),
            CheckValue=self.check_value,
        )

    @classmethod
    def read(cls, body: bytes) -> KeyOffer:
        """The offer in ``body``. Raises `MalformedMessage`."""
        names = ("KeyId", "Made", "Algorithm", "WrappedKey", "CheckValue")
        values = _read(body, "KeyOffer", names)
        return cls(
            _identifier(values["KeyId"]),
            _moment(values["Made"]),
            values["Algorithm"],
            _bytes(values["WrappedKey"]),
            values["CheckValue"],
        )


@dataclass(frozen=True, slots=True)
class KeyProof:
    """The body of the reply to an offer, and of a confirm."""

    key: str
    mac: bytes

    @classmethod
    def make(cls, algorithm: MacAlgorithm, secret: bytes, key: str, party: str) -> KeyProof:
        """The proof of ``party`` that it holds ``secret``. Raises `KeyUnusable`."""
        return cls(key, KeyedMac(algorithm, secret).compute(_claim(key, party)))

    def require(self, algorithm: MacAlgorithm, secret: bytes, key: str, party: str) -> None:
        """Raise `NotAuthentic` unless this proves that ``party`` holds ``secret``."""
        try:
            fits = KeyedMac(algorithm, secret).verify(self.mac, _claim(key, party))
        except KeyUnusable:
            fits = False
        if self.key != key or not fits:
            raise NotAuthentic("the proof is not one of holding the new key")

    def body(self) -> bytes:
        """The proof as XML."""
        return _written("KeyProof", KeyId=self.key, Proof=base64.b64encode(self.mac).decode())

    @classmethod
    def read(cls, body: bytes) -> KeyProof:
        """The proof in ``body``. Raises `MalformedMessage`."""
        values = _read(body, "KeyProof", ("KeyId", "Proof"))
        return cls(_identifier(values["KeyId"]), _bytes(values["Proof"]))


def _claim(key: str, party: str) -> bytes:
    # Neither an identifier nor a party id holds a space, so no two claims are the same bytes.
    return f"msh key proof {party} {key}".encode()


def _written(name: str, **values: str) -> bytes:
    root = etree.Element(f"{{{NAMESPACE}}}{name}", nsmap={"k": NAMESPACE})
    for child, value in values.items():
        etree.SubElement(root, f"{{{NAMESPACE}}}{child}").text = value
    return etree.tostring(root)


def _read(body: bytes, name: str, wanted: tuple[str, ...]) -> dict[str, str]:
    root = parse(body)
    values = {_local(child): child.text or "" for child in root}
    if root.tag != f"{{{NAMESPACE}}}{name}" or tuple(values) != wanted or len(root) != len(wanted):
        raise MalformedMessage(f"the body is no {name} of the key exchange")
    return values


def _local(element: Element) -> str:
    return str(element.tag).removeprefix(f"{{{NAMESPACE}}}")


def _identifier(text: str) -> str:
    if not is_identifier(text) or text == EXCHANGE_KEY:
        raise MalformedMessage("the id of the key is none that a working key can have")
    return text


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise MalformedMessage("the moment of the offer is not a date and time with its zone")


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedMessage("a value of the key exchange is not base64") from None
