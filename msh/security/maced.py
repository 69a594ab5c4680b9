"""Messages protected by a MAC under working keys that the parties exchange.

The MAC is made over ``bound(header, body)``: the header block in exclusive canonical form without
its MAC element (the white space around that element stays), and the body in the normal form of
`msh.message.Message`, each led by its length, so that no byte can move from one to the other. It
travels in base64 as the last child of the header block, whole; KeyId, which it covers, names the
key.

The messages of the key exchange itself, and the replies to them, are always under HMAC-SHA-256
and the key with the id ``exchange``, which protects nothing else: a working key cannot vouch for
its successor, and the key of the exchange cannot pass off a payment.

Every key of the ring verifies, also a pending one. Towards the receiver of an offer the initiator
uses the key as soon as the proof has arrived. The initiator's own pending key is taken too: the
peer can have it only by unwrapping it, which is what the proof says, and another process of this
party may have seen that proof already.
"""

from __future__ import annotations

import binascii
import logging
from collections.abc import Callable
from datetime import datetime

from msh.envelope import Parsed, enclose, header_block, with_mac
from msh.errors import CannotProtect, KeyUnusable, MalformedMessage, NoKey, NotAuthentic
from msh.message import Message, is_identifier
from msh.profile import Profile
from msh.protection import MacAlgorithm
from msh.protocol.keys import State
from msh.security.base import Protected, Verified
from msh.security.keyring import KeyRing, WorkingKey
from msh.security.mac import MAC_BYTES, KeyedMac
from msh.xml import canonical

#: The id of the key that protects the key exchange; no working key may have it.
EXCHANGE_KEY = "exchange"

