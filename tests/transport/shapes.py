"""Requests that two programs may read differently, by what is wrong with them.

Where one message ends and the next begins must be beyond doubt, and no byte may hide in a place
that another program skips (request smuggling; RFC 9112, 6.3, 7.1 and 11.2). Behind each of them
stands another request, which must never be read.
"""

from __future__ import annotations

from tests.transport.requests import XML, chunked, post

TE = "Transfer-Encoding: chunked"
BODY = chunked(b"<a/>")


def lined(*lines: bytes, body: bytes = b"") -> bytes:
    """A request of lines as they are, each with its own end."""
    return b"".join(lines) + body


def coded(*headers: str, body: bytes = BODY) -> bytes:
    """A POST with ``headers`` and no Content-Length."""
    return post(XML, *headers, body=body, length=False)


_XML = XML.encode() + b"\r\n"
_POST = b"POST /sms HTTP/1.1\r\n"
_HOST = b"Host: localhost\r\n"
_LENGTH = b"Content-Length: 4\r\n"

#: What is wrong with the length.
LENGTHS = {
    "CL and TE": post(XML, TE, body=BODY),
    "CL.TE": post(XML, "Content-Length: 6", TE, body=b"0\r\n\r\nG", length=False),
    "TE.CL": coded(TE, "Content-Length: 4", body=b"5c\r\nGPOST / HTTP/1.1\r\n\r\n0\r\n\r\n"),
    "TE, then CL: 0": coded(TE, "Content-Length: 0"),
    "CL: 0, then TE": coded("Content-Length: 0", TE),
    "two lengths, the same": post(XML, "Content-Length: 4"),
    "two lengths, others": post(XML, "Content-Length: 3"),
    "a list of lengths": post(XML, "Content-Length: 4, 4", length=False),
    "a list of other lengths": post(XML, "Content-Length: 4, 3", length=False),
    "length with a plus": post(XML, "Content-Length: +4", length=False),
    "length with a minus": post(XML, "Content-Length: -4", length=False),
    "length in hexadecimal": post(XML, "Content-Length: 0x4", length=False),
    "length with an underscore": post(XML, "Content-Length: 0_4", length=False),
    "length with a point": post(XML, "Content-Length: 4.0", length=False),
    "length with an exponent": post(XML, "Content-Length: 4e0", length=False),
    "length with a space inside": post(XML, "Content-Length: 0 4", length=False),
    "length in quotes": post(XML, 'Content-Length: "4"', length=False),
    "length in other digits": post(XML, "Content-Length: ٤", length=False),
    "length that is empty": post(XML, "Content-Length:", length=False),
    "length that overflows 64 bits": post(
        XML, "Content-Length: 18446744073709551620", length=False
    ),
    "length, a space before the colon": post(XML, "Content-Length : 4", length=False),
    "length, a tab before the colon": post(XML, "Content-Length\t: 4", length=False),
    "length, a NUL in its name": post(XML, "Content-Len\0gth: 4", length=False),
    "length, folded": post(XML, "Content-Length:\r\n 4", length=False),
    "length, folded with a tab": post(XML, "Content-Length:\r\n\t4", length=False),
    "length, on a line begun by a space": post(XML, " Content-Length: 4", length=False),
}

#: What is wrong with the transfer coding.
CODINGS = {
    "gzip, chunked": coded("Transfer-Encoding: gzip, chunked"),
    "chunked, gzip": coded("Transfer-Encoding: chunked, gzip"),
    "chunked, chunked": coded("Transfer-Encoding: chunked, chunked"),
    "chunked, identity": coded("Transfer-Encoding: chunked, identity"),
    "identity, chunked": coded("Transfer-Encoding: identity, chunked"),
    "two codings": coded(TE, TE),
    "two codings, the second unknown": coded(TE, "Transfer-Encoding: x"),
    "two codings, the first unknown": coded("Transfer-Encoding: x", TE),
    "chunked and a coding of another case": coded(TE, "transfer-encoding: cow"),
    "identity": coded("Transfer-Encoding: identity"),
    "identity and a length": post(XML, "Transfer-Encoding: identity"),
    "empty": coded("Transfer-Encoding:"),
    "empty and a length": post(XML, "Transfer-Encoding:"),
    "unknown": coded("Transfer-Encoding: xchunked"),
    "unknown and a length": post(XML, "Transfer-Encoding: xchunked"),
    "chunked with a parameter": coded("Transfer-Encoding: chunked; q=1"),
    "chunked in quotes": coded('Transfer-Encoding: "chunked"'),
    "chunked, a comma": coded("Transfer-Encoding: chunked,"),
    "a comma, chunked": coded("Transfer-Encoding: ,chunked"),
    "a vertical tab before chunked": coded("Transfer-Encoding: \x0bchunked"),
    "a NUL after chunked": coded("Transfer-Encoding: chunked\0"),
    "a form feed after chunked": coded("Transfer-Encoding: chunked\x0c"),
    "a no-break space before chunked": coded("Transfer-Encoding: \u00a0chunked"),
    "letters that look alike": coded("Transfer-Encoding: chun\u212aed"),
    "a space before the colon": coded("Transfer-Encoding : chunked"),
    "a tab before the colon": coded("Transfer-Encoding\t: chunked"),
    "a line begun by a space": coded(" Transfer-Encoding: chunked"),
    "folded": coded("Transfer-Encoding:\r\n chunked"),
    "folded with a tab": coded("Transfer-Encoding:\r\n\tchunked"),
    "hidden in a folded line": post(XML, "X: y\r\n Transfer-Encoding: chunked"),
    "hidden behind a bare CR": post(XML, "X: y\rTransfer-Encoding: chunked"),
    "hidden behind a bare LF": post(XML, "X: y\nTransfer-Encoding: chunked"),
    "hidden behind a NUL": post(XML, "X: y\0Transfer-Encoding: chunked"),
    "in HTTP/1.0": coded(TE).replace(b"HTTP/1.1", b"HTTP/1.0"),
}

