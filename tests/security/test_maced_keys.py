"""Which key protects and verifies what: states of a key, the key exchange, and what is shown."""

from __future__ import annotations

import base64
import logging
import traceback
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from msh.envelope import enclose, header_block, parse, with_mac
from msh.errors import CannotProtect, MshError, NoKey, NotAuthentic
from msh.message import Message
from msh.profiles import standard_profile
from msh.protection import MacAlgorithm
from msh.protocol.keys import State
from msh.security import Verified
from msh.security.keyring import KeyRing, WorkingKey
from msh.security.mac import KeyedMac, new_key
from msh.security.maced import EXCHANGE_KEY, Maced, bound

PROFILE = standard_profile()
PROFILES = {PROFILE.namespace: PROFILE}
NOW = datetime(2026, 11, 21, 1, 2, 3, tzinfo=UTC)
OVERLAP = timedelta(minutes=15)
MESSAGE = Message(
    service="PS810FTRQ",
    message_id="BIZ-1",
    sender="BIZ",
    receiver="PSP",
    timestamp=NOW,
    body=b"<Pay>1</Pay>",
)
# Any request with a reply will do as one of the key exchange.
OFFER = replace(MESSAGE, service=PROFILE.key_exchange.offer)
PROOF = replace(MESSAGE, service=PROFILE.key_exchange.offer_reply, ref_to="BIZ-1")
SECRET, OTHER = bytes(range(32)), bytes(range(100, 132))
EXCHANGE = bytes(range(200, 232))
HMAC = MacAlgorithm.HMAC_SHA256


def key(
    name: str = "K1",
    state: State = State.ACTIVE,
    verified: datetime | None = NOW,
    *,
    secret: bytes = SECRET,
    offered: datetime = NOW,
) -> WorkingKey:
    return WorkingKey(name, secret, state, offered, verified)


class Side:
    """One party: its ring, its clock, and what it was told of verified keys."""

    def __init__(self, *keys: WorkingKey, algorithm: MacAlgorithm = HMAC) -> None:
        self.now = NOW
        self.heard: list[tuple[str, str]] = []
        self.ring = KeyRing(EXCHANGE, OVERLAP, keys)
        self.security = Maced(
            algorithm,
            self.ring,
            PROFILE,
            lambda: self.now,
            lambda key_id, message: self.heard.append((key_id, message.message_id)),
        )

    async def verify(self, wire: bytes) -> Verified:
        return await self.security.verify(parse(wire, PROFILES))


def forged(message: Message, key_id: str, secret: bytes) -> bytes:
    """``message`` under whichever key, by somebody who keeps no rule."""
    header = header_block(message, PROFILE, key_id)
    mac = KeyedMac(HMAC, secret).compute(bound(header, message.body))
    written = base64.b64encode(mac).decode()
    return enclose(with_mac(header, written, PROFILE), message.body)


# which key sends


async def test_the_active_key_protects() -> None:
    side = Side(
        key("new", State.PENDING, None, secret=OTHER),
        key("now"),
        key("old", State.PREVIOUS, secret=OTHER),
    )
    assert (await side.security.protect(MESSAGE, PROFILE)).key == "now"


@pytest.mark.parametrize("state", [State.PENDING, State.PREVIOUS, None])
async def test_without_an_active_key_nothing_leaves(state: State | None) -> None:
    side = Side(*[key(state=state)] if state else [])
    with pytest.raises(CannotProtect, match=r"^no working key is active with PSP; .*exchange"):
        await side.security.protect(MESSAGE, PROFILE)
    assert (await side.security.protect(OFFER, PROFILE)).key == EXCHANGE_KEY


async def test_the_key_of_the_moment_protects_without_a_restart() -> None:
    side = Side(key("K1"))
    first = await side.security.protect(MESSAGE, PROFILE)
    side.ring.keys = (key("K2", secret=OTHER), key("K1", State.PREVIOUS))
    second = await side.security.protect(MESSAGE, PROFILE)
    assert (first.key, second.key) == ("K1", "K2")
    for protected in (first, second):
        assert (await side.verify(protected.wire)).key == protected.key


@pytest.mark.parametrize("name", ["", "a b", "é", "x" * 129, EXCHANGE_KEY])
async def test_a_key_whose_id_cannot_travel_protects_nothing(name: str) -> None:
    with pytest.raises(CannotProtect, match="its id is none"):
        await Side(key(name)).security.protect(MESSAGE, PROFILE)


