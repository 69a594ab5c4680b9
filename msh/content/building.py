"""Small bodies that msh writes by itself: an inquiry, a result, what is asked for again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from lxml import etree

from msh.content.schema import Schemas

if TYPE_CHECKING:
    from msh.content.content import Content


def build(content: Content, service: str, fields: Iterable[tuple[str, str | None]]) -> bytes:
    """A body of ``service`` with these elements in this order; what is None is left out.

    In the namespace that the service's schema is for. Whether it fits is the schema's business.
    """
    namespace = _namespace(content.schemas, service)
    name = f"{{{namespace}}}" if namespace else ""
    # One without a prefix, which lxml's stubs do not know.
    prefixes: Any = {None: namespace} if namespace else None
    root = etree.Element(f"{name}{service}", nsmap=prefixes)
    for field, text in fields:
        if text is not None:
            etree.SubElement(root, f"{name}{field}").text = text
    return etree.tostring(root)


def _namespace(schemas: Schemas, service: str) -> str:
    if service not in schemas.services:
        return ""
    root = etree.fromstring((schemas.folder / f"{service}.xsd").read_bytes())
    return root.get("targetNamespace") or ""
