"""What the store's contract suite works with: messages, drafts, replies and common steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from msh.catalog import StatusCode
from msh.content import References
from msh.message import Message
from msh.profile import Check, RoleCodes
from msh.protocol import delivery, keys, reception
from msh.protocol.digest import content_digest, message_digest
from msh.protocol.journal import Entry, Step
from msh.store import (
    Answer,
    Arrival,
    Claim,
    Delivery,
    Draft,
    Inquiry,
    New,
    Outbound,
    Reception,
    Result,
    Store,
    StoredKey,
)

NOW = datetime(2026, 11, 21, 1, 0, tzinfo=UTC)
LEASE = timedelta(seconds=30)
#: When an attempt that began at NOW is to be followed by the next.
DUE = NOW + timedelta(seconds=90)
#: Later than anything in these tests falls due or lapses.
MUCH_LATER = NOW + timedelta(days=500)

OWN, PEER, OTHER = "BIZ", "PSP", "BANK9"
DONE, SYSTEM_ERROR = "PSPPM0000I", "PSPPM9999S"


def _codes(prefix: str, sources: str, **by_check: str) -> RoleCodes:
    codes = {Check(check): StatusCode.parse(prefix + code) for check, code in by_check.items()}
    return RoleCodes(codes, frozenset(sources.split()))


#: The platform's codes (TDCC PSP 9.2).
PLATFORM = _codes(
    "PSPPM",
    "PM BK",
    done="0000I",
    format="0001S",
    duplicate="0002S",
    suspended="0001W",
    hours="0002W",
    expired="0002W",
    right="0001E",
    service="0002E",
    message_kind="0002E",
    key="0003E",
    mac="0004E",
    system_error="9999S",
)
#: A bank's codes (TDCC PSP 9.2).
BANK = _codes(
    "PSPBK",
    "BK",
    done="0000I",
    format="0001S",
    duplicate="0114E",
    suspended="0002S",
    hours="0114E",
    expired="0114E",
    right="0114E",
    service="0114E",
    message_kind="0106E",
    key="0114E",
    mac="0114E",
    system_error="9999S",
)


class Notified:
    """What a store is opened with in these tests: it keeps the journal entries it is handed."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def __call__(self, entries: Sequence[Entry]) -> None:
        self.entries += entries


def after(seconds: float) -> datetime:
    """So many seconds after NOW."""
    return NOW + timedelta(seconds=seconds)


def status(text: str) -> StatusCode:
    """The status code of this form."""
    return StatusCode.parse(text)


# inbound


def request(
    message_id: str = "M-1",
    *,
    sender: str = PEER,
    body: bytes = b"<a/>",
    timestamp: datetime = NOW,
) -> Message:
    """A request that another party sends us."""
    return Message(
        service="PS810FTRQ",
        message_id=message_id,
        sender=sender,
        receiver=OWN,
        timestamp=timestamp,
        body=body,
    )


def wire_of(message: Message) -> bytes:
    """Bytes that stand for the message on the wire."""
    return f"wire of {message.message_id} from {message.sender}".encode()


async def arrive(
    store: Store,
    message: Message,
    now: datetime = NOW,
    *,
    admit: bool = True,
    begin: bool = False,
) -> Arrival:
    """What the store says of an arriving copy of ``message``."""
    return await store.receive(
        message, message_digest(message), wire_of(message), now, LEASE, admit=admit, begin=begin
    )


async def receive_new(
    store: Store, message_id: str = "M-1", *, sender: str = PEER, begin: bool = False
) -> Claim:
    """The claim on a message that is new."""
    arrival = await arrive(store, request(message_id, sender=sender), begin=begin)
    assert isinstance(arrival, New)
    return arrival.claim


def answer(text: str = DONE, wire: bytes = b"<reply/>") -> Answer:
    """A plain answer."""
    return Answer(status(text), wire)


async def reception_in(
    store: Store, state: reception.State, message_id: str = "M-1", now: datetime = NOW
) -> Claim:
    """Bring a new reception to ``state``; its (perhaps ended) claim."""
    claim = await receive_new(store, message_id, begin=state is reception.State.RUNNING)
    match state:
        case reception.State.RELEASED:
            await store.release(claim, after(60), now, "the handler raised")
        case reception.State.PARKED:
            await store.park(claim, now)
        case reception.State.ANSWERED:
            await store.answer(claim, answer(), now)
        case reception.State.SET_ASIDE | reception.State.CLOSED:
            aside = Answer(status(SYSTEM_ERROR), b"<error/>", set_aside=True)
            await store.answer(claim, aside, now)
            if state is reception.State.CLOSED:
                await store.close_reception(PEER, message_id, "seen to", now)
    return claim


async def the_reception(store: Store, message_id: str = "M-1") -> Reception:
    """The only reception of this id."""
    (found,) = await store.receptions(message_id=message_id)
    return found


# outbound


def draft(
    message_id: str = "D-1",
    *,
    key: str | None = None,
    sender: str = OWN,
    receiver: str = PEER,
    service: str = "PS810FTRQ",
    ref_to: str | None = None,
    body: bytes = b"<pay/>",
    references: References | None = None,
    about: Inquiry | None = None,
) -> Draft:
    """A message to be sent."""
    digest = content_digest(service, receiver, ref_to, body)
    return Draft(
        message_id, service, sender, receiver, body, digest, key, ref_to, references, about
    )


def reply_to(message_id: str = "D-1", text: str = DONE, *, sender: str = PEER) -> Message:
    """The reply to a message of ours, with this status."""
    return Message(
        service="PS810FTRS",
        message_id=f"R-{message_id}",
        sender=sender,
        receiver=OWN,
        timestamp=NOW,
        ref_to=message_id,
        status=status(text),
    )


