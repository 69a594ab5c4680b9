"""Messages as the store knows them: finding one by its id, and each as plain values for JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msh.catalog import Catalog
from msh.cli.context import nothing_stored, opened, whole_journal
from msh.cli.output import iso
from msh.config import Configuration
from msh.envelope import parse
from msh.errors import MshError, UnknownMessage
from msh.protocol.delivery import State
from msh.protocol.journal import Direction, Entry
from msh.store import Attempt, Delivery, Outcome, Reception, Store


@dataclass(frozen=True)
class Found:
    """One message with all that is stored about it."""

    subject: Delivery | Reception
    attempts: Sequence[Attempt]
    journal: Sequence[Entry]
    text: str
    request: bytes | None = None
    reply: bytes | None = None
    outcomes: Sequence[Outcome] = ()
    #: What was sent from here about a message that was received.
    results: Sequence[Delivery] = ()

    @property
    def direction(self) -> Direction:
        """Which way it goes."""
        return direction_of(self.subject)


def catalog_of(configuration: Configuration) -> Catalog:
    """The code tables of the configuration's profile."""
    return next(iter(configuration.agreements)).profile.catalog


def direction_of(subject: Delivery | Reception) -> Direction:
    """Which way a message goes, seen from here."""
    return Direction.OUTBOUND if isinstance(subject, Delivery) else Direction.INBOUND


def held(subject: Delivery | Reception) -> bool:
    """Whether a message waits for a key or certificate: put off before its first attempt."""
    return (
        isinstance(subject, Delivery)
        and subject.state is State.QUEUED
        and subject.due is not None
        and subject.due > subject.queued
    )


def came(subject: Delivery | Reception) -> Any:
    """When a message was queued, or received."""
    return subject.queued if isinstance(subject, Delivery) else subject.received


async def find(configuration: Configuration, message_id: str) -> Sequence[Found]:
    """Every message of this id, what was sent from here first. Raises `UnknownMessage`."""
    if not nothing_stored(configuration):
        async with opened(configuration) as store:
            subjects: list[Delivery | Reception] = [
                *await store.deliveries(message_id=message_id),
                *await store.receptions(message_id=message_id),
            ]
            if subjects:
                return [await look(store, configuration, subject) for subject in subjects]
    raise unknown(configuration, message_id)


def unknown(configuration: Configuration, message_id: str) -> UnknownMessage:
    """No message of this id is stored here, and where that is."""
    return UnknownMessage(
        f"{message_id}: no message of that id in {configuration.store.partition(':///')[2]}; "
        "`msh list` prints those it holds, --config names another configuration"
    )


async def look(store: Store, configuration: Configuration, subject: Delivery | Reception) -> Found:
    """All that the store knows of one message."""
    direction = direction_of(subject)
    peer = subject.receiver if isinstance(subject, Delivery) else subject.sender
    request, reply = await _content(store, subject)
    return Found(
        subject,
        await store.attempts(subject.id) if isinstance(subject, Delivery) else (),
        await whole_journal(store, subject.message_id, direction, peer),
        await text_of_reply(store, configuration, subject),
        request,
        reply,
        outcomes=await store.outcomes(subject.id) if isinstance(subject, Delivery) else (),
        results=()
        if isinstance(subject, Delivery)
        else await store.results_of(subject.receiver, subject.message_id, subject.sender),
    )


async def _content(
    store: Store, subject: Delivery | Reception
) -> tuple[bytes | None, bytes | None]:
    """The request as it left or came (its body alone before it first leaves), and the reply."""
    if isinstance(subject, Delivery):
        stored = await store.request_wire(subject.id)
        request = (stored[1] or stored[0]) if stored else None
        return request, await store.delivery_reply(subject.id)
    reply = await store.reply_of(subject.id)
    answered = (reply.form or reply.plain) if reply else None
    return await store.received_wire(subject.id), answered


async def text_of_reply(
    store: Store, configuration: Configuration, subject: Delivery | Reception
) -> str:
    """What the reply says beside its code, or the code's official text once it is purged."""
    if isinstance(subject, Delivery):
        wire = await store.delivery_reply(subject.id)
    else:
        reply = await store.reply_of(subject.id)
        wire = reply.plain if reply else None
    official = catalog_of(configuration).text_of(subject.status) if subject.status else ""
    if wire is None:
        return official
    profiles = {a.profile.namespace: a.profile for a in configuration.agreements}
    try:
        message = parse(wire, profiles).message
    except MshError:  # written under another profile than today's
        return official
    # After 9999S a reply that says less leaves the earlier status in place.
    return message.status_text if message.status == subject.status else official


def row(subject: Delivery | Reception, catalog: Catalog) -> dict[str, Any]:
    """A message as one row of `msh list --json`."""
    common: dict[str, Any] = {
        "message_id": subject.message_id,
        "direction": str(direction_of(subject)),
        "service": subject.service,
        "sender": subject.sender,
        "receiver": subject.receiver,
        "ref_to": subject.ref_to,
        "state": str(subject.state),
        "status": str(subject.status) if subject.status else None,
        "text": catalog.text_of(subject.status) if subject.status else "",
        "at": iso(came(subject)),
        "bytes": subject.size,
        "due": iso(subject.due),
        "purged": subject.purged,
    }
    own: dict[str, Any]
    if isinstance(subject, Delivery):
        own = {
            "key": subject.key,
            "held": held(subject),
            "attempts": subject.attempts,
            "settled": iso(subject.settled),
            "resolved_by": subject.resolved_by,
        }
    else:
        own = {
            "handler_runs": subject.runs,
            "replays": subject.replays,
            "answered": iso(subject.answered),
        }
    return common | own


def whole(found: Found, catalog: Catalog, bodies: bool = False) -> dict[str, Any]:
    """A message as `msh show --json` prints it; with ``bodies``, its content too."""
    content = {"request": found.request, "reply": found.reply} if bodies else {}
    return row(found.subject, catalog) | {
        "text": found.text,
        "attempts": [_attempt(attempt) for attempt in found.attempts],
        "outcomes": [_outcome(outcome) for outcome in found.outcomes],
        "results": [result.message_id for result in found.results],
        "journal": [_entry(entry) for entry in found.journal],
        **{name: wire and wire.decode(errors="replace") for name, wire in content.items()},
    }


def _attempt(attempt: Attempt) -> Mapping[str, Any]:
    return {
        "number": attempt.number,
        "began": iso(attempt.began),
        "ended": iso(attempt.ended),
        "outcome": attempt.outcome,
        "detail": attempt.detail,
        "reconnected": attempt.reconnected,
    }


def _outcome(outcome: Outcome) -> Mapping[str, Any]:
    return {
        "message_id": outcome.message_id,
        "service": outcome.service,
        "status": str(outcome.status) if outcome.status else None,
        "received": iso(outcome.received),
    }


def _entry(entry: Entry) -> Mapping[str, Any]:
    return {
        "number": entry.number,
        "at": iso(entry.at),
        "step": str(entry.step),
        "details": dict(entry.details),
    }
