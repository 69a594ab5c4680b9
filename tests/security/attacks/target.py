"""A platform with many agreements, under attack: a real handler and what must be true of it.

Every case brings bytes to `MessageServiceHandler.accept`, as a transport would, so that the whole
order of the receiver's checks is under test.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import count
from pathlib import Path

import msh
from msh.envelope import parse
from msh.message import Message
from msh.profile import Check, Role
from msh.protection import Mac, MacAlgorithm, Protection, Signature
from msh.protocol.keys import State
from msh.security import Security
from msh.security.keyring import KeyRing, WorkingKey
from msh.security.keysource import KeySource, open_key_source
from msh.security.mac import check_value
from msh.security.maced import Maced
from msh.security.signature import open_signed
from msh.store import StoredKey, open_store
from msh.testing.clock import VirtualClock
from msh.transport.base import Acceptance, Peer, Reply, Unreadable
from tests.security.certificates import (
    DAY,
    NOW,
    PROFILE,
    PROFILES,
    Identity,
    Party,
    SetClock,
    authority,
    identity,
)

FORMAT = "PSPPM0001S"
RIGHT = "PSPPM0001E"
KEY = "PSPPM0003E"
MAC = "PSPPM0004E"
DONE = "PSPPM0000I"

#: How a message begins.
DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'
#: What no refusal and no log may show: an account number and a name, as they stand in the body.
ACCOUNT, OWNER = "0047110815", "PlantedOwner"
BODY = (
    '<Pay xmlns="urn:pay"><PMTID>1</PMTID><Amt>100</Amt>'
    f"<Account>{ACCOUNT}</Account><Owner>{OWNER}</Owner></Pay>"
).encode()

_IDS = re.compile("<scoi:(RefToMsgId|Receiver|SvcId)>[^<]*<")

SERVICES = frozenset({"PS810FTRQ", "PS811FTRRQ", "PS830INQRQ"})
ALGORITHMS = {
    "HMAC": MacAlgorithm.HMAC_SHA256,
    "CMAC": MacAlgorithm.AES_CMAC,
    "RETAIL": MacAlgorithm.RETAIL_MAC,
}
#: The working keys of the parties under MACs: the id is that of the party.
SECRETS = {
    "HMAC": bytes(range(32)),
    "CMAC": bytes(range(1, 33)),
    "RETAIL": bytes.fromhex("0123456789abcdeffedcba9876543210"),
}
OVERLAP = timedelta(minutes=15)


@dataclass
class Correspondent:
    """A party as the platform knows it, and what it protects its messages with."""

    name: str
    protection: Protection
    security: Security


class Target:
    """The platform PSP, with parties under signatures (BIZ: RSA, BANK: P-256, CHAIN: anchored,
    OLD: only an expired certificate and one that is not valid yet) and under MACs.
    """

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self._folder, self._stack = folder, stack
        self.clock = VirtualClock(NOW, busy=lambda: self.store.busy)
        self.store = open_store("sqlite::memory:")
        self.calls: list[Message] = []
        self.parties: dict[str, Correspondent] = {}
        self._numbers = count(1)
        self.accepted: set[str] = set()
        self._refused = 0
        self.psp = identity("p256", 1, name="PSP")
        self.biz = identity("rsa", name="BIZ")
        self.bank = identity("p256", 2, name="BANK")
        self.authority = authority()
        self.chain = identity("p256", 3, name="CHAIN", issuer=self.authority)
        self.expired = identity("p256", 4, name="OLD", begins=NOW - 9 * DAY, ends=NOW - DAY)
        self.future = identity("p256", 5, name="OLD", begins=NOW + DAY, ends=NOW + 9 * DAY)
        self._signing("BIZ", [self.biz], self.biz)
        self._signing("BANK", [self.bank], self.bank)
        self._signing(
            "CHAIN", [identity("p256", 6)], self.chain, (self.authority, expired_authority())
        )
        self._signing("OLD", [self.expired, self.future], None)
        for name in ALGORITHMS:
            self._macing(name)
        self.handler = msh.MessageServiceHandler(
            msh.Agreements.of("PSP", [self._terms(party) for party in self.parties.values()]),
            self.store,
            clock=self.clock,
        )

        @self.handler.on(*SERVICES)
        async def handle(message: Message) -> msh.Reply:
            self.calls.append(message)
            return msh.Reply(DONE)

    def _signing(
        self,
        name: str,
        pinned: list[Identity],
        own: Identity | None,
        anchors: tuple[Identity, ...] = (),
    ) -> None:
        clock = SetClock()
        platform = Party(self._folder / name / "psp", clock)
        platform.hold(self.psp)
        platform.pin(*pinned)
        if anchors:
            platform.anchors.write_bytes(b"".join(one.certificate_pem for one in anchors))
        sender = Party(self._folder / name / "own", clock)
        sender.hold(*([own] if own else []))
        sender.pin(self.psp)
        protection = Signature(
            platform.own,
            platform.peer,
            platform.anchors if anchors else None,
            f"CN={name},C=TW" if anchors else "",
        )
        security = open_signed(Signature(sender.own, sender.peer), clock.now)
        self._stack.push_async_callback(security.close)
        self.parties[name] = Correspondent(name, protection, security)

    def _macing(self, name: str) -> None:
        kek = self._folder / f"{name}.key"
        kek.touch(0o600)
        kek.write_text(hashlib.sha256(name.encode()).hexdigest())
        protection = Mac(f"file:{kek}", ALGORITHMS[name])
        self.parties[name] = Correspondent(name, protection, self.maced(name))

    def _kek(self, name: str) -> KeySource:
        return open_key_source(f"file:{self._folder / name}.key")

    def maced(
        self, name: str, *, key_id: str = "", secret: bytes = b"", algorithm: str = ""
    ) -> Maced:
        """The MAC of a party, or one with another key or algorithm."""
        key = WorkingKey(key_id or name, secret or SECRETS[name], State.ACTIVE, NOW, NOW)
        exchange = self._kek(name).derive("key exchange " + " ".join(sorted(("PSP", name))))
        return Maced(
            ALGORITHMS[algorithm or name],
            KeyRing(exchange, OVERLAP, (key,)),
            PROFILE,
            lambda: NOW,
            lambda *_: None,
        )

    def _terms(self, party: Correspondent) -> msh.Agreement:
        return msh.Agreement(
            own="PSP",
            own_role=Role.PSP,
            peer=party.name,
            peer_role=Role.BUSINESS,
            profile=PROFILE,
            checks_content=False,
            accepts=SERVICES,
            protection=party.protection,
        )

    async def start(self) -> None:
        """Start the handler and give it its working keys."""
        await self._stack.enter_async_context(self.handler)
        for name, algorithm in ALGORITHMS.items():
            key = StoredKey(
                peer=name,
                id=name,
                algorithm=algorithm,
                wrapped=self._kek(name).wrap(SECRETS[name]),
                check_value=check_value(algorithm, SECRETS[name]),
                ours=False,
                state=State.PENDING,
                offered=NOW,
            )
            await self.store.offer_key(key, f"{name}-offer")
            await self.store.activate_key(name, name, f"{name}-confirm", NOW)
            await self.serves(name)  # the handler finds the key in the store, and notes its use
            await self.clock.settle()

    # messages

    def message(self, sender: str = "BIZ", **changes: object) -> Message:
        """A new message of ``sender``, not protected yet."""
        usual = Message(
            service="PS810FTRQ",
            message_id=f"{sender}-{next(self._numbers)}",
            sender=sender,
            receiver="PSP",
            timestamp=NOW,
            expires=NOW + timedelta(hours=1),
            body=BODY,
        )
        return replace(usual, **changes)

    async def genuine(self, sender: str = "BIZ", **changes: object) -> bytes:
        """A new message of ``sender``, protected as agreed."""
        return await self.protected(self.message(sender, **changes))

    async def protected(self, message: Message, by: str = "") -> bytes:
        """``message`` as its sender, or another party, protects it."""
        security = self.parties[by or message.sender].security
        return (await security.protect(message, PROFILE)).wire

    # what must be true

    async def accept(self, wire: bytes) -> tuple[Acceptance, bool]:
        """What becomes of ``wire`` from an address of its own; whether it was said to be stored."""
        number = next(self._numbers)
        stored: list[bool] = []
        peer = Peer(f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}")
        return await self.handler.accept(wire, peer, lambda: stored.append(True)), bool(stored)

    async def code(self, wire: bytes) -> str:
        """The code of the refusal of ``wire``, after it was seen to have done nothing else."""
        before = await self._state()
        counted = self.handler.receiver.refused.total()
        acceptance, stored = await self.accept(wire)
        assert not stored
        assert await self._state() == before
        assert self.handler.receiver.refused.total() == counted + 1
        return refusal(acceptance)

    async def refuses(self, wire: bytes, *codes: str) -> None:
        """``wire`` is refused with one of ``codes``, leaves nothing, and others are served."""
        assert await self.code(wire) in codes
        self._refused += 1  # mostly it is a party that costs less time to serve
        await self.serves("HMAC" if self._refused % 8 else "BIZ")

    async def serves(self, sender: str = "BIZ", **changes: object) -> None:
        """A genuine message takes effect, once, and its reply is protected and bound to it."""
        message = self.message(sender, **changes)
        await self.takes(await self.protected(message), message)

    async def takes(self, wire: bytes, message: Message) -> None:
        """``wire`` is taken as ``message``, to the byte."""
        calls = len(self.calls)
        acceptance, stored = await self.accept(wire)
        assert isinstance(acceptance, Reply)
        assert stored
        assert self.calls[calls:] == [message]
        self.accepted.add(message.message_id)
        security = self.parties[message.sender].security
        reply = (await security.verify(parse(acceptance.wire, PROFILES))).message
        assert (str(reply.status), reply.ref_to) == (DONE, message.message_id)
        assert reply.ref_digest

    async def _state(self) -> tuple[int, int]:
        return await self.store.last_entry(), len(self.calls)

    async def require_nothing_else_stored(self) -> None:
        """Only what was accepted is in the store."""
        receptions = await self.store.receptions(limit=100_000)
        assert {one.message_id for one in receptions} == self.accepted
        assert len(receptions) == len(self.calls) == len(self.accepted)
        assert not await self.store.deliveries()


def expired_authority() -> Identity:
    """An anchor of CHAIN whose time is over."""
    return identity(
        "p256",
        93,
        name="Old",
        usage="key_cert_sign",
        authority=True,
        begins=NOW - 9 * DAY,
        ends=NOW - DAY,
    )


def refusal(acceptance: Acceptance) -> str:
    """The code of a refusal, after it was seen to be unprotected and to tell nothing."""
    if isinstance(acceptance, Unreadable):
        wire = acceptance.fault
        code = wire.partition(b"<scoi:StatusCode xmlns:scoi=")[2].partition(b">")[2][:10].decode()
        assert code == FORMAT
        assert b"<soap:Fault>" in wire
    else:
        assert isinstance(acceptance, Reply)
        wire = acceptance.wire
        parsed = parse(wire, PROFILES)
        assert (parsed.key_id, parsed.mac) == ("", "")
        assert parsed.message.sender == "PSP"
        assert parsed.message.body == b""
        code = str(parsed.message.status)
        assert code in {
            str(PROFILE.roles[Role.PSP][c]) for c in (Check.RIGHT, Check.KEY, Check.MAC)
        }
    # Its ids are told to whoever sent it; nothing else is.
    said = _IDS.sub("", wire.decode())
    assert "xmldsig" not in said
    assert not quoted(said)
    return code


def quoted(text: str) -> list[str]:
    """What of a payload ``text`` shows."""
    return [secret for secret in (ACCOUNT, OWNER, "<Pay", "root:x:") if secret in text]


def names(cases: Iterable[str]) -> list[str]:
    """The names of cases, of which no two may be the same."""
    found = list(cases)
    assert len(set(found)) == len(found)
    return found
