"""Encodings other than UTF-8, and bytes that are no character: 0001S.

A message that two readers decode differently is two messages, so there is one encoding.
"""

from __future__ import annotations

import pytest

from tests.security.attacks.target import DECLARATION, FORMAT, Target

pytestmark = pytest.mark.asyncio(loop_scope="module")

SENDERS = ["BIZ", "HMAC"]

BOMS = {
    "utf-16-le": b"\xff\xfe",
    "utf-16-be": b"\xfe\xff",
    "utf-32-le": b"\xff\xfe\x00\x00",
    "utf-32-be": b"\x00\x00\xfe\xff",
    "utf-7": b"+/v8-",
}
ENCODINGS = [
    ("utf-7", "utf-7"),
    ("utf-16-le", "utf-16"),
    ("utf-16-be", "utf-16"),
    ("utf-16-le", "utf-16le"),
    ("utf-16-be", "utf-8"),
    ("utf-32-le", "utf-32"),
    ("utf-32-be", "utf-32"),
    ("utf-32-le", "ucs-4"),
    ("utf-32-be", "utf-8"),
    ("cp037", "cp037"),
    ("cp037", "ebcdic-cp-us"),
    ("latin-1", "iso-8859-1"),
    ("ascii", "us-ascii"),
    ("cp1252", "windows-1252"),
    ("big5", "big5"),
    ("gb18030", "gb18030"),
    ("utf-8", "utf-7"),
    ("utf-8", "utf-16"),
    ("utf-8", "utf-32"),
    ("utf-8", "iso-8859-1"),
    ("utf-8", "UTF-8-SIG"),
    ("utf-8", "unknown-8"),
    ("utf-8", "utf 8"),
    ("utf-8", ""),
]


@pytest.mark.parametrize("bom", [False, True], ids=["plain", "bom"])
@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize(("encoding", "declared"), ENCODINGS, ids=lambda value: value or "none")
async def test_an_encoding(
    target: Target, encoding: str, declared: str, sender: str, bom: bool
) -> None:
    genuine = (await target.genuine(sender)).removeprefix(DECLARATION).decode()
    text = f'<?xml version="1.0" encoding="{declared}"?>{genuine}'
    if encoding == "utf-7":  # markup hidden from whoever looks for it in the bytes
        text = text.replace("<Amt>", "+ADw-Amt+AD4-")
        wire = text.encode()
    else:
        wire = text.encode(encoding)
    if bom:
        wire = BOMS.get(encoding, b"\xef\xbb\xbf") + wire
    await target.refuses(wire, FORMAT)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "cp037"])
@pytest.mark.parametrize("bom", [False, True], ids=["plain", "bom"])
async def test_an_encoding_that_is_not_declared(target: Target, encoding: str, bom: bool) -> None:
    text = (await target.genuine()).removeprefix(DECLARATION).decode()
    wire = text.encode(encoding)
    await target.refuses((BOMS.get(encoding, b"") if bom else b"") + wire, FORMAT)


BYTES = {
    "overlong-lt": b"\xc0\xbc",
    "overlong-nul": b"\xc0\x80",
    "surrogate": b"\xed\xa0\x80",
    "beyond-unicode": b"\xf4\x90\x80\x80",
    "lone-continuation": b"\x80",
    "cut-short": b"\xe6\xac",
    "latin-1": b"\xe9",
    "nul": b"\x00",
    "escape": b"\x1b",
    "form-feed": b"\x0c",
    "ffff": b"\xef\xbf\xbf",
}


@pytest.mark.parametrize("place", ["<Amt>", "<scoi:MsgId>", "<ds:DigestValue>"])
@pytest.mark.parametrize("name", BYTES)
async def test_bytes_that_are_no_character(target: Target, name: str, place: str) -> None:
    tag = place.encode()
    await target.refuses((await target.genuine()).replace(tag, tag + BYTES[name]), FORMAT)
