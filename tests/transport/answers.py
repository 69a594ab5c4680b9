"""Answers made by hand, and a server that gives them."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable

import pytest

from msh.errors import TransportError
from msh.transport.http import HttpTransport
from tests.transport.conftest import Serve

Start = Callable[[Serve], Awaitable[str]]

WIRE = b"<a>1</a>"
SOON = 5.0


def answer(body: bytes = b"<b/>", status: str = "200 OK", *headers: str) -> bytes:
    """A response by hand; ``text/xml`` unless ``headers`` say another type."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    if not any(line.lower().startswith("content-type") for line in headers):
        lines.append("Content-Type: text/xml; charset=utf-8")
    return "\r\n".join([*lines, "", ""]).encode() + body


async def read_request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """The head and the body of one request."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
    return head, await reader.readexactly(length)


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN."""
    raw: socket.socket = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Peer:
    """A server that answers request after request with ``answers``, bytes as they are.

    None closes without an answer, "reset" closes hard, "wait" says nothing. A connection ends when
    ``answers`` ends. It counts connections and keeps every head and body.
    """

    def __init__(self, *answers: bytes | str | None) -> None:
        self.answers = list(answers)
        self.connections = 0
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while self.answers:
            head, body = await read_request(reader)
            self.heads.append(head)
            self.bodies.append(body)
            given = self.answers.pop(0)
            if given == "wait":
                await asyncio.sleep(10)
            elif given == "reset":
                return reset(writer)
            elif isinstance(given, bytes):
                writer.write(given)
                await writer.drain()
            else:
                return None
        return None


async def outcome(client: HttpTransport, url: str, timeout: float = SOON) -> TransportError:
    """The error of one exchange."""
    with pytest.raises(TransportError) as caught:
        await client.exchange(url, WIRE, timeout)
    return caught.value
