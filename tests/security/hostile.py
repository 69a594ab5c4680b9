"""Messages that cost a receiver as much as they can: what the search for the worst ones varies.

A message is a frame that is read by every profile of ours, and one place in it that is filled with
copies of a unit: elements in elements, with attributes, declarations and text of chosen kinds.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, fields, replace
from typing import Any

LARGEST = 1_048_576
#: What protection adds: signature and certificate, or KeyId and MAC.
ROOM = 6_000

_SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

#: What a text or a value is made of; each is repeated to a length.
TEXTS = {
    "": "",
    "x": "x",
    "blank": " ",
    "lines": "\n",
    "returns": "&#13;",
    "greater": ">",
    "quotes": "'\"'",
    "entities": "&amp;",
    "numbers": "&#60;",
    "cdata": "<![CDATA[]]>",
    "cdata-marks": "<![CDATA[<<<<<<<<]]>",
    "mixed-cdata": "x<![CDATA[<]]>",
    "comments": "<!---->",
    "instructions": "<?a?>",
    "cjk": "款",
    "astral": "\U00010000",
    "base64": "AAAA",
}

PLACES = ("body", "header", "block", "text", "certificate", "envelope")


@dataclass(frozen=True)
class Hostile:
    """One shape. Counts are of what is repeated; ``most`` is how many units there are at most."""

    place: str = "body"
    most: int = 59_000
    outer: int = 0  # elements around all units
    outer_prefixes: int = 0  # declared on the outermost one
    spread: bool = False  # one further declaration on each of the outer elements
    chain: int = 1  # elements of a unit, in each other
    name: int = 1  # characters of element names
    distinct: bool = False  # another name each time
    prefixed: bool = False  # elements are in a namespace of an outer prefix
    attributes: int = 0
    attribute_name: int = 1
    attribute_distinct: bool = False
    attribute_prefixed: bool = False
    attribute_id: bool = False  # one of them is an xml:id
    value: str = ""
    value_length: int = 0
    declarations: int = 0  # on each unit
    default: bool = False  # and a default namespace
    uri: str = "urn:%d"
    prefix: int = 1  # further characters of prefixes
    text: str = ""
    text_length: int = 0
    tail: str = ""
    tail_length: int = 0
    inclusive: int = 0  # prefixes in the PrefixList of a signature
    inclusive_unknown: bool = False  # of which none is declared
    digest: str = "sha256"

    def prefixes(self) -> list[str]:
        """The PrefixList of a signature."""
        first = "unknown" if self.inclusive_unknown else self._stem()
        return [f"{first}{number}" for number in range(self.inclusive)]

    def wire(self, sender: str, size: int = LARGEST - ROOM) -> bytes:
        """The message, not protected, of at most about ``size`` bytes."""
        frame = self._frame(sender, "", "")
        content = self._content(size - len(frame) - 64)
        return self._frame(sender, content, f"xmlns:h='urn:h' {content}")

    def _frame(self, sender: str, content: str, attributes: str) -> bytes:
        inside = dict.fromkeys(PLACES, "")
        inside[self.place] = content
        root = attributes if self.place == "envelope" else ""
        text = f"<scoi:StatusText>{inside['text']}</scoi:StatusText>" if inside["text"] else ""
        return (
            f'<s:Envelope xmlns:s="{_SOAP}" {root}><s:Header>{inside["header"]}'
            '<scoi:MessageHeader xmlns:scoi="urn:tdcc:psp:sms:3.4">'
            f"<scoi:SvcId>PS810FTRQ</scoi:SvcId><scoi:MsgId>{sender}-1</scoi:MsgId>"
            f"<scoi:Sender>{sender}</scoi:Sender><scoi:Receiver>PSP</scoi:Receiver>"
            f"<scoi:Timestamp>2026-11-21T01:02:03.456Z</scoi:Timestamp>{text}{inside['block']}"
            f"</scoi:MessageHeader>{_certificate(inside['certificate'])}</s:Header>"
            f"<s:Body>{inside['body']}</s:Body></s:Envelope>"
        ).encode()

    def _content(self, room: int) -> str:
        if self.place in ("text", "certificate"):
            kind = TEXTS[self.text] or "x"
            return kind * (room // len(kind.encode()))
        if self.place == "envelope":
            return " ".join(f"h:{name}='{self._value()}'" for name in _names(self.attributes))
        start = f"<r{self._outer_declarations()}>" + "".join(
            f'<r xmlns:{self._stem()}{number % 3}="urn:o{number % 3}">' if self.spread else "<r>"
            for number in range(self.outer)
        )
        end = "</r>" * (1 + self.outer)
        if self.place != "body":
            start = end = ""
        room -= len(start) + len(end)
        if not (self.distinct or self.attribute_distinct or self.attribute_id):
            unit = self._unit(0)
            return start + unit * min(room // len(unit.encode()), self.most) + end
        units = []
        for number in range(self.most):
            unit = self._unit(number)
            room -= len(unit.encode())
            if room < 0:
                break
            units.append(unit)
        return start + "".join(units) + end

    def _unit(self, number: int) -> str:
        name = "a" * self.name + (f"{number:x}" if self.distinct else "")
        if self.prefixed and self.outer_prefixes:
            name = f"{self._stem()}{number % self.outer_prefixes}:{name}"
        start = f"<{name}{self._attributes(number)}{self._declarations(self.declarations)}>"
        opened = start + (f"<{name}>" * (self.chain - 1))
        text, tail = _repeated(self.text, self.text_length), _repeated(self.tail, self.tail_length)
        return opened + text + f"</{name}>" * self.chain + tail

    def _attributes(self, number: int) -> str:
        found = [' xmlns="urn:d"'] if self.default else []
        for place, name in enumerate(_names(self.attributes)):
            name += "z" * (self.attribute_name - 1)
            name += f"{number:x}" if self.attribute_distinct else ""
            if self.attribute_prefixed and self.outer_prefixes:
                name = f"{self._stem()}{place % self.outer_prefixes}:{name}"
            found.append(f" {name}='{self._value()}'")
        if self.attribute_id:
            found.append(f" xml:id='i{number:x}'")
        return "".join(found)

    def _value(self) -> str:
        text = _repeated(self.value, self.value_length)
        return "" if "<" in text else text.replace("'", "")

    def _outer_declarations(self) -> str:
        return self._declarations(self.outer_prefixes)

    def _declarations(self, count: int) -> str:
        uri = self.uri if "%d" in self.uri else self.uri + "%d"
        return "".join(f" xmlns:{self._stem()}{n}='{uri % n}'" for n in range(count))

    def _stem(self) -> str:
        return "p" * self.prefix


def _repeated(kind: str, length: int) -> str:
    return TEXTS[kind] * length


def _names(count: int) -> list[str]:
    return [_LETTERS[n] if n < len(_LETTERS) else f"n{n:x}" for n in range(count)]


def _certificate(text: str) -> str:
    if not text:
        return ""
    return (
        '<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo/>'
        f"<ds:SignatureValue>{text}</ds:SignatureValue><ds:KeyInfo/></ds:Signature>"
    )


_CHOICES: dict[str, tuple[Any, ...]] = {
    "place": ("body",) * 8 + PLACES,
    "most": (1, 1_000, 7_500, 14_000, 29_000, 59_000, 59_000, 1_000_000),
    "outer": (0, 1, 10, 20, 27, 28, 29),
    "outer_prefixes": (0, 1, 7, 13, 14, 15, 70_000),
    "spread": (False, True),
    "chain": (1, 1, 2, 5, 29, 30),
    "name": (1, 1, 10, 60, 127, 128, 129),
    "distinct": (False, True),
    "prefixed": (False, True),
    "attributes": (0, 0, 1, 2, 5, 16, 32, 33, 10_000),
    "attribute_name": (1, 1, 10, 127, 128),
    "attribute_distinct": (False, True),
    "attribute_prefixed": (False, True),
    "attribute_id": (False, False, True),
    "value": tuple(TEXTS),
    "value_length": (0, 1, 1, 3, 20, 1_000, 40_000),
    "declarations": (0, 0, 1, 2, 7, 13, 14, 15, 16),
    "default": (False, True),
    "uri": ("urn:%d", "urn:%d", "u%d", "urn:same-", "http://" + "x" * 100 + "/%d", "x y%d"),
    "prefix": (1, 1, 30, 120),
    "text": tuple(TEXTS),
    "text_length": (0, 1, 1, 3, 20, 1_000, 80_000),
    "tail": tuple(TEXTS),
    "tail_length": (0, 0, 1, 3, 20),
    "inclusive": (0, 1, 14, 15, 16),
    "inclusive_unknown": (False, True),
    "digest": ("sha256", "sha512"),
}
assert list(_CHOICES) == [field.name for field in fields(Hostile)]


def changed(shape: Hostile, chance: random.Random, genes: int) -> Hostile:
    """``shape`` with some of its choices made anew."""
    names = chance.sample(list(_CHOICES), genes)
    return replace(shape, **{name: chance.choice(_CHOICES[name]) for name in names})


def crossed(one: Hostile, other: Hostile, chance: random.Random) -> Hostile:
    """Some choices of the one, some of the other."""
    return Hostile(**{name: getattr(chance.choice((one, other)), name) for name in _CHOICES})