_LONGEST_KEY_ID = 128 * len("&amp;")  # an identifier, each character written as a reference
_LONGEST_MAC = 4 * -(-max(MAC_BYTES.values()) // 3)  # in base64
_REMEMBERED = 16

_log = logging.getLogger("msh.security")


class Maced:
    """Protection by MAC, under the keys of ``ring`` (see `msh.security.base.Security`).

    ``profile`` says which services are the key exchange. ``verified`` is called with the key
    id and the message when one verifies under a key that is pending or has verified none before:
    a message of the peer is what makes a pending key active and lets its predecessor retire. It
    is called before anybody has looked at the parties in the message, so it must do that itself:
    a message of our own that comes back proves nothing about the peer.
    """

    active = True

    def __init__(
        self,
        algorithm: MacAlgorithm,
        ring: KeyRing,
        profile: Profile,
        now: Callable[[], datetime],
        verified: Callable[[str, Message], None],
    ) -> None:
        self._algorithm = algorithm
        self._ring = ring
        self._now = now
        exchange = profile.key_exchange
        self._exchange_services = frozenset(exchange.requests + exchange.replies)
        self._verified = verified
        self._exchange_mac = KeyedMac(MacAlgorithm.HMAC_SHA256, ring.exchange)
        self._macs: dict[tuple[str, bytes], KeyedMac] = {}
        self.overhead = _overhead(profile)
        if algorithm is MacAlgorithm.RETAIL_MAC:
            _log.warning(
                "the Retail MAC (ISO 9797-1 algorithm 3) is agreed: it rests on DES, and 8 bytes "
                "of MAC; agree on hmac-sha-256 or aes-cmac as soon as the peer can"
            )

    async def protect(self, message: Message, profile: Profile) -> Protected:
        """The wire form under the active key. Raises `CannotProtect` where there is none."""
        key_id, mac = self._to_send(message)
        header = header_block(message, profile, key_id)
        written = _written(mac.compute(bound(header, message.body)))
        return Protected(enclose(with_mac(header, written, profile), message.body), key_id)

    async def verify(self, parsed: Parsed, *, note: bool = True) -> Verified:
        """The message, if its MAC is right; else raises `NotAuthentic`, or `NoKey`.

        Without ``note``, nobody is told of a key that verifies for the first time.
        """
        message, key_id = parsed.message, parsed.key_id
        header, mac = _header_and_mac(parsed)
        if not key_id:
            raise NotAuthentic("the header names no key for its MAC")
        if message.service in self._exchange_services:
            if key_id != EXCHANGE_KEY:
                raise NotAuthentic("a message of the key exchange is under another key")
            if not self._exchange_mac.verify(mac, bound(header, message.body)):
                raise NotAuthentic(
                    "the MAC of the key exchange does not fit; compare the check values of the "
                    "key-encryption keys on both sides"
                )
            return Verified(message, EXCHANGE_KEY)
        if key_id == EXCHANGE_KEY:
            raise NotAuthentic("the key of the key exchange protects nothing else")
        key = self._ring.find(key_id)
        if key is None:
            gone = "was retired by hand" if self._ring.compromised(key_id) else "is not known here"
            raise NoKey(f"the header names a working key that {gone}")
        try:
            keyed = self._mac(key)
        except KeyUnusable:
            reason = f"the header names a working key that is not for {self._algorithm}"
            raise NoKey(reason) from None
        _require(keyed, mac, header, message)
        if (key.verified is None or key.state is State.PENDING) and note:
            self._verified(key_id, message)
        # Asking the clock costs nothing where only a replaced key can be retired.
        if key.state is State.PREVIOUS and self._ring.retired(key, self._now()):
            return Verified(message, key_id, retired=True, until=self._ring.until(key))
        return Verified(message, key_id)

    def retired(self, key: str) -> bool:
        """Whether a stored form under ``key`` must not leave: the key is retired, or unknown."""
        if key == EXCHANGE_KEY:
            return False
        known = self._ring.find(key)
        return known is None or self._ring.retired(known, self._now())

    async def close(self) -> None:
        """There is nothing to let go of."""

    def _to_send(self, message: Message) -> tuple[str, KeyedMac]:
        if message.service in self._exchange_services:
            return EXCHANGE_KEY, self._exchange_mac
        key = self._ring.sending()
        if key is None:
            raise CannotProtect(
                f"no working key is active with {message.receiver}; exchange one: msh keys "
                f"exchange {message.receiver}"
            )
        try:
            return key.id, self._mac(key)
        except KeyUnusable as error:
            raise CannotProtect(
                f"the active working key cannot be used ({error}); exchange one: msh keys "
                f"exchange {message.receiver}"
            ) from None

    def _mac(self, key: WorkingKey) -> KeyedMac:
        prepared = key.id, key.secret  # the ring may name another key by the same id one day
        mac = self._macs.get(prepared)
        if mac is None:
            if not is_identifier(key.id) or key.id == EXCHANGE_KEY:
                raise KeyUnusable("its id is none that a working key can have")
            if len(self._macs) >= _REMEMBERED:
                self._macs.clear()
            mac = self._macs[prepared] = KeyedMac(self._algorithm, key.secret)
        return mac


def bound(header: bytes, body: bytes) -> bytes:
    """What a MAC is made over: header block and body, each led by its length in decimal."""
    return b"%d:%b%d:%b" % (len(header), header, len(body), body)


def _header_and_mac(parsed: Parsed) -> tuple[bytes, bytes]:
    """The canonical header block without its MAC element, and the MAC."""
    block, profile = parsed.block, parsed.profile
    element = block[-1]
    if not parsed.mac:
        raise NotAuthentic("the header has no MAC")
    if element.tag != f"{{{profile.namespace}}}{profile.names.mac}":
        raise NotAuthentic("the MAC is not the last element of the header")
    if element.attrib:
        raise NotAuthentic("the MAC element has an attribute")
    mac = _read(element.text or "")
    try:
        whole = canonical(block)
    except MalformedMessage:
        raise NotAuthentic("the header has no canonical form") from None
    # The MAC element holds base64 alone, so the last three "<" open it, close it, and close the
    # block. Taking it out of the bytes leaves the tree as it was read.
    end_of_block = whole.rindex(b"<")
    end = whole.rindex(b"<", 0, end_of_block)
    start = whole.rindex(b"<", 0, end)
    return whole[:start] + whole[whole.index(b">", end) + 1 :], mac


def _require(keyed: KeyedMac, mac: bytes, header: bytes, message: Message) -> None:
    if not keyed.verify(mac, bound(header, message.body)):
        raise NotAuthentic("the MAC does not fit the message")


def _written(mac: bytes) -> str:
    return binascii.b2a_base64(mac, newline=False).decode("ascii")


def _read(text: str) -> bytes:
    """The MAC that ``text`` writes: in its one base64 form, with no white space (RFC 4648, 3.5)."""
    try:
        mac = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        mac = b""
    if not mac or _written(mac) != text:
        raise NotAuthentic("the MAC is not in canonical base64")
    return mac


def _overhead(profile: Profile) -> int:
    """The most bytes that KeyId and MAC take in the header."""
    names = profile.names
    tags = (f"{profile.prefix}:{name}".encode() for name in (names.key_id, names.mac))
    marks = sum(2 * len(tag) + len("<></>") for tag in tags)
    return marks + _LONGEST_KEY_ID + _LONGEST_MAC
