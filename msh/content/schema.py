"""Body schemas: one XSD for each service, compiled once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import ExitStack
from importlib.resources import as_file
from importlib.resources.abc import Traversable
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

from lxml import etree

from msh.content.body import local
from msh.errors import CatalogError
from msh.xml import Element, apart

XS = "http://www.w3.org/2001/XMLSchema"
_LOADING = tuple(f"{{{XS}}}{name}" for name in ("include", "import", "redefine"))
_NAMESPACES = re.compile(r"\{[^}]*\}")
_EXPECTED = re.compile(r"Expected is .*\)")
_STEP = re.compile(r"(?:([^:@\[]+):)?([^:@\[]+)(?:\[([0-9]+)\])?")
_LONGEST = 200
# libxml2 goes on after an error and tells each with its path, for which it counts all siblings:
# 470 KB of wrong elements took 4 s. A larger body is therefore validated piece by piece, up to
# the first piece with an error, which costs a valid one four times as much.
_LARGE = 32_768  # bytes
_PIECE = 8_192
_NAMED = re.compile(r"Element '(?:\{[^}]*\})?([^'{}]{1,40})")

# What is wrong, by libxml2's name for it. Its own words quote the value.
_REASONS: Mapping[str, str] = {
    "SCHEMAV_CVC_PATTERN_VALID": "has not the form that the schema asks for",
    "SCHEMAV_CVC_ENUMERATION_VALID": "is none of the values that the schema allows",
    "SCHEMAV_CVC_MAXLENGTH_VALID": "is longer than the schema allows",
    "SCHEMAV_CVC_MINLENGTH_VALID": "is shorter than the schema allows",
    "SCHEMAV_CVC_LENGTH_VALID": "has not the length that the schema asks for",
    "SCHEMAV_CVC_MININCLUSIVE_VALID": "is less than the schema allows",
    "SCHEMAV_CVC_MINEXCLUSIVE_VALID": "is not more than the schema asks for",
    "SCHEMAV_CVC_MAXINCLUSIVE_VALID": "is more than the schema allows",
    "SCHEMAV_CVC_MAXEXCLUSIVE_VALID": "is not less than the schema asks for",
    "SCHEMAV_CVC_TOTALDIGITS_VALID": "has more digits than the schema allows",
    "SCHEMAV_CVC_FRACTIONDIGITS_VALID": "has more decimals than the schema allows",
    "SCHEMAV_CVC_DATATYPE_VALID_1_2_1": "is no value of its type",
    "SCHEMAV_CVC_ELT_1": "is not the element that the schema asks for",
    "SCHEMAV_CVC_COMPLEX_TYPE_3_2_1": "has an attribute that the schema does not know",
    "SCHEMAV_CVC_COMPLEX_TYPE_2_3": "holds text between its elements",
    "SCHEMAV_CVC_COMPLEX_TYPE_2_1": "must be empty",
}


class Schemas:
    """The body schemas in ``folder``, one file ``SERVICE.xsd`` for each of ``services``.

    Compiled when first asked for, which takes half a millisecond each. Any thread may validate.
    """

    def __init__(self, folder: Path | Traversable, services: frozenset[str]) -> None:
        self.folder = folder
        self.services = services
        self._compiled: dict[str, tuple[etree.XMLSchema, Lock]] = {}

    def fault(self, service: str, root: Element, size: int = 0) -> str | None:
        """Why the body is not what the schema of ``service`` says; None if it is.

        Names the element, never a value. A service without a schema may hold anything. ``size`` is
        that of the body in bytes: the work for a large one is bounded in another way.
        """
        if service not in self.services:
            return None
        schema, lock = self._compiled.get(service) or self._compile(service)
        if size > _LARGE:
            return apart(lambda: _fault_by_pieces(schema, etree.tostring(root)))
        with lock:  # a compiled schema keeps the errors it found
            return None if schema(root) else _told(schema, root)

    def compile(self, service: str) -> etree.XMLSchema:
        """The compiled schema of ``service``.

        Raises `CatalogError`, with file and line, if it cannot be used.
        """
        return self._compile(service)[0]

    def _compile(self, service: str) -> tuple[etree.XMLSchema, Lock]:
        name = f"{service}.xsd"
        with ExitStack() as stack:
            # An XSD includes others from beside it, so the whole folder must be on disk.
            folder = stack.enter_context(as_file(self.folder))
            files_of(folder, name)
            try:
                schema = etree.XMLSchema(file=str(folder / name))
            except (OSError, etree.LxmlError) as error:
                raise CatalogError(unusable(folder, name, error)) from None
        return self._compiled.setdefault(service, (schema, Lock()))


def files_of(folder: Path, name: str) -> list[str]:
    """The XSD ``name`` and each one that it loads, by their paths in ``folder``.

    Raises `CatalogError` if one loads what is not in ``folder``: nothing is fetched from a
    network, and no file from elsewhere.
    """
    waiting, seen = [name], [name]
    while waiting:
        name = waiting.pop()
        try:
            # The usual parser's errors would be told among those of others, values included.
            root = etree.parse(str(folder / name), etree.XMLParser(no_network=True)).getroot()
        except (OSError, etree.XMLSyntaxError) as error:
            raise CatalogError(unusable(folder, name, error)) from None
        for element in root.iterchildren(*_LOADING):
            location = element.get("schemaLocation")
            if location is None:
                continue
            place = (folder / name).parent / location
            inside = place.resolve().is_relative_to(folder.resolve())
            if urlsplit(location).scheme or not inside or not place.is_file():
                raise CatalogError(
                    f"{folder / name}, line {element.sourceline}: {location} is no file in "
                    f"{folder}; copy it there"
                )
            found = place.resolve().relative_to(folder.resolve()).as_posix()
            if found not in seen:
                seen.append(found)
                waiting.append(found)
    return seen


def root_name(schema: Element, service: str) -> str:
    """The local name of the body's element: the one called as the service, or the only one."""
    names = [str(element.get("name")) for element in schema.iterchildren(f"{{{XS}}}element")]
    return names[0] if len(names) == 1 else service


