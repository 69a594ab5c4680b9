"""Whoever is not authentic: counted, told little and not too often, and never stored."""

from __future__ import annotations

from ipaddress import ip_network

import msh
from msh.protection import PeerCertificate, Source
from msh.receiver import STRANGER_BURST
from msh.transport.base import Forbidden, Peer, Reply, Silence
from msh.transport.http import HttpTransport
from tests.handler.conftest import BODY
from tests.transport.requests import XML, Server, post

HERE = Source(addresses=(ip_network("10.1.0.0/16"), ip_network("2001:db8::/32")))
CERTIFICATE = PeerCertificate("0A1B", "CN=Test CA,O=Bank")


async def wire_of(world) -> bytes:
    business = world.handler("BIZ")
    return await business.compose("PS810FTRQ", BODY)


async def test_refusals_of_one_address_are_limited_and_leave_no_row(world) -> None:
    platform = await world.platform()
    stranger, other = Peer("192.0.2.1"), Peer("192.0.2.2")
    answers = [await platform.accept(b"<nonsense/>", stranger) for _ in range(STRANGER_BURST + 20)]
    assert sum(isinstance(answer, Silence) for answer in answers) >= 19
    assert not isinstance(await platform.accept(b"<nonsense/>", other), Silence)
    assert sum(platform.receiver.refused.values()) == STRANGER_BURST + 21
    assert await platform.store.receptions() == []
    assert await platform.store.last_entry() == 0
    # A genuine message from the same address (a proxy's, say) is taken all the same.
    assert isinstance(await platform.accept(await wire_of(world), stranger), Reply)


async def test_one_line_tells_of_the_latest_whatever_it_claims(world, caplog) -> None:
    source = Source(certificates=(CERTIFICATE,))
    platform = await world.platform(source=source)
    other = PeerCertificate("0A1C", "CN=Odd\nCA," + 300 * "x")
    for _ in range(3):
        await platform.accept(await wire_of(world), Peer("192.0.2.1\x1b[2J", other))
    (line,) = [one.getMessage() for one in caplog.records if "refused unread" in one.getMessage()]
    assert "the latest from 192.0.2.1?[2J, TLS certificate 0A1C of the issuer CN=Odd?CA,xx" in line
    assert line.isprintable()
    assert len(line) < 400
    caplog.clear()
    wire = (await wire_of(world)).replace(b">BIZ<", b">BIX<")
    await platform.accept(wire, Peer("192.0.2.1", CERTIFICATE))
    assert "claiming to be PS810FTRQ BIZ-" in caplog.text
    assert " of BIX to PSP" in caplog.text


async def test_the_addresses_of_one_ipv6_network_are_one_place(world) -> None:
    platform = await world.platform()
    answers = [
        await platform.accept(b"<nonsense/>", Peer(f"2001:db8::{number:x}"))
        for number in range(1, STRANGER_BURST + 2)
    ]
    assert isinstance(answers[-1], Silence)
    assert not isinstance(await platform.accept(b"<nonsense/>", Peer("2001:db8:0:1::1")), Silence)


async def test_messages_come_from_the_agreed_addresses_only(world) -> None:
    platform = await world.platform(source=HERE)
    wire = await wire_of(world)
    assert isinstance(await platform.accept(wire, Peer("192.0.2.1")), Forbidden)
    assert isinstance(await platform.accept(wire, Peer("nowhere")), Forbidden)
    # Nothing is read first: it could not be.
    assert isinstance(await platform.accept(b"<nonsense", Peer("192.0.2.1")), Forbidden)
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "2001:db8::1"):
        answer = await platform.accept(wire, Peer(address))
        assert b"PSPPM0000I" in answer.wire
    assert len(platform.calls) == 1


async def test_over_http_the_address_is_asked_for_before_the_body(world) -> None:
    platform = world.handler("PSP", source=HERE)
    listening = msh.MessageServiceHandler(
        platform.agreements,
        "sqlite::memory:",
        listen="http://127.0.0.1:0/sms",
        transports={"memory": world.network.transport()},
    )

    @listening.on("PS810FTRQ", "PS811FTRRQ", "PS830INQRQ")
    async def handle(message: msh.Message) -> msh.Reply:
        raise AssertionError("nothing may be handled")

    async with listening:
        server = Server(HttpTransport(), listening.url)
        head = post(XML, "Content-Length: 1048576", body=b"", length=False)
        assert await server.status(head) == 403
        assert listening.receiver.refused.total() == 1
        live = b"GET /health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        assert await server.status(live) == 200
        # inside a web framework too
        sent = []

        async def send(event) -> None:
            sent.append(event)

        async def receive() -> None:
            raise AssertionError("nothing may be read")

        headers = [(b"content-type", b"text/xml")]
        scope = {"type": "http", "method": "POST", "path": "/sms", "headers": headers}
        await listening.asgi()({**scope, "client": ("192.0.2.1", 1)}, receive, send)
        assert sent[0]["status"] == 403
        assert listening.receiver.refused.total() == 2


async def test_a_party_is_bound_to_its_certificate(world) -> None:
    platform = await world.platform(source=Source(certificates=(CERTIFICATE,)))
    wire = await wire_of(world)
    for wrong in (None, PeerCertificate("0A1C", CERTIFICATE.issuer)):
        assert isinstance(await platform.accept(wire, Peer("10.1.2.3", wrong)), Forbidden)
    answer = await platform.accept(wire, Peer("10.1.2.3", CERTIFICATE))
    assert b"PSPPM0000I" in answer.wire


async def test_the_source_of_one_party_does_not_speak_for_another(world) -> None:
    """With two agreements, an address of the one is refused for the other, unprotected."""
    platform = world.handler("PSP", source=HERE)
    terms = platform.agreements["BIZ"]
    bank = world.handler("PSP", peer="BANK", source=Source(addresses=(ip_network("10.9.0.0/16"),)))
    both = msh.MessageServiceHandler(
        msh.Agreements.of("PSP", [terms, bank.agreements["BANK"]]),
        platform.store,
        transports={"memory": world.network.transport()},
        clock=world.clock,
    )

    @both.on("PS810FTRQ", "PS811FTRRQ", "PS830INQRQ")
    async def handle(message: msh.Message) -> msh.Reply:
        raise AssertionError("nothing may be handled")

    await world.start(both)
    answer = await both.accept(await wire_of(world), Peer("10.9.0.1"))
    assert b"PSPPM0001E" in answer.wire
    assert await both.store.receptions() == []
