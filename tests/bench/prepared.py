"""Keys for the measurements, and requests that are protected before anything is measured."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

import msh
from msh.cli.samples import sample_body
from msh.envelope import normal_body
from msh.profiles import standard_profile
from msh.protection import Mac, MacAlgorithm, Protection, Signature
from msh.protocol.keys import State
from msh.security.keysource import open_key_source
from msh.security.mac import check_value
from msh.store import StoredKey, open_store

KEY = "BENCH-key-1"
SECRET = bytes(range(32))


def make_keys(folder: Path) -> None:
    """Certificates of both sides, and the key-encryption key they share."""
    for party in ("BIZ", "PSP"):
        for side in ("own", "peer"):
            (folder / party / side).mkdir(parents=True)
    for party, peer in (("BIZ", "PSP"), ("PSP", "BIZ")):
        key = rsa.generate_private_key(65537, 2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, party)])
        now = datetime.now(UTC)
        usage = dict.fromkeys(
            (
                "content_commitment",
                "key_encipherment",
                "data_encipherment",
                "key_agreement",
                "key_cert_sign",
                "crl_sign",
                "encipher_only",
                "decipher_only",
            ),
            False,
        )
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=365))
            .add_extension(x509.KeyUsage(digital_signature=True, **usage), critical=True)
            .sign(key, hashes.SHA256())
        )
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        own = folder / party / "own" / "signing.pem"
        own.write_bytes(private + pem)
        own.chmod(0o600)
        (folder / peer / "peer" / f"{party}.pem").write_bytes(pem)
    kek = folder / "kek"
    kek.write_text("# msh test key\n" + "5a3c" * 16 + "\n")
    kek.chmod(0o600)


def protection(kind: str, folder: Path, party: str) -> Protection | None:
    """What ``kind`` ("signature", "mac", or nothing) says of this side."""
    match kind:
        case "signature":
            return Signature(folder / party / "own", folder / party / "peer")
        case "mac":
            return Mac(f"file:{folder / 'kek'}")
        case _:
            return None


async def keep_key(store_url: str, folder: Path, peer: str) -> None:
    """A working key in a store, as if it had been exchanged a while ago."""
    store = open_store(store_url)
    await store.open(lambda entries: None)
    now = datetime.now(UTC) - timedelta(hours=1)
    wrapped = open_key_source(f"file:{folder / 'kek'}").wrap(SECRET)
    algorithm = MacAlgorithm.HMAC_SHA256
    key = StoredKey(
        peer=peer,
        id=KEY,
        algorithm=algorithm,
        wrapped=wrapped,
        check_value=check_value(algorithm, SECRET),
        ours=True,
        state=State.PENDING,
        offered=now,
    )
    await store.offer_key(key, "bench")
    await store.activate_key(peer, KEY, "bench", now)
    await store.key_verified(peer, KEY, "bench", now)
    await store.close()


async def requests(agreement: msh.Agreement, store_url: str, count: int, prefix: str) -> bytes:
    """``count`` protected requests with fresh ids, divided by NUL."""
    from msh.clock import SystemClock
    from msh.securities import Securities

    now = datetime.now(UTC)
    body = normal_body(sample_body("PS810FTRQ"))
    store = open_store(store_url)
    await store.open(lambda entries: None)
    securities = Securities(msh.Agreements.of("BIZ", [agreement]), store, SystemClock())
    await securities.load()
    security = securities.of(agreement)
    profile = standard_profile()

    async def one(number: int) -> bytes:
        message = msh.Message(
            service="PS810FTRQ",
            message_id=f"{prefix}-{number}",
            sender="BIZ",
            receiver="PSP",
            timestamp=now,
            expires=now + timedelta(hours=10),
            body=body,
        )
        return (await security.protect(message, profile)).wire

    wires: list[bytes] = []
    for start in range(0, count, 64):
        wires += await asyncio.gather(*map(one, range(start, min(start + 64, count))))
    await securities.close()
    await store.close()
    return b"\0".join(wires)