#: What is wrong with the chunks.
CHUNKS = {
    "size that is no number": coded(TE, body=b"zz\r\n<a/>\r\n0\r\n\r\n"),
    "size that is empty": coded(TE, body=b"\r\n<a/>\r\n0\r\n\r\n"),
    "size with a prefix": coded(TE, body=b"0x4\r\n<a/>\r\n0\r\n\r\n"),
    "size with a plus": coded(TE, body=b"+4\r\n<a/>\r\n0\r\n\r\n"),
    "size with a minus": coded(TE, body=b"-4\r\n<a/>\r\n0\r\n\r\n"),
    "size with an underscore": coded(TE, body=b"0_4\r\n<a/>\r\n0\r\n\r\n"),
    "size with a space before": coded(TE, body=b" 4\r\n<a/>\r\n0\r\n\r\n"),
    "size with a tab before": coded(TE, body=b"\t4\r\n<a/>\r\n0\r\n\r\n"),
    "size over 64 bits": coded(TE, body=b"10000000000000004\r\n<a/>\r\n0\r\n\r\n"),
    "size of many digits": coded(TE, body=b"f" * 5000 + b"\r\n<a/>\r\n0\r\n\r\n"),
    "size without an end": coded(TE, body=b"4" * 70_000),
    "size ended by LF": coded(TE, body=b"4\n<a/>\r\n0\r\n\r\n"),
    "size ended by CR": coded(TE, body=b"4\r<a/>\r\n0\r\n\r\n"),
    "data longer than its size": coded(TE, body=b"4\r\n<a/>x\r\n0\r\n\r\n"),
    "data not ended": coded(TE, body=b"4\r\n<a/>0\r\n\r\n"),
    "data ended by LF": coded(TE, body=b"4\r\n<a/>\n0\r\n\r\n"),
    "data ended by two bytes": coded(TE, body=b"4\r\n<a/>xx0\r\n\r\n"),
    "extension with a bare LF": coded(TE, body=b"4;a\nb\r\n<a/>\r\n0\r\n\r\n"),
    "extension with a bare CR": coded(TE, body=b"4;a\rb\r\n<a/>\r\n0\r\n\r\n"),
    "extension with a NUL": coded(TE, body=b"4;a\0\r\n<a/>\r\n0\r\n\r\n"),
    "extension without an end": coded(TE, body=b"4;" + b"a" * 70_000),
    "extension that is long": coded(TE, body=b"4;" + b"a" * 1_000_000 + b"\r\n<a/>\r\n0\r\n\r\n"),
    "extensions that are many": coded(TE, body=b"1;aaaa\r\nx\r\n" * 99_000 + b"0\r\n\r\n"),
    "trailer that is folded": coded(TE, body=b"4\r\n<a/>\r\n0\r\nX: y\r\n z\r\n\r\n"),
    "trailer without a colon": coded(TE, body=b"4\r\n<a/>\r\n0\r\nnonsense\r\n\r\n"),
    "trailers without an end": coded(TE, body=b"4\r\n<a/>\r\n0\r\n" + b"X: y\r\n" * 20_000),
    "trailer that is a length": coded(TE, body=b"4\r\n<a/>\r\n0\r\nContent-Length: 99\r\n\r\n"),
    "trailer that is a coding": coded(TE, body=b"4\r\n<a/>\r\n0\r\n" + TE.encode() + b"\r\n\r\n"),
    "last chunk ended by LF": coded(TE, body=b"4\r\n<a/>\r\n0\n\n"),
}

