"""What one input costs a receiver: processor time of all threads, and how far memory grows.

``python -m tests.security.measuring`` is a process that keeps a program warm and forks for each
measurement, so that none sees what another left behind. It is driven by `Meter`.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import os
import pickle
import resource
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any, BinaryIO

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from lxml import etree

import msh
from msh.clock import SystemClock
from msh.envelope import parse, serialise
from msh.errors import MshError
from msh.message import Message
from msh.profile import Role
from msh.protection import Mac, MacAlgorithm, Signature
from msh.protocol.keys import State
from msh.security.keysource import open_key_source
from msh.security.mac import KeyedMac, check_value
from msh.security.maced import bound
from msh.security.signature_shape import DS, ENVELOPED, EXCLUSIVE
from msh.store import StoredKey
from msh.transport.base import Peer
from msh.xml import canonical
from tests.security.certificates import NOW, PROFILE, PROFILES, USUAL, Party, SetClock, identity
from tests.security.hostile import LARGEST, Hostile

#: The sender says which agreement a message comes under.
SENDERS = ("PLAIN", "MAC", "SIGNED")
_SECRET = bytes(range(32))
_signer = cache(partial(identity, name="SIGNED"))
_own = cache(partial(identity, number=1, name="PSP"))
_ROOT = Path(__file__).resolve().parents[2]
_MORE = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"


@dataclass(frozen=True)
class Cost:
    """Seconds of processor time, bytes by which the peak of memory grew, what was decided, and
    how many bytes the message had.
    """

    seconds: float
    memory: int
    outcome: str
    size: int


class FixedClock(SystemClock):
    """A day on which the certificates are valid."""

    def now(self) -> datetime:
        """Always the same."""
        return NOW


# protecting as a hostile party would: whatever the message is like


def protected(wire: bytes, sender: str, prefixes: list[str], digest: str) -> bytes:
    """``wire`` with a true MAC or signature; as it is if it cannot even be read."""
    try:
        if sender == "MAC":
            return _maced(wire)
        if sender == "SIGNED":
            return _signed(wire, prefixes, digest)
    except (MshError, etree.LxmlError, ValueError):
        pass
    return wire


def _maced(wire: bytes) -> bytes:
    end = b"</scoi:MessageHeader>"
    named = wire.replace(end, b"<scoi:KeyId>K</scoi:KeyId>" + end, 1)
    parsed = parse(named, PROFILES)
    data = bound(canonical(parsed.block), parsed.message.body)
    mac = base64.b64encode(KeyedMac(MacAlgorithm.HMAC_SHA256, _SECRET).compute(data))
    return named.replace(end, b"<scoi:MAC>%b</scoi:MAC>" % mac + end, 1)


def _signed(wire: bytes, prefixes: list[str], digest: str) -> bytes:
    signer = _signer()
    root = etree.fromstring(wire)
    data = etree.tostring(
        root, method="c14n", exclusive=True, inclusive_ns_prefixes=prefixes or None
    )
    value = base64.b64encode(hashlib.new(digest, data).digest()).decode()
    inclusive = (
        f'<ec:InclusiveNamespaces xmlns:ec="{EXCLUSIVE}" PrefixList="{" ".join(prefixes)}">'
        "</ec:InclusiveNamespaces>"
        if prefixes
        else ""
    )

    def algorithm(name: str, uri: str, content: str = "") -> str:
        return f'<ds:{name} Algorithm="{uri}">{content}</ds:{name}>'

    inside = (
        algorithm("CanonicalizationMethod", EXCLUSIVE)
        + algorithm("SignatureMethod", _MORE)
        + '<ds:Reference URI=""><ds:Transforms>'
        + algorithm("Transform", ENVELOPED)
        + algorithm("Transform", EXCLUSIVE, inclusive)
        + "</ds:Transforms>"
        + algorithm("DigestMethod", f"http://www.w3.org/2001/04/xmlenc#{digest}")
        + f"<ds:DigestValue>{value}</ds:DigestValue></ds:Reference></ds:SignedInfo>"
    )
    to_sign = f'<ds:SignedInfo xmlns:ds="{DS}">{inside}'.encode()
    r, s = decode_dss_signature(signer.key.sign(to_sign, ec.ECDSA(hashes.SHA256())))
    made = base64.b64encode(r.to_bytes(32, "big") + s.to_bytes(32, "big")).decode()
    certificate = base64.b64encode(signer.der).decode()
    signature = (
        f'<ds:Signature xmlns:ds="{DS}"><ds:SignedInfo>{inside}'
        f"<ds:SignatureValue>{made}</ds:SignatureValue><ds:KeyInfo><ds:X509Data>"
        f"<ds:X509Certificate>{certificate}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>"
        "</ds:Signature>"
    ).encode()
    return wire.replace(b"</s:Header>", signature + b"</s:Header>", 1)


# the receiver


class Measured:
    """A platform with one agreement of each protection, on an in-memory store."""

    def __init__(self, folder: Path) -> None:
        kek = folder / "kek"
        kek.touch(0o600)
        kek.write_text("5a3c" * 16)
        party = Party(folder / "psp", SetClock())
        party.hold(_own())
        party.pin(_signer())
        self._kek = f"file:{kek}"
        self._protections = {
            "PLAIN": msh.agreement.PLAIN,
            "MAC": Mac(self._kek),
            "SIGNED": Signature(party.own, party.peer),
        }

    async def start(self) -> msh.MessageServiceHandler:
        """A started handler that has taken one ordinary message of each."""
        services = frozenset({"PS810FTRQ"})
        agreements = [
            msh.Agreement(
                own="PSP",
                own_role=Role.PSP,
                peer=sender,
                peer_role=Role.BUSINESS,
                profile=PROFILE,
                checks_content=False,
                accepts=services,
                protection=protection,
            )
            for sender, protection in self._protections.items()
        ]
        handler = msh.MessageServiceHandler(
            msh.Agreements.of("PSP", agreements), "sqlite::memory:", clock=FixedClock()
        )

        @handler.on("PS810FTRQ")
        async def handle(message: Message) -> msh.Reply:
            return msh.Reply("PSPPM0000I")

        await handler.__aenter__()
        wrapped = open_key_source(self._kek).wrap(_SECRET)
        checked = check_value(MacAlgorithm.HMAC_SHA256, _SECRET)
        key = StoredKey(
            peer="MAC",
            id="K",
            algorithm=MacAlgorithm.HMAC_SHA256,
            wrapped=wrapped,
            check_value=checked,
            ours=False,
            state=State.PENDING,
            offered=NOW,
        )
        await handler.store.offer_key(key, "offer")
        await handler.store.activate_key("MAC", "K", "confirm", NOW)
        await asyncio.sleep(0)
        for sender in SENDERS:
            outcome = await decide(handler, ordinary(sender))
            assert "PSPPM0000I" in outcome, outcome
        return handler


def ordinary(sender: str, number: int = 0, body: bytes = USUAL.body) -> bytes:
    """A usual message of ``sender``, protected."""
    message = Message(
        service="PS810FTRQ",
        message_id=f"{sender}-usual-{number}",
        sender=sender,
        receiver="PSP",
        timestamp=NOW,
        expires=NOW + timedelta(hours=1),
        body=body,
    )
    wire = serialise(message, PROFILE).replace(b"soap:", b"s:").replace(b":soap=", b":s=")
    return protected(wire, sender, [], "sha256")


async def decide(handler: msh.MessageServiceHandler, wire: bytes, address: str = "10.0.0.1") -> str:
    """What the handler says to ``wire``: the kind of the acceptance, the code and the reason."""
    acceptance = await handler.accept(wire, Peer(address))
    said = getattr(acceptance, "wire", b"") or getattr(acceptance, "fault", b"")
    words = etree.fromstring(said).itertext() if said else ()
    return " ".join(
        [
            type(acceptance).__name__,
            *(word for word in words if " " in word or word.startswith("PSP")),
        ]
    )


# measuring


class Meter:
    """A warm process that measures; to be closed, also after a failure."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.security.measuring"],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def cost(self, shape: Hostile, sender: str, times: int = 1) -> Cost:
        """What ``shape`` costs under the agreement of ``sender``: the best of ``times``."""
        pipe = self._process.stdin, self._process.stdout
        assert pipe[0]
        assert pipe[1]
        _write(pipe[0], (shape, sender, times))
        answer = _read(pipe[1])
        if answer is None:
            raise RuntimeError(f"the measuring process ended with {self._process.wait()}")
        return Cost(*answer)

    def close(self) -> None:
        """End it."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def forge(shape: Hostile, sender: str) -> bytes:
    """``shape`` as a message of ``sender``, protected, cut to what a transport lets in."""
    wire = protected(shape.wire(sender), sender, shape.prefixes(), shape.digest)
    return wire[:LARGEST]


def measure(measured: Measured, wire: bytes) -> tuple[float, int, str]:
    """What deciding ``wire`` costs, in this process."""

    async def run() -> tuple[float, int, str]:
        handler = await measured.start()
        memory, seconds = peak(), time.process_time()
        outcome = await decide(handler, wire)
        seconds = time.process_time() - seconds
        memory = peak() - memory
        await handler.__aexit__(None, None, None)
        return seconds, memory, outcome

    return asyncio.run(run())


def peak() -> int:
    """The largest resident size of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _in_a_fork(work: Callable[[], Any]) -> Any:
    """What ``work`` returns, done by a process that is gone afterwards."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            with os.fdopen(writing, "wb") as pipe:
                pickle.dump(work(), pipe)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        written = pipe.read()
    if os.waitpid(child, 0)[1]:
        raise RuntimeError("a measurement failed; its traceback is above")
    return pickle.loads(written)


def main() -> None:
    """Measure what comes in on standard input, until it ends."""
    logging.disable(logging.CRITICAL)  # writing a log is not what is measured
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints must not be taken for an answer
    with tempfile.TemporaryDirectory() as name:
        measured = Measured(Path(name))
        _in_a_fork(lambda: asyncio.run(_started(measured)))
        while (asked := _read(sys.stdin.buffer)) is not None:
            shape, sender, times = asked
            wire = _in_a_fork(partial(forge, shape, sender))
            found = [_in_a_fork(partial(measure, measured, wire)) for _ in range(times)]
            seconds, _, outcome = min(found)
            _write(answers, (seconds, min(one[1] for one in found), outcome, len(wire)))


async def _started(measured: Measured) -> None:
    await (await measured.start()).__aexit__(None, None, None)


def _write(pipe: BinaryIO, value: object) -> None:
    data = pickle.dumps(value)
    pipe.write(struct.pack("!Q", len(data)) + data)
    pipe.flush()


def _read(pipe: BinaryIO) -> Any:
    head = pipe.read(8)
    return pickle.loads(pipe.read(struct.unpack("!Q", head)[0])) if len(head) == 8 else None


if __name__ == "__main__":
    main()