async def test_a_key_of_another_algorithm_neither_protects_nor_verifies() -> None:
    side = Side(key(secret=SECRET[:16]))
    with pytest.raises(CannotProtect, match="32 bytes, this one 16"):
        await side.security.protect(MESSAGE, PROFILE)
    with pytest.raises(NoKey, match="not for hmac-sha-256"):
        await side.verify(forged(MESSAGE, "K1", SECRET))


# which key verifies


@pytest.mark.parametrize(
    ("state", "verified", "told"),
    [
        (State.PENDING, None, True),
        (State.PENDING, NOW, True),  # so that it becomes active, if it has not yet
        (State.ACTIVE, None, True),
        (State.ACTIVE, NOW, False),
        (State.PREVIOUS, None, True),  # overtaken, but the initiator had its proof
        (State.PREVIOUS, NOW, False),
    ],
)
async def test_every_known_key_verifies_and_the_first_message_is_told(
    state: State, verified: datetime | None, told: bool
) -> None:
    side = Side(key(state=state, verified=verified))
    assert await side.verify(forged(MESSAGE, "K1", SECRET)) == Verified(MESSAGE, "K1")
    assert side.heard == ([("K1", "BIZ-1")] if told else [])


@pytest.mark.parametrize("state", State)
async def test_what_does_not_verify_is_not_told(state: State) -> None:
    side = Side(key(state=state, verified=None))
    with pytest.raises(NotAuthentic):
        await side.verify(forged(MESSAGE, "K1", OTHER))
    with pytest.raises(NoKey):
        await side.verify(forged(MESSAGE, "K2", SECRET))
    assert side.heard == []


async def test_a_replaced_key_retires_when_its_successor_has_verified_for_the_overlap() -> None:
    later = NOW + timedelta(hours=1)
    successor = key("K2", State.ACTIVE, None, secret=OTHER, offered=later)
    side = Side(successor, key("K1", State.PREVIOUS))
    wire = forged(MESSAGE, "K1", SECRET)

    side.now = later + timedelta(days=100)
    assert not (await side.verify(wire)).retired
    assert not side.security.retired("K1")

    side.ring.keys = (replace(successor, verified=later), key("K1", State.PREVIOUS))
    side.now = later + OVERLAP - timedelta(microseconds=1)
    assert not (await side.verify(wire)).retired
    assert not side.security.retired("K1")

    side.now = later + OVERLAP
    until = frozenset({"K1"})
    assert await side.verify(wire) == Verified(MESSAGE, "K1", retired=True, until=until)
    assert side.security.retired("K1")
    assert not side.security.retired("K2")
    assert not (await side.verify(forged(MESSAGE, "K2", OTHER))).retired


async def test_a_retired_key_reads_replies_to_requests_under_no_later_one() -> None:
    ages = {"K0": -2, "K1": -1, "K2": 0, "K3": 1}
    keys = [
        key(name, State.PREVIOUS, secret=OTHER, offered=NOW + age * OVERLAP)
        for name, age in ages.items()
    ]
    keys[0] = replace(keys[0], state=State.COMPROMISED, secret=b"")
    side = Side(*keys)
    side.now = NOW + 9 * OVERLAP
    for name, until in (("K1", {"K0", "K1"}), ("K2", {"K0", "K1", "K2"})):
        verified = await side.verify(forged(MESSAGE, name, OTHER))
        assert (verified.retired, verified.until) == (True, until)
    latest = await side.verify(forged(MESSAGE, "K3", OTHER))  # nothing verified under a later one
    assert (latest.retired, latest.until) == (False, frozenset())


@pytest.mark.parametrize("secret", [SECRET, b""])
async def test_a_compromised_key_is_good_for_nothing(secret: bytes) -> None:
    side = Side(key("K1", State.COMPROMISED, None, secret=secret), key("K2", secret=OTHER))
    for message in (MESSAGE, replace(MESSAGE, service="PS810FTRS", ref_to="PSP-1", expires=None)):
        with pytest.raises(NoKey, match="retired by hand"):
            await side.verify(forged(message, "K1", SECRET))
    assert side.security.retired("K1")
    assert side.heard == []
    side.ring.keys = side.ring.keys[:1]
    with pytest.raises(CannotProtect):
        await side.security.protect(MESSAGE, PROFILE)


async def test_a_compromised_key_still_retires_those_before_it() -> None:
    later = key("K2", State.COMPROMISED, NOW, secret=b"", offered=NOW + OVERLAP)
    side = Side(key("K1", State.PREVIOUS), later)
    side.now = NOW + 3 * OVERLAP
    assert (await side.verify(forged(MESSAGE, "K1", SECRET))).retired