#: What is wrong with the lines.
LINES = {
    "not HTTP": b"nonsense\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(60) + b"\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/0.9": b"POST /sms\r\n\r\n",
    "another version": lined(b"POST /sms HTTP/1.2.3\r\n", _HOST, _XML, _LENGTH, b"\r\n<a/>"),
    "version 2": lined(b"POST /sms HTTP/2.0\r\n", _HOST, _XML, _LENGTH, b"\r\n<a/>"),
    "version 9": lined(b"POST /sms HTTP/9.9\r\n", _HOST, _XML, _LENGTH, b"\r\n<a/>"),
    "version in small letters": lined(b"POST /sms http/1.1\r\n", _HOST, _XML, _LENGTH, b"\r\n<a/>"),
    "a tab for a space": lined(b"POST\t/sms HTTP/1.1\r\n", _HOST, _XML, _LENGTH, b"\r\n<a/>"),
    "a space before the method": lined(
        b" POST /sms HTTP/1.1\r\n", _HOST, _XML, _LENGTH, b"\r\n<a/>"
    ),
    "a method in small letters": lined(
        b"post /sms HTTP/1.1\r\n", _HOST, _XML, _LENGTH, b"\r\n<a/>"
    ),
    "an address of control bytes": lined(
        b"POST /s\x01ms HTTP/1.1\r\n", _HOST, _XML, _LENGTH, b"\r\n<a/>"
    ),
    "every line ended by LF": post(XML).replace(b"\r\n", b"\n"),
    "the first line ended by LF": post(XML).replace(b"\r\n", b"\n", 1),
    "the head ended by LF": post(XML).replace(b"\r\n\r\n", b"\r\n\n"),
    "a header ended by CR": lined(_POST, _HOST, XML.encode() + b"\r", _LENGTH, b"\r\n<a/>"),
    "a header without a colon": lined(_POST, _HOST, b"nonsense\r\n", _XML, _LENGTH, b"\r\n<a/>"),
    "a header without a name": lined(_POST, _HOST, b": x\r\n", _XML, _LENGTH, b"\r\n<a/>"),
    "a header name with a space": lined(_POST, _HOST, b"X Y: z\r\n", _XML, _LENGTH, b"\r\n<a/>"),
    "a header name in brackets": lined(_POST, _HOST, b"X(y): z\r\n", _XML, _LENGTH, b"\r\n<a/>"),
    "a header name that is not ASCII": lined(
        _POST, _HOST, "X款: z\r\n".encode(), _XML, _LENGTH, b"\r\n<a/>"
    ),
    "a header of control bytes": lined(_POST, _HOST, b"X: \x01\r\n", _XML, _LENGTH, b"\r\n<a/>"),
    "a folded header": lined(_POST, _HOST, b"X: y\r\n z\r\n", _XML, _LENGTH, b"\r\n<a/>"),
    "a fold before all headers": lined(_POST, b" X: y\r\n", _HOST, _XML, _LENGTH, b"\r\n<a/>"),
    "two hosts": lined(_POST, _HOST, _HOST, _XML, _LENGTH, b"\r\n<a/>"),
    "a long header": post(XML, "X: " + "x" * 9000),
    "a long name": post(XML, "x" * 9000 + ": y"),
    "a long address": post(XML, path="/sms" + "x" * 9000),
    "many headers": post(XML, *[f"X{number}: y" for number in range(5000)]),
}

#: What asks for something else.
TURNS = {
    "CONNECT": b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "CONNECT to the path": post(XML).replace(b"POST", b"CONNECT"),
    "TRACE": post(XML).replace(b"POST", b"TRACE"),
    "a path in escapes": post(XML, path="/%73ms"),
    "a path with a dot": post(XML, path="/./sms"),
    "a path with two dots": post(XML, path="/x/../sms"),
    "a path with two slashes": post(XML, path="//sms"),
    "a path with a back-slash": post(XML, path="/x\\..\\sms"),
    "a path with a parameter": post(XML, path="/sms;x=y"),
    "a path with a fragment": post(XML, path="/sms#x"),
    "a path with a NUL in escapes": post(XML, path="/sms%00"),
    "an asterisk": post(XML, path="*"),
}

SHAPES = {
    f"{kind}: {name}": request
    for kind, shapes in (
        ("length", LENGTHS),
        ("coding", CODINGS),
        ("chunk", CHUNKS),
        ("line", LINES),
        ("turn", TURNS),
    )
    for name, request in shapes.items()
}
