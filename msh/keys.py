"""The working keys of a handler's agreements: kept in its store, used by its MACs, exchanged.

The exchange is three messages' worth of handshake over the engine's own reliable messages (see
`msh.protocol.keys` for the rules), so that each step may be lost, or come twice, like any other.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from msh.agreement import Agreement, Agreements
from msh.clock import Clock
from msh.desk import HandlerFunction
from msh.envelope import Parsed
from msh.errors import (
    KeyUnusable,
    MalformedMessage,
    NoKey,
    NotAuthentic,
    Refuse,
    SecurityError,
    StoreError,
    UsageError,
)
from msh.key_answer import answer
from msh.message import Message, Outgoing, Reply
from msh.profile import Check, Profile
from msh.protection import Mac
from msh.protocol.keys import ENDED, State
from msh.protocol.retry import schedule
from msh.security import Protected, Verified
from msh.security.exchange import KeyOffer, KeyProof
from msh.security.keyring import KeyRing, WorkingKey
from msh.security.keysource import KeySource, open_key_source
from msh.security.mac import check_value, new_key
from msh.security.maced import Maced
from msh.sender import Sender
from msh.store import Store, StoredKey

_log = logging.getLogger("msh.keys")

#: How often the store is asked for a key that a message names and nobody here knows.
LOOK_AGAIN = timedelta(milliseconds=500)


class WorkingKeys:
    """The working keys of every agreement that is protected by MACs."""

    def __init__(self, agreements: Agreements, store: Store, clock: Clock) -> None:
        """Raises `KeyUnusable` for a key-encryption key that cannot be used."""
        self._store = store
        self._clock = clock
        self._noting: set[asyncio.Task[None]] = set()
        self._securities = {
            agreement.peer: WorkingKeySecurity(agreement, store, clock, self._note_verified)
            for agreement in agreements
            if isinstance(agreement.protection, Mac)
        }

    def security(self, peer: str) -> WorkingKeySecurity:
        """The protection of the agreement with ``peer``."""
        return self._securities[peer]

    async def load(self) -> None:
        """Read every key from the store, which must be open. Raises `StoreError`."""
        for security in self._securities.values():
            await security.load()

    def changed(self) -> None:
        """Another process changed the store."""
        self._note(self.load())

    async def close(self) -> None:
        """Finish what was begun."""
        if self._noting:
            await asyncio.gather(*self._noting, return_exceptions=True)

    # the side that changes the key

    async def exchange(self, peer: str, sender: Sender, deliver: bool = False) -> StoredKey:
        """Exchange a new working key with ``peer``: offer, proof, confirm. Returns it, active.

        ``deliver`` is for a sender that was not started. Raises `UsageError` where no MACs are
        agreed, `DeliveryError` if no answer comes, `SecurityError` if it is a refusal or not a
        proof, or `NotAuthentic` if it is not the peer's. It is safe to call again at any time.
        """
        security = self._securities.get(peer)
        if security is None:
            raise UsageError(f"no working keys: messages with {peer!r} are not protected by MACs")
        secret, offered = security.new_key(self._clock.now())
        agreement, services = security.agreement, security.agreement.profile.key_exchange
        offer = KeyOffer(
            offered.id, offered.offered, offered.algorithm, offered.wrapped, offered.check_value
        )
        answered = partial(
            answer,
            sender,
            store=self._store,
            clock=self._clock,
            deliver=deliver,
            ours=security.key_encryption_check_value,
        )
        message_id = f"{offered.id}-offer"
        # Whatever bars it from being sent is told before the key is kept.
        sender.draft(Outgoing(services.offer, offer.body(), peer, message_id, message_id))
        await self._store.offer_key(offered, message_id)
        await security.load()
        receipt = await sender.send(
            services.offer, offer.body(), to=peer, message_id=message_id, key=message_id
        )
        reply = await answered(receipt)
        proof = KeyProof.read(_body_of(reply, agreement, "offer"))
        proof.require(security.mac.algorithm, secret, offered.id, peer)
        now = self._clock.now()
        if not await self._store.activate_key(peer, offered.id, message_id, now):
            raise SecurityError(
                f"the proof of {peer} came for {offered.id}, which was retired, or replaced by a "
                f"newer key, meanwhile; exchange again: msh keys exchange {peer}"
            )
        await security.load()
        confirm = KeyProof.make(security.mac.algorithm, secret, offered.id, agreement.own)
        message_id = f"{offered.id}-confirm"
        receipt = await sender.send(
            services.confirm, confirm.body(), to=peer, message_id=message_id, key=message_id
        )
        reply = await answered(receipt)
        _body_of(reply, agreement, "confirm")
        return next(key for key in await self._store.keys(peer) if key.id == offered.id)

    async def retire(self, peer: str, key: str) -> bool:
        """Retire a key that others know; False if it was already, or nobody knows it here.

        Every process of the store stops using it at once. Raises `StoreError`.
        """
        retired = await self._store.retire_key(peer, key, self._clock.now())
        await self.load()
        return retired

    # the side that is offered one

    def handlers(self) -> Mapping[str, HandlerFunction]:
        """The handlers of the exchange's services, for every profile in use."""
        found: dict[str, HandlerFunction] = {}
        for security in self._securities.values():
            services = security.agreement.profile.key_exchange
            found |= {services.offer: self.offered, services.confirm: self.confirmed}
        return found

    async def offered(self, message: Message) -> Reply:
        """Keep an offered key as pending, and prove that it could be unwrapped."""
        security = self._securities[message.sender]
        agreement, codes = security.agreement, security.agreement.own_codes
        now = self._clock.now()
        if agreement.own < agreement.peer and await security.exchanges_now():
            raise Refuse(codes[Check.SUSPENDED], "another key exchange is under way")
        try:
            offer = KeyOffer.read(message.body)
            if offer.made > now + agreement.clock_skew:
                raise KeyUnusable("it was made ahead of time")
            secret = security.unwrap(offer)
            proof = KeyProof.make(security.mac.algorithm, secret, offer.key, agreement.own)
        except MalformedMessage as error:
            raise Refuse(codes[Check.FORMAT], error.reason) from None
        except KeyUnusable as error:
            _log.error("the key that %s offers is refused: %s", agreement.peer, error)
            raise Refuse(codes[Check.KEY], "the offered key cannot be used") from None
        key = StoredKey(
            peer=agreement.peer,
            id=offer.key,
            algorithm=security.mac.algorithm,
            wrapped=offer.wrapped,
            check_value=offer.check_value,
            ours=False,
            state=State.PENDING,
            offered=now,
            made=offer.made,
        )
        kept = await self._store.offer_key(key, message.message_id)
        if kept.check_value != key.check_value:
            raise Refuse(codes[Check.KEY], "another key has this id")
        if kept.state in ENDED:
            raise Refuse(codes[Check.KEY], "it was retired, or a newer key was offered, meanwhile")
        await security.load()
        return Reply(codes[Check.DONE], proof.body())

    async def confirmed(self, message: Message) -> Reply:
        """The proof has arrived at the other side: the pending key becomes the active one."""
        security = self._securities[message.sender]
        agreement, codes = security.agreement, security.agreement.own_codes
        await security.load()  # another process may have taken the offer, a moment ago
        try:
            proof = KeyProof.read(message.body)
            key = security.ring.find(proof.key)
            if key is None:
                raise NoKey("the key was never offered, or was retired")
            proof.require(security.mac.algorithm, key.secret, key.id, agreement.peer)
        except MalformedMessage as error:
            raise Refuse(codes[Check.FORMAT], error.reason) from None
        except NotAuthentic as error:
            raise Refuse(codes[Check.KEY], error.reason) from None
        now = self._clock.now()
        if not await self._store.activate_key(agreement.peer, key.id, message.message_id, now):
            raise Refuse(codes[Check.KEY], "it was retired, or a newer key was offered, meanwhile")
        await security.load()
        return Reply(codes[Check.DONE])

    # what the MACs tell

    def _note_verified(self, agreement: Agreement, key: str, message: Message) -> None:
        """A message of the peer verified under ``key`` for the first time: its predecessor may
        retire, and if it was pending it is active.
        """
        if (message.sender, message.receiver) == (agreement.peer, agreement.own):
            self._note(self._verified(agreement.peer, key, message.message_id))

    async def _verified(self, peer: str, key: str, message_id: str) -> None:
        await self._store.key_verified(peer, key, message_id, self._clock.now())
        await self._securities[peer].load()

    def _note(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(self._quietly(work))
        self._noting.add(task)
        task.add_done_callback(self._noting.discard)

    async def _quietly(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except StoreError as error:
            _log.error("working keys: %s", error)  # the next message tells it again


class WorkingKeySecurity:
    """Protection by MAC for one agreement, whose keys come from the store.

    ``verified`` is called as by `msh.security.maced.Maced`, with the agreement in front.
    """

    active = True

    def __init__(
        self,
        agreement: Agreement,
        store: Store,
        clock: Clock,
        verified: Callable[[Agreement, str, Message], None],
    ) -> None:
        assert isinstance(agreement.protection, Mac)
        self.agreement = agreement
        self.mac = agreement.protection
        self._store = store
        self._clock = clock
        self._source: KeySource = open_key_source(self.mac.key_encryption)
        parties = " ".join(sorted((agreement.own, agreement.peer)))
        self.ring = KeyRing(self._source.derive(f"key exchange {parties}"), self.mac.overlap)
        self._secrets: dict[str, tuple[bytes, bytes]] = {}
        self._unusable: set[str] = set()
        self._maced = Maced(
            self.mac.algorithm,
            self.ring,
            agreement.profile,
            clock.now,
            partial(verified, agreement),
        )
        self.overhead = self._maced.overhead
        self._looked: datetime | None = None

    async def load(self) -> None:
        """Read this agreement's keys from the store."""
        stored = await self._store.keys(self.agreement.peer)
        found = []
        wrong: dict[str, str] = {}
        for key in stored:
            try:
                secret = self._secret(key)
            except KeyUnusable as error:
                wrong[key.id] = str(error)
                continue
            found.append(WorkingKey(key.id, secret, key.state, key.offered, key.verified))
        self.ring.keys = tuple(found)
        if wrong.keys() - self._unusable:  # told once, not at every look, and not for each key
            self._unusable |= wrong.keys()
            newest = list(wrong)[-1]
            _log.error(
                "%d of %d working keys of %s are of no use, the newest of them %s: %s",
                len(wrong),
                len(stored),
                self.agreement.peer,
                newest,
                wrong[newest],
            )

    @property
    def key_encryption_check_value(self) -> str:
        """What shows which key-encryption key we have."""
        return self._source.check_value

    def _secret(self, key: StoredKey) -> bytes:
        if key.state is State.COMPROMISED:
            self._secrets.pop(key.id, None)
            return b""
        wrapped, secret = self._secrets.get(key.id, (b"", b""))
        if wrapped != key.wrapped:
            if key.algorithm != self.mac.algorithm:
                raise KeyUnusable(f"is for {key.algorithm}, and {self.mac.algorithm} is agreed")
            secret = self._source.unwrap(key.wrapped)
            self._secrets[key.id] = key.wrapped, secret
        return secret

    def unwrap(self, offer: KeyOffer) -> bytes:
        """The key that is offered. Raises `KeyUnusable`."""
        if offer.algorithm != self.mac.algorithm:
            raise KeyUnusable(f"it is not for {self.mac.algorithm}, which is agreed")
        secret = self._source.unwrap(offer.wrapped)
        if check_value(self.mac.algorithm, secret) != offer.check_value:
            raise KeyUnusable("its check value does not fit")
        return secret

    def new_key(self, now: datetime) -> tuple[bytes, StoredKey]:
        """A new key, in the clear and as it is stored."""
        secret = new_key(self.mac.algorithm)
        offered = StoredKey(
            peer=self.agreement.peer,
            id=f"{self.agreement.own[:64]}-key-{now:%Y%m%d}-{secrets.token_hex(6)}",
            algorithm=self.mac.algorithm,
            wrapped=self._source.wrap(secret),
            check_value=check_value(self.mac.algorithm, secret),
            ours=True,
            state=State.PENDING,
            offered=now,
        )
        return secret, offered

    async def exchanges_now(self) -> bool:
        """Whether an offer of ours may still be on its way."""
        # As long as it is delivered; then an answer comes no more, or was a refusal.
        now = self._clock.now()
        since = now - (schedule(self.agreement.outbound, now)[-1] - now)
        stored = await self._store.keys(self.agreement.peer)
        return any(
            key.ours and key.state is State.PENDING and key.offered > since for key in stored
        )

    # msh.security.base.Security

    async def protect(self, message: Message, profile: Profile) -> Protected:
        """See `msh.security.base.Security.protect`."""
        return await self._maced.protect(message, profile)

    async def verify(self, parsed: Parsed) -> Verified:
        """See `msh.security.base.Security.verify`."""
        try:
            return await self._maced.verify(parsed)
        except NoKey:
            if not await self._look_again():
                raise
        return await self._maced.verify(parsed)

    async def examine(self, parsed: Parsed) -> Verified:
        """As `verify`, by the keys that are loaded, and without any trace in the store."""
        return await self._maced.verify(parsed, note=False)

    async def _look_again(self) -> bool:
        """Another process may have taken the key a moment ago; not asked for every stranger."""
        now = self._clock.now()
        if self._looked is not None and now - self._looked < LOOK_AGAIN:
            return False
        self._looked = now
        before = self.ring.keys
        await self.load()
        return self.ring.keys != before

    def retired(self, key: str) -> bool:
        """See `msh.security.base.Security.retired`."""
        return self._maced.retired(key)

    async def close(self) -> None:
        """There is nothing to let go of."""


def _body_of(reply: Message, agreement: Agreement, step: str) -> bytes:
    if reply.status != agreement.peer_codes[Check.DONE]:
        raise SecurityError(
            f"{agreement.peer} refused the {step} of the key: {reply.status} {reply.status_text}"
        )
    return reply.body
