"""The floor: the irreducible work of one exchange, and nothing else.

Parse and read the header's values, digest, one row for the request under its (sender, MsgId) and
one for the reply, each in a group commit with ``synchronous=FULL``, a reply by template, and a raw
aiohttp round trip. No checks, no journal, no claims, no limits. What msh reaches is measured
against this, in the same run.

``python -m tests.bench.floor FILE [signature|mac KEYS]``: with protection, its irreducible work is
added. For a MAC that is the canonical header and two HMACs; for a signature the canonical message,
two digests, one RSA verification, and one RSA signature in a thread of its own.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import itertools
import queue
import sqlite3
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from aiohttp import ClientSession, TCPConnector, web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from lxml import etree

from tests.bench import prepared

REPLY = b"<Envelope><Header><RefToMsgId>%s</RefToMsgId></Header><Body/></Envelope>"


class GroupCommit:
    """Rows in, and their futures out once a COMMIT covers them."""

    def __init__(self, path: str) -> None:
        self.rows: queue.SimpleQueue = queue.SimpleQueue()
        self.loop = asyncio.get_running_loop()
        self.connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = FULL")
        self.connection.execute(
            "CREATE TABLE IF NOT EXISTS row (id INTEGER PRIMARY KEY, name TEXT UNIQUE, data BLOB)"
        )
        threading.Thread(target=self.run, daemon=True).start()

    async def write(self, name: str, data: bytes) -> None:
        done = self.loop.create_future()
        self.rows.put((name, data, done))
        await done

    def run(self) -> None:
        while True:
            group = [self.rows.get()]
            while len(group) < 256 and not self.rows.empty():
                group.append(self.rows.get())
            self.connection.execute("BEGIN IMMEDIATE")
            self.connection.executemany(
                "INSERT OR IGNORE INTO row (name, data) VALUES (?, ?)",
                [(name, data) for name, data, _ in group],
            )
            self.connection.execute("COMMIT")
            self.loop.call_soon_threadsafe(self.tell, group)

    @staticmethod
    def tell(group: list) -> None:
        for _, _, done in group:
            if not done.done():
                done.set_result(None)


class Nothing:
    """No protection."""

    def __init__(self, keys: Path) -> None:
        pass

    def verify(self, root: etree._Element) -> None:
        """Anything is believed."""

    async def protect(self, reply: bytes) -> bytes:
        """The reply as it is."""
        return reply


class Mac(Nothing):
    """HMAC-SHA-256 over the canonical header, and over the reply."""

    def verify(self, root: etree._Element) -> None:
        hmac.digest(
            prepared.SECRET, etree.tostring(root[0][0], method="c14n", exclusive=True), "sha256"
        )

    async def protect(self, reply: bytes) -> bytes:
        return reply + hmac.digest(prepared.SECRET, reply, "sha256").hex().encode()


class Signature(Nothing):
    """RSA-2048 with SHA-256, both ways."""

    def __init__(self, keys: Path) -> None:
        pem = (keys / "PSP" / "own" / "signing.pem").read_bytes()
        self.key = serialization.load_pem_private_key(pem, None)
        self.peer = x509.load_pem_x509_certificate((keys / "PSP" / "peer" / "BIZ.pem").read_bytes())
        self.pool = ThreadPoolExecutor(2)

    def verify(self, root: etree._Element) -> None:
        signature = root[0][1]
        root[0].remove(signature)
        hashlib.sha256(etree.tostring(root, method="c14n", exclusive=True)).digest()
        self.peer.public_key().verify(
            base64.b64decode(signature[1].text),
            etree.tostring(signature[0], method="c14n", exclusive=True),
            padding.PKCS1v15(),
            hashes.SHA256(),
        )

    async def protect(self, reply: bytes) -> bytes:
        hashlib.sha256(reply).digest()
        signature = await asyncio.get_running_loop().run_in_executor(
            self.pool, self.key.sign, reply, padding.PKCS1v15(), hashes.SHA256()
        )
        return reply + base64.b64encode(signature)


async def serve(path: str, kind: str = "", keys: str = "") -> None:
    """The floor's receiver; prints its address."""
    store = GroupCommit(path)
    protect = {"": Nothing, "mac": Mac, "signature": Signature}[kind](Path(keys))

    async def accept(request: web.BaseRequest) -> web.Response:
        wire = await request.read()
        root = etree.fromstring(wire)
        values = {element.tag.rpartition("}")[2]: element.text for element in root[0][0]}
        body = etree.tostring(root[1][0], method="c14n", exclusive=True)
        hashlib.sha256("".join(values.values()).encode() + body).digest()
        name = f"{values['Sender']} {values['MsgId']}"
        protect.verify(root)
        await store.write(name, wire)
        reply = await protect.protect(REPLY % values["MsgId"].encode())
        await store.write(f"reply {name}", reply)
        return web.Response(body=reply, content_type="text/xml")

    runner = web.ServerRunner(web.Server(accept, access_log=None))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(f"listening on http://127.0.0.1:{runner.addresses[0][1]}/sms", flush=True)
    await asyncio.Event().wait()


async def send(path: str, url: str, wires: list[bytes], clients: int) -> tuple[float, list[float]]:
    """The floor's sender: queued, begun and answered on disk, around one round trip each."""
    store = GroupCommit(path)
    waiting = iter(wires)
    numbers = itertools.count()
    latencies: list[float] = []

    async with ClientSession(connector=TCPConnector(limit=0), auto_decompress=False) as session:

        async def client() -> None:
            for wire in waiting:
                began = time.perf_counter()
                name = f"{next(numbers)}"
                await store.write(name, wire)
                await store.write(f"attempt {name}", b"")
                async with session.post(
                    url, data=wire, headers={"Content-Type": "text/xml"}
                ) as response:
                    await store.write(f"answer {name}", await response.read())
                latencies.append(time.perf_counter() - began)

        began = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(clients)))
        return time.perf_counter() - began, latencies


if __name__ == "__main__":
    from tests.bench.receiver import loop_factory

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(serve(*sys.argv[1:]))
