"""Reading ``msh.toml`` and profile files. Every mistake is reported at once, with its key path."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from msh.agreement import Agreement, Agreements, Handling, Limits, Reliability, no_service
from msh.catalog import STANDARD, schemas_folder
from msh.config_security import (
    read_networks,
    read_protection,
    read_source,
    read_tls,
    refuse_test_tls,
)
from msh.errors import ConfigurationError
from msh.message import is_identifier
from msh.profile import Profile, Role
from msh.profiles import read_profile, standard_profile
from msh.protection import Source
from msh.protocol.retry import schedule
from msh.protocol.source import Network
from msh.toml import Place
from msh.transport.tls import ClientCertificates, Tls

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Retention:
    """How long content and ids are kept (TDCC PSP 9.7.5, 4: at least one day; the PSP, three)."""

    contents: timedelta = timedelta(days=3)
    ids: timedelta = timedelta(days=400)


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


def read_configuration(path: Path) -> Configuration:
    """Read ``path``; raises `ConfigurationError` with every mistake in it."""
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
    configuration = _configuration(place, path.resolve())
    if place.problems or configuration is None:
        raise ConfigurationError(str(path), place.problems)
    return configuration


def _configuration(place: Place, path: Path) -> Configuration | None:
    folder = path.parent
    profile = _profile_of(place, folder)
    store = _store(place, folder)
    handlers = place.text("handlers", default="")
    grace = place.number("grace", default=30.0, least=0, most=3600)
    production = place.flag("production", default=False)
    party = place.table("party")
    own = party.identifier("id", longest=64)
    role = party.choice("role", Role)
    party.finish()
    listen, proxies = _listen(place.table("listen", optional=True), profile)
    secure = urlsplit(listen or "").scheme == "https"
    tls = _tls(place, folder, production, listens=secure)
    retention = _retention(place.table("retention", optional=True))
    agreements = []
    tables = place.table("agreements")
    for peer in tables.names():
        if not is_identifier(peer) or len(peer) > 64:
            tables.problem(peer, "a party id is 1 to 64 visible ASCII characters")
        elif peer == own:
            tables.problem(peer, "is this party itself; an agreement is with another one")
        else:
            table = tables.table(peer)
            protection = read_protection(table, folder, production=production)
            source = read_source(table.table("source", optional=True))
            _require_certificates(table, source, listen, tls, proxies)
            agreement = _agreement(table, own, role, peer, profile, retention)
            if agreement is not None:
                agreements.append(replace(agreement, protection=protection, source=source))
    if not tables.names() and not tables.missing:
        tables.problem("", "at least one agreement is wanted, as [agreements.PARTY]")
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
    )


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
    if url and not (_is_url(url, "http", "https") and urlsplit(url).path):
        path = profile.path if profile else "/sms"
        place.problem("url", f"{url!r}: an address such as http://127.0.0.1:8710{path} is wanted")
        url = ""
    proxies = read_networks(place, "proxies")
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


def _is_url(text: str, *schemes: str) -> bool:
    """Whether ``text`` has one of ``schemes``, a host and a port, if any, that can be."""
    try:
        parts = urlsplit(text)
        return parts.scheme in schemes and bool(parts.hostname) and (parts.port or 0) < 65536
    except ValueError:
        return False


def _retention(place: Place) -> Retention:
    days = place.number("days", default=3.0, least=1, most=36500)
    ids = place.number("ids_days", default=400.0, least=1, most=36500)
    if ids < days:
        place.problem(
            "ids_days", f"{ids:g}: ids must be kept at least as long as content ({days:g})"
        )
    place.finish()
    return Retention(_DAY * days, _DAY * ids)


def _agreement(
    place: Place,
    own: str,
    own_role: Role | None,
    peer: str,
    profile: Profile | None,
    retention: Retention,
) -> Agreement | None:
    role = place.choice("role", Role)
    endpoint = place.text("endpoint", default="")
    if endpoint and not _is_url(endpoint, "http", "https"):
        place.problem("endpoint", f"{endpoint!r}: an http or https URL is wanted")
    sends = _services(place, "sends", profile)
    accepts = _services(place, "accepts", profile)
    if sends and not endpoint:
        place.problem("endpoint", "is missing, and `sends` is not empty")
    outbound = _reliability(place.table("outbound", optional=True))
    inbound = _reliability(place.table("inbound", optional=True))
    limits = _limits(place.table("limits", optional=True))
    handling = _handling(place.table("handling", optional=True), inbound)
    live = place.number("time_to_live", default=3600.0, least=0, most=400 * 86400)
    skew = place.number("clock_skew", default=300.0, least=0, most=86400)
    most = profile.max_bytes if profile else 1_048_576
    size = place.whole("max_bytes", default=most, least=1024, most=most)
    time_to_live = timedelta(seconds=live) if live else None
    checks_content = place.flag("checks_content", default=False)
    _require_kept(place, "outbound", outbound, retention, time_to_live)
    _require_kept(place, "inbound", inbound, retention, None)
    place.finish()
    if role is None or own_role is None or profile is None:
        return None
    return Agreement(
        own=own,
        own_role=own_role,
        peer=peer,
        peer_role=role,
        profile=profile,
        endpoint=endpoint or None,
        sends=sends,
        accepts=accepts,
        outbound=outbound,
        inbound=inbound,
        time_to_live=time_to_live,
        clock_skew=timedelta(seconds=skew),
        ids_kept=retention.ids,
        limits=limits,
        handling=handling,
        max_bytes=size,
        checks_content=checks_content,
    )


def _services(place: Place, name: str, profile: Profile | None) -> frozenset[str]:
    services = place.texts(name)
    if profile is None:
        return frozenset(services)
    for service in services:
        row = profile.catalog.services.get(service)
        if row is None:
            place.problem(name, no_service(service, profile))
        elif row.kind != "request":
            place.problem(
                name, f"{service} is a reply, which needs no right; did you mean {row.request}?"
            )
    return frozenset(services)


def _reliability(place: Place) -> Reliability:
    usual = Reliability()
    result = Reliability(
        resends=place.whole("resends", default=usual.resends, least=0, most=100),
        interval=place.seconds("interval", usual.interval, least=0, most=7 * 86400),
        factor=place.number("factor", default=float(usual.factor), least=1, most=100),
        timeout=place.seconds("timeout", usual.timeout, least=0.05, most=86400),
    )
    place.finish()
    return result


def _limits(place: Place) -> Limits:
    usual = Limits()
    result = Limits(
        running=place.whole("running", default=usual.running, least=1, most=10_000),
        waiting=place.whole("waiting", default=usual.waiting, least=0, most=100_000),
        sending=place.whole("sending", default=usual.sending, least=1, most=10_000),
    )
    place.finish()
    return result


def _handling(place: Place, inbound: Reliability) -> Handling:
    usual = Handling()
    # A repeat must be told something before its sender stops listening (20 s at the most).
    longest = min(usual.patience, inbound.timeout * 2 / 3)
    result = Handling(
        runs=place.whole("runs", default=usual.runs, least=1, most=1000),
        retry_after=place.seconds("retry_after", usual.retry_after, least=0, most=86400),
        lease=place.seconds("lease", usual.lease, least=0.5, most=3600),
        patience=place.seconds("patience", longest, least=0, most=20),
        busy_reply=place.flag("busy_reply", default=True),
    )
    if result.patience >= inbound.timeout:
        place.problem(
            "patience",
            f"{result.patience.total_seconds():g}: must be below the peer's time-out, "
            f"{inbound.timeout.total_seconds():g} (inbound.timeout)",
        )
    place.finish()
    return result


def _require_kept(
    place: Place,
    name: str,
    reliability: Reliability,
    retention: Retention,
    time_to_live: timedelta | None,
) -> None:
    """A message must be kept, and live, at least as long as it is resent (ebXML MS 2.0, 6.4)."""
    if place.problems_below(name):
        return
    start = datetime(2000, 1, 1, tzinfo=UTC)
    length = schedule(reliability, start)[-1] - start
    seconds = length.total_seconds()
    if length > retention.contents:
        place.problem(
            name, f"resends for {seconds:g} s, longer than content is kept (retention.days)"
        )
    if time_to_live is not None and length > time_to_live:
        place.problem(
            "time_to_live",
            f"{time_to_live.total_seconds():g}: must be at least {seconds:g}, as long as the "
            f"{name} schedule resends; 0 sets none",
        )


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
