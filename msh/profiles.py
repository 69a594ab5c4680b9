"""Reading profiles: ``profile.toml`` and the tables beside it, with every mistake at once."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from functools import lru_cache
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TypeVar
from xml.sax.saxutils import quoteattr

from msh.catalog import STANDARD, Catalog, Meaning, StatusCode, schemas_folder
from msh.content import BodyNames, Content, Rule, Schemas
from msh.content.body import Splitting
from msh.content.ruleset import read_rules
from msh.content.tables import read_banks, read_currencies
from msh.errors import CatalogError, ConfigurationError, MalformedMessage, MshError
from msh.message import is_identifier
from msh.profile import Check, HeaderNames, KeyExchange, Profile, Role, RoleCodes
from msh.toml import Place
from msh.xml import canonical, parse

Found = TypeVar("Found")

#: The folder of a profile that holds the schemas of bodies.
BODIES = "bodies"

_MEANT = {Check.DONE: Meaning.DONE, Check.SYSTEM_ERROR: Meaning.SYSTEM_ERROR}


def standard_profile(name: str = STANDARD) -> Profile:
    """A profile that msh carries, read once."""
    return _standard_profile(name)


@lru_cache(maxsize=8)
def _standard_profile(name: str) -> Profile:
    return read_profile(schemas_folder() / name, carried=True)


def read_profile(folder: Path | Traversable, *, carried: bool = False) -> Profile:
    """The profile in ``folder``: ``profile.toml``, the tables, and the schemas of bodies.

    Raises `ConfigurationError`. The schemas of a profile that msh carries are not compiled yet.
    """
    file = folder / "profile.toml"
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
        catalog = Catalog.load(folder)
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, CatalogError) as error:
        raise ConfigurationError(str(file), [str(error)]) from None
    place = Place(content, "")
    names = place.table("names", optional=True)
    usual = HeaderNames()
    header = HeaderNames(
        **{f.name: names.name(f.name, default=getattr(usual, f.name)) for f in fields(HeaderNames)}
    )
    if len({getattr(header, f.name) for f in fields(HeaderNames)}) != len(fields(HeaderNames)):
        names.problem("", "two header elements have one name")
    names.finish()
    exchange = _key_exchange(place.table("key_exchange", optional=True), catalog)
    bodies = _content(place, folder, catalog, carried)
    profile = Profile(
        name=place.text("name"),
        namespace=place.text("namespace"),
        catalog=replace(catalog, further=exchange.rows()),
        roles=_roles(place.table("roles"), catalog, bodies.rules if bodies else ()),
        prefix=place.name("prefix", default="scoi"),
        names=header,
        path=place.text("path", default="/sms"),
        key_exchange=exchange,
        content=bodies,
        max_bytes=place.whole("max_bytes", default=1_048_576, least=1024, most=1 << 30),
    )
    if profile.namespace and not _is_namespace(profile.namespace):
        place.problem("namespace", f"{profile.namespace!r}: an absolute URI is wanted")
    if profile.prefix.lower().startswith("xml"):
        place.problem("prefix", f"{profile.prefix!r}: XML keeps prefixes that begin with xml")
    if not profile.path.startswith("/"):
        place.problem("path", f"{profile.path!r}: must begin with /")
    place.finish()
    if place.problems:
        raise ConfigurationError(str(file), place.problems)
    return profile


def _content(
    place: Place, folder: Path | Traversable, catalog: Catalog, carried: bool
) -> Content | None:
    """The schemas beside ``profile.toml``, and the rules; None for a profile without schemas."""
    usual = BodyNames()
    table = place.table("body", optional=True)
    names = BodyNames(
        **{f.name: table.name(f.name, default=getattr(usual, f.name)) for f in fields(BodyNames)}
    )
    table.finish()
    rules = read_rules(place.table("rules", optional=True), folder, catalog)
    banks, currencies = _table(read_banks, folder, place), _table(read_currencies, folder, place)
    splitting = _splitting(place.table("splitting", optional=True), catalog)
    bodies = folder / BODIES
    if not bodies.is_dir():
        return None
    services = frozenset(code for code in catalog.services if (bodies / f"{code}.xsd").is_file())
    for code in sorted(set(catalog.services) - services):
        place.problem("", f"{bodies / code}.xsd is missing; each service has a schema")
    schemas = Schemas(bodies, services)
    if not carried:
        for problem in _unusable(schemas):
            place.problem("", problem)
    return Content(catalog, schemas, names, rules, banks, currencies, splitting=splitting)


def _splitting(place: Place, catalog: Catalog) -> Splitting:
    """What repeats in the requests that can be split."""
    usual = Splitting()
    table = place.table("repeats", optional=True)
    repeats = {}
    for service in table.names():
        row = catalog.services.get(service)
        if row is None or row.kind != "request":
            table.problem(service, "is no request of services.json")
        repeats[service] = table.choice(service, ("group", "item")) or ""
    length = place.whole("reference_length", default=usual.reference_length, least=20, most=200)
    table.finish()
    place.finish()
    return Splitting(usual.repeats if table.missing else repeats, length)


def _table(
    read: Callable[[Path | Traversable], Mapping[str, Found]],
    folder: Path | Traversable,
    place: Place,
) -> Mapping[str, Found]:
    try:
        return read(folder)
    except CatalogError as error:
        place.problem("", str(error))
        return {}


def _unusable(schemas: Schemas) -> list[str]:
    """What is wrong with any of ``schemas``; once, if many include the file that is wrong."""
    problems: dict[str, None] = {}
    for service in sorted(schemas.services):
        try:
            schemas.compile(service)
        except CatalogError as error:
            problems[str(error)] = None
    return list(problems)


def _key_exchange(place: Place, catalog: Catalog) -> KeyExchange:
    usual = KeyExchange()
    names = [f.name for f in fields(KeyExchange)]
    exchange = KeyExchange(*(place.text(name, default=getattr(usual, name)) for name in names))
    codes = [*exchange.requests, *exchange.replies]
    for name in names:
        code = getattr(exchange, name)
        if not is_identifier(code) or codes.count(code) > 1 or code in catalog.services:
            place.problem(name, f"{code!r}: a service code that no other service has is wanted")
    place.finish()
    return exchange


def _is_namespace(text: str) -> bool:
    """Whether XML can be written, and canonicalised, with ``text`` as the name of a namespace."""
    try:
        return bool(canonical(parse(f"<a xmlns={quoteattr(text)}/>".encode())))
    except MalformedMessage:
        return False


def _roles(place: Place, catalog: Catalog, rules: Sequence[Rule]) -> Mapping[Role, RoleCodes]:
    roles = {}
    for role in Role:
        table = place.table(role)
        by_check = {}
        for check in Check:
            optional = check is Check.UNREACHABLE
            text = table.text(check, default="" if optional else None)
            if text:
                code = _code(table, check, text, catalog)
                if code is not None:
                    by_check[check] = code
            elif not (optional or table.missing or table.problems_below(check)):
                table.problem(check, "is empty; a status code is wanted")
        sources = _sources(table)
        for check, code in by_check.items():
            if sources and code.source not in sources:
                table.problem(check, f"{code} is of another source than {' or '.join(sources)}")
        by_rule = _by_rule(table.table("rules", optional=True), catalog, rules, sources)
        roles[role] = RoleCodes(by_check, frozenset(sources), by_rule)
        table.finish()
    place.finish()
    return roles


def _by_rule(
    place: Place, catalog: Catalog, rules: Sequence[Rule], sources: Sequence[str]
) -> Mapping[str, StatusCode]:
    """The codes that a role answers for rules instead of the rules' own."""
    known = [rule.name for rule in rules]
    codes = {}
    for name in place.names():
        if name not in known:
            place.problem(name, f"is no rule of this profile; there are {', '.join(known)}")
            continue
        code = _code(place, Check.RULE, place.text(name), catalog, at=name)
        if code is None:
            continue
        if code.meaning in (Meaning.DONE, Meaning.SYSTEM_ERROR):
            place.problem(name, f"{code} means {code.meaning}; a code that refuses is wanted")
        if sources and code.source not in sources:
            place.problem(name, f"{code} is of another source than {' or '.join(sources)}")
        codes[name] = code
    return codes


def _code(
    place: Place, check: Check, text: str, catalog: Catalog, *, at: str = ""
) -> StatusCode | None:
    at = at or check
    try:
        code = StatusCode.parse(text)
    except MshError as error:
        place.problem(at, str(error))
        return None
    if text not in catalog.statuses:
        place.problem(at, f"{text} is not in this profile's statuses.json")
    means = _MEANT.get(check, code.meaning)
    if code.meaning is not means:
        place.problem(at, f"{text} means {code.meaning}; a code that means {means} is wanted")
    return code


def _sources(place: Place) -> list[str]:
    sources = place.texts("sources")
    if not place.missing and not (sources and set(sources) <= {"PM", "BK"}):
        place.problem("sources", "must hold PM, BK or both: whose codes this role answers with")
    return sources
