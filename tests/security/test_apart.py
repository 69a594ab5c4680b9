"""Certificates and key-encryption keys are each party's own; one that two share is refused."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

import msh
from msh.envelope import parse
from msh.errors import ConfigurationError, NotAuthentic
from msh.profile import Role
from msh.protection import Mac, Protection, Signature
from msh.security.apart import Apart, shared
from msh.security.signature import Signed, open_signed
from tests.security.certificates import (
    DAY,
    NOW,
    PROFILE,
    PROFILES,
    USUAL,
    Identity,
    Party,
    SetClock,
    authority,
    identity,
)

SECOND = timedelta(seconds=1)
SUBJECT = "CN=ALICE,C=TW"
KEK = "00112233445566778899aabbccddeeff"


class Pair:
    """What the platform was given of ALICE and of BOB."""

    def __init__(self, folder: Path, clock: SetClock) -> None:
        self.folder = folder
        self.alice, self.bob = (Party(folder / name, clock) for name in ("ALICE", "BOB"))
        for party in (self.alice, self.bob):
            party.hold(identity("p256", 9, name="PSP"))

    def signed(
        self, party: Party, anchors: tuple[Identity, ...] = (), subject: str = ""
    ) -> Signature:
        if anchors:
            party.anchors.write_bytes(b"".join(one.certificate_pem for one in anchors))
        return Signature(party.own, party.peer, party.anchors if anchors else None, subject)

    def maced(self, name: str, key: str) -> Mac:
        file = self.folder / name
        file.touch(mode=0o600)
        file.write_text(key)
        return Mac(f"file:{file}")


@pytest.fixture
def pair(tmp_path: Path, clock: SetClock) -> Pair:
    return Pair(tmp_path, clock)


def alone(pair: Pair) -> tuple[Protection, Protection]:
    pair.alice.pin(identity("p256", 1, name="ALICE"))
    pair.bob.pin(identity("p256", 2, name="BOB"))
    return pair.signed(pair.alice), pair.signed(pair.bob)


def one_folder(pair: Pair) -> tuple[Protection, Protection]:
    alice, bob = pair.signed(pair.alice), pair.signed(pair.bob)
    return alice, replace(bob, peer=pair.bob.peer / ".." / ".." / "ALICE" / "peer")


def one_certificate(pair: Pair) -> tuple[Protection, Protection]:
    both = identity("p256", 1, name="ALICE")
    pair.alice.pin(both)
    pair.bob.pin(identity("p256", 2, name="BOB"), both)
    return pair.signed(pair.alice), pair.signed(pair.bob)


def one_name(pair: Pair) -> tuple[Protection, Protection]:
    """The same subject, once from the other end, under an anchor that both have."""
    ca, other = authority(), authority("Other", 91)
    return (
        pair.signed(pair.alice, (ca,), "CN=ALICE,O=Bank"),
        pair.signed(pair.bob, (other, ca), "O=Bank,CN=ALICE"),
    )


def pinned_and_issued(pair: Pair) -> tuple[Protection, Protection]:
    """BOB's pinned certificate is one that ALICE's anchor issued to her name."""
    ca = authority()
    pair.bob.pin(identity("p256", 1, name="ALICE", issuer=ca))
    return pair.signed(pair.alice, (ca,), SUBJECT), pair.signed(pair.bob)


def one_key(pair: Pair) -> tuple[Protection, Protection]:
    """In two files, with other comments and letters."""
    return pair.maced("alice.key", KEK), pair.maced("bob.key", f"# BOB's\n{KEK.upper()}\n")


SHARED: dict[Callable[[Pair], tuple[Protection, Protection]], str] = {
    one_folder: "signature.peer",
    one_certificate: "signature.peer",
    one_name: "signature.subject",
    pinned_and_issued: "signature.peer",
    one_key: "mac.key_encryption",
}


def agreements(alice: Protection, bob: Protection) -> msh.Agreements:
    usual = msh.Agreement(
        own="PSP",
        own_role=Role.PSP,
        peer="ALICE",
        peer_role=Role.BUSINESS,
        profile=PROFILE,
        protection=alice,
    )
    return msh.Agreements.of("PSP", [usual, replace(usual, peer="BOB", protection=bob)])


@pytest.mark.parametrize("case", SHARED, ids=lambda case: case.__name__)
def test_what_two_agreements_share_is_refused(
    case: Callable[[Pair], tuple[Protection, Protection]], pair: Pair, clock: SetClock
) -> None:
    alice, bob = case(pair)
    for first, second in ((alice, bob), (bob, alice)):
        (problem,) = shared({"ALICE": first, "BOB": second}, clock.now)
        assert {problem.peer} | ({"ALICE", "BOB"} & set(problem.text.split())) == {"ALICE", "BOB"}
        assert problem.key == SHARED[case]
        assert KEK not in str(problem).lower()
        with pytest.raises(ConfigurationError, match="ALICE") as caught:
            msh.MessageServiceHandler(agreements(first, second), "sqlite::memory:", clock=clock)
        assert str(problem) in caught.value.problems


def test_what_is_each_ones_own_is_taken(pair: Pair, clock: SetClock) -> None:
    ca = authority()
    others = (
        alone(pair),
        # One authority for two names, and one name of two authorities.
        (pair.signed(pair.alice, (ca,), SUBJECT), pair.signed(pair.bob, (ca,), "CN=BOB,C=TW")),
        (
            pair.signed(pair.alice, (ca,), SUBJECT),
            pair.signed(pair.bob, (authority("Other", 91),), SUBJECT),
        ),
        (pair.maced("alice.key", KEK), pair.maced("bob.key", KEK[::-1])),
    )
    for alice, bob in others:
        assert shared({"ALICE": alice, "BOB": bob}, clock.now) == []


# while messages flow


class Running:
    """The platform's protection with ALICE and with BOB, and what each of them signs."""

    def __init__(self, pair: Pair, clock: SetClock) -> None:
        self.pair, self.clock = pair, clock
        apart = Apart(clock.now)
        self.security: dict[str, Signed] = {}
        self.alice, self.bob = identity("p256", 1, name="ALICE"), identity("p256", 2, name="BOB")
        pair.alice.pin(self.alice)
        pair.bob.pin(self.bob)
        for name, party in (("ALICE", pair.alice), ("BOB", pair.bob)):
            signer = Party(pair.folder / f"of-{name}", clock)
            signer.hold(self.alice if name == "ALICE" else self.bob)
            signer.pin(identity("p256", 9, name="PSP"))
            self.security[f"of {name}"] = signer.open()
            self.security[name] = open_signed(
                pair.signed(party), clock.now, own="PSP", peer=name, apart=apart
            )

    async def taken(self, signer: str, claimed: str) -> str:
        """Nothing, if what ``signer`` signs is taken as from ``claimed``; else why not."""
        message = replace(USUAL, sender=claimed, receiver="PSP")
        wire = (await self.security[f"of {signer}"].protect(message, PROFILE)).wire
        try:
            await self.security[claimed].verify(parse(wire, PROFILES))
        except NotAuthentic as error:
            return error.reason
        return ""


