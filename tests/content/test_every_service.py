"""Every one of the 26 services end to end over HTTP, with bodies that are checked on both sides."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

import msh
from msh.catalog import load
from msh.cli.samples import sample_body
from msh.envelope import normal_body

REQUESTS = sorted(row.code for row in load().services.values() if row.kind == "request")
CODES = {"PSP": "PSPPM0000I", "BANK": "PSPBK0000I"}

PARTY = """store = "sqlite::memory:"
grace = 1
[party]
id = "{own}"
role = "{role}"
[listen]
url = "http://127.0.0.1:0/sms"
[agreements.{peer}]
role = "{peer_role}"
protection = "none"
checks_content = true
{terms}
"""
ROLES = {"PSP": "psp", "BANK": "bank"}


def configured(folder: Path, own: str, peer: str, terms: str) -> msh.MessageServiceHandler:
    file = folder / f"{own}.toml"
    roles = {"own": own, "peer": peer, "role": ROLES[own], "peer_role": ROLES[peer]}
    file.write_text(PARTY.format(**roles, terms=terms), "utf-8")
    return msh.MessageServiceHandler.from_config(file)


class Pair:
    """A sender and a receiver of every service, each with a file of its own settings."""

    def __init__(self, sender: msh.MessageServiceHandler, own: str) -> None:
        self.sender = sender
        self.own = own
        self.taken: list[msh.Message] = []
        self.replies: dict[str, bytes] = {}

    def answer(self, request: msh.Message) -> msh.Reply:
        """The sample of the reply that belongs to the request."""
        self.taken.append(request)
        reply = load().reply_for(request.service)
        assert reply is not None
        body = sample_body(reply)
        self.replies[reply] = normal_body(body)
        return msh.Reply(CODES[self.own], body=body)


@pytest.fixture(params=["PSP", "BANK"])
async def pair(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    """Platform and bank: either receives what the other sends."""
    receives = request.param
    sends = "BANK" if receives == "PSP" else "PSP"
    receiver = configured(tmp_path, receives, sends, f"accepts = {REQUESTS!r}")
    async with AsyncExitStack() as stack:
        pair = Pair(receiver, receives)
        receiver.on(*REQUESTS)(pair.answer)
        await stack.enter_async_context(receiver)
        terms = f'endpoint = "{receiver.url}"\nsends = {REQUESTS!r}'
        pair.sender = configured(tmp_path, sends, receives, terms)
        await stack.enter_async_context(pair.sender)
        yield pair


async def test_every_service_is_sent_taken_and_answered(pair: Pair) -> None:
    """Each request with its sample body arrives as it was, and so does its reply."""
    seen: set[str] = set()
    for service in REQUESTS:
        body = sample_body(service)
        receipt = await pair.sender.send(service, body)
        reply = await receipt.reply()
        assert str(reply.status) == CODES[pair.own], (service, reply.status_text)
        assert pair.taken[-1].service == service
        assert pair.taken[-1].body == normal_body(body)
        assert reply.body == pair.replies[reply.service]
        seen |= {service, reply.service}
    assert seen == set(load().services)
    assert len(seen) == 26
