"""Reading ``[agreements.PARTY]`` of ``msh.toml``, but for how its messages are protected."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from msh.agreement import Agreement, Handling, Limits, Reliability, no_service
from msh.catalog import Service
from msh.profile import Profile, Role
from msh.protection import Mac, Protection
from msh.protocol.retry import schedule
from msh.toml import Place


@dataclass(frozen=True)
class Retention:
    """How long content and ids are kept (TDCC PSP 9.7.5, 4: at least one day; the PSP, three)."""

    contents: timedelta = timedelta(days=3)
    ids: timedelta = timedelta(days=400)


def read_agreement(
    place: Place,
    own: str,
    own_role: Role | None,
    peer: str,
    profile: Profile | None,
    retention: Retention,
) -> Agreement | None:
    """One agreement; None where a mistake leaves nothing to go on with."""
    role = place.choice("role", Role)
    endpoint = place.text("endpoint", default="")
    if endpoint and not is_url(endpoint, "http", "https"):
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
    inquire = place.flag("inquire", default=False)
    if inquire and Service.PS830INQRQ not in sends:
        place.problem("inquire", f"wants {Service.PS830INQRQ} in `sends`")
    checks_content = place.flag("checks_content", default=True)
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
        inquire=inquire,
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


def require_overlap(place: Place, protection: Protection, agreement: Agreement) -> None:
    """What was sent under a key must still be taken at its last attempt, whoever sends it."""
    if not isinstance(protection, Mac) or place.problems_below("mac"):
        return
    start = datetime(2000, 1, 1, tzinfo=UTC)
    for name, reliability in (("outbound", agreement.outbound), ("inbound", agreement.inbound)):
        longest = schedule(reliability, start)[-1] - start
        if protection.overlap < longest and not place.problems_below(name):
            place.problem(
                "mac.overlap",
                f"{protection.overlap.total_seconds():g}: must be at least "
                f"{longest.total_seconds():g}, as long as the {name} schedule resends",
            )


def is_url(text: str, *schemes: str) -> bool:
    """Whether ``text`` has one of ``schemes``, a host and a port, if any, that can be."""
    try:
        parts = urlsplit(text)
        return parts.scheme in schemes and bool(parts.hostname) and (parts.port or 0) < 65536
    except ValueError:
        return False
