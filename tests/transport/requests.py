"""Requests made by hand, and raw connections to a listener under test."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from msh.transport.http import HttpTransport

SOON = 5.0
XML = "Content-Type: text/xml; charset=utf-8"


def post(*headers: str, body: bytes = b"<a/>", path: str = "/sms", length: bool = True) -> bytes:
    """A request by hand."""
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", *headers]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunked(*chunks: bytes) -> bytes:
    """A body in ``chunks``, and its end."""
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))


class Server:
    """A listener under test, and raw connections to it."""

    def __init__(self, transport: HttpTransport, url: str) -> None:
        self.transport = transport
        self.url = url
        self.port = urlsplit(url).port

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def ask(self, *parts: bytes, pause: float = 0.0) -> bytes:
        """Everything that comes until the connection closes."""
        reader, writer = await self.connect()
        try:
            async with asyncio.timeout(SOON):
                for part in parts:
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(pause)
                return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()

    async def status(self, *parts: bytes, pause: float = 0.0) -> int:
        """The status of one request, after which the connection must close."""
        reader, writer = await self.connect()
        try:
            async with asyncio.timeout(SOON):
                answer = asyncio.ensure_future(read_answer(reader))
                for part in parts:
                    if not answer.done():
                        writer.write(part)
                        await asyncio.sleep(pause)
                status, headers, _ = await answer
            # aiohttp answers what it could not parse as HTTP/1.0, which closes by itself
            assert headers.get("connection", headers["version"]) in ("close", "HTTP/1.0")
            return status
        finally:
            writer.close()


Start = Callable[..., Awaitable[Server]]


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """One response from a connection that is kept."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    version, status, _ = head[0].split(maxsplit=2)
    headers = {"version": version}
    for line in head[1:]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return int(status), headers, body
