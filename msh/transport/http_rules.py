"""What the HTTP side takes and what it answers, without any I/O: one place decides.

The aiohttp listener and the ASGI application both follow these rules.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from msh.protection import PeerCertificate
from msh.protocol.source import Network, contains, read_address
from msh.transport.base import Acceptance, Forbidden, NotNow, Peer, Reply, Taken, Unreadable

XML = "text/xml; charset=utf-8"
LIVE, READY = "/health/live", "/health/ready"


@dataclass(frozen=True, slots=True)
class ListenLimits:
    """How much, and how slowly, a peer may send. Sizes in bytes, times in seconds.

    A body must arrive within ``body_seconds``, and after ``grace_seconds`` at ``least_rate``
    bytes a second or faster; one that is not complete when the listener is told to stop, within
    ``stopping_seconds`` of that.

    There are at most ``connections`` at once, ``connections_each`` from one address (of IPv6 from
    one /64), and fewer if the process may not open so many files, of which it keeps
    ``spare_descriptors``. Addresses that no agreement admits have ``strangers`` of them together,
    and ``strangers_each``. ``unfinished_each`` is how many bytes of bodies that are not complete
    are kept for one address.
    """

    max_bytes: int = 1_048_576
    header_seconds: float = 10.0
    body_seconds: float = 30.0
    grace_seconds: float = 5.0
    least_rate: float = 1024.0
    stopping_seconds: float = 1.0
    connections: int = 800  # with spare_descriptors, within the 1,024 files of most systems
    connections_each: int = 200
    strangers: int = 100
    strangers_each: int = 10
    spare_descriptors: int = 128
    unfinished_each: int = 33_554_432

    def body_deadline(self, received: int) -> float:
        """Seconds after the head by which more than ``received`` bytes must have come."""
        return min(self.body_seconds, self.grace_seconds + received / self.least_rate)


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer. ``close``: the rest of the request is not read."""

    status: int
    body: bytes = b""
    content_type: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    close: bool = False


TOO_LARGE = Answer(413, close=True)
TOO_SLOW = Answer(408, close=True)
FAILED = Answer(500, close=True)
OTHER_VERSION = Answer(505, close=True)
#: A body that was cut because the listener stops, or its peer has too many: nothing was read.
STOPPING = CROWDED = Answer(503, headers=(("Retry-After", "5"),), close=True)
FORBIDDEN = Answer(403, close=True)
AMBIGUOUS = Answer(400, close=True)
#: What the log says of that.
CONTRADICTION = (
    "a proxy's headers contradict themselves (X-CIP is one address and no port, X-CSN and X-ISR "
    "come together, and none of them twice)"
)


def refuse_head(
    method: str,
    path: str,
    own_path: str,
    header: Callable[[str], Sequence[str]],
    limits: ListenLimits,
    version: str = "1.1",
) -> Answer | None:
    """The refusal that a request's head deserves, before any of its body is read.

    ``header`` gives all values of a header by its lower-case name; ``version`` is that of HTTP.
    """
    if path in (LIVE, READY):
        return Answer(405, headers=(("Allow", "GET"),), close=True)
    if path != own_path:
        return Answer(404, close=True)
    if method != "POST":
        return Answer(405, headers=(("Allow", "POST"),), close=True)
    coding = [value.strip().lower() for value in header("transfer-encoding")]
    if coding not in ([], ["chunked"]) or (coding and header("content-length")):
        return Answer(400, close=True)
    if coding and version == "1.0":  # RFC 9112, 6.1: a length that cannot be relied on
        return Answer(400, close=True)
    if any(value.strip().lower() not in ("", "identity") for value in header("content-encoding")):
        return Answer(415, close=True)
    if not _is_xml(header("content-type")):
        return Answer(415, close=True)
    lengths = header("content-length")
    if lengths and (len(lengths) > 1 or not (lengths[0].isascii() and lengths[0].isdigit())):
        return Answer(400, close=True)
    if any(value.strip().lower() != "100-continue" for value in header("expect")):
        return Answer(417, close=True)
    if lengths and (len(lengths[0]) > 12 or int(lengths[0]) > limits.max_bytes):
        return TOO_LARGE
    return None


def _is_xml(values: Sequence[str]) -> bool:
    return len(values) == 1 and _is_xml_type(values[0])


@lru_cache(maxsize=256)
def _is_xml_type(value: str) -> bool:
    kind, *parameters = (part.strip().lower() for part in value.split(";"))
    if kind != "text/xml":
        return False
    named = [parameter.partition("=") for parameter in parameters]
    charsets = [value.strip("\"' ") for name, _, value in named if name.strip() == "charset"]
    return all(charset in ("utf-8", "utf8") for charset in charsets)


def peer_behind(
    direct: Peer, header: Callable[[str], Sequence[str]], proxies: Sequence[Network]
) -> Peer | Answer:
    """Who sent a request: ``direct``, or, if that is one of ``proxies``, whom the headers name.

    X-CIP is the client's IP address, X-CSN and X-ISR are its certificate's serial number and
    issuer. From anybody else they mean nothing. What a proxy leaves out is unknown; it is never
    taken from the proxy's own connection. Headers given twice, half a certificate, or an address
    that is none are refused: a client may have written them, and the proxy passed them on.
    """
    if not proxies or not contains(proxies, direct.address):
        return direct
    given = []
    for name in ("x-cip", "x-csn", "x-isr"):
        values = header(name)
        if len(values) > 1:
            return AMBIGUOUS
        given.append(values[0].strip() if values else "")
    address, serial, issuer = given
    if bool(serial) != bool(issuer) or (address and read_address(address) is None):
        return AMBIGUOUS
    return Peer(address, PeerCertificate(serial, issuer) if serial else None)


def answer_to(acceptance: Acceptance) -> Answer | None:
    """The HTTP answer for what the receiver decided; None for silence."""
    match acceptance:
        case Reply(wire):
            return Answer(200, wire, XML)
        case Taken():
            return Answer(202)
        case NotNow(after):
            seconds = max(1, math.ceil(after.total_seconds()))
            return Answer(503, headers=(("Retry-After", str(seconds)),))
        case Unreadable(fault):
            return Answer(400, fault, XML)
        case Forbidden():
            return FORBIDDEN
        case _:
            return None


def health(path: str, ready: bool) -> Answer | None:
    """The answer to a question for health; None for any other path."""
    if path == LIVE:
        return Answer(200, b'{"status":"alive"}\n', "application/json")
    if path == READY:
        body = b'{"status":"ready"}\n' if ready else b'{"status":"not ready"}\n'
        return Answer(200 if ready else 503, body, "application/json")
    return None
