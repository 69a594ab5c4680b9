"""Reading ``msh.toml`` and profile files. Every mistake is reported at once, with its key path."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from msh.agreement import Agreements
from msh.catalog import STANDARD, schemas_folder
from msh.config_agreement import Retention, is_url, read_agreement, require_overlap
from msh.config_hours import read_cut_time, read_hours
from msh.config_security import (
    read_protection,
    read_proxies,
    read_source,
    read_tls,
    refuse_shared,
    refuse_test_tls,
)
from msh.errors import ConfigurationError
from msh.message import is_identifier
from msh.profile import Profile, Role
from msh.profiles import read_profile, standard_profile
from msh.protection import Source
from msh.protocol.cuttime import CutTime
from msh.protocol.source import Network
from msh.toml import Place
from msh.transport.tls import ClientCertificates, Tls

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Configuration:
    """What ``msh.toml`` says, checked. Paths are absolute."""

    path: Path
    own: str
    role: Role
    store: str
    agreements: Agreements
    retention: Retention
    listen: str | None = None
    handlers: Path | None = None
    grace: float = 30.0
    tls: Tls | None = None
    proxies: tuple[Network, ...] = ()
    production: bool = False
    cut_time: CutTime | None = None


def read_configuration(path: Path, *, mending: bool = False) -> Configuration:
    """Read ``path``; raises `ConfigurationError` with every mistake in it.

    ``mending`` is for what looks at keys and certificates, or replaces them: those made for tests
    are no mistake then, although ``production = true``.
    """
    try:
        # Windows' editor puts a BOM in front, which is no TOML.
        content = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        raise ConfigurationError(
            str(path), ["no such file; `msh init DIR` writes one, --config or MSH_CONFIG names it"]
        ) from None
    except OSError as error:
        raise ConfigurationError(str(path), [f"cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigurationError(
            str(path), [f"line {line} is not in UTF-8; save the file as UTF-8"]
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(str(path), [f"is not TOML: {error}"]) from None
    place = Place(content, "")
    configuration = _configuration(place, path.resolve(), mending)
    if place.problems or configuration is None:
        raise ConfigurationError(str(path), place.problems)
    return configuration


def _configuration(place: Place, path: Path, mending: bool) -> Configuration | None:
    folder = path.parent
    profile = _profile_of(place, folder)
    store = _store(place, folder)
    handlers = place.text("handlers", default="")
    grace = place.number("grace", default=30.0, least=0, most=3600)
    production = place.flag("production", default=False)
    strict = production and not mending
    party = place.table("party")
    own = party.identifier("id", longest=64)
    role = party.choice("role", Role)
    bank = _bank(party, role)
    party.finish()
    listen, proxies = _listen(place.table("listen", optional=True), profile)
    secure = urlsplit(listen or "").scheme == "https"
    tls = _tls(place, folder, strict, listens=secure)
    retention = _retention(place.table("retention", optional=True))
    days, hours = read_hours(
        place.table("hours", optional=True), folder, profile, production=production
    )
    agreements = []
    tables = place.table("agreements")
    for peer in tables.names():
        if not is_identifier(peer) or len(peer) > 64:
            tables.problem(peer, "a party id is 1 to 64 visible ASCII characters")
        elif peer == own:
            tables.problem(peer, "is this party itself; an agreement is with another one")
        else:
            table = tables.table(peer)
            protection = read_protection(table, folder, production=strict)
            source = read_source(table.table("source", optional=True))
            _require_certificates(table, source, listen, tls, proxies)
            agreement = read_agreement(table, own, role, peer, profile, retention)
            if agreement is not None:
                require_overlap(table, protection, agreement)
                agreements.append(
                    replace(
                        agreement,
                        protection=protection,
                        source=source,
                        bank=bank,
                        days=days,
                        hours=hours,
                    )
                )
    if not tables.names() and not tables.missing:
        tables.problem("", "at least one agreement is wanted, as [agreements.PARTY]")
    refuse_shared(tables, agreements)
    peers = {agreement.peer: agreement for agreement in agreements}
    cut_time = read_cut_time(place.table("cut_time", optional=True), peers, bool(listen))
    place.finish()
    if place.problems or role is None:
        return None
    return Configuration(
        path=path,
        own=own,
        role=role,
        store=store,
        agreements=Agreements.of(own, agreements),
        retention=retention,
        listen=listen,
        handlers=folder / handlers if handlers else None,
        grace=grace,
        tls=tls,
        proxies=proxies,
        production=production,
        cut_time=cut_time,
    )


def _bank(party: Place, role: Role | None) -> str:
    """The bank code of this party, if it is a bank: debits must be its own (TDCC PSP 9.2)."""
    bank = party.text("bank", default="")
    if bank and not re.fullmatch("[0-9]{3}", bank):
        party.problem("bank", f"{bank!r}: a bank code of three digits is wanted")
    elif bank and role not in (Role.BANK, None):
        party.problem("bank", 'is for a bank only; take it out, or set role = "bank"')
    return bank


def _store(place: Place, folder: Path) -> str:
    """The store's URL; a relative file lies beside the configuration."""
    url = place.text("store", default="sqlite:///msh.db")
    scheme, _, rest = url.partition(":")
    if scheme != "sqlite" or not (rest == ":memory:" or (rest.startswith("///") and rest[3:])):
        place.problem("store", f"{url!r}: sqlite:///FILE is wanted, or sqlite::memory: for tests")
        return url
    if rest == ":memory:":
        return url
    return f"sqlite:///{folder / rest[3:]}"