@pytest.mark.parametrize("state", [State.PENDING, State.ACTIVE])
async def test_a_message_that_is_only_looked_at_is_not_told(state: State) -> None:
    side = Side(key(state=state, verified=None))
    parsed = parse(forged(MESSAGE, "K1", SECRET), PROFILES)
    assert (await side.security.verify(parsed, note=False)).message == MESSAGE
    assert side.heard == []


def test_a_stored_form_under_no_known_key_does_not_leave() -> None:
    side = Side(key("K1"), key("K2", State.PENDING, None))
    assert [side.security.retired(name) for name in ("K1", "K2", EXCHANGE_KEY)] == [False] * 3
    assert [side.security.retired(name) for name in ("K3", "", "exchange ")] == [True] * 3


# the key exchange


@pytest.mark.parametrize("algorithm", MacAlgorithm)
@pytest.mark.parametrize("message", [OFFER, PROOF], ids=["request", "reply"])
async def test_the_key_exchange_has_its_own_key_and_hmac(
    algorithm: MacAlgorithm, message: Message
) -> None:
    side = Side(key(secret=new_key(algorithm), verified=None), algorithm=algorithm)
    protected = await side.security.protect(message, PROFILE)
    assert protected.key == EXCHANGE_KEY
    assert protected.wire == forged(message, EXCHANGE_KEY, EXCHANGE)
    assert await side.verify(protected.wire) == Verified(message, EXCHANGE_KEY)
    assert side.heard == []


@pytest.mark.parametrize("message", [OFFER, PROOF], ids=["request", "reply"])
@pytest.mark.parametrize("name", ["K1", "K2", "Exchange"])
async def test_no_working_key_vouches_for_another(message: Message, name: str) -> None:
    side = Side(key("K1"), key("Exchange"))
    with pytest.raises(NotAuthentic, match="under another key"):
        await side.verify(forged(message, name, SECRET))


async def test_the_key_of_the_exchange_passes_nothing_else() -> None:
    # Not even where a working key had its id.
    for ring in ([], [key("K1")], [key(EXCHANGE_KEY, secret=EXCHANGE)]):
        with pytest.raises(NotAuthentic, match="protects nothing else"):
            await Side(*ring).verify(forged(MESSAGE, EXCHANGE_KEY, EXCHANGE))
    with pytest.raises(NotAuthentic, match="does not fit"):
        await Side(key("K1")).verify(forged(MESSAGE, "K1", EXCHANGE))
    with pytest.raises(NotAuthentic, match="does not fit"):
        await Side(key("K1")).verify(forged(OFFER, EXCHANGE_KEY, SECRET))


# what people see


def test_the_retail_mac_warns_once_and_the_others_do_not(caplog: pytest.LogCaptureFixture) -> None:
    for algorithm in MacAlgorithm:
        Side(algorithm=algorithm)
    assert [(r.name, r.levelname) for r in caplog.records] == [("msh.security", "WARNING")]
    assert "hmac-sha-256" in caplog.text


async def test_no_key_is_ever_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    seen: list[str] = []
    for algorithm in MacAlgorithm:
        secret = new_key(algorithm)
        keys = (key("K1", secret=secret), key("K2", secret=secret[:-1]), key("a b", secret=secret))
        side = Side(*keys, algorithm=algorithm)
        secrets = [secret, secret[:-1], EXCHANGE]
        wire = (await side.security.protect(MESSAGE, PROFILE)).wire
        await side.verify(wire)
        prepared = KeyedMac(algorithm, secret)
        seen += [repr(x) for x in (side.security, side.ring, prepared, *keys)]
        seen += [str(x) for x in (side.security, side.ring, prepared, *keys)]
        seen += [f"{side.ring.sending()}", repr(parse(wire, PROFILES))]
        for name in ("K1", "K2", "K3", "a b", EXCHANGE_KEY):
            side.ring.keys = (replace(key(name), secret=secret[: 31 if name == "K2" else None]),)
            for what in (wire.replace(b"K1", name.encode()), forged(OFFER, name, SECRET)):
                try:
                    await side.verify(what)
                    await side.security.protect(MESSAGE, PROFILE)
                except MshError as error:
                    seen += traceback.format_exception(error)
        shown = "\n".join(seen) + caplog.text
        assert "K1" in shown
        for secret in secrets:
            forms = (
                repr(secret)[2:-1],
                secret.hex(),
                secret.hex().upper(),
                str(list(secret))[1:-1],
                base64.b64encode(secret).decode().rstrip("="),
            )
            assert not any(form in shown for form in forms)
