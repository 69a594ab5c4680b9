"""Fifty copies of one message at once, over real connections, to `msh serve`."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from tests.cli.conftest import PATIENCE, Folder, Run, serving

COPIES = 50
ROUNDS = 8


def post_at_once(urls: Sequence[str], wire: bytes) -> set[tuple[int, bytes]]:
    """Fifty connections, all made before the first byte is sent; the different answers."""
    connections = []
    for number in range(COPIES):
        parts = urlsplit(urls[number % len(urls)])
        assert parts.hostname is not None
        connection = HTTPConnection(parts.hostname, parts.port, timeout=PATIENCE)
        connection.connect()
        connections.append(connection)

    def post(connection: HTTPConnection) -> tuple[int, bytes]:
        connection.request("POST", "/sms", wire, {"Content-Type": "text/xml; charset=utf-8"})
        answer = connection.getresponse()
        return answer.status, answer.read()

    try:
        with ThreadPoolExecutor(COPIES) as pool:
            return set(pool.map(post, connections))
    finally:
        for connection in connections:
            connection.close()


@pytest.mark.parametrize("servers", [1, 2], ids=["one-server", "two-on-one-database"])
def test_fifty_copies_at_once(run: Run, biz: Folder, psp: Folder, servers: int) -> None:
    with ExitStack() as stack:
        urls = [stack.enter_context(serving(psp)).line for _ in range(servers)]
        for number in range(ROUNDS):
            message_id = f"BIZ-COPY-{number}"
            composed = run(
                "compose", "PS810FTRQ", biz.another(), "--msg-id", message_id, "-c", biz.config
            )
            ((status, reply),) = post_at_once(urls, composed.stdout_bytes)
            assert status == 200
            assert b"PSPPM0000I" in reply
    database = sqlite3.connect(psp.database)
    try:
        runs = database.execute("SELECT runs, replays FROM reception").fetchall()
        (effects,) = database.execute("SELECT count(*) FROM ledger").fetchone()
    finally:
        database.close()
    assert runs == [(1, COPIES - 1)] * ROUNDS
    assert effects == ROUNDS
