"""``msh list``, ``show``, ``why`` and ``tail``: looking at messages without changing them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from msh.cli.context import ConfigOption, JsonOption, configuration_of, nothing_stored, opened
from msh.cli.output import console, local, local_short, print_json, print_table, remark

if TYPE_CHECKING:
    from msh.cli.finding import Found
    from msh.config import Configuration
    from msh.protocol.journal import Entry
    from msh.store import Delivery, Reception, Store

#: How many messages people are shown unless they ask for more.
SHOWN = 200
#: All there are, for programs.
_ALL = 1 << 62
#: How often `tail` looks.
_POLL = 0.1

MessageId = Annotated[str, typer.Argument(metavar="MSGID", help="The message's id.")]


def list_messages(
    ctx: typer.Context,
    inbound: Annotated[bool, typer.Option("--inbound", help="Only what was received.")] = False,
    outbound: Annotated[bool, typer.Option("--outbound", help="Only what was sent.")] = False,
    state: Annotated[
        str | None, typer.Option("--state", help="Only those in this state, such as in-doubt.")
    ] = None,
    status: Annotated[
        str | None,
        typer.Option(
            "--status",
            metavar="CODE",
            help="Only those answered with this code, or one that begins so: PSPPM0001S, PSPBK.",
            show_default=False,
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="WHEN",
            help="Only those since then: 2026-11-21, 2026-11-21T09:00 (local), or 30m, 2h, 3d ago.",
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            min=1,
            metavar="N",
            help=f"The newest N (else {SHOWN}; with --json, all).",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List messages, the newest first."""
    from msh.cli.finding import catalog_of, row

    configuration = configuration_of(ctx, config)
    limit = limit or (_ALL if as_json else SHOWN)
    # One more than is shown tells whether there are more.
    asked = _Asked(inbound, outbound, state, status, since, limit if as_json else limit + 1)
    absent = nothing_stored(configuration)
    found = [] if absent else asyncio.run(asked.ask(configuration))
    catalog = catalog_of(configuration)
    if as_json:
        print_json([row(subject, catalog) for subject in found[:limit]])
        return
    if not found:
        where = configuration.store.partition(":///")[2]
        remark(f"no messages{f': {where} does not exist yet' if absent else ''}")
        return
    now = datetime.now(UTC)
    print_table(
        ["message", "when", "service", "with", "state"],
        [_cells(row(subject, catalog), subject, now) for subject in found[:limit]],
        fixed=4,
    )
    if len(found) > limit:
        remark(f"the newest {limit}; --limit N shows more")


