"""The rules of a profile: the usual ones, without what a site leaves out, with what it adds.

In ``profile.toml``::

    [rules]
    without = ["account-format"]
    add = "our_rules.py"          # beside profile.toml, with RULES = [...]
    unique = ["PS810FTRQ"]        # the requests whose SSNID and SVCREFID must be new
"""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from msh.catalog import Catalog
from msh.content.rule import Rule
from msh.content.rules import RULES, UNIQUE_REFERENCES
from msh.toml import Place

_CHECKS = ("rule", "format", "message_kind")


def read_rules(place: Place, folder: Path | Traversable, catalog: Catalog) -> tuple[Rule, ...]:
    """The rules of the profile in ``folder``, in the order of its code table.

    ``place`` is its table ``[rules]``, where every mistake is noted.
    """
    usual = {rule.name: rule for rule in RULES}
    for name in (without := place.texts("without")):
        if name not in usual:
            place.problem("without", f"{name!r} is no rule; there are {', '.join(usual)}")
    rules = [rule for rule in RULES if rule.name not in without]
    if services := _requests(place, "unique", catalog):
        rules = [
            replace(rule, services=services) if rule.name == UNIQUE_REFERENCES.name else rule
            for rule in rules
        ]
    if file := place.text("add", default=""):
        rules += _added(place, folder, file, catalog, {rule.name for rule in rules})
    place.finish()
    order = {code: number for number, code in enumerate(catalog.statuses)}
    # Stable, so that of rules with one code the usual ones come first.
    return tuple(sorted(rules, key=lambda rule: order.get(str(rule.code), len(order))))


def _requests(place: Place, key: str, catalog: Catalog) -> frozenset[str]:
    services = place.texts(key)
    for service in services:
        row = catalog.services.get(service)
        if row is None or row.kind != "request":
            place.problem(key, f"{service!r} is no request of services.json")
    return frozenset(services)


def _added(
    place: Place, folder: Path | Traversable, file: str, catalog: Catalog, taken: set[str]
) -> list[Rule]:
    """The rules of a site's own file."""
    path = Path(str(folder)) / file
    try:
        found = getattr(_module(path), "RULES", None)
    except Exception as error:  # whatever the site's file raises is a mistake in it
        place.problem("add", f"{path}{_line(error, path)}: {type(error).__name__}: {error}")
        return []
    if not isinstance(found, Sequence) or not all(isinstance(one, Rule) for one in found):
        place.problem("add", f"{path} has no RULES, a list of msh.content.Rule")
        return []
    rules = []
    for rule in found:
        if problem := _wrong(rule, catalog, taken):
            place.problem("add", f"{path}: rule {rule.name!r}: {problem}")
        else:
            taken.add(rule.name)
            rules.append(rule)
    return rules


def _wrong(rule: Rule, catalog: Catalog, taken: set[str]) -> str | None:
    if rule.name in taken:
        return "another rule has that name; leave it out with `without`, or rename this one"
    if str(rule.code) not in catalog.statuses:
        return f"{rule.code} is not in this profile's statuses.json"
    if unknown := sorted(set(rule.services) - set(catalog.services)):
        return f"{unknown[0]} is no service of services.json"
    if rule.check not in _CHECKS:
        return f"its check is none of {', '.join(_CHECKS)}"
    return None if callable(rule.broken) else "its `broken` is no function"


def _module(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError("no such file beside profile.toml")
    spec = importlib.util.spec_from_file_location(f"msh_rules_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError("is no Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses and pickle look for its names
    spec.loader.exec_module(module)
    return module


def _line(error: Exception, path: Path) -> str:
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == str(path)
    ]
    if isinstance(error, SyntaxError) and error.filename == str(path):
        lines.append(error.lineno)
    return f", line {lines[-1]}" if lines else ""
