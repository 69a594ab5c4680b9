"""Body schemas: one XSD for each service, compiled once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import ExitStack
from importlib.resources import as_file
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from lxml import etree

from msh.content.body import local
from msh.errors import CatalogError
from msh.xml import Element

_NAMESPACES = re.compile(r"\{[^}]*\}")
_EXPECTED = re.compile(r"Expected is .*\)")
_LONGEST = 200

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

    Compiled when first asked for, which takes a millisecond each. Validating is for one thread at
    a time, since a compiled schema keeps the errors it found.
    """

    def __init__(self, folder: Path | Traversable, services: frozenset[str]) -> None:
        self.folder = folder
        self.services = services
        self._compiled: dict[str, etree.XMLSchema] = {}

    def fault(self, service: str, root: Element) -> str | None:
        """Why the body is not what the schema of ``service`` says; None if it is.

        Names the element, never a value. A service without a schema may hold anything.
        """
        if service not in self.services:
            return None
        schema = self._compiled.get(service) or self.compile(service)
        return None if schema(root) else _told(schema, root)

    def compile(self, service: str) -> etree.XMLSchema:
        """The compiled schema of ``service``. Raises `CatalogError` if its file is none."""
        file = self.folder / f"{service}.xsd"
        try:
            with ExitStack() as stack:
                # An XSD includes others from beside it, so the whole folder must be on disk.
                folder = stack.enter_context(as_file(self.folder))
                schema = etree.XMLSchema(file=str(folder / f"{service}.xsd"))
        except (OSError, etree.XMLSchemaError, etree.XMLSyntaxError) as error:
            raise CatalogError(f"{file}: is no schema that can be used: {error}") from None
        self._compiled[service] = schema
        return schema


def _told(schema: etree.XMLSchema, root: Element) -> str:
    log: Any = schema.error_log  # of which lxml's stubs know no entries
    error = log[0]
    reason = _REASONS.get(error.type_name)
    if reason is None:
        # Of a content model libxml2 quotes names only; of all else it may quote a value.
        expected = _EXPECTED.search(_NAMESPACES.sub("", error.message))
        if error.type_name != "SCHEMAV_ELEMENT_CONTENT" or expected is None:
            reason = "is not what the schema asks for"
        elif "Missing child" in error.message:
            reason = f"is not complete. {expected[0]}"
        else:
            reason = f"is not expected here. {expected[0]}"
    return f"{place(_element(root, error.path))} {reason[:_LONGEST]}"


def _element(root: Element, path: str | None) -> Element:
    found = root.getroottree().xpath(path) if path else []
    return found[0] if isinstance(found, list) and found and etree.iselement(found[0]) else root


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