async def claim_one(store: Store, now: datetime = NOW, lease: timedelta = LEASE) -> Outbound:
    """Claim the delivery that is due first."""
    (outbound,) = (await store.claim(PEER, now, lease, 1)).work
    return outbound


async def begin(
    store: Store,
    now: datetime = NOW,
    *,
    due: datetime | None = None,
    last: bool = False,
    wire: bytes = b"<form/>",
) -> Outbound:
    """Claim the delivery that is due first and begin an attempt."""
    outbound = await claim_one(store, now)
    due = due or now + (DUE - NOW)
    await store.begin(outbound, wire, now, due, last=last, lease=LEASE)
    return outbound


async def fail(
    store: Store, outbound: Outbound, now: datetime, *, sent: bool, reconnected: bool = False
) -> None:
    """End the attempt without an answer."""
    outcome, detail = ("no answer", "it closed") if sent else ("not sent", "refused")
    await store.record_failure(
        outbound, now, outcome=outcome, detail=detail, sent=sent, reconnected=reconnected
    )


async def replied(
    store: Store,
    text: str = DONE,
    now: datetime = NOW,
    *,
    wire: bytes = b"<rs/>",
    codes: RoleCodes = PLATFORM,
    reconnected: bool = False,
    late: bool = False,
) -> Delivery | None:
    """Record a reply of PEER to D-1."""
    return await store.record_reply(
        OWN, reply_to("D-1", text), wire, codes, now, reconnected=reconnected, late=late
    )


async def delivery_in(
    store: Store, state: delivery.State, now: datetime = NOW, message_id: str = "D-1"
) -> Delivery:
    """Queue a message and bring its delivery to ``state``; it is the only one that is due."""
    queued, _ = await store.enqueue(draft(message_id), now)

    async def reply(text: str) -> None:
        message = reply_to(message_id, text)
        await store.record_reply(OWN, message, b"<rs/>", PLATFORM, now)

    async def attempt(*, sent: bool, due: datetime) -> None:
        outbound = await begin(store, now, due=due, last=True)
        await fail(store, outbound, now, sent=sent)

    match state:
        case delivery.State.SENDING:
            await begin(store, now)
        case delivery.State.WAITING:
            await fail(store, await begin(store, now), now, sent=True)
        case delivery.State.ANSWERED | delivery.State.OUTCOME_UNKNOWN:
            await begin(store, now)
            await reply(DONE if state is delivery.State.ANSWERED else SYSTEM_ERROR)
        case delivery.State.REFUSED_IN_DOUBT:
            await attempt(sent=True, due=now)
            await begin(store, now)
            await reply("PSPPM0002S")
        case delivery.State.NOT_SENT | delivery.State.IN_DOUBT:
            await attempt(sent=state is delivery.State.IN_DOUBT, due=now)
            await store.give_up(await claim_one(store, now), now)
        case delivery.State.RESOLVED:
            await begin(store, now)
            await result_comes(store, message_id, now)
        case delivery.State.NOT_EXECUTED:
            await attempt(sent=True, due=now)
            await store.give_up(await claim_one(store, now), now)
            await store.settle(OWN, message_id, executed=False, because="asked", now=now)
    found = await store.delivery(queued.id)
    assert found is not None
    assert found.state is state
    return found


async def result_comes(
    store: Store,
    ref_to: str | None = "D-1",
    now: datetime = NOW,
    *,
    name: str = "PS811-1",
    sender: str = PEER,
    service: str = "PS811FTRRQ",
    of: str = "PS810FTRQ",
    references: References | None = None,
    statuses: Sequence[str] = (),
) -> Arrival:
    """A result that another party sends us, new here unless its ``name`` is known."""
    message = Message(
        service=service,
        message_id=name,
        sender=sender,
        receiver=OWN,
        timestamp=NOW,
        body=b"<result/>",
        ref_to=ref_to,
    )
    result = Result(of, references, tuple(map(status, statuses)))
    digest = message_digest(message)
    return await store.receive(message, digest, wire_of(message), now, LEASE, result=result)


async def the_delivery(store: Store, message_id: str = "D-1") -> Delivery:
    """The only delivery of this id."""
    (found,) = await store.deliveries(message_id=message_id)
    return found


# working keys


def offered_key(
    name: str = "K-1",
    *,
    peer: str = PEER,
    ours: bool = True,
    offered: datetime = NOW,
    made: datetime | None = None,
) -> StoredKey:
    """A new working key, wrapped."""
    return StoredKey(
        peer=peer,
        id=name,
        algorithm="hmac-sha256",
        wrapped=f"wrapped {name}".encode(),
        check_value="C0FFEE",
        ours=ours,
        state=keys.State.PENDING,
        offered=offered,
        made=made,
    )


# what is on record


async def steps(store: Store, message_id: str | None = None) -> list[Step]:
    """The journal's steps, in order."""
    return [entry.step for entry in await store.journal(message_id=message_id)]


async def everything(store: Store) -> tuple[object, ...]:
    """All that the store holds, to see that a failed operation wrote nothing."""
    deliveries = await store.deliveries()
    receptions = await store.receptions()
    return (
        deliveries,
        receptions,
        [await store.attempts(one.id) for one in deliveries],
        [await store.request_wire(one.id) for one in deliveries],
        [await store.delivery_reply(one.id) for one in deliveries],
        [await store.reply_of(one.id) for one in receptions],
        await store.journal(),
        await store.keys(),
        await store.suspensions(),
    )


def failing(error: BaseException) -> Callable[[object], None]:
    """An ``apply`` that raises."""

    def apply(connection: object) -> None:
        raise error

    return apply
