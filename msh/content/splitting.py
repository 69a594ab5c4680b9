"""Splitting: a request over the size limit becomes several valid ones (TDCC PSP 9.7.5, 5).

What repeats in a body (payment groups, items) is cut out of its bytes as it stands and put into
copies of the rest, in the same order, each filled as far as it goes. Only three things of a part
are written anew: SSNID and SVCREFID, which must be unique, and the totals.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import NamedTuple
from xml.parsers import expat

from lxml import etree

from msh.content.batch import amount_of, number, read_batch, total_of
from msh.content.body import Body, BodyNames, References, text_of
from msh.content.content import Content
from msh.content.rules.references import references_of
from msh.errors import CannotSplit, InvalidBody
from msh.xml import STANDARD_SHAPE, Element, Shape, parse

# Where the groups go; no body holds a processing instruction of its own.
_PLACE = "groups"
_MARK = b"<?groups?>"
_MANY = 10_000_000


@dataclass(frozen=True, slots=True)
class Part:
    """One of several requests. ``first`` and ``last`` count the groups of the whole, from 1."""

    number: int
    body: bytes
    references: References
    first: int
    last: int


def whole_shape(shape: Shape = STANDARD_SHAPE) -> Shape:
    """The shape of a body before it is split: a caller's own, as large as he likes."""
    many = {"elements": _MANY, "all_attributes": _MANY, "declarations": _MANY}
    return replace(shape, **many, lookups=_MANY * shape.namespaces * (shape.prefix + 4))


def split(
    service: str,
    body: bytes,
    content: Content,
    limit: int,
    *,
    elements: int = STANDARD_SHAPE.elements,
) -> list[Part]:
    """Cut ``body``, in the normal form of `msh.Message`, into as few parts as filling gives.

    Each has at most ``limit`` bytes and ``elements`` elements. The same arguments always give the
    same parts. A body within the limits is its only part, as it is. Raises `CannotSplit` if
    nothing in it repeats, or if one group alone is too large, and `InvalidBody` if its totals are
    not what its groups come to, which parts with totals of their own would hide.
    """
    name = _what_repeats(service, content)
    outline = _Outline(body, name)
    groups = outline.groups
    if len(body) <= limit and outline.elements <= elements:  # whatever its service
        seen = Body(parse(body, whole_shape()))
        return [Part(1, body, references_of(seen, content.names), min(1, len(groups)), len(groups))]
    if not name:
        raise CannotSplit(
            f"{service}: the body has {len(body):,} bytes, of which {limit:,} fit into a message, "
            "and nothing in it repeats; those that can be split are "
            f"{', '.join(content.splitting.repeats) or 'none'} (profile.toml, splitting.repeats)"
        )
    if not groups:
        raise CannotSplit(
            f"{service}: the body has {len(body):,} bytes, of which {limit:,} fit into a message, "
            f"and holds no {name} to divide it by"
        )
    frame = _Frame(service, body, outline, content)
    around, fixed = frame.largest()
    parts: list[Part] = []
    for first, last in _filled(groups, limit - around, elements - fixed):
        if last < first:
            raise CannotSplit(
                f"{service}: {name} number {first + 1} alone makes a body of "
                f"{around + groups[first].size:,} bytes and {fixed + groups[first].elements:,} "
                f"elements; {limit:,} and {elements:,} fit into a message. It cannot be divided: "
                "give it fewer debits or credits"
            )
        parts.append(frame.part(len(parts) + 1, first, last))
    return parts


def _what_repeats(service: str, content: Content) -> str:
    """The name of the elements; empty for a service that cannot be split."""
    field = content.splitting.repeats.get(service)
    name: str = getattr(content.names, field) if field else ""
    return name


class _Group(NamedTuple):
    """Where one lies in the body's bytes, and how many elements it has."""

    start: int
    end: int
    elements: int

    @property
    def size(self) -> int:
        return self.end - self.start


class _Outline:
    """Where the groups lie. (lxml knows no bytes.)"""

    def __init__(self, body: bytes, name: str) -> None:
        self.groups: list[_Group] = []
        self.elements = 0
        self._body, self._name = body, name
        self._depth = self._start = self._before = 0
        self._inside = False
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._begin
        self._parser.EndElementHandler = self._end
        try:
            self._parser.Parse(body, True)
        except expat.ExpatError as error:
            raise InvalidBody(f"the body is not well-formed (line {error.lineno})") from None

    def _begin(self, name: str, attributes: object) -> None:
        if self._depth == 1 and name.rpartition(":")[2] == self._name:
            self._inside, self._start = True, self._parser.CurrentByteIndex
            self._before = self.elements
        self._depth += 1
        self.elements += 1

    def _end(self, name: str) -> None:
        self._depth -= 1
        if self._depth == 1 and self._inside:
            self._inside = False
            end = self._body.index(b">", self._parser.CurrentByteIndex) + 1
            # What stands between two groups goes with the second one.
            start = self.groups[-1].end if self.groups else self._start
            if self._body[start : self._start].strip():
                raise CannotSplit(
                    f"the body holds something else between its {self._name}, whose place in a "
                    "part nobody knows"
                )
            self.groups.append(_Group(start, end, self.elements - self._before))


class _Figure(NamedTuple):
    """What one group adds to a total."""

    currency: str | None
    amount: Decimal | None