def _listen(place: Place, profile: Profile | None) -> tuple[str | None, tuple[Network, ...]]:
    if place.missing:
        return None, ()
    url = place.text("url")
    if url and not (is_url(url, "http", "https") and urlsplit(url).path):
        path = profile.path if profile else "/sms"
        place.problem("url", f"{url!r}: an address such as http://127.0.0.1:8710{path} is wanted")
        url = ""
    proxies = read_proxies(place)
    place.finish()
    return url or None, proxies


def _tls(place: Place, folder: Path, production: bool, *, listens: bool) -> Tls | None:
    table = place.table("tls", optional=True)
    if table.missing and listens:
        place.problem("tls", "is missing, and listen.url is https; a table [tls] is wanted")
    tls = read_tls(table, folder, listens=listens)
    if tls is not None and production:
        refuse_test_tls(table, tls)
    return tls


def _require_certificates(
    place: Place,
    source: Source,
    listen: str | None,
    tls: Tls | None,
    proxies: tuple[Network, ...],
) -> None:
    """Certificates that nobody asks a peer for would shut it out."""
    if not source.certificates or listen is None or proxies:
        return
    asked = tls is not None and tls.client_certificates is not ClientCertificates.NONE
    if not (asked and urlsplit(listen).scheme == "https"):
        place.problem(
            "source.certificates",
            "nobody asks for a certificate: listen at an https URL with tls.client_certificates, "
            "or name the proxy that does in listen.proxies",
        )


def _retention(place: Place) -> Retention:
    days = place.number("days", default=3.0, least=1, most=36500)
    ids = place.number("ids_days", default=400.0, least=1, most=36500)
    if ids < days:
        place.problem(
            "ids_days", f"{ids:g}: ids must be kept at least as long as content ({days:g})"
        )
    place.finish()
    return Retention(_DAY * days, _DAY * ids)


def _profile_of(place: Place, folder: Path) -> Profile | None:
    name = place.text("profile", default=STANDARD)
    try:
        own_folder = folder / name
        if (own_folder / "profile.toml").is_file():
            return read_profile(own_folder)
        if "/" not in name and (schemas_folder() / name / "profile.toml").is_file():
            return standard_profile(name)
    except ConfigurationError as error:
        for problem in error.problems:
            place.problem("profile", problem)
        return None
    place.problem(
        "profile",
        f"{name!r}: neither a profile that msh carries ({STANDARD}) nor a folder with a "
        "profile.toml",
    )
    return None