def show(
    ctx: typer.Context,
    message_id: MessageId,
    bodies: Annotated[
        bool,
        typer.Option(
            "--body", help="Also the stored request and reply, unmasked: mind who can read along."
        ),
    ] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show what became of a message: its state, its attempts or runs, its journal.

    With --body also its content, the request and the reply as they are stored. Nothing in it is
    masked. An id that names a message of each direction, or of several senders, shows them all.
    """
    from msh.cli.finding import catalog_of, find, whole

    configuration = configuration_of(ctx, config)
    found = asyncio.run(find(configuration, message_id))
    catalog = catalog_of(configuration)
    if as_json:
        first, *others = [whole(one, catalog, bodies) for one in found]
        print_json(first | {"others": others})
        return
    for number, one in enumerate(found):
        if number:
            console().print()
        _print_whole(one, configuration)
        if bodies:
            _print_content(one)


def why(ctx: typer.Context, message_id: MessageId, config: ConfigOption = None) -> None:
    """Explain a message in plain words: what happened, what is known, what to do."""
    from msh.cli.explaining import why_delivery, why_reception
    from msh.cli.finding import catalog_of, find
    from msh.store import Delivery

    configuration = configuration_of(ctx, config)
    catalog, now = catalog_of(configuration), datetime.now(UTC)
    for number, found in enumerate(asyncio.run(find(configuration, message_id))):
        if number:
            console().print()
        subject = found.subject
        if isinstance(subject, Delivery):
            said = why_delivery(subject, found.attempts, catalog, now, found.journal)
        else:
            said = why_reception(subject, catalog, now, found.journal)
        # Where no terminal wraps it, it is one line, so that commands in it can be copied.
        console().print(said, soft_wrap=not console().is_terminal)


def tail(
    ctx: typer.Context,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Begin with the first message, not with now.")
    ] = False,
    lines: Annotated[
        int | None,
        typer.Option(
            "--lines",
            "-n",
            min=0,
            metavar="N",
            help="Begin with the last N journal entries (else 10).",
            show_default=False,
        ),
    ] = None,
    until_idle: Annotated[
        float | None,
        typer.Option(
            "--until-idle",
            min=0,
            metavar="SECONDS",
            help="End when nothing has happened for so long.",
            show_default=False,
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Follow what happens to messages, as it happens. Ctrl-C ends it."""
    configuration = configuration_of(ctx, config)
    begin = None if from_start else 10 if lines is None else lines
    asyncio.run(_follow(configuration, begin, until_idle))


# list


class _Asked:
    """What `msh list` is to print."""

    def __init__(
        self,
        inbound: bool,
        outbound: bool,
        state: str | None,
        status: str | None,
        since: str | None,
        limit: int,
    ) -> None:
        both = inbound == outbound
        self.inbound, self.outbound = inbound or both, outbound or both
        self.state = _known_state(state, self.inbound, self.outbound) if state else None
        self.status = status or ""
        self.since = moment(since, datetime.now(UTC)) if since else None
        # The store knows nothing of codes, so all are looked through for one.
        self.limit = _ALL if self.status else limit

    async def ask(self, configuration: Configuration) -> list[Delivery | Reception]:
        """The messages, newest first."""
        from msh.cli.finding import came

        found: list[Delivery | Reception] = []
        async with opened(configuration) as store:
            if self.outbound:
                found += await store.deliveries(
                    state=self.state, since=self.since, limit=self.limit
                )
            if self.inbound:
                found += await store.receptions(
                    state=self.state, since=self.since, limit=self.limit
                )
        fitting = [one for one in found if str(one.status or "").startswith(self.status)]
        return sorted(fitting, key=came, reverse=True)


def _known_state(state: str, inbound: bool, outbound: bool) -> str:
    """A state that some message can be in, or a `UsageError` that names them all."""
    from msh.errors import UsageError
    from msh.protocol import delivery, reception

    of_deliveries = list(delivery.State) if outbound else []
    of_receptions = list(reception.State) if inbound else []
    if state not in (*of_deliveries, *of_receptions):
        known = [
            f"{name}: {', '.join(states)}"
            for name, states in (("outbound", of_deliveries), ("inbound", of_receptions))
            if states
        ]
        raise UsageError(f"--state {state}: there is no such state; {'; '.join(known)}")
    return state


def moment(text: str, now: datetime) -> datetime:
    """A point in time as people write it; local where it names no zone. Raises `UsageError`."""
    from msh.errors import UsageError

    spans = {"m": "minutes", "h": "hours", "d": "days"}
    try:
        if text[:-1].isdigit() and text[-1] in spans:
            return now - timedelta(**{spans[text[-1]]: int(text[:-1])})
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"--since {text}: write a date (2026-11-21), a date and time (2026-11-21T09:00), or "
            "how long ago (30m, 2h, 3d)"
        ) from None


def _cells(row: dict[str, Any], subject: Delivery | Reception, now: datetime) -> Sequence[Any]:
    from rich.text import Text

    from msh.cli.finding import came
    from msh.cli.timeline import tone_of
    from msh.store import Delivery

    outbound = isinstance(subject, Delivery)
    state = f"{row['state']}, held" if row.get("held") else row["state"]
    said = " ".join(part for part in (state, row["status"], row["text"]) if part)
    return (
        row["message_id"],
        local_short(came(subject), now),
        row["service"],
        f"→ {subject.receiver}" if outbound else f"← {subject.sender}",
        Text(said, style=str(tone_of(subject.status))),
    )


# show


