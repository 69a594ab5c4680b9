"""The transport's contract suite.

To run it on a transport of your own::

    class TestMyTransport(TransportContract):
        direct = True

        @pytest.fixture
        async def parties(self):
            sender, listener = MyTransport(), MyTransport()
            yield Parties(sender, listener, "mine://localhost/inbox", "mine://localhost/nobody")
            await sender.close()
            await listener.close()

With ``direct``, a connection leads to the listener itself, so that its absence and its silence
are seen at once (a queue has neither). The tests are plain ``async def``; they want
pytest-asyncio in its auto mode.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

import pytest

from msh.errors import Busy, NoAnswer, NotSent, Rejected, UsageError
from msh.protection import PeerCertificate
from msh.transport.base import (
    Accept,
    Acceptance,
    Forbidden,
    NotNow,
    Peer,
    Reply,
    Silence,
    Taken,
    Transport,
    Unreadable,
)

#: Seconds that an exchange may take which is expected to be answered.
SOON = 5.0
#: Seconds to wait for an answer that never comes.
BRIEF = 0.1
#: The largest message over HTTP (TDCC PSP 9.7.5, 5), in bytes.
LARGEST = 1_048_576

WIRES = {
    "ordinary": b'<?xml version="1.0" encoding="UTF-8"?>\n<a>1</a>',
    "one byte": b"<",
    "line ends": b"<a>\r\n\n\r\t </a>\r\n",
    "UTF-8 of every length": "<a>$ä款項收付服務平台\U00020000\x7f\x00</a>".encode(),
    "looks like HTTP": b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    "largest": b"<a>" + bytes(range(256)) * 4096 + b"</a>",
}
WIRES["largest"] = WIRES["largest"][:LARGEST]


@dataclass(frozen=True, slots=True)
class Parties:
    """Two transports, where the second can listen, and where nobody does.

    ``certificate`` names the sender's, if the listener sees one.
    """

    sender: Transport
    listener: Transport
    listen_at: str
    nobody_at: str
    certificate: PeerCertificate | None = None


class Inbox:
    """An `Accept` that keeps what came, and decides with ``decision``.

    With ``hold`` it decides only once `let_go` was called; ``entered`` is set by what arrives,
    and ``ended`` counts the decisions.
    """

    def __init__(
        self, decision: Callable[[bytes], Acceptance] = Reply, *, hold: bool = False
    ) -> None:
        self.decision = decision
        self.wires: list[bytes] = []
        self.peers: list[Peer] = []
        self.entered = asyncio.Event()
        self.ended = 0
        self._may_go = asyncio.Event()
        if not hold:
            self._may_go.set()

    def let_go(self) -> None:
        """Decide now."""
        self._may_go.set()

    async def __call__(self, wire: bytes, peer: Peer, stored: Callable[[], None]) -> Acceptance:
        """Keep ``wire`` and decide."""
        self.wires.append(wire)
        self.peers.append(peer)
        stored()
        self.entered.set()
        await self._may_go.wait()
        self.ended += 1
        return self.decision(wire)


class Gatekeeper:
    """A `Gate` that admits everybody or nobody, and keeps who asked."""

    def __init__(self) -> None:
        self.open = False
        self.asked: list[Peer] = []

    def expects(self, address: str) -> bool:
        """Whether it is open."""
        return self.open

    def admits(self, peer: Peer) -> bool:
        """Whether it is open."""
        self.asked.append(peer)
        return self.open


async def ready() -> bool:
    """A listener's answer to the readiness question."""
    return True


async def listening(parties: Parties, accept: Accept) -> str:
    """Let the listener serve ``accept``; returns the endpoint."""
    return await parties.listener.listen(parties.listen_at, accept, ready)


async def soon(condition: Callable[[], bool]) -> None:
    """Return once ``condition`` holds; fail if that takes too long."""
    async with asyncio.timeout(SOON):
        while not condition():
            await asyncio.sleep(0.005)