class _Frame:
    """What every part has besides its groups."""

    def __init__(self, service: str, body: bytes, outline: _Outline, content: Content) -> None:
        self._body, self._names, self._content = body, content.names, content
        self._groups = outline.groups
        self._fixed = outline.elements - sum(group.elements for group in outline.groups)
        start, end = self._groups[0].start, self._groups[-1].end
        self._root = parse_frame(body[:start] + _MARK + body[end:])
        self._references = references_of(Body(self._root_alone()), self._names)
        self._figures: Sequence[_Figure] = ()
        if totals := _totals(self._root, self._names):
            if content.splitting.repeats[service] != "group":
                raise CannotSplit(f"{service}: nobody knows what a {self._names.total} is of here")
            self._figures = _figures(body, self._names)
            self._require(service, totals)

    def largest(self) -> tuple[int, int]:
        """How many bytes, and elements, it has at most in any part."""
        longest = self._named(len(self._groups))
        # The whole's totals are at least as long as those of any part.
        before, after = self._written(longest, self._figures)
        return len(before) + len(after), self._fixed

    def part(self, number: int, first: int, last: int) -> Part:
        """The part with the groups from ``first`` to ``last``, which count from 0."""
        references = self._named(number)
        before, after = self._written(references, self._figures[first : last + 1])
        held = self._body[self._groups[first].start : self._groups[last].end]
        return Part(number, before + held + after, references, first + 1, last + 1)

    def _named(self, number: int) -> References:
        longest = self._content.splitting.reference_length
        given = self._references
        return References(*(part_reference(text, number, longest) for text in given))

    def _written(self, references: References, figures: Sequence[_Figure]) -> tuple[bytes, bytes]:
        names = self._names
        root = deepcopy(self._root)
        for name, text in zip((names.ssn_id, names.service_ref), references, strict=True):
            for element in root.iterchildren(f"{{*}}{name}"):
                element.text = text
        for total in _totals(root, names):
            counted = _counted(figures, text_of(total, names.currency))
            if not counted:
                root.remove(total)
                continue
            _set(total, names.count, str(len(counted)))
            _set(total, names.amount, f"{total_of(counted):f}")
        # Inclusive, so that no declaration is lost that only the content of a group uses.
        before, _, after = etree.tostring(root, method="c14n").partition(_MARK)
        return before, after

    def _require(self, service: str, totals: Sequence[Element]) -> None:
        """Each total is what the groups come to, as far as it tells."""
        names = self._names
        if any(figure.amount is None for figure in self._figures):
            raise InvalidBody(f"{service}: a {names.group} without an amount, but with a total")
        for total in totals:
            counted = _counted(self._figures, text_of(total, names.currency))
            count, text = text_of(total, names.count), text_of(total, names.amount)
            if (count is not None and number(count) != len(counted)) or (
                text is not None and amount_of(text) != total_of(counted)
            ):
                raise InvalidBody(
                    f"{service}: {names.total} is not what the {names.group} come to; the parts "
                    "would get totals of their own, and hide it"
                )

    def _root_alone(self) -> Element:
        root = deepcopy(self._root)
        etree.strip_tags(root, etree.PI)
        return root


def parse_frame(xml: bytes) -> Element:
    """The rest of a body, with a mark where its groups were."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    return etree.fromstring(xml, parser)


def part_reference(text: str | None, part: int, longest: int) -> str | None:
    """A reference of its own for a part: ``TEXT-PART``, shortened where that is too long.

    What is cut off is told by eight digits of its SHA-256, so that two long ones stay apart.
    """
    if not text:
        return None
    name = f"{text}-{part}"
    if len(name) <= longest:
        return name
    end = f"-{hashlib.sha256(text.encode()).hexdigest()[:8]}-{part}"
    return text[: longest - len(end)] + end


def _filled(groups: Sequence[_Group], size: int, elements: int) -> list[tuple[int, int]]:
    """First and last group of each part; one that does not fit at all ends before it begins."""
    parts: list[tuple[int, int]] = []
    first, used, held = 0, 0, 0
    for index, group in enumerate(groups):
        if index > first and (used + group.size > size or held + group.elements > elements):
            parts.append((first, index - 1))
            first, used, held = index, 0, 0
        used, held = used + group.size, held + group.elements
        if index == first and (used > size or held > elements):
            return [*parts, (first, first - 1)]
    return [*parts, (first, len(groups) - 1)]


def _totals(root: Element, names: BodyNames) -> list[Element]:
    return list(root.iterchildren(f"{{*}}{names.total}"))


def _figures(body: bytes, names: BodyNames) -> list[_Figure]:
    """For each group the currency and the sum of its debits."""
    figures = []
    for group in read_batch(Body(parse(body, whole_shape())), names).groups:
        amounts = [side.amount for side in group.outs if side.amount is not None]
        known = len(amounts) == len(group.outs)
        currency = next((side.currency for side in group.outs), None)
        figures.append(_Figure(currency, total_of(amounts) if known else None))
    return figures


def _counted(figures: Sequence[_Figure], currency: str | None) -> list[Decimal]:
    return [
        figure.amount
        for figure in figures
        if figure.currency == currency and figure.amount is not None
    ]


def _set(parent: Element, name: str, text: str) -> None:
    for element in parent.iterchildren(f"{{*}}{name}"):
        element.text = text
