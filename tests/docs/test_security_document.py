"""Every promise in docs/security.md names tests that there are."""

from __future__ import annotations

import re

from msh.xml import STANDARD_SHAPE
from tests.docs.conftest import ROOT

TEXT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")


def test_the_tests_it_names_exist() -> None:
    named = set(re.findall(r"`(test_\w+)`", TEXT))
    assert len(named) > 30
    source = "\n".join(
        file.read_text(encoding="utf-8") for file in (ROOT / "tests").rglob("test_*.py")
    )
    assert named - set(re.findall(r"def (test_\w+)\(", source)) == set()
    for file in re.findall(r"`(tests/\S+\.py)`", TEXT):
        assert (ROOT / file).is_file()


def test_the_limits_it_tells_are_the_limits() -> None:
    rows = dict(re.findall(r"^\| ([a-z][\w ,]+) \| ([\d,]+) \|$", TEXT, re.MULTILINE))
    told = {name: int(value.replace(",", "")) for name, value in rows.items()}
    assert told == {
        "bytes": 1_048_576,
        "elements in each other": STANDARD_SHAPE.depth,
        "elements": STANDARD_SHAPE.elements,
        "attributes on one element": STANDARD_SHAPE.attributes,
        "attributes in all": STANDARD_SHAPE.all_attributes,
        "namespaces in scope at once, and different prefixes": STANDARD_SHAPE.namespaces,
        "namespace declarations in all": STANDARD_SHAPE.declarations,
        "characters of a name": STANDARD_SHAPE.name,
        "characters of a prefix": STANDARD_SHAPE.prefix,
        "bytes of all different prefixes, 4 more for each, times the elements": (
            STANDARD_SHAPE.lookups
        ),
    }
