"""The hardened XML parse, and canonical bytes.

A size limit alone does not bound the work an XML input causes: 200 namespaces or 90,000
attributes within one megabyte keep a canonicaliser busy for seconds. So shape is counted after
parsing and before anything is canonicalised, and only exclusive canonicalisation is used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from threading import Thread, local
from typing import TypeVar

from lxml import etree

from msh.errors import MalformedMessage

Result = TypeVar("Result")
#: A parsed element. lxml's own class is private, so the public name is fixed here.
Element = etree._Element

_DECLARED = re.compile(rb"\A\s*<\?xml[^>]*?\sencoding\s*=\s*[\"']([^\"']*)[\"']")
# Another version than 1.0 has other ends of lines, and libxml2 would read it as 1.0.
_OTHER_VERSION = re.compile(rb"\s*<\?xml\s+version\s*=\s*[\"'](?!1\.0[\"'])")
_UTF8_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Shape:
    """The largest shape that is read: counts and lengths, not bytes.

    ``attributes`` are those of one element, ``all_attributes`` those of all. ``namespaces`` counts
    namespaces in scope at once, and different prefixes in all, and ``declarations`` all that are
    declared, also again; ``name`` and ``prefix`` are the characters of the names of elements and
    attributes, and of prefixes. ``lookups`` bounds the bytes of all different prefixes, 4 more for
    each, times the elements. The rest speaks for itself.
    """

    depth: int = 32
    elements: int = 60_000
    attributes: int = 32
    all_attributes: int = 20_000
    namespaces: int = 16
    declarations: int = 20_000
    name: int = 128
    prefix: int = 32
    lookups: int = 3_000_000

    def __post_init__(self) -> None:
        if not 1 <= self.depth <= 200:  # the parser itself ends at 256
            raise ValueError(f"depth {self.depth}: must be from 1 to 200")


STANDARD_SHAPE = Shape()
_LOOKUP = 4  # what looking a prefix up costs besides, as if in bytes of it
# Every byte but those that open a tag, a comment, an instruction, an attribute or a reference.
_UNMARKED = bytes(set(range(256)) - set(b"<!?=&"))


def parse(xml: bytes, shape: Shape = STANDARD_SHAPE) -> Element:
    """Parse ``xml`` and return its root, or raise `MalformedMessage` with a reason.

    UTF-8 only (declared or not), no DOCTYPE, no comment, no processing instruction, no entity but
    the five of XML itself, and no more of anything than ``shape`` allows.
    """
    _require_utf8(xml)
    try:
        root = _tree(xml) if _familiar(xml) else apart(lambda: _tree(xml))
    except (etree.XMLSyntaxError, ValueError) as error:
        raise MalformedMessage(f"XML is not well-formed ({_place(error)})") from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise MalformedMessage("a DOCTYPE is not allowed")
    _require_shape(root, xml, shape)
    return root


def parse_again(xml: bytes) -> Element:
    """The root of ``xml``, which `parse` has taken before: its checks are not made twice."""
    return _tree(xml) if _familiar(xml) else apart(lambda: _tree(xml))


def canonical(element: Element, inclusive: Sequence[str] = ()) -> bytes:
    """The exclusive canonical XML of ``element`` (W3C xml-exc-c14n).

    ``inclusive`` are prefixes whose declarations are kept although only content may use them.
    """
    try:
        if not inclusive:
            return etree.tostring(element, method="c14n", exclusive=True)
        if _read_prefixes(inclusive):
            return _with_prefixes(element, inclusive)
        return apart(lambda: _canonical_apart(element, inclusive))
    except etree.C14NError:
        raise MalformedMessage("a namespace name is relative") from None


# libxml2 keeps every name and namespace it has read in a dictionary, which lives as long as the
# thread that reads, and which nothing empties: a stranger could make it grow by all that he sends.
# So only what holds no more than names that were read before is read by the calling thread, and a
# limited number of new ones; anything else by a thread of its own, which takes them with it. To
# look costs as much as half of the parse, so until the limit is reached only one small message of
# `_SAMPLE`, by chance, is looked at, and stands for the others.

_SMALL = 65_536  # bytes; a thread is nothing beside the reading of more
_MOST_KNOWN = 262_144  # bytes of names
_SAMPLE = 16
_MOST_PREFIXES = 4096
_PREFIX = re.compile(r"[^\s<>&;:=\"'/?!#%]+")
_TAG = re.compile(rb"<[^<>]*>")
# A tag with all that may belong to it, finished or not, and a reference: more than there is.
_HOLDS_NAMES = re.compile(rb"<[^<>]*(?:[^<]*>)?|&[^<&;]*")
_known: set[bytes] = set()
_chance = Random()
_known_bytes = 0


def _familiar(xml: bytes) -> bool:
    global _known_bytes
    if len(xml) > _SMALL:
        return False
    if _known_bytes < _MOST_KNOWN and _chance.random() * _SAMPLE >= 1:
        return True
    found = _TAG.findall(xml)
    if b"&" in xml or not len(found) == xml.count(b"<") == xml.count(b">"):
        found = _HOLDS_NAMES.findall(xml)
    if _known.issuperset(found):
        return True
    new = set(found) - _known
    size = sum(map(len, new))
    if _known_bytes + size > _MOST_KNOWN:
        _known_bytes = _MOST_KNOWN  # from now on each is looked at
        return False
    _known_bytes += size
    _known.update(new)
    return True


def _tree(xml: bytes) -> Element:
    parser = etree.XMLParser(
        encoding="utf-8", resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
    )
    return etree.fromstring(xml, parser)


def apart(work: Callable[[], Result]) -> Result:
    """What ``work`` gives in a thread of its own, which takes the names that it reads with it."""
    found: Future[Result] = Future()

    def run() -> None:
        try:
            found.set_result(work())
        except BaseException as error:
            found.set_exception(error)

    thread = Thread(target=run, name="msh-xml", daemon=True)
    thread.start()
    thread.join()
    return found.result()


def _with_prefixes(element: Element, prefixes: Sequence[str]) -> bytes:
    return etree.tostring(
        element, method="c14n", exclusive=True, inclusive_ns_prefixes=list(prefixes)
    )


def _canonical_apart(element: Element, prefixes: Sequence[str]) -> bytes:
    _read_prefixes(prefixes)
    return _with_prefixes(element, prefixes)


class _ThisThread(local):
    """The prefixes that this thread has read by itself."""

    def __init__(self) -> None:
        self.prefixes = {"xml", "xmlns"}


_this_thread = _ThisThread()


def _read_prefixes(prefixes: Sequence[str]) -> bool:
    """Make ``prefixes`` known to this thread; False if it knows too many already.

    lxml silently leaves out a prefix which is not in the dictionary of the thread that
    canonicalises, as one that no document can have; but another thread may have read this one.
    """
    unknown = [prefix for prefix in prefixes if prefix not in _this_thread.prefixes]
    if unknown:
        if len(_this_thread.prefixes) + len(unknown) > _MOST_PREFIXES:
            return False
        for prefix in unknown:
            if _PREFIX.fullmatch(prefix):
                with suppress(etree.XMLSyntaxError):  # then it is none that could be declared
                    etree.fromstring(f'<a xmlns:{prefix}="urn:a"/>')
        _this_thread.prefixes.update(unknown)
    return True


def _require_utf8(xml: bytes) -> None:
    text = xml.removeprefix(_UTF8_BOM)
    if _OTHER_VERSION.match(text):
        raise MalformedMessage("another version of XML than 1.0")
    declared = _DECLARED.match(text)
    if declared and declared[1].lower() not in (b"utf-8", b"utf8"):
        raise MalformedMessage("the declared encoding is not UTF-8")
    try:
        xml.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedMessage(f"byte {error.start} is not UTF-8") from None


def _place(error: Exception) -> str:
    """Where the parser stopped; its own words may quote the message, so they are left out."""
    position = getattr(error, "position", None)
    return f"line {position[0]}, column {position[1]}" if position else "no XML"


def _require_shape(root: Element, xml: bytes, shape: Shape) -> None:
    # What the bytes can hold at most is counted first, in C; the tree is walked only for a message
    # that could be over a limit, so an ordinary one costs next to nothing.
    marks = xml.translate(None, _UNMARKED)
    instructions = marks.count(b"<?") > xml.startswith(b"<?xml ")
    if (instructions or b"<!" in marks) and _holds_comment_or_instruction(root):
        raise MalformedMessage("comments and processing instructions are not allowed")
    if _deeper_than(shape.depth)(root):
        raise MalformedMessage(f"elements nested more than {shape.depth} deep")
    # A piece begins with a name, and holds at most one start tag and the text behind it.
    pieces = xml.split(b"<")
    long = max(map(len, pieces)) > shape.name and any(
        piece.rfind(b">") > shape.name for piece in pieces if len(piece) > shape.name
    )
    declarations, tags = xml.count(b"xmlns"), marks.count(b"<")
    if (
        long
        or b"&" in marks
        or declarations > min(shape.namespaces, shape.declarations)
        or declarations * tags * (4 * shape.prefix + _LOOKUP) > shape.lookups
        or _longer_prefix(shape.prefix).search(xml)
    ):
        _require_namespaces(root, shape)
    if (
        long
        or tags > shape.elements
        or marks.count(b"=") > min(shape.attributes, shape.all_attributes)
    ):
        _require_elements(root, shape, long)


def _holds_comment_or_instruction(root: Element) -> bool:
    # An XPath for it takes seconds where there are 100,000 of them; this ends at the first. Beside
    # the root, nothing else can stand.
    if root.getprevious() is not None or root.getnext() is not None:
        return True
    return next(root.iter(etree.Comment, etree.PI), None) is not None


def _require_elements(root: Element, shape: Shape, long: bool) -> None:
    attributes = 0
    for number, element in enumerate(root.iter(), 1):
        if number > shape.elements:
            raise MalformedMessage(f"more than {shape.elements} elements")
        found = len(element.attrib)
        if found > shape.attributes:
            raise MalformedMessage(f"more than {shape.attributes} attributes on one element")
        attributes += found
        if attributes > shape.all_attributes:
            raise MalformedMessage(f"more than {shape.all_attributes} attributes in all")
        if long:
            _require_short(element.tag, shape.name)
            for name in element.attrib:
                _require_short(str(name), shape.name)


def _require_short(name: str, limit: int) -> None:
    if len(name) > limit and len(name.rpartition("}")[2]) > limit:
        raise MalformedMessage(f"a name longer than {limit} characters")


def _require_namespaces(root: Element, shape: Shape) -> None:
    in_scope = declarations = 0
    # A canonicaliser looks every prefix of its inclusive list up at every element.
    prefixes: set[str] = set()
    for event, declared in etree.iterwalk(root, events=("start-ns", "end-ns")):
        if event == "end-ns":
            in_scope -= 1
            continue
        in_scope += 1
        declarations += 1
        if declarations > shape.declarations:
            raise MalformedMessage(f"more than {shape.declarations} namespace declarations")
        prefix, name = declared
        prefixes.add(prefix)
        _require_short(prefix, min(shape.prefix, shape.name))
        if "&" in name:  # libxml2 writes it into canonical XML unescaped, which is no XML
            raise MalformedMessage("a namespace name holds an ampersand")
        if in_scope > shape.namespaces:
            raise MalformedMessage(f"more than {shape.namespaces} namespaces in scope at once")
        if len(prefixes) > shape.namespaces:
            raise MalformedMessage(f"more than {shape.namespaces} namespace prefixes")
    # It also compares them, at every element, with each that is in scope, byte by byte.
    weight = sum(len(prefix.encode()) + _LOOKUP for prefix in prefixes)
    elements = sum(1 for _ in root.iter()) if weight * shape.elements > shape.lookups else 0
    if weight * elements > shape.lookups:
        raise MalformedMessage("more or longer namespace prefixes than so many elements may have")


@lru_cache(maxsize=64)
def _deeper_than(depth: int) -> etree.XPath:
    return etree.XPath("boolean(" + "/*" * (depth + 1) + ")")


@lru_cache(maxsize=64)
def _longer_prefix(length: int) -> re.Pattern[bytes]:
    return re.compile(rb"xmlns:[^=\s]{%d}" % (length + 1))
