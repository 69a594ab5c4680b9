"""docs/rules.md names every rule, and every code that no rule of ours gives."""

from __future__ import annotations

import re

from msh.content.rules import RULES
from msh.profile import Role
from msh.profiles import standard_profile
from tests.docs.conftest import ROOT

TEXT = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")


def test_the_table_is_that_of_the_code() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| (PSPBK\w+) \| (.*) \|$", TEXT, re.MULTILINE)
    assert rows == [(rule.name, str(rule.code), rule.text) for rule in RULES]


def test_every_code_is_given_by_a_check_or_explained() -> None:
    profile = standard_profile()
    given = {str(rule.code) for rule in RULES}
    given |= {str(code) for role in Role for code in profile.roles[role].by_check.values()}
    explained = set()
    for first, last in re.findall(r"(\d{4}E)(?: to (\d{4}E))?", TEXT):
        numbers = range(int(first[:4]), int((last or first)[:4]) + 1)
        explained |= {f"PSPBK{number:04}E" for number in numbers}
    assert set(profile.catalog.statuses) <= given | explained