def unusable(folder: Path, name: str, error: Exception) -> str:
    """Which line of which file makes a schema one that cannot be used."""
    if isinstance(error, etree.XMLSyntaxError):
        return f"{folder / name}, line {error.lineno}: {error.msg}"
    log: Any = getattr(error, "error_log", ())
    found = next((entry for entry in log if entry.line), None)
    if found is None:
        return f"{folder / name}: cannot be used as a schema: {error}"
    return f"{found.filename or folder / name}, line {found.line}: {found.message}"


def _fault_by_pieces(schema: etree.XMLSchema, xml: bytes) -> str | None:
    parser = etree.XMLParser(schema=schema, resolve_entities=False, no_network=True)
    for start in range(0, len(xml), _PIECE):
        parser.feed(xml[start : start + _PIECE])
        if error := _violation(parser):
            return _named(error)
    try:
        parser.close()
    except etree.XMLSyntaxError:
        return _named(_violation(parser))
    return None


def _violation(parser: etree.XMLParser) -> Any:
    log: Any = parser.feed_error_log  # which may hold warnings of the parser, too
    return next((e for e in log if e.domain_name == "SCHEMASV"), None) if len(log) else None


def _named(error: Any) -> str:
    # There is no tree to find a path in.
    named = _NAMED.match(error.message) if error else None
    return f"{named[1] if named else 'the body'} {_reason(error)}"


def _told(schema: etree.XMLSchema, root: Element) -> str:
    log: Any = schema.error_log  # of which lxml's stubs know no entries
    error = log[0]
    return f"{place(_element(root, error.path))} {_reason(error)}"


def _reason(error: Any) -> str:
    unknown = "is not what the schema asks for"
    if error is None:
        return unknown
    reason = _REASONS.get(error.type_name)
    if reason is not None:
        return reason
    if error.type_name != "SCHEMAV_ELEMENT_CONTENT":
        return unknown
    # Of a content model libxml2 quotes names only; of all else it may quote a value.
    expected = _EXPECTED.search(_NAMESPACES.sub("", error.message))
    what = "is not complete" if "Missing child" in error.message else "is not expected here"
    return (f"{what}. {expected[0]}" if expected else what)[:_LONGEST]


def _element(root: Element, path: str | None) -> Element:
    """The element at libxml2's ``path`` of steps such as ``*[2]`` or ``prefix:name[2]``.

    It is no XPath: which namespaces its prefixes stand for, nobody says.
    """
    element = root
    for step in (path or "").split("/")[2:]:
        found = _STEP.fullmatch(step)
        if found is None:  # an attribute
            break
        prefix, name, number = found[1], found[2], int(found[3] or 1)
        fitting = (
            child
            for child in element.iterchildren()
            if name == "*" or (child.prefix, local(child)) == (prefix, name)
        )
        below = next(islice(fitting, number - 1, None), None)
        if below is None:
            break
        element = below
    return element


def place(element: Element) -> str:
    """Where an element stands, such as ``PmtSvc/IN[3]/Amt``: names and numbers, no value."""
    steps = []
    parent = element.getparent()
    while parent is not None:
        number = sum(1 for _ in element.itersiblings(element.tag, preceding=True)) + 1
        alone = number == 1 and next(element.itersiblings(element.tag), None) is None
        steps.append(local(element)[:40] + ("" if alone else f"[{number}]"))
        element, parent = parent, parent.getparent()
    return "/".join(reversed(steps)) or local(element)[:40]
