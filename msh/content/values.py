"""Bodies as Python values: a dict to XML and back, by what the service's schema says.

zeep's XSD engine maps names and types. It knows nothing of facets, takes floats, and turns what it
cannot read into None; so the compiled schema validates before it reads and after it writes, and
what it is given is looked at first.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import date, datetime
from decimal import Decimal
from difflib import get_close_matches
from importlib.resources import as_file
from pathlib import Path
from threading import Lock
from typing import Any

from lxml import etree

from msh.catalog import StatusCode
from msh.content.body import local
from msh.content.content import Content
from msh.content.schema import XS, files_of, root_name
from msh.content.splitting import whole_shape
from msh.errors import CatalogError, InvalidBody, MalformedMessage, UsageError
from msh.xml import Element, canonical

# Of a number, left and right of the point. No schema asks for more, and writing 1E+999999 out
# would take a megabyte.
_MOST_DIGITS = 100
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_WANTED: Mapping[type, str] = {
    Decimal: "a Decimal",
    int: "an int",
    bool: "a bool",
    date: "a date",
    datetime: "a datetime",
    str: "a str",
}


class Bodies:
    """Builds and reads the bodies of one profile (TDCC PSP 8; ``schemas/.../bodies/*.xsd``).

    The values of a body are a dict of its fields by their local names. A field that may stand more
    than once is a list, and a field that has fields a dict; others are str, int, Decimal or date by
    their type in the schema. Any thread may build and read.
    """

    def __init__(self, content: Content) -> None:
        self.content = content
        self._mappings: dict[str, _Mapping] = {}
        self._lock = Lock()

    def build(self, service: str, values: Mapping[str, Any]) -> bytes:
        """The body of ``service`` with ``values``, in the normal form in which messages keep it.

        An amount is written with the digits it has: ``Decimal("1.00")`` as 1.00. For a number or a
        date its text will do. None, and an empty list, stand for a field that is left out. Raises
        `InvalidBody`, which names the field and shows no value, for a float (an amount is none), a
        value of a wrong type, a field that is unknown or missing, and whatever else does not fit
        the schema; `UsageError` for a service without a schema.
        """
        mapping = self._mapping(service)
        try:
            root = mapping.written(values)
        except InvalidBody as error:
            raise InvalidBody(f"{service}: {error}") from None
        body = canonical(root)
        # However large: `msh.MessageServiceHandler.send_split` can send it.
        fault = self.content.fault(service, self.content.look(body, whole_shape()))
        if fault:
            raise InvalidBody(f"{service}: {fault}")
        return body

    def read(self, service: str, body: bytes) -> dict[str, Any]:
        """The values of a body of ``service``.

        A field that is absent is left out, but one that may stand more than once is a list, if need
        be an empty one. Raises `MalformedMessage`, which names the element and shows no value, for
        a body that does not fit its schema; `UsageError` for a service without a schema.
        """
        mapping = self._mapping(service)
        seen = self.content.look(body)
        fault = self.content.fault(service, seen)
        if seen is None or fault:
            raise MalformedMessage(f"{service}: {fault or 'the body is missing'}")
        values, unread = mapping.read(seen.root)
        if unread is not None:
            raise MalformedMessage(f"{service}: {unread} holds what no Python value can hold")
        return values

    def _mapping(self, service: str) -> _Mapping:
        mapping = self._mappings.get(service)
        if mapping is None:
            schemas = self.content.schemas
            if service not in schemas.services:
                near = get_close_matches(str(service).upper(), sorted(schemas.services), 2, 0.7)
                hint = f"did you mean {' or '.join(near)}?" if near else "see `msh codes services`"
                raise UsageError(f"{str(service)[:40]!r} has no schema for its body; {hint}")
            schemas.compile(service)
            with self._lock, ExitStack() as stack:
                folder = stack.enter_context(as_file(schemas.folder))
                mapping = _Mapping(folder, service)
                self._mappings[service] = mapping
        return mapping


class _Mapping:
    """What zeep knows of one schema."""

    def __init__(self, folder: Path, service: str) -> None:
        # Loaded when a body is first built or read: a message's way needs none of it.
        from zeep import xsd
        from zeep.exceptions import Error

        # It logs values that it cannot convert, and whole elements.
        logging.getLogger("zeep.xsd").setLevel(logging.CRITICAL + 1)
        file = folder / f"{service}.xsd"
        files_of(folder, file.name)
        root = _without_choices(file.read_bytes())
        try:
            load: Any = xsd.Schema
            self._schema: Any = load(root, _Disk(folder), location=str(file))
            self._element: Any = self._schema.get_element(_root(root, service))
            self._required = _required(self._element.type)
        except (Error, LookupError, AttributeError, NotImplementedError) as error:
            raise CatalogError(
                f"{file}: no Python values can be made of this schema ({type(error).__name__}); "
                "write its bodies as XML"
            ) from None

    def written(self, values: Mapping[str, Any]) -> Element:
        """The element with ``values``. Raises `InvalidBody`."""
        from zeep.exceptions import Error

        name = self._element.qname
        prepared = self._prepared(self._element.type, values, "")
        # With its namespace as the default one, a body is a third smaller.
        default: dict[Any, str] = {None: name.namespace} if name.namespace else {}
        parent = etree.Element("body", nsmap=default)
        try:
            self._element.render(parent, self._element(**prepared))
        except (Error, TypeError, ValueError, AttributeError):
            raise InvalidBody("its values have not the form that the schema asks for") from None
        return parent[0]

    def _prepared(self, kind: Any, values: object, place: str) -> dict[str, Any]:
        """What zeep may be given of ``values``, which are those of a type with fields."""
        if not isinstance(values, Mapping):
            given = type(values).__name__
            raise InvalidBody(f"{place or 'the body'} must be a dict of its fields, not {given}")
        fields = {**dict(kind.elements), **dict(kind.attributes)}
        prepared: dict[str, Any] = {}
        for name, value in values.items():
            here = f"{place}/{name}" if place else str(name)
            field = fields.get(name)
            if field is None:
                raise InvalidBody(f"{_cut(here)} is no field there; {_hint(name, fields)}")
            if value is None:
                continue
            if not field.accepts_multiple:
                prepared[name] = self._value(field.type, value, here)
            elif not isinstance(value, list | tuple):
                given = type(value).__name__
                raise InvalidBody(f"{here} may stand more than once: a list is wanted, not {given}")
            elif value:
                prepared[name] = [
                    self._value(field.type, one, f"{here}[{number}]")
                    for number, one in enumerate(value, 1)
                ]
        for name in self._required.get(id(kind), ()):
            if name not in prepared:
                raise InvalidBody(f"{place}/{name} is missing" if place else f"{name} is missing")
        return prepared

    def _value(self, kind: Any, value: object, place: str) -> Any:
        if isinstance(value, float):
            raise InvalidBody(
                f"{place} is a float, which holds no amount exactly; use a Decimal, or its text"
            )
        if hasattr(kind, "elements"):
            return self._prepared(kind, value, place)
        return _text(_python_type(kind), value, place)

    def read(self, root: Element) -> tuple[dict[str, Any], str | None]:
        """The values of a body, and the name of the first element that was not understood."""
        from zeep.helpers import serialize_object

        for element in root.iter():
            if element.text is None and not len(element):
                element.text = ""  # which zeep would take for one that is absent
        as_dict: Any = serialize_object
        found = as_dict(self._element.parse(root, self._schema), dict)
        return _plain(found), _unread(root, found, "")


class _Disk:
    """Gives zeep the files beside a schema, and nothing from a network."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    def load(self, url: str) -> bytes:
        file = Path(url).resolve()
        if not file.is_relative_to(self._folder):
            raise CatalogError(f"{url}: is not in {self._folder}; copy it there")
        return etree.tostring(_without_choices(file.read_bytes()))


def _without_choices(xml: bytes) -> Element:
    """A schema in which each choice of one is a sequence of what may be left out.

    zeep takes a 0 or an empty text in a choice for one that is absent. That there is one of them
    only, is for the compiled schema to say.
    """
    root = etree.fromstring(xml, etree.XMLParser(remove_comments=True, no_network=True))
    for choice in root.iter(f"{{{XS}}}choice"):
        if choice.get("maxOccurs", "1") == "1":
            choice.tag = f"{{{XS}}}sequence"
            choice.set("minOccurs", "0")
    return root


def _root(schema: Element, service: str) -> str:
    """The body's element, with its namespace."""
    namespace, name = schema.get("targetNamespace"), root_name(schema, service)
    return f"{{{namespace}}}{name}" if namespace else name


def _required(kind: Any) -> dict[int, list[str]]:
    """The fields that must be there, by the id of the type that has them.

    zeep itself is then told that none must: it takes the fields of an optional group for required
    ones. What may be left out is for the compiled schema to say, and for the list made here.
    """
    from zeep.xsd import Choice

    required: dict[int, list[str]] = {}
    parts: list[Any] = []

    def look(part: Any, needed: bool, names: list[str]) -> None:
        needed = needed and part.min_occurs > 0
        parts.append(part)
        if hasattr(part, "__iter__"):
            for child in part:
                look(child, needed and not isinstance(part, Choice), names)
            return
        if needed and part.name:
            names.append(part.name)
        enter(getattr(part, "type", None))

    def enter(kind: Any) -> None:
        if hasattr(kind, "elements_nested") and id(kind) not in required:
            names = required[id(kind)] = []
            for _, part in kind.elements_nested:
                look(part, True, names)

    enter(kind)
    for part in parts:
        part.min_occurs = 0
    return required


def _text(wanted: type, value: object, place: str) -> str:
    """How ``value`` stands in XML. A text is taken as it is: the schema judges it."""
    if isinstance(value, StatusCode):
        return str(value)
    if isinstance(value, str):
        if _NOT_XML.search(value):
            raise InvalidBody(f"{place} holds a character that no XML may hold")
        if wanted is not bool or value in ("true", "false", "1", "0"):
            return str.__str__(value)
    elif wanted is bool and isinstance(value, bool):
        return "true" if value else "false"
    elif wanted in (int, Decimal) and isinstance(value, int) and not isinstance(value, bool):
        return _number(Decimal(value), place)
    elif wanted is Decimal and isinstance(value, Decimal):
        return _number(value, place)
    elif (wanted is datetime and isinstance(value, datetime)) or (
        wanted is date and isinstance(value, date) and not isinstance(value, datetime)
    ):
        return value.isoformat()
    further = "" if wanted in (str, bool) else ", or its text"
    raise InvalidBody(
        f"{place} is of type {type(value).__name__}; {_WANTED[wanted]} is wanted{further}"
    )


def _number(value: Decimal, place: str) -> str:
    """``value`` in digits, as many as it has, without an exponent."""
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int):
        raise InvalidBody(f"{place} is NaN or infinite; a number is wanted")
    if not -_MOST_DIGITS <= exponent <= value.adjusted() <= _MOST_DIGITS:
        raise InvalidBody(f"{place} has more than {_MOST_DIGITS} digits")
    return f"{value:f}"


def _python_type(kind: Any) -> type:
    from zeep.xsd.types import builtins

    for known, python in (
        (builtins.Boolean, bool),
        (builtins.Integer, int),  # which is a Decimal, too
        ((builtins.Decimal, builtins.Float, builtins.Double), Decimal),
        (builtins.DateTime, datetime),
        (builtins.Date, date),
    ):
        if isinstance(kind, known):
            return python
    return str


def _plain(value: Any) -> Any:
    """What zeep read without what is absent."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items() if one is not None}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value


def _unread(element: Element, value: Any, place: str) -> str | None:
    """The first element of which zeep has made nothing; it tells its log, and nobody else."""
    if value is None:
        return place or local(element)
    if not isinstance(value, dict):
        return None
    seen: dict[str, int] = {}
    for child in element:
        name = local(child)
        found = value.get(name, "")  # what has no name of its own is not looked at
        number = seen[name] = seen.get(name, 0) + 1
        here = f"{place}/{name}" if place else name
        if isinstance(found, list):
            found = found[number - 1] if number <= len(found) else None
            here += f"[{number}]"
        if unread := _unread(child, found, here):
            return unread
    return None


def _hint(name: object, fields: Mapping[str, Any]) -> str:
    near = get_close_matches(str(name), fields, 2, 0.6)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"there are: {', '.join(fields) or 'none'}"


def _cut(text: str) -> str:
    return text if len(text) <= 80 else f"…{text[-80:]}"
