"""Reading profiles: ``profile.toml`` and the tables beside it, with every mistake at once."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import fields, replace
from functools import lru_cache
from importlib.resources.abc import Traversable
from pathlib import Path
from xml.sax.saxutils import quoteattr

from msh.catalog import STANDARD, Catalog, Meaning, StatusCode, schemas_folder
from msh.content import BodyNames, Content, Schemas
from msh.errors import CatalogError, ConfigurationError, MalformedMessage, MshError
from msh.message import is_identifier
from msh.profile import Check, HeaderNames, KeyExchange, Profile, Role, RoleCodes
from msh.toml import Place
from msh.xml import canonical, parse

#: The folder of a profile that holds the schemas of bodies.
BODIES = "bodies"

_MEANT = {Check.DONE: Meaning.DONE, Check.SYSTEM_ERROR: Meaning.SYSTEM_ERROR}


def standard_profile(name: str = STANDARD) -> Profile:
    """A profile that msh carries, read once."""
    return _standard_profile(name)


@lru_cache(maxsize=8)
def _standard_profile(name: str) -> Profile:
    return read_profile(schemas_folder() / name)


def read_profile(folder: Path | Traversable) -> Profile:
    """The profile in ``folder``: ``profile.toml`` and the tables. Raises `ConfigurationError`."""
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
    profile = Profile(
        name=place.text("name"),
        namespace=place.text("namespace"),
        catalog=replace(catalog, further=exchange.rows()),
        roles=_roles(place.table("roles"), catalog),
        prefix=place.name("prefix", default="scoi"),
        names=header,
        path=place.text("path", default="/sms"),
        key_exchange=exchange,
        content=_content(place.table("body", optional=True), folder, catalog),
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


def _content(place: Place, folder: Path | Traversable, catalog: Catalog) -> Content | None:
    """The body schemas beside ``profile.toml``; None for a profile that has none."""
    usual = BodyNames()
    names = BodyNames(
        **{f.name: place.name(f.name, default=getattr(usual, f.name)) for f in fields(BodyNames)}
    )
    place.finish()
    bodies = folder / BODIES
    if not bodies.is_dir():
        return None
    services = frozenset(code for code in catalog.services if (bodies / f"{code}.xsd").is_file())
    for code in sorted(set(catalog.services) - services):
        place.problem("", f"{bodies / code}.xsd is missing; each service has a schema")
    return Content(catalog, Schemas(bodies, services), names)


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


def _roles(place: Place, catalog: Catalog) -> Mapping[Role, RoleCodes]:
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
        roles[role] = RoleCodes(by_check, frozenset(sources))
        table.finish()
    place.finish()
    return roles


def _code(place: Place, check: Check, text: str, catalog: Catalog) -> StatusCode | None:
    try:
        code = StatusCode.parse(text)
    except MshError as error:
        place.problem(check, str(error))
        return None
    if text not in catalog.statuses:
        place.problem(check, f"{text} is not in this profile's statuses.json")
    means = _MEANT.get(check, code.meaning)
    if code.meaning is not means:
        place.problem(check, f"{text} means {code.meaning}; a code that means {means} is wanted")
    return code


def _sources(place: Place) -> list[str]:
    sources = place.texts("sources")
    if not place.missing and not (sources and set(sources) <= {"PM", "BK"}):
        place.problem("sources", "must hold PM, BK or both: whose codes this role answers with")
    return sources
