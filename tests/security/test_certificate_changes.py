"""A certificate is replaced while a payment is under way, on either side and at either moment.

Whatever happens, the caller is never told "refused" of a payment that took effect.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

import msh
from msh.catalog import Meaning
from msh.envelope import parse
from msh.errors import NotAuthentic
from msh.protection import Signature
from msh.security.issuing import self_signed
from msh.testing.network import Fault
from tests.handler.conftest import BODY, World
from tests.security.certificates import PROFILES


async def test_an_end_is_told_within_seconds_also_while_no_message_comes(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    certificates = Certificates(tmp_path, world)
    await world.business(protection=certificates.protection("BIZ"))
    assert "has ended" not in caplog.text
    await world.clock.advance(timedelta(days=90, minutes=-1, seconds=2))
    assert "certificate of BIZ" in caplog.text
    assert caplog.text.count("has ended") == 2
    assert "nothing can be sent to PSP, nor its messages answered: no certificate" in caplog.text


class Certificates:
    """The folders of both sides, in which certificates come and go."""

    def __init__(self, folder: Path, world: World) -> None:
        self.folder, self.world = folder, world
        for party in ("BIZ", "PSP"):
            for place in ("own", "peer"):
                (folder / party / place).mkdir(parents=True)
        for party in ("BIZ", "PSP"):
            self.make(party, "old")
            self.pin(party, "old")

    def protection(self, party: str) -> Signature:
        return Signature(self.folder / party / "own", self.folder / party / "peer")

    def make(self, party: str, name: str) -> None:
        """A new certificate of ``party``, with which it signs from now on."""
        begins = self.world.clock.now() - timedelta(minutes=1)
        # ECDSA, since generating RSA keys takes long.
        pem, certificate = self_signed(party, begins, begins + timedelta(days=90), ecdsa=True)
        (self.folder / f"{party}-{name}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
        own = self.folder / party / "own" / f"{name}.pem"
        own.write_bytes(pem)
        own.chmod(0o600)

    def pin(self, party: str, name: str) -> None:
        """The other side takes what is signed with it."""
        other = self.folder / ("PSP" if party == "BIZ" else "BIZ") / "peer" / f"{name}.pem"
        other.write_bytes((self.folder / f"{party}-{name}.pem").read_bytes())

    def unpin(self, party: str, name: str) -> None:
        (self.folder / ("PSP" if party == "BIZ" else "BIZ") / "peer" / f"{name}.pem").unlink()

    def forget(self, party: str, name: str) -> None:
        (self.folder / party / "own" / f"{name}.pem").unlink()


def rolled_over(certificates: Certificates, party: str) -> None:
    """As it should be: the new one is known to the other side first, the old one stays a while."""
    certificates.make(party, "new")
    certificates.pin(party, "new")


def swapped(certificates: Certificates, party: str) -> None:
    """At one stroke: the old one is neither ours nor taken any more."""
    rolled_over(certificates, party)
    certificates.unpin(party, "old")
    certificates.forget(party, "old")


def not_told(certificates: Certificates, party: str) -> None:
    """The other side does not know the new one."""
    certificates.make(party, "new")


@pytest.mark.parametrize("change", [rolled_over, swapped, not_told])
@pytest.mark.parametrize("party", ["BIZ", "PSP"])
@pytest.mark.parametrize("lost", [None, Fault.LOSE_REQUEST, Fault.LOSE_REPLY, Fault.SWALLOW_REPLY])
async def test_a_certificate_is_replaced_between_two_attempts(
    world: World,
    tmp_path: Path,
    change: Callable[[Certificates, str], None],
    party: str,
    lost: Fault | None,
) -> None:
    certificates = Certificates(tmp_path, world)
    platform = await world.platform(protection=certificates.protection("PSP"))
    business = await world.business(protection=certificates.protection("BIZ"))
    if lost is not None:
        world.network.faults = {1: lost}
    receipt = await business.send("PS810FTRQ", BODY)
    await world.clock.advance(45)
    change(certificates, party)
    await world.clock.advance(700)
    effects = sum(call.message_id == receipt.message_id for call in platform.calls)
    told = await what_is_told(receipt)
    assert effects <= 1
    assert (told, effects) not in (("refused", 1), ("done", 0), ("not sent", 1))
    if change is rolled_over or lost is None:
        assert (told, effects) == ("done", 1)
    if change is rolled_over:  # and whatever is sent from now on is signed anew
        world.network.faults = {}
        again = await business.send("PS810FTRQ", BODY)
        await world.clock.advance(1)
        assert await what_is_told(again) == "done"


async def what_is_told(receipt: msh.Receipt) -> str:
    try:
        reply = await receipt.reply()
    except msh.InDoubt:
        return "in doubt"
    except msh.Undelivered:
        return "not sent"
    return "done" if reply.status.meaning is Meaning.DONE else "refused"


async def test_a_certificate_that_is_unpinned_counts_for_nothing_a_second_later(
    world: World, tmp_path: Path
) -> None:
    """Neither for messages, nor for repeats, nor for replies to what was sent before."""
    certificates = Certificates(tmp_path, world)
    platform = await world.platform(protection=certificates.protection("PSP"))
    business = await world.business(protection=certificates.protection("BIZ"))
    world.network.always = Fault.SWALLOW_REPLY
    receipt = await business.send("PS810FTRQ", BODY)
    await world.clock.advance(25)
    (request,) = world.network.sent
    reply = await world.post(platform, request)
    certificates.unpin("BIZ", "old")
    certificates.unpin("PSP", "old")
    await world.clock.advance(1)
    new = await business.compose("PS810FTRQ", BODY)
    for wire in (request, new):
        answer = parse((await world.post(platform, wire)).wire, PROFILES).message
        assert str(answer.status) == "PSPPM0004E"
    with pytest.raises(NotAuthentic):
        await business.sender.late(parse(reply.wire, PROFILES))
    assert (await receipt.delivery()).status is None
    assert len(platform.calls) == 1


async def test_a_stored_reply_is_signed_anew_once_its_certificate_is_not_ours_any_more(
    world: World, tmp_path: Path
) -> None:
    certificates = Certificates(tmp_path, world)
    platform = await world.platform(protection=certificates.protection("PSP"))
    business = await world.business(protection=certificates.protection("BIZ"))
    await business.send("PS810FTRQ", BODY)
    await world.clock.advance(1)
    request = world.network.sent[0]
    first = await world.post(platform, request)
    assert (await world.post(platform, request)).wire == first.wire
    swapped(certificates, "PSP")
    await world.clock.advance(5)
    anew = await world.post(platform, request)
    assert anew.wire != first.wire
    assert (await world.post(platform, request)).wire == anew.wire
    assert len(platform.calls) == 1