def _print_whole(found: Found, configuration: Configuration) -> None:
    from msh.cli.finding import catalog_of
    from msh.cli.outcomelines import outcome_facts
    from msh.cli.timeline import styled, timeline
    from msh.store import Delivery

    subject = found.subject
    text_of = catalog_of(configuration).text_of
    out = console()
    made = timeline(subject, found.journal, found.attempts, text_of=text_of)
    out.print(styled(made), soft_wrap=True)
    facts = [
        ("direction", str(found.direction)),
        ("state", str(subject.state)),
        ("status", f"{subject.status} {found.text}" if subject.status else None),
        ("refers to", subject.ref_to),
    ]
    if isinstance(subject, Delivery):
        facts += [
            ("key", subject.key),
            ("queued", local(subject.queued)),
            ("next step", local(subject.due)),
            ("ended", local(subject.settled)),
            ("attempts", str(subject.attempts)),
        ]
    else:
        facts += [
            ("received", local(subject.received)),
            ("runs again", local(subject.due)),
            ("replied", local(subject.answered)),
            ("handler runs", str(subject.runs)),
            ("replays", str(subject.replays)),
        ]
    facts += outcome_facts(found.outcomes, found.results, catalog_of(configuration))
    # The body's, until its first attempt begins: then there is an envelope around it.
    kind = "body bytes" if isinstance(subject, Delivery) and not subject.attempts else "wire bytes"
    facts += [(kind, f"{subject.size:,}")]
    for name, value in facts:
        if value:
            out.print(f"  {name:<13}  {value}", soft_wrap=True)


def _print_content(found: Found) -> None:
    """Request and reply, as bytes: an XML declaration tells their encoding."""
    for name, wire in (("request", found.request), ("reply", found.reply)):
        console().print(f"\n  {name}{'' if wire else ': none is stored'}")
        if wire:
            typer.echo(wire)


# tail


async def _follow(
    configuration: Configuration, begin: int | None, until_idle: float | None
) -> None:
    shown = ""
    async with opened(configuration) as store:
        # Purging leaves holes, so the last N are counted and not computed.
        seen = 0 if begin is None else await _before_last(store, begin)
        idle = 0.0
        while until_idle is None or idle <= until_idle:
            entries = await store.journal(after=seen)
            for (message_id, peer, direction), own in _by_message(entries).items():
                name = f"{direction} {peer} {message_id}"
                await _print_news(store, configuration, own, heading=name != shown)
                shown = name
            if entries:
                seen, idle = entries[-1].number or seen, 0.0
            else:
                await asyncio.sleep(_POLL)
                idle += _POLL


async def _before_last(store: Store, count: int) -> int:
    """The number after which ``count`` journal entries come, as far as there are so many."""
    last = await store.last_entry()
    span = max(count, 1)
    while count and span < last:
        entries = await store.journal(after=last - span, limit=_ALL)
        if len(entries) >= count:
            return (entries[-count].number or 1) - 1
        span *= 4
    return last if not count else max(0, last - span)


def _by_message(entries: Sequence[Entry]) -> dict[tuple[str, str, str], list[Entry]]:
    """News of one message together, in the order in which each first has any."""
    news: dict[tuple[str, str, str], list[Entry]] = {}
    for entry in entries:
        news.setdefault((entry.message_id, entry.peer, entry.direction), []).append(entry)
    return news


async def _print_news(
    store: Store, configuration: Configuration, entries: Sequence[Entry], *, heading: bool
) -> None:
    from msh.cli.finding import catalog_of
    from msh.cli.timeline import styled, styled_lines, timeline
    from msh.protocol.journal import Direction

    first = entries[0]
    text_of = catalog_of(configuration).text_of
    subjects: Sequence[Delivery | Reception]
    if first.direction is Direction.OUTBOUND:
        deliveries = await store.deliveries(message_id=first.message_id)
        subjects = [one for one in deliveries if one.receiver == first.peer]
    else:
        receptions = await store.receptions(message_id=first.message_id)
        subjects = [one for one in receptions if one.sender == first.peer]
    if not subjects:
        return  # purged between the two looks
    made = timeline(subjects[0], entries, text_of=text_of)
    console().print(styled(made) if heading else styled_lines(made.lines), soft_wrap=True)