class TransportContract:
    """Every sentence of `msh.transport.base.Transport`, as tests."""

    #: Whether a connection leads to the listener itself, and not to a queue between.
    direct: ClassVar[bool] = True

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if not cls.direct:
            for name in ("test_nobody_listens", "test_silence", "test_nobody_listens_any_more"):
                setattr(cls, name, None)  # not a test of this transport

    @pytest.fixture
    async def held(self, parties: Parties) -> AsyncIterator[Inbox]:
        """An inbox that decides when told to, and at the latest when the test ends."""
        inbox = Inbox(hold=True)
        yield inbox
        inbox.let_go()

    # bytes there and back

    @pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)
    async def test_bytes_arrive_and_come_back_as_they_are(
        self, parties: Parties, wire: bytes
    ) -> None:
        inbox = Inbox(lambda wire: Reply(wire[::-1]))
        response = await parties.sender.exchange(await listening(parties, inbox), wire, SOON)
        assert inbox.wires == [wire]
        assert response.wire == wire[::-1]
        assert not response.reconnected

    async def test_the_peer_has_an_address(self, parties: Parties) -> None:
        inbox = Inbox()
        await parties.sender.exchange(await listening(parties, inbox), b"<a/>", SOON)
        assert inbox.peers[0].address
        assert inbox.peers[0].certificate == parties.certificate

    async def test_exchanges_at_once_do_not_mix(self, parties: Parties) -> None:
        endpoint = await listening(parties, Inbox(lambda wire: Reply(b"to " + wire)))
        sent = [b"<a>%d</a>" % number for number in range(50)]
        responses = await asyncio.gather(
            *(parties.sender.exchange(endpoint, wire, SOON) for wire in sent)
        )
        assert [response.wire for response in responses] == [b"to " + wire for wire in sent]

    async def test_a_slow_one_does_not_stall_the_next(self, parties: Parties, held: Inbox) -> None:
        endpoint = await listening(parties, held)
        first = asyncio.ensure_future(parties.sender.exchange(endpoint, b"<a/>", SOON))
        second = asyncio.ensure_future(parties.sender.exchange(endpoint, b"<b/>", SOON))
        await soon(lambda: len(held.wires) == 2)
        held.let_go()
        assert [r.wire for r in await asyncio.gather(first, second)] == [b"<a/>", b"<b/>"]

    # every other outcome

    async def test_nobody_listens(self, parties: Parties) -> None:
        with pytest.raises(NotSent) as caught:
            await parties.sender.exchange(parties.nobody_at, b"<a/>", SOON)
        assert not caught.value.reconnected

    async def test_silence(self, parties: Parties) -> None:
        inbox = Inbox(lambda wire: Silence())
        endpoint = await listening(parties, inbox)
        with pytest.raises(NoAnswer) as caught:
            await parties.sender.exchange(endpoint, b"<a/>", SOON)
        assert inbox.wires == [b"<a/>"]
        assert not caught.value.reconnected

    async def test_no_answer_in_time(self, parties: Parties, held: Inbox) -> None:
        endpoint = await listening(parties, held)
        with pytest.raises(NoAnswer):
            async with asyncio.timeout(SOON):
                await parties.sender.exchange(endpoint, b"<a/>", BRIEF)

    async def test_come_back_later(self, parties: Parties) -> None:
        endpoint = await listening(parties, Inbox(lambda wire: NotNow(timedelta(seconds=1))))
        with pytest.raises(Busy):
            await parties.sender.exchange(endpoint, b"<a/>", SOON)

    async def test_unreadable(self, parties: Parties) -> None:
        endpoint = await listening(parties, Inbox(lambda wire: Unreadable(b"<secret/>")))
        with pytest.raises(Rejected) as caught:
            await parties.sender.exchange(endpoint, b"<a/>", SOON)
        assert "secret" not in str(caught.value)

    async def test_forbidden(self, parties: Parties) -> None:
        inbox = Inbox(lambda wire: Forbidden())
        endpoint = await listening(parties, inbox)
        with pytest.raises(Rejected):
            await parties.sender.exchange(endpoint, b"<a/>", SOON)
        inbox.decision = Reply
        assert (await parties.sender.exchange(endpoint, b"<b/>", SOON)).wire == b"<b/>"

    async def test_nothing_of_whom_the_gate_refuses_reaches_accept(self, parties: Parties) -> None:
        inbox, gate = Inbox(), Gatekeeper()
        endpoint = await parties.listener.listen(parties.listen_at, inbox, ready, gate)
        for _ in range(2):
            with pytest.raises(Rejected):
                await parties.sender.exchange(endpoint, b"<a/>", SOON)
        assert inbox.wires == []
        assert [peer.certificate for peer in gate.asked] == [parties.certificate] * 2
        gate.open = True
        assert (await parties.sender.exchange(endpoint, b"<b/>", SOON)).wire == b"<b/>"

    async def test_taken(self, parties: Parties) -> None:
        inbox = Inbox(lambda wire: Taken())
        endpoint = await listening(parties, inbox)
        with pytest.raises(NoAnswer):
            await parties.sender.exchange(endpoint, b"<a/>", SOON)
        assert inbox.wires == [b"<a/>"]

    async def test_an_outcome_says_nothing_of_the_next(self, parties: Parties) -> None:
        inbox = Inbox(lambda wire: NotNow(timedelta(seconds=1)))
        endpoint = await listening(parties, inbox)
        for _ in range(3):
            with pytest.raises(Busy):
                await parties.sender.exchange(endpoint, b"<a/>", SOON)
        inbox.decision = Reply
        assert (await parties.sender.exchange(endpoint, b"<b/>", SOON)).wire == b"<b/>"

    # the life of what was begun

    async def test_work_outlives_a_sender_that_gave_up(self, parties: Parties, held: Inbox) -> None:
        endpoint = await listening(parties, held)
        exchange = asyncio.ensure_future(parties.sender.exchange(endpoint, b"<a/>", SOON))
        await held.entered.wait()
        exchange.cancel()
        await asyncio.wait([exchange])
        await parties.sender.close()
        await asyncio.sleep(BRIEF)
        assert held.ended == 0
        held.let_go()
        await soon(lambda: held.ended == 1)

    async def test_stopping_answers_what_is_in_hand(self, parties: Parties, held: Inbox) -> None:
        endpoint = await listening(parties, held)
        exchange = asyncio.ensure_future(parties.sender.exchange(endpoint, b"<a/>", SOON))
        await held.entered.wait()
        stopping = asyncio.ensure_future(parties.listener.stop_listening())
        await asyncio.sleep(BRIEF)
        assert not stopping.done()
        held.let_go()
        assert (await exchange).wire == b"<a/>"
        async with asyncio.timeout(SOON):
            await stopping

    async def test_stopping_waits_for_work_whose_sender_has_gone(
        self, parties: Parties, held: Inbox
    ) -> None:
        endpoint = await listening(parties, held)
        with pytest.raises(NoAnswer):
            await parties.sender.exchange(endpoint, b"<a/>", BRIEF)
        closing = asyncio.ensure_future(parties.listener.close())
        await asyncio.sleep(BRIEF)
        assert not closing.done()
        held.let_go()
        async with asyncio.timeout(SOON):
            await closing
        assert held.ended == 1

    async def test_nobody_listens_any_more(self, parties: Parties) -> None:
        inbox = Inbox()
        endpoint = await listening(parties, inbox)
        await parties.sender.exchange(endpoint, b"<a/>", SOON)
        await parties.listener.stop_listening()
        with pytest.raises((NotSent, NoAnswer)):
            await parties.sender.exchange(endpoint, b"<b/>", SOON)
        assert inbox.wires == [b"<a/>"]

    async def test_listening_again(self, parties: Parties) -> None:
        await listening(parties, Inbox())
        await parties.listener.stop_listening()
        endpoint = await listening(parties, Inbox(lambda wire: Reply(b"<again/>")))
        assert (await parties.sender.exchange(endpoint, b"<a/>", SOON)).wire == b"<again/>"

    async def test_listening_twice_at_once(self, parties: Parties) -> None:
        await listening(parties, Inbox())
        with pytest.raises(UsageError):
            await listening(parties, Inbox())

    async def test_stopping_and_closing_may_be_repeated(self, parties: Parties) -> None:
        await listening(parties, Inbox())
        for _ in range(2):
            await parties.listener.stop_listening()
            await parties.listener.close()
