"""What happens to pinned certificates when the machine cannot read, and what may not come later."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from msh.envelope import parse
from msh.errors import CannotProtect, KeyUnusable, NotAuthentic
from msh.protection import Signature
from msh.security.issuing import self_signed
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
from tests.security.conftest import Open

SECOND = timedelta(seconds=1)


async def accepts(receiver: Signed, wire: bytes) -> str:
    """The fingerprint that verified, or why it did not."""
    try:
        return (await receiver.verify(parse(wire, PROFILES))).key
    except NotAuthentic as error:
        return error.reason


async def sent(sender: Signed) -> bytes:
    return (await sender.protect(USUAL, PROFILE)).wire


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Nothing more can be opened in this process."""
    free = os.dup(0)
    os.close(free)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_what_was_read_counts_while_no_descriptor_is_left(
    biz: Party, psp: Party, clock: SetClock, opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    ours, other = identity("p256"), identity("p256", 1)
    ca = authority()
    anchored = identity("p256", 3, name="CHAIN", issuer=ca)
    biz.hold(ours)
    psp.pin(ours)
    sender, receiver = opened(biz), opened(psp, anchors=(ca,), subject="CN=CHAIN,C=TW")
    wire = await sent(sender)
    biz.hold(anchored)
    by_anchor = await sent(opened(biz))
    biz.hold(ours)
    psp.pin(ours, other)  # also when something has changed, of which nothing is known
    psp.anchors.write_bytes(ca.certificate_pem + authority("Other", 91).certificate_pem)
    with no_descriptors():
        for _ in range(3):
            clock.time += SECOND
            assert await accepts(receiver, wire) == ours.fingerprint
            assert await accepts(receiver, by_anchor) == anchored.fingerprint
            assert await sent(sender)
            assert not sender.retired(ours.fingerprint)
    told = [line for line in caplog.messages if "counts until it can be read" in line]
    assert len(told) == len(set(told)) == 3  # ours, the peer's, and the anchors
    clock.time += SECOND
    assert await accepts(receiver, wire) == ours.fingerprint
    psp.pin(other)
    clock.time += SECOND
    assert "another subject" in await accepts(receiver, wire)


async def test_at_the_start_nothing_can_do_without_a_descriptor(biz: Party) -> None:
    biz.hold(identity("p256"))
    with no_descriptors(), pytest.raises(KeyUnusable, match="Too many open files"):
        biz.open()


async def test_a_folder_that_is_gone_counts_no_longer(
    biz: Party, psp: Party, clock: SetClock, opened: Open
) -> None:
    ours = identity("p256")
    biz.hold(ours)
    psp.pin(ours)
    sender, receiver = opened(biz), opened(psp)
    wire = await sent(sender)
    psp.peer.rename(psp.peer.with_name("away"))
    clock.time += SECOND
    assert "not the peer's" in await accepts(receiver, wire)


# production


def self_made(folder: Path, name: str, *, test: bool) -> tuple[bytes, bytes]:
    pem, certificate = self_signed(name, NOW - DAY, NOW + DAY, ecdsa=True, test=test)
    return pem, certificate.public_bytes(Encoding.PEM)


async def test_a_test_certificate_that_comes_later_never_counts_in_production(
    tmp_path: Path, clock: SetClock, caplog: pytest.LogCaptureFixture
) -> None:
    for production in (False, True):
        biz = Party(tmp_path / f"biz-{production}", clock)
        psp = Party(tmp_path / f"psp-{production}", clock)
        ours: Identity = identity("p256")
        biz.hold(ours)
        psp.pin(ours)
        sender, receiver = (
            open_signed(Signature(one.own, one.peer, production=production), clock.now)
            for one in (biz, psp)
        )
        pem, certificate = self_made(tmp_path, "BIZ", test=True)
        biz.hold()
        (biz.own / "test.pem").touch(0o600)
        (biz.own / "test.pem").write_bytes(pem)
        (psp.peer / "test.pem").write_bytes(certificate)
        clock.time += SECOND
        if production:
            with pytest.raises(CannotProtect):
                await sent(sender)
            assert "test.pem: is a test certificate" in caplog.text
            signing = open_signed(Signature(biz.own, biz.peer), clock.now)
            assert "not the peer's" in await accepts(receiver, await sent(signing))
            await signing.close()
        else:
            assert len(await accepts(receiver, await sent(sender))) == 64
        await sender.close()
        await receiver.close()
