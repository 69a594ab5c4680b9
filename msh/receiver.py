"""The receiving side: from a peer's bytes to the reply on disk and on its way."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from msh.admission import LARGE, Admission
from msh.agreement import Agreement, Agreements
from msh.awaited import Awaited
from msh.clock import Clock
from msh.desk import HandlerFunction
from msh.dispatcher import Dispatcher, Drafting
from msh.envelope import Parsed, believed, fault, parse, serialise
from msh.errors import (
    CannotProtect,
    MalformedMessage,
    MshError,
    NoKey,
    NotAuthentic,
    StoreError,
)
from msh.message import Message
from msh.profile import Check, Profile
from msh.protection import ANYWHERE
from msh.protocol.checks import (
    AFTER_SUSPENSION,
    Refusal,
    references_of,
    reused_references,
)
from msh.protocol.digest import message_digest
from msh.protocol.rate import RateLimit
from msh.protocol.source import admits, anyone_admits, anyone_expects, neighbourhood
from msh.refusals import Refusals
from msh.replying import reply_message
from msh.resulting import result_told
from msh.security import Security, Verified
from msh.store import (
    Conflict,
    Forgotten,
    InHand,
    New,
    Remembered,
    Resend,
    Store,
    StoredReply,
    Unknown,
    Work,
)
from msh.transport import base as transport
from msh.xml import Element

_log = logging.getLogger("msh.receiver")

#: What a peer is told to wait when there is no room, or the store is away.
COME_BACK = timedelta(seconds=5)
#: How often a repeat looks whether another process has answered the first copy.
LOOK_AGAIN = timedelta(milliseconds=100)
#: How many refusals a second one address is given before it is authenticated, and at once.
STRANGER_RATE, STRANGER_BURST = 10, 50

_LOOKED_INTO = 16_384  # bytes; a larger message is not kept as a tree while it is judged

Late = Callable[[Parsed], Awaitable[bool]]


class _Read(NamedTuple):
    """A message that may be believed, as it was claimed, and the bytes to store of it."""

    agreement: Agreement
    verified: Verified
    claimed: Message
    wire: bytes
    element: Element | None


class Receiver:
    """Accepts messages, runs their handlers and answers each once."""

    def __init__(
        self,
        agreements: Agreements,
        store: Store,
        security: Callable[[Agreement], Security],
        clock: Clock,
        handlers: Mapping[str, HandlerFunction],
        *,
        draft: Drafting,
        late: Late,
        queued: Callable[[str], None],
        awaited: Awaited | None = None,
    ) -> None:
        self._agreements = agreements
        self._profiles = {a.profile.namespace: a.profile for a in agreements}
        self._store = store
        self._security = security
        self._clock = clock
        self._late = late
        self._awaited = awaited or Awaited(store, clock)
        self._dispatcher = Dispatcher(agreements, store, clock, handlers, draft, queued, security)
        self._refusals = Refusals(clock)
        #: Refusals given before authentication, by reason: counted, never stored.
        self.refused = self._refusals.counted
        self._admission = Admission(clock)
        self._strangers = RateLimit(STRANGER_RATE, STRANGER_BURST)
        sources = [agreement.source for agreement in agreements]
        #: Where messages may come from at all; nothing to ask if one party may come from anywhere.
        self._sources = [] if ANYWHERE in sources else sources

    # the way of a message in

    async def accept(
        self, wire: bytes, peer: transport.Peer, stored: Callable[[], None]
    ) -> transport.Acceptance:
        """The way of a message in: from bytes to the reply, or to why there is none now."""
        now = self._clock.now()
        if not self.admits(peer):
            return transport.Forbidden()
        large = len(wire) > LARGE
        if large and not await self._admission.enter():
            return transport.NotNow(COME_BACK)
        try:
            read = await self._read(wire, peer)
        finally:
            if large:
                self._admission.leave()
        if not isinstance(read, _Read):
            return read
        party = read.agreement.peer
        deciding = self._decide(read, peer, now, stored)
        del read  # which may hold a tree
        try:
            return await deciding
        except CannotProtect as error:
            _log.error("cannot protect a reply to %s: %s", party, error)
            return transport.NotNow(COME_BACK)
        except StoreError as error:
            _log.error("cannot store a message of %s: %s", party, error)
            return transport.NotNow(COME_BACK)

    async def _read(self, wire: bytes, peer: transport.Peer) -> _Read | transport.Acceptance:
        """A message that may be believed; or what becomes of another, or of a reply.

        Its tree goes when this returns: it is many times as large as the bytes.
        """
        try:
            parsed = parse(wire, self._profiles)
        except MalformedMessage as error:
            return self._unreadable(peer, error.reason)
        claimed, profile = parsed.message, parsed.profile
        agreement = self._agreement_of(claimed, profile)
        if agreement is None:
            reason = "no agreement with these parties"
            return self._stranger(peer, claimed, profile, Check.RIGHT, reason)
        if not admits(agreement.source, peer.address, peer.certificate):
            reason = "not from where this party's messages come from"
            return self._stranger(peer, claimed, profile, Check.RIGHT, reason)
        if profile.catalog.is_reply(claimed.service):
            return await self._take_late(parsed, peer)
        try:
            verified = await self._security(agreement).verify(parsed)
        except NoKey as error:
            return self._stranger(peer, claimed, profile, Check.KEY, error.reason)
        except NotAuthentic as error:
            shown = error.certificate
            return self._stranger(peer, claimed, profile, Check.MAC, error.reason, shown)
        except StoreError as error:
            _log.error("cannot read the working keys of %s: %s", agreement.peer, error)
            return transport.NotNow(COME_BACK)
        message = verified.message
        # What is small, and was believed as it was read, is looked into as it was read.
        small = message is claimed and len(wire) <= _LOOKED_INTO
        element = next(iter(parsed.root[1]), None) if small else None
        return _Read(agreement, verified, claimed, believed(parsed, message), element)

    async def _decide(
        self, read: _Read, peer: transport.Peer, now: datetime, stored: Callable[[], None]
    ) -> transport.Acceptance:
        """Remember, then judge: the repeat check comes before all that may change with time."""
        agreement, verified, claimed, wire = read[:4]
        message = verified.message
        desk = self._dispatcher.desk(agreement.peer)
        judged, refusal = await self._awaited.judge(message, agreement, now, read.element)
        references = references_of(judged) if refusal is None else None
        result = result_told(judged) if refusal is None else None
        repeat = judged.repeat
        del judged, read  # and with them the tree, which nothing needs while the reply is awaited
        # A retired key only recognises repeats: nothing new is taken under it.
        takes = not verified.retired
        handles = takes and refusal is None and not self._dispatcher.stopping
        starts = handles and desk.take()
        waits = handles and not starts and desk.reserve()
        digest = message_digest(message)
        try:
            arrival = await self._store.receive(
                message,
                digest,
                wire,
                now,
                agreement.handling.lease,
                admit=starts or waits or (takes and refusal is not None),
                begin=starts,
                references=references,
                result=result,
                repeat=repeat,
            )
        except BaseException:
            arrival = Unknown()
            raise
        finally:
            # From here on it is counted among those that wait in `place`.
            if waits:
                desk.cancel()
            runs = isinstance(arrival, New) and not (arrival.suspended or arrival.reused)
            if starts and not runs:
                desk.leave()
        if isinstance(arrival, New):
            stored()
            if arrival.suspended and (refusal is None or refusal.check in AFTER_SUSPENSION):
                refusal = Refusal(Check.SUSPENDED, "suspended")
            elif arrival.reused:
                refusal = reused_references(agreement)
            work = Work(arrival.claim, wire, now, repeat=repeat)
            self._dispatcher.begin(desk, message, work, refusal, placed=starts and runs)
            reception = arrival.claim.reception
        elif isinstance(arrival, InHand):
            stored()
            reception = arrival.reception
        elif isinstance(arrival, Unknown) and verified.retired:
            reason = "its key is retired"
            return self._stranger(peer, claimed, agreement.profile, Check.KEY, reason)
        else:
            return await self._repeated(agreement, message, arrival)
        return await self._await_reply(agreement, message, digest, wire, reception, arrival)

    async def _await_reply(
        self,
        agreement: Agreement,
        message: Message,
        digest: bytes,
        wire: bytes,
        reception: int,
        arrival: New | InHand,
    ) -> transport.Acceptance:
        """Wait for the first copy's reply, and for no longer than the sender does."""
        until = self._clock.now() + agreement.handling.patience
        while True:
            settled = self._dispatcher.settled(reception)
            reply: StoredReply | None = None
            try:
                if settled is not None:
                    async with self._clock.timeout(until):
                        reply = await settled
                elif self._clock.now() < until and not self._dispatcher.stopping:
                    await self._clock.sleep_until(min(until, self._clock.now() + LOOK_AGAIN))
                else:
                    raise TimeoutError
            except TimeoutError:
                return self._not_now(agreement)
            if isinstance(arrival, InHand):
                # Asked again like any repeat, so that the journal tells of each reply given.
                again = await self._store.receive(
                    message, digest, wire, self._clock.now(), timedelta(0), admit=False
                )
                if not isinstance(again, InHand):
                    return await self._repeated(agreement, message, again)
            else:
                reply = reply or await self._store.reply_of(reception)
                if reply is not None:
                    return transport.Reply(await self._form(agreement, reply))

    async def _repeated(
        self,
        agreement: Agreement,
        message: Message,
        arrival: Resend | Conflict | Remembered | Unknown | Forgotten | New,
    ) -> transport.Acceptance:
        """What a repeat is told, by what is known of the first copy."""
        match arrival:
            case Resend(reply):
                return transport.Reply(await self._form(agreement, reply))
            case Conflict():
                code = agreement.own_codes[Check.DUPLICATE]
                text = "the message id belongs to another message"
            case Remembered(status):
                code, text = status, ""
            case Forgotten():
                code = agreement.own_codes[Check.EXPIRED]
                text = "the timestamp is not after that of messages whose ids were forgotten"
                self._refusals.count(text, None, message)
            case _:  # not stored, for want of room: the sender's schedule brings it again
                return self._not_now(agreement)
        plain = reply_message(agreement, message, code, self._clock.now(), text=text)
        protected = await self._security(agreement).protect(plain, agreement.profile)
        return transport.Reply(protected.wire)

    def _agreement_of(self, claimed: Message, profile: Profile) -> Agreement | None:
        agreement = self._agreements.get(claimed.sender)
        if agreement is None or claimed.receiver != agreement.own:
            return None
        return agreement if agreement.profile is profile else None

    def _not_now(self, agreement: Agreement) -> transport.Acceptance:
        if not agreement.handling.busy_reply:
            return transport.Silence()
        return transport.NotNow(COME_BACK)

    async def _take_late(self, parsed: Parsed, peer: transport.Peer) -> transport.Acceptance:
        """A reply that comes as a message of its own."""
        try:
            if not await self._late(parsed):
                self._refusals.count("a reply to no message of ours", peer, parsed.message)
        except StoreError:
            return transport.NotNow(COME_BACK)
        except MshError as error:
            reason = f"a reply that is not authentic: {type(error).__name__}"
            self._refusals.count(reason, peer, parsed.message)
        return transport.Taken()

    # strangers: counted, never stored

    def expects(self, address: str) -> bool:
        """See `msh.transport.base.Gate.expects`."""
        return not self._sources or anyone_expects(self._sources, address)

    def admits(self, peer: transport.Peer) -> bool:
        """See `msh.transport.base.Gate.admits`."""
        if not self._sources or anyone_admits(self._sources, peer.address, peer.certificate):
            return True
        self._refusals.count("from an address or with a certificate of nobody's", peer)
        return False

    def _unreadable(
        self, peer: transport.Peer, reason: str, claimed: Message | None = None
    ) -> transport.Acceptance:
        self._refusals.count(reason, peer, claimed)
        if not self._strangers.allows(neighbourhood(peer.address), self._clock.monotonic()):
            return transport.Silence()
        agreement = next(iter(self._agreements), None)
        if agreement is None:
            return transport.Unreadable(fault(reason))
        return transport.Unreadable(
            fault(reason, agreement.profile, agreement.own_codes[Check.FORMAT])
        )

    def _stranger(
        self,
        peer: transport.Peer,
        claimed: Message,
        profile: Profile,
        check: Check,
        reason: str,
        certificate: bytes = b"",
    ) -> transport.Acceptance:
        """Whoever is not authentic: the refusal leaves no row, and is never protected, so that
        nobody can obtain one that another would believe.
        """
        known = self._agreement_of(claimed, profile) or next(iter(self._agreements), None)
        if known is None or profile is not known.profile:
            return self._unreadable(peer, reason, claimed)
        self._refusals.count(reason, peer, claimed, certificate)
        if not self._strangers.allows(neighbourhood(peer.address), self._clock.monotonic()):
            return transport.Silence()
        code = known.own_codes[check]
        reply = reply_message(known, claimed, code, self._clock.now(), text=reason)
        return transport.Reply(serialise(reply, profile))

    async def _form(self, agreement: Agreement, reply: StoredReply) -> bytes:
        """The bytes that leave: the first protected form, made once and kept."""
        security = self._security(agreement)
        if not security.active:
            return reply.plain
        if reply.form is not None and not security.retired(reply.key):
            return reply.form
        message = parse(reply.plain, self._profiles).message
        protected = await security.protect(message, agreement.profile)
        return await self._store.keep_form(
            reply.reception, protected.key, protected.wire, over=reply.key
        )

    def start(self) -> None:
        """Begin to take over what others left, and to keep the leases of what runs here."""
        self._dispatcher.start()

    async def stop(self, grace: float) -> None:
        """Take nothing new; finish what is in hand, for at most ``grace`` seconds."""
        await self._dispatcher.stop(grace)
