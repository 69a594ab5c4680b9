"""Which certificates count, when, and that they change without a restart."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from msh.envelope import parse
from msh.errors import CannotProtect, KeyUnusable, NotAuthentic
from msh.protection import Signature
from msh.security.certificates import AHEAD, ends_within
from msh.security.signature import Signed, open_signed
from tests.security.certificates import (
    DAY,
    NOW,
    PROFILE,
    PROFILES,
    USUAL,
    Party,
    SetClock,
    authority,
    identity,
    private_key,
)

SECOND = timedelta(seconds=1)
Open = Callable[..., Signed]


async def accepts(receiver: Signed, wire: bytes) -> str:
    """The fingerprint that verified, or why it did not."""
    try:
        return (await receiver.verify(parse(wire, PROFILES))).key
    except NotAuthentic as error:
        return error.reason


async def sent(sender: Signed) -> bytes:
    return (await sender.protect(USUAL, PROFILE)).wire


# rollover


async def test_rollover_of_the_signer_without_a_restart(
    biz: Party, psp: Party, clock: SetClock, opened: Open
) -> None:
    old = identity("p256", 1, begins=NOW - 300 * DAY, ends=NOW + 20 * DAY)
    new = identity("rsa", begins=NOW + 10 * DAY)
    biz.hold(old)
    psp.pin(old)
    sender, receiver = opened(biz), opened(psp)
    first = await sent(sender)
    assert await accepts(receiver, first) == old.fingerprint

    biz.hold(old, new)
    psp.pin(old, new)
    clock.time += SECOND
    assert await accepts(receiver, await sent(sender)) == old.fingerprint  # not valid yet
    clock.time = NOW + 10 * DAY
    assert await accepts(receiver, await sent(sender)) == new.fingerprint
    assert await accepts(receiver, first) == old.fingerprint  # what waited in a queue
    assert not sender.retired(old.fingerprint)
    assert not sender.retired(new.fingerprint)

    clock.time = NOW + 21 * DAY
    assert sender.retired(old.fingerprint)
    assert "expired" in await accepts(receiver, first)

    biz.hold(new)
    psp.pin(new)
    clock.time += SECOND
    assert "not the peer's" in await accepts(receiver, first)
    assert await accepts(receiver, await sent(sender)) == new.fingerprint


async def test_a_certificate_that_is_removed_counts_no_longer(
    biz: Party, psp: Party, clock: SetClock, opened: Open
) -> None:
    ours = identity("p256")
    biz.hold(ours)
    psp.pin(ours)
    sender, receiver = opened(biz), opened(psp)
    wire = await sent(sender)
    biz.hold()
    psp.pin()
    assert await accepts(receiver, wire) == ours.fingerprint  # looked at once a second
    clock.time += SECOND
    assert "not the peer's" in await accepts(receiver, wire)
    assert sender.retired(ours.fingerprint)
    with pytest.raises(CannotProtect, match=r"no certificate of ours is valid now; put"):
        await sent(sender)


async def test_of_three_valid_ones_two_are_in_use(
    biz: Party, clock: SetClock, opened: Open
) -> None:
    three = [identity("p256", number, begins=NOW - number * DAY) for number in (1, 2, 3)]
    biz.hold(*three)
    sender = opened(biz)
    assert (await sender.protect(USUAL, PROFILE)).key == three[0].fingerprint
    assert [sender.retired(one.fingerprint) for one in three] == [False, False, True]
    assert sender.retired("")
    assert sender.retired("0" * 64)


async def test_a_clock_set_back_does_not_stop_looking(
    biz: Party, psp: Party, clock: SetClock, opened: Open
) -> None:
    ours = identity("p256")
    biz.hold(ours)
    sender, receiver = opened(biz), opened(psp)
    clock.time -= timedelta(hours=2)
    psp.pin(ours)
    assert await accepts(receiver, await sent(sender)) == ours.fingerprint


async def test_a_file_that_cannot_be_read_later_is_logged_and_the_others_count(
    biz: Party, psp: Party, clock: SetClock, opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    ours = identity("p256")
    biz.hold(ours)
    psp.pin(ours)
    sender, receiver = opened(biz), opened(psp)
    for folder in (biz.own, psp.peer):
        (folder / "aaa.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\nhalf")
    clock.time += SECOND
    assert await accepts(receiver, await sent(sender)) == ours.fingerprint
    assert caplog.text.count("aaa.pem: holds no certificate; nothing in it counts") == 2
    clock.time += SECOND
    assert await accepts(receiver, await sent(sender)) == ours.fingerprint
    assert caplog.text.count("aaa.pem: holds no certificate") == 2


# validity and kinds


@pytest.mark.parametrize(
    ("begins", "ends", "why"),
    [(-10 * DAY, -SECOND, "expired"), (DAY, 10 * DAY, "not valid yet")],
)
async def test_validity_is_that_of_now(
    begins: timedelta,
    ends: timedelta,
    why: str,
    biz: Party,
    psp: Party,
    clock: SetClock,
    opened: Open,
) -> None:
    ours = identity("p256", begins=NOW + begins, ends=NOW + ends)
    biz.hold(ours)
    psp.pin(ours)
    sender, receiver = opened(biz), opened(psp)
    with pytest.raises(CannotProtect):
        await sent(sender)
    clock.time = NOW + begins + DAY  # the message's own timestamp is NOW all the time
    wire = await sent(sender)
    assert await accepts(receiver, wire) == ours.fingerprint
    clock.time = NOW
    assert why in await accepts(receiver, wire)


REFUSED = {
    "rsa-1024": "RSA key that is shorter than 2048 bits",
    "p521": "neither RSA nor on the curves",
    "ed25519": "neither RSA nor on the curves",
}


@pytest.mark.parametrize("kind", REFUSED)
def test_other_keys_are_refused_at_the_start(kind: str, biz: Party, psp: Party) -> None:
    biz.hold(identity(kind))
    with pytest.raises(KeyUnusable, match=REFUSED[kind]):
        biz.open()
    psp.pin(identity(kind))
    with pytest.raises(KeyUnusable, match=REFUSED[kind]):
        psp.open()


@pytest.mark.parametrize("usage", ["content_commitment", "key_cert_sign"])
def test_a_certificate_for_another_use_is_refused(usage: str, biz: Party, psp: Party) -> None:
    biz.hold(identity("p256", usage=usage))
    with pytest.raises(KeyUnusable, match="not for digital signatures"):
        biz.open()
    psp.pin(identity("p256", usage=usage))
    with pytest.raises(KeyUnusable, match="not for digital signatures"):
        psp.open()


async def test_a_certificate_that_says_nothing_of_its_use(
    biz: Party, psp: Party, opened: Open
) -> None:
    ours = identity("p256", usage=None)
    biz.hold(ours)
    psp.pin(ours)
    assert await accepts(opened(psp), await sent(opened(biz))) == ours.fingerprint


# files


def test_what_is_wrong_with_a_file_is_said(biz: Party, psp: Party, tmp_path: Path) -> None:
    good, other = identity("p256"), identity("p384")
    encrypted = good.key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    wrong = {
        good.certificate_pem: "holds 0 private keys and 1 certificates",
        good.pem + other.certificate_pem: "holds 1 private keys and 2 certificates",
        good.pem.split(b"-----BEGIN CERT")[0]: "holds no certificate",
        encrypted + good.certificate_pem: "is encrypted; store it decrypted",
        other.pem.split(b"-----BEGIN CERT")[0] + good.certificate_pem: "is not that of the",
    }
    for content, reason in wrong.items():
        (biz.own / "a.pem").write_bytes(content)
        with pytest.raises(KeyUnusable, match=f"a.pem: .*{reason}") as caught:
            biz.open()
        assert "BEGIN" not in str(caught.value)
    (psp.peer / "a.pem").write_bytes(b"")
    with pytest.raises(KeyUnusable, match=r"a.pem: holds no certificate"):
        psp.open()
    psp.peer.joinpath("a.pem").unlink()
    psp.peer.rmdir()
    with pytest.raises(KeyUnusable, match="make this folder of PEM files"):
        psp.open()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
async def test_a_private_key_that_others_may_use_is_refused(
    mode: int, biz: Party, opened: Open
) -> None:
    biz.hold(identity("p256"))
    opened(biz)
    file = next(biz.own.iterdir())
    file.chmod(mode)
    with pytest.raises(KeyUnusable, match=rf"mode {mode:04o}.*chmod 600 {file}$"):
        opened(biz)


async def test_files_that_nobody_looks_into_are_named(biz: Party, opened: Open) -> None:
    for name in ("key.pem.txt", "biz.crt", ".hidden"):
        (biz.own / name).write_bytes(identity("p256").pem)
    with pytest.raises(CannotProtect, match=r"not biz\.crt, key\.pem\.txt$"):
        await opened(biz).protect(USUAL, PROFILE)


# for people


async def test_the_list_of_certificates(biz: Party, clock: SetClock) -> None:
    old, new, theirs = identity("p256", 1), identity("p256", 2), identity("p384", name="PSP")
    biz.hold(old, new)
    biz.pin(theirs)
    ca = authority()
    biz.anchors.write_bytes(ca.certificate_pem)
    protection = Signature(biz.own, biz.peer, biz.anchors, "CN=PSP,C=TW")
    security = open_signed(protection, clock.now, own="BIZ", peer="PSP")
    listed = security.listed()
    await security.close()
    assert sorted((one.owner, one.subject, one.fingerprint) for one in listed) == sorted(
        [
            ("BIZ", "CN=BIZ,C=TW", old.fingerprint),
            ("BIZ", "CN=BIZ,C=TW", new.fingerprint),
            ("PSP", "CN=PSP,C=TW", theirs.fingerprint),
            ("PSP (anchor)", "CN=CA,C=TW", ca.fingerprint),
        ]
    )
    assert all(one.not_before < NOW < one.not_after for one in listed)


def test_when_a_certificate_ends() -> None:
    thirty, seven, one = AHEAD
    for before, within in (
        (31 * DAY, None),
        (30 * DAY + SECOND, None),
        (30 * DAY, thirty),
        (7 * DAY + SECOND, thirty),
        (7 * DAY, seven),
        (DAY, one),
        (timedelta(0), one),
        (-SECOND, timedelta(0)),
    ):
        assert ends_within(NOW + before, NOW) == within


async def test_one_warning_for_each_certificate_and_step(
    biz: Party, clock: SetClock, opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "msh.security")
    ours = identity("p256", ends=NOW + 40 * DAY)
    biz.hold(ours)
    security = opened(biz)

    def said() -> list[str]:
        lines = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return lines

    assert said() == []
    steps = {
        10 * DAY: "within 30 days",
        33 * DAY: "within 7 days",
        39 * DAY: "within 1 day,",
        41 * DAY: "has ended",
    }
    for passed, words in steps.items():
        for _ in range(3):
            clock.time = NOW + passed
            security.look()
            clock.time += timedelta(hours=1)
            security.look()
        (line,) = said()
        assert words in line
        assert f"certificate of BIZ ({ours.fingerprint[:16]}…)" in line


def test_keys_are_made_once() -> None:
    assert private_key("p256") is private_key("p256")
    assert private_key("p256") is not private_key("p256", 1)
