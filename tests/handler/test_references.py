"""SSNID and SVCREFID: of two messages with one of them, one is handled."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

import msh
from msh.content import References
from msh.envelope import parse
from msh.protocol.digest import message_digest
from msh.store import open_store
from tests.content.broken import MONDAY, PAY, changed, sample
from tests.handler.conftest import World
from tests.handler.test_rules import PROFILE, answered, at, receiver, wire

SSN, REF = "20261123000123", "FT20261123000123"


@pytest.fixture(autouse=True)
def _on_monday(world: World) -> None:
    at(world, MONDAY)


@pytest.mark.parametrize(
    ("own", "code"), [("BANK", "PSPBK0129E"), ("PSP", "PSPBK0129E"), ("BIZ", "PSPPM0001S")]
)
@pytest.mark.parametrize("kept", [SSN, REF])
async def test_another_message_with_one_of_them_is_refused(
    world: World, own: str, code: str, kept: str
) -> None:
    handler = await receiver(world, own)
    await answered(world, handler, wire(own, PAY, sample(PAY), "M-1"))
    other = sample(PAY).replace({SSN: f">{REF}", REF: f">{SSN}"}[kept], ">NEW", 1)
    sent = wire(own, PAY, other, "M-2")
    reply = await answered(world, handler, sent)
    assert str(reply.status) == code
    assert "SSNID or SVCREFID is that of another message" in reply.status_text
    assert handler.calls == ["M-1"]
    assert world.steps("M-2") == ["received", "refused"]
    assert (await answered(world, handler, sent)).status == reply.status
    assert world.steps("M-2")[-1] == "replayed"


async def test_new_ones_are_handled(world: World) -> None:
    handler = await receiver(world, "PSP")
    await answered(world, handler, wire("PSP", PAY, sample(PAY), "M-1"))
    other = changed(PAY, (f">{SSN}", ">S-2"), (f">{REF}", ">R-2"))
    await answered(world, handler, wire("PSP", PAY, other, "M-2"))
    assert handler.calls == ["M-1", "M-2"]


async def test_a_resend_is_no_second_message(world: World) -> None:
    handler = await receiver(world, "PSP")
    sent = wire("PSP", PAY, sample(PAY))
    replies = [(await world.post(handler, sent)).wire for _ in range(3)]
    assert len(set(replies)) == 1
    assert handler.calls == ["M-1"]


async def test_what_refers_to_a_request_carries_its_references(world: World) -> None:
    handler = await receiver(world, "PSP")
    await answered(world, handler, wire("PSP", PAY, sample(PAY), "M-1"))
    for number, service in enumerate(("PS811FTRRQ", "PS811FTRRQ", "PS830INQRQ", "PS830INQRQ")):
        assert SSN in sample(service)
        await answered(world, handler, wire("PSP", service, sample(service), f"R-{number}"))
    assert handler.calls == ["M-1", "R-0", "R-1", "R-2", "R-3"]


async def test_so_does_the_result_of_a_seal_verification(world: World) -> None:
    handler = await receiver(world, "PSP")
    await answered(world, handler, wire("PSP", "IS920VASRQ", sample("IS920VASRQ"), "M-1"))
    result = changed(
        "IS920VASRQ", ("<Kind>020", "<Kind>021"), ("</Ccy>", "</Ccy><Status>PSPBK0000I</Status>")
    )
    await answered(world, handler, wire("PSP", "IS920VASRQ", result, "M-2"))
    again = await answered(world, handler, wire("PSP", "IS920VASRQ", sample("IS920VASRQ"), "M-3"))
    assert handler.calls == ["M-1", "M-2"]
    assert str(again.status) == "PSPBK0129E"


@pytest.mark.parametrize("by", ["rule", "Refuse", "status", "schema"])
async def test_a_refused_message_frees_them(world: World, by: str) -> None:
    handler = world.handler("PSP", accepts=frozenset({PAY}), checks_content=True)
    calls = []

    @handler.on(PAY)
    def handle(message: msh.Message) -> msh.Reply:
        calls.append(message.message_id)
        if message.message_id == "M-1" and by == "Refuse":
            raise msh.Refuse("PSPBK0005E")
        return msh.Reply("PSPBK0005E" if message.message_id == "M-1" else "PSPPM0000I")

    await world.start(handler)
    wrong = {"rule": ("<PMTID>1", "<PMTID>0"), "schema": ("<PMTID>1", "<PMTID>x")}.get(by)
    first = changed(PAY, wrong) if wrong else sample(PAY)
    await answered(world, handler, wire("PSP", PAY, first, "M-1"))
    reply = await answered(world, handler, wire("PSP", PAY, sample(PAY), "M-2"))
    assert str(reply.status) == "PSPPM0000I"
    reply = await answered(world, handler, wire("PSP", PAY, sample(PAY), "M-3"))
    assert str(reply.status) == "PSPBK0129E"
    assert calls[-1] == "M-2"


async def test_a_failing_handler_keeps_them_while_it_runs_again(world: World) -> None:
    handler = world.handler("PSP", accepts=frozenset({PAY}), checks_content=True)
    runs = []

    @handler.on(PAY)
    async def handle(message: msh.Message) -> msh.Reply:
        runs.append(message.message_id)
        if len(runs) == 1:
            raise ValueError
        return msh.Reply("PSPPM0000I")

    await world.start(handler)
    first = asyncio.create_task(answered(world, handler, wire("PSP", PAY, sample(PAY), "M-1")))
    await world.clock.advance(1)
    second = await answered(world, handler, wire("PSP", PAY, sample(PAY), "M-2"))
    assert str(second.status) == "PSPBK0129E"
    await world.clock.advance(10)
    assert str((await first).status) == "PSPPM0000I"
    assert runs == ["M-1", "M-1"]


async def test_of_many_at_once_one_is_handled(world: World) -> None:
    handler = await receiver(world, "PSP")
    replies = await asyncio.gather(
        *(answered(world, handler, wire("PSP", PAY, sample(PAY), f"M-{n}")) for n in range(40))
    )
    codes = sorted(str(reply.status) for reply in replies)
    assert codes == ["PSPBK0129E"] * 39 + ["PSPPM0000I"]
    assert len(handler.calls) == 1


async def test_of_two_processes_one_handles(world: World, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/msh.db"
    one = await receiver(world, "PSP", store=open_store(url), url="memory://one/sms")
    two = await receiver(world, "PSP", store=open_store(url), url="memory://two/sms")
    for number in range(10):
        body = changed(PAY, (f">{SSN}", f">S-{number}"), (f">{REF}", f">R-{number}"))
        replies = await asyncio.gather(
            answered(world, one, wire("PSP", PAY, body, f"A-{number}")),
            answered(world, two, wire("PSP", PAY, body, f"B-{number}")),
        )
        assert sorted(str(reply.status) for reply in replies) == ["PSPBK0129E", "PSPPM0000I"]
    assert len(one.calls) + len(two.calls) == 10


async def test_whoever_takes_one_over_refuses_it(world: World) -> None:
    handler = await receiver(world, "PSP")
    await answered(world, handler, wire("PSP", PAY, sample(PAY), "M-1"))
    sent = wire("PSP", PAY, sample(PAY), "M-2")
    message = parse(sent, {PROFILE.namespace: PROFILE}).message
    lease = handler.agreements["BIZ"].handling.lease
    await handler.store.receive(
        message,
        message_digest(message),
        sent,
        world.clock.now(),
        lease,
        begin=True,
        references=References(SSN, REF),
    )  # by a process that is killed here
    await world.clock.advance(60)
    assert str((await answered(world, handler, sent)).status) == "PSPBK0129E"
    assert handler.calls == ["M-1"]


async def test_a_site_may_leave_the_rule_out(world: World) -> None:
    rules = tuple(rule for rule in PROFILE.content.rules if rule.name != "unique-references")
    profile = replace(PROFILE, content=replace(PROFILE.content, rules=rules))
    handler = await receiver(world, "PSP", profile=profile)
    for number in range(2):
        await world.post(handler, wire("PSP", PAY, sample(PAY), f"M-{number}"))
    assert handler.calls == ["M-0", "M-1"]