@pytest.fixture
async def running(pair: Pair, clock: SetClock):
    made = Running(pair, clock)
    yield made
    for security in made.security.values():
        await security.close()


async def test_a_certificate_that_comes_to_count_for_two_counts_for_neither(
    running: Running, clock: SetClock, caplog: pytest.LogCaptureFixture
) -> None:
    assert await running.taken("ALICE", "ALICE") == ""
    assert await running.taken("BOB", "BOB") == ""
    running.pair.alice.pin(running.alice, running.bob)
    clock.time += SECOND
    assert "for two parties" in await running.taken("BOB", "ALICE")
    assert "for two parties" in await running.taken("BOB", "BOB")
    assert await running.taken("ALICE", "ALICE") == ""
    errors = [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "agreements.BOB.signature.peer" in errors[0]
    assert "ALICE" in errors[0]
    running.pair.alice.pin(running.alice)
    clock.time += SECOND
    assert await running.taken("BOB", "BOB") == ""
    assert "not the peer's" in await running.taken("BOB", "ALICE")


async def test_the_other_party_needs_not_to_send_for_that(
    running: Running, clock: SetClock
) -> None:
    """Nothing of BOB makes anybody look into his folder."""
    assert await running.taken("ALICE", "ALICE") == ""
    running.pair.bob.pin(running.bob, running.alice)
    clock.time += SECOND
    assert "for two parties" in await running.taken("ALICE", "ALICE")


async def test_one_that_an_anchor_issued_counts_for_neither_too(
    pair: Pair, clock: SetClock
) -> None:
    ca = authority()
    ours = identity("p256", 3, name="ALICE", issuer=ca)
    apart = Apart(clock.now)
    pair.alice.hold(ours)
    signer = pair.alice.open()
    both = {
        name: open_signed(
            pair.signed(party, anchors, SUBJECT), clock.now, own="PSP", peer=name, apart=apart
        )
        for name, party, anchors in (
            ("ALICE", pair.alice, (ca,)),
            ("BOB", pair.bob, (authority("Other", 91),)),
        )
    }
    message = replace(USUAL, sender="ALICE", receiver="PSP")
    parsed = parse((await signer.protect(message, PROFILE)).wire, PROFILES)
    assert (await both["ALICE"].verify(parsed)).message == message
    pair.bob.anchors.write_bytes(ca.certificate_pem)
    clock.time += SECOND
    with pytest.raises(NotAuthentic, match="for two parties"):
        await both["ALICE"].verify(parsed)
    for security in (signer, *both.values()):
        await security.close()


def test_certificates_that_have_ended_are_looked_at_too(pair: Pair, clock: SetClock) -> None:
    ended = identity("p256", 1, name="ALICE", begins=NOW - 9 * DAY, ends=NOW - DAY)
    pair.alice.pin(ended)
    pair.bob.pin(ended)
    assert shared({"ALICE": pair.signed(pair.alice), "BOB": pair.signed(pair.bob)}, clock.now)
