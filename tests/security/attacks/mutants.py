"""Random changes of a protected message that know its structure, repeatable from a seed."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from random import Random
from typing import Any

from lxml import etree

from msh.envelope import SOAP
from tests.security.attacks.forge import DS, EXC
from tests.security.certificates import PROFILE

XML = "http://www.w3.org/XML/1998/namespace"
NAMESPACES = [SOAP, PROFILE.namespace, DS, EXC, "urn:pay", "urn:x", ""]
LOCAL_NAMES = ["Envelope", "Header", "Body", "MessageHeader", "MsgId", "Pay", "Amt", "Signature"]
LOCAL_NAMES += ["SignedInfo", "Object", "Reference", "KeyInfo", "MAC", "KeyId", "Wrapper", "Sender"]
ATTRIBUTES = ["Id", "ID", "id", "URI", "Algorithm", "Type", "PrefixList", "Target", "Encoding"]
ATTRIBUTES += [f"{{{SOAP}}}{name}" for name in ("mustUnderstand", "actor", "encodingStyle")]
ATTRIBUTES += [f"{{{XML}}}{name}" for name in ("id", "base", "space", "lang")]
VALUES = ["", "#x", "x", "1", "0", "#default", "1000000", DS, EXC, "BIZ", "PSP", "PS830INQRQ"]

Change = Callable[[Random, Any, Any], None]


def _name(random: Random) -> str:
    namespace = random.choice(NAMESPACES)
    local = random.choice(LOCAL_NAMES)
    return f"{{{namespace}}}{local}" if namespace else local


def _any(random: Random, root: Any) -> Any:
    return random.choice(list(root.iter("*")))


def _inner(random: Random, root: Any) -> Any:
    """Any element but the root."""
    return random.choice(list(root.iter("*"))[1:] or [root])


def _put(random: Random, root: Any, element: Any) -> None:
    """``element`` into, before or behind any other."""
    element.tail = None
    place = _any(random, root)
    if place is root or random.random() < 0.5:
        place.insert(random.randint(0, len(place)), element)
    else:
        random.choice([place.addprevious, place.addnext])(element)


def move(random: Random, root: Any, other: Any) -> None:
    """An element somewhere else; never into itself."""
    element = _inner(random, root)
    parent = element.getparent()
    if parent is not None:
        parent.remove(element)
        _put(random, root, element)


def duplicate(random: Random, root: Any, other: Any) -> None:
    _put(random, root, copy.deepcopy(_any(random, root)))


def transplant(random: Random, root: Any, other: Any) -> None:
    """An element of another genuine message."""
    _put(random, root, copy.deepcopy(_any(random, other)))


def exchange(random: Random, root: Any, other: Any) -> None:
    """The counterpart of an element, from another genuine message."""
    element = _inner(random, root)
    found = list(other.iter(element.tag))
    parent = element.getparent()
    if found and parent is not None:
        parent.replace(element, copy.deepcopy(random.choice(found)))


def swap(random: Random, root: Any, other: Any) -> None:
    one, two = _inner(random, root), _inner(random, root)
    if one.getparent() is None or two.getparent() is None:
        return
    mark = etree.Element("mark")
    if one is two or one in two.iterancestors() or two in one.iterancestors():
        return
    one.getparent().replace(one, mark)
    two.getparent().replace(two, one)
    mark.getparent().replace(mark, two)


def wrap(random: Random, root: Any, other: Any) -> None:
    element = _inner(random, root)
    parent = element.getparent()
    if parent is not None:
        wrapper = etree.Element(_name(random))
        parent.replace(element, wrapper)
        wrapper.append(element)


def unwrap(random: Random, root: Any, other: Any) -> None:
    element = _inner(random, root)
    parent = element.getparent()
    if parent is not None:
        place = parent.index(element)
        children = list(element)
        parent.remove(element)
        for number, child in enumerate(children):
            parent.insert(place + number, child)


def remove(random: Random, root: Any, other: Any) -> None:
    element = _inner(random, root)
    if element.getparent() is not None:
        element.getparent().remove(element)


def rename(random: Random, root: Any, other: Any) -> None:
    element = _any(random, root)
    local = etree.QName(element).localname
    same = f"{{{random.choice(NAMESPACES[:-1])}}}{local}"
    element.tag = random.choice([_name(random), _any(random, root).tag, same, local.lower()])


def attribute(random: Random, root: Any, other: Any) -> None:
    element = _any(random, root)
    if element.attrib and random.random() < 0.4:
        name = random.choice(list(element.attrib))
        if random.random() < 0.5:
            del element.attrib[name]
            return
    else:
        name = random.choice(ATTRIBUTES)
    element.set(name, random.choice(VALUES))


def text(random: Random, root: Any, other: Any) -> None:
    element = _any(random, root)
    now = element.text or ""
    element.text = random.choice(
        [
            now + random.choice(["0", " ", "\n", "x", "\u200b", "\xa0"]),
            " " + now,
            now[:-1],
            now.swapcase(),
            _any(random, root).text,
            random.choice(VALUES),
            now.translate({ord("1"): "١", ord("0"): "０", ord("B"): "В"}),
        ]
    )


def tail(random: Random, root: Any, other: Any) -> None:
    _inner(random, root).tail = random.choice([" ", "\n", "\t ", "x", "0"])


def nest(random: Random, root: Any, other: Any) -> None:
    """The whole message within itself, and something evil in the outer one."""
    inner = copy.deepcopy(root)
    for element in root.iter("{*}Amt"):
        element.text = "1000000"
    if random.random() < 0.5:
        wrapper = etree.Element(_name(random))
        wrapper.append(inner)
        inner = wrapper
    _put(random, root, inner)


def comment(random: Random, root: Any, other: Any) -> None:
    _put(random, root, random.choice([etree.Comment("x"), etree.ProcessingInstruction("x", "y")]))


TREE: list[Change] = [
    move,
    duplicate,
    transplant,
    exchange,
    swap,
    wrap,
    unwrap,
    remove,
    rename,
    attribute,
    text,
    tail,
    nest,
    comment,
]

_START = re.compile(rb"<[A-Za-z_][^<>\s/]*")
_TEXT = re.compile(rb">([^<>&]+)<")
_DECLARATION = re.compile(rb'\sxmlns(?::[\w.-]+)?="[^"]*"')
_PREFIXED = re.compile(rb"<(/?)([\w-]+):")


def declare(random: Random, wire: bytes) -> bytes:
    """A declaration more, perhaps of a prefix that means something already."""
    start = random.choice(list(_START.finditer(wire)))
    prefix = random.choice(["soap", "scoi", "ds", "ec", "p", "q", "xsi", "wsu", ""])
    name = random.choice([*NAMESPACES[:-1], "urn:evil"])
    declaration = f' xmlns{":" if prefix else ""}{prefix}="{name}"'.encode()
    return wire[: start.end()] + declaration + wire[start.end() :]


def undeclare(random: Random, wire: bytes) -> bytes:
    declarations = list(_DECLARATION.finditer(wire))
    if not declarations:
        return wire
    found = random.choice(declarations)
    return wire[: found.start()] + wire[found.end() :]


def reprefix(random: Random, wire: bytes) -> bytes:
    """Another prefix for the same namespace, everywhere or in one place only."""
    prefixed = list(_PREFIXED.finditer(wire))
    if not prefixed:
        return wire
    old = random.choice(prefixed)[2]
    new = random.choice([b"soap", b"scoi", b"ds", b"p", b"x-1"])
    if random.random() < 0.3:
        return wire.replace(b"<" + old + b":", b"<" + new + b":", 1)
    changed = wire.replace(b"<" + old + b":", b"<" + new + b":")
    changed = changed.replace(b"</" + old + b":", b"</" + new + b":")
    return changed.replace(b"xmlns:" + old + b"=", b"xmlns:" + new + b"=")


def spell(random: Random, wire: bytes) -> bytes:
    """The same text, spelt otherwise: a reference, or CDATA; or white space in it."""
    texts = list(_TEXT.finditer(wire))
    if not texts:
        return wire
    found = random.choice(texts)
    written = found[1]
    place = random.randrange(len(written))
    how = random.randrange(5)
    if how == 0:
        one = written[place : place + 1]
        if ord(one) < 128:
            written = written[:place] + b"&#%d;" % ord(one) + written[place + 1 :]
    elif how == 1:
        written = b"<![CDATA[" + written + b"]]>"
    elif how == 2:
        written = written[:place] + b"<![CDATA[]]>" + written[place:]
    elif how == 3:
        written = (
            written[:place] + random.choice([b"\r", b"\r\n", b"\n", b"&#13;"]) + written[place:]
        )
    else:
        written = written[:place] + b"<!---->" + written[place:]
    return wire[: found.start(1)] + written + wire[found.end(1) :]


def lay_out(random: Random, wire: bytes) -> bytes:
    """White space and quotes where XML does not care, and where it does."""
    start = random.choice(list(_START.finditer(wire)))
    space = random.choice([b" ", b"\n", b"\t", b"\r\n"])
    how = random.randrange(4)
    if how == 0:
        end = wire.index(b">", start.end())
        end -= wire[end - 1 : end] == b"/"
        return wire[:end] + space + wire[end:]
    if how == 1:
        return wire[: start.start()] + space + wire[start.start() :]
    if how == 2:
        return wire + space
    return wire.replace(b'"', b"'", 2 * random.randint(1, 8))


def splice(random: Random, wire: bytes) -> bytes:
    """A stretch from one tag to another, taken away, twice, or put somewhere else."""
    tags = [found.start() for found in re.finditer(b"<", wire)]
    if len(tags) < 3:
        return wire
    one, two, three = sorted(random.sample(tags, 3))
    stretch = wire[one:two]
    return random.choice(
        [
            wire[:one] + wire[two:],
            wire[:two] + stretch + wire[two:],
            wire[:one] + wire[two:three] + stretch + wire[three:],
        ]
    )


def flip(random: Random, wire: bytes) -> bytes:
    place = random.randrange(len(wire))
    return wire[:place] + bytes([wire[place] ^ 1 << random.randrange(8)]) + wire[place + 1 :]


BYTES: list[Callable[[Random, bytes], bytes]] = [
    declare,
    declare,
    undeclare,
    reprefix,
    spell,
    lay_out,
    splice,
    flip,
]


def mutant(random: Random, wire: bytes, other: bytes) -> bytes:
    """``wire`` after one to four changes; ``other`` is a genuine message to take parts from."""
    changed = wire
    while changed == wire:
        if random.random() < 0.7:
            root = etree.fromstring(wire)
            foreign = etree.fromstring(other)
            for _ in range(random.choice([1, 1, 1, 2, 3, 4])):
                random.choice(TREE)(random, root, foreign)
            changed = etree.tostring(root, encoding="utf-8")
            if changed == etree.tostring(etree.fromstring(wire), encoding="utf-8"):
                changed = wire
        if changed == wire or random.random() < 0.3:
            for _ in range(random.choice([1, 1, 2])):
                changed = random.choice(BYTES)(random, changed)
    return changed
