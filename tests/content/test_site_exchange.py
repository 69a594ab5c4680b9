"""A site's own protocol, by files alone: another namespace, header, code table and PS810 body."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

import msh
from msh.transport.base import Peer, Reply
from tests.content.test_site import folder  # noqa: F401  # a fixture

BODY = (
    """<Payment xmlns="urn:site:body"><Serial>{}</Serial><Line><Value>{}</Value></Line></Payment>"""
)
PARTY = """profile = "ours"
store = "sqlite::memory:"
grace = 1
[party]
id = "{own}"
role = "{role}"
{listen}
[agreements.{peer}]
role = "{peer_role}"
protection = "none"
{terms}
"""
LISTEN = '[listen]\nurl = "http://127.0.0.1:0/ours"'


@pytest.fixture
def site(folder: Path) -> Path:  # noqa: F811
    """Beside another body: other header names, another namespace, and codes of its own."""
    profile = folder / "profile.toml"
    text = profile.read_text("utf-8")
    for old, new in (
        ('namespace = "urn:tdcc:psp:sms:3.4"', 'namespace = "urn:site:sms"'),
        ('prefix = "scoi"', 'prefix = "s"'),
        ('path = "/sms"', 'path = "/ours"'),
        ('block = "MessageHeader"', 'block = "Head"'),
        ('message_id = "MsgId"', 'message_id = "Serial"'),
        ('status = "StatusCode"', 'status = "Verdict"'),
        ('done = "PSPPM0000I"', 'done = "PSPPM0100I"'),
        ('format = "PSPPM0001S"', 'format = "PSPPM0101S"'),
    ):
        assert old in text
        text = text.replace(old, new, 1)
    profile.write_text(text, "utf-8")
    statuses = folder / "statuses.json"
    rows = json.loads(statuses.read_text("utf-8"))
    for code, kind, meaning in (("PSPPM0100I", "I", "done"), ("PSPPM0101S", "S", "refused")):
        row = {"text": "site", "gloss": "Site's own", "source": "PM"}
        rows.append({"code": code, "kind": kind, "meaning": meaning, **row})
    statuses.write_text(json.dumps(rows), "utf-8")
    return folder.parent


def party(folder: Path, own: str, peer: str, terms: str, listen: str = "") -> Path:  # noqa: F811
    roles = {"BIZ": "business", "PSP": "psp"}
    file = folder / f"{own}.toml"
    text = PARTY.format(
        own=own, role=roles[own], peer=peer, peer_role=roles[peer], terms=terms, listen=listen
    )
    file.write_text(text, "utf-8")
    return file


async def test_the_same_exchange_with_no_code_changed(site: Path) -> None:
    taken: list[msh.Message] = []
    accepts = 'accepts = ["PS810FTRQ"]'
    platform = msh.MessageServiceHandler.from_config(party(site, "PSP", "BIZ", accepts, LISTEN))

    @platform.on("PS810FTRQ")
    def transfer(request: msh.Message) -> msh.Reply:
        taken.append(request)
        return msh.Reply("PSPPM0100I")

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(platform)
        assert platform.url is not None
        assert platform.url.endswith("/ours")
        terms = f'endpoint = "{platform.url}"\nsends = ["PS810FTRQ"]'
        business = msh.MessageServiceHandler.from_config(party(site, "BIZ", "PSP", terms))
        await stack.enter_async_context(business)
        receipt = await business.send("PS810FTRQ", BODY.format("7", "1.50"))
        reply = await receipt.reply()
        assert str(reply.status) == "PSPPM0100I"
        assert [one.message_id for one in taken] == [receipt.message_id]
        with pytest.raises(msh.InvalidBody, match="Line/Value"):
            await business.send("PS810FTRQ", BODY.format("8", "1.505"))
        wire = await business.compose("PS810FTRQ", BODY.format("9", "1.50"))
        assert b'<s:Head xmlns:s="urn:site:sms">' in wire
        assert b"<s:Serial>" in wire
        answer = await platform.accept(wire.replace(b"1.50", b"wrong"), Peer("127.0.0.1"))
        assert isinstance(answer, Reply)
        assert b"<s:Verdict>PSPPM0101S</s:Verdict>" in answer.wire
        assert len(taken) == 1
