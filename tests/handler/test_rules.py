"""Business rules at the receiver: which code a real message is answered with, role by role."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

import msh
from msh.content import Rule
from msh.envelope import normal_body, parse, serialise
from msh.errors import InvalidBody, KeyReused
from msh.profile import Role
from msh.profiles import standard_profile
from msh.testing.clock import VirtualClock
from msh.testing.network import Network
from tests.content.broken import ALL, MONDAY, PAY, Case, changed, sample
from tests.handler.conftest import World

PROFILE = standard_profile()
REQUESTS = frozenset(c for c, row in PROFILE.catalog.services.items() if row.kind == "request")
#: What the three roles answer where that is not the rule's own code.
OTHERS = {
    ("PSP", "currency"): "PSPPM0001S",
    ("PSP", "amount-digits"): "PSPPM0001S",
    ("PSP", "result-status"): "PSPPM0001S",
    ("PSP", "message-kind"): "PSPPM0002E",
    ("BIZ", "message-kind"): "PSPPM0002E",
}
OWN_CODES = {rule.name: str(rule.code) for rule in PROFILE.content.rules}


async def receiver(world: World, own: str, **changes: object) -> msh.MessageServiceHandler:
    """A party that takes every request and looks into its body; ``calls`` are what was handled."""
    handler = world.handler(own, **{"accepts": REQUESTS, "checks_content": True, **changes})
    handler.calls = []
    done = f"PSP{'BK' if own == 'BANK' else 'PM'}0000I"

    @handler.on(*next(iter(handler.agreements)).accepts)
    async def handle(message: msh.Message) -> msh.Reply:
        handler.calls.append(message.message_id)
        return msh.Reply(done)

    return await world.start(handler)


def wire(own: str, service: str, body: str, message_id: str = "M-1", moment=MONDAY) -> bytes:
    """A request to ``own`` as it comes from the other side."""
    message = msh.Message(
        service=service,
        message_id=message_id,
        sender="PSP" if own == "BIZ" else "BIZ",
        receiver=own,
        timestamp=moment,
        body=normal_body(body),
        expires=moment + timedelta(hours=1),
    )
    return serialise(message, PROFILE)


async def answered(world: World, handler: msh.MessageServiceHandler, sent: bytes) -> msh.Message:
    """The reply to these bytes."""
    acceptance = await world.post(handler, sent)
    return parse(acceptance.wire, {PROFILE.namespace: PROFILE}).message


def at(world: World, moment: datetime) -> None:
    """Let the world's time begin at ``moment``."""
    world.clock = VirtualClock(moment, busy=world._busy)
    world.network = Network(world.clock)


def expected(own: str, rule: str) -> str:
    if own == "BIZ":
        return OTHERS.get((own, rule), "PSPPM0001S")
    return OTHERS.get((own, rule), OWN_CODES[rule])


@pytest.mark.parametrize("own", ["BANK", "PSP", "BIZ"])
@pytest.mark.parametrize("case", ALL, ids=lambda case: f"{case.rule}-{case.service}")
async def test_the_code_of_each_rule(world: World, own: str, case: Case) -> None:
    if case.bank and own != "BANK":
        case = replace(case, bank="")
    at(world, case.moment)
    handler = await receiver(world, own, bank=case.bank)
    sent = wire(own, case.service, case.body, moment=case.moment)
    reply = await answered(world, handler, sent)
    if case.rule == "own-debit" and own != "BANK":
        assert handler.calls == ["M-1"]  # only a bank has debits of its own
        return
    assert str(reply.status) == expected(own, case.rule)
    assert case.said in reply.status_text
    named = f"(rule {case.rule})" in reply.status_text
    assert named is (expected(own, case.rule) != OWN_CODES[case.rule])
    assert handler.calls == []
    assert world.steps("M-1") == ["received", "refused"]
    again = await world.post(handler, sent)
    await world.clock.advance(90)
    assert (await world.post(handler, sent)).wire == again.wire


@pytest.mark.parametrize("own", ["BANK", "PSP", "BIZ"])
@pytest.mark.parametrize("service", sorted(REQUESTS))
async def test_the_samples_are_handled(world: World, own: str, service: str) -> None:
    at(world, MONDAY)
    handler = await receiver(world, own)
    await answered(world, handler, wire(own, service, sample(service)))
    assert handler.calls == ["M-1"]


async def test_a_day_is_that_of_the_first_receipt(world: World) -> None:
    evening = MONDAY.replace(hour=15, minute=59, second=50)  # 23:59:50 in Taipei
    runs = []
    at(world, evening)
    handler = world.handler("PSP", accepts=frozenset({PAY}), checks_content=True)

    @handler.on(PAY)
    async def handle(message: msh.Message) -> msh.Reply:
        runs.append(world.clock.now())
        if len(runs) < 3:
            raise ValueError
        return msh.Reply("PSPPM0000I")

    await world.start(handler)
    sent = wire("PSP", PAY, sample(PAY), moment=evening)
    first = asyncio.create_task(world.post(handler, sent))
    await world.clock.advance(30)
    await first
    assert runs[-1] >= evening + timedelta(seconds=10)
    assert str((await answered(world, handler, sent)).status) == "PSPPM0000I"


async def test_without_content_checks_anything_goes(world: World) -> None:
    at(world, MONDAY)
    handler = await receiver(world, "PSP", checks_content=False)
    await answered(world, handler, wire("PSP", PAY, changed(PAY, ("<PMTID>1", "<PMTID>0"))))
    assert handler.calls == ["M-1"]


async def test_a_site_answers_its_own_code_and_its_own_rules(world: World) -> None:
    def no_names(facts: object) -> str | None:
        """No credit names anybody."""
        return "a name stands there"

    ours = Rule("no-names", PROFILE.content.rules[8].code, frozenset({PAY}), no_names)
    bank = PROFILE.roles[Role.BANK]
    code = msh.StatusCode.parse("PSPBK0008E")
    profile = replace(
        PROFILE,
        content=replace(PROFILE.content, rules=(ours,)),
        roles={**PROFILE.roles, Role.BANK: replace(bank, by_rule={"no-names": code})},
    )
    at(world, MONDAY)
    handler = await receiver(world, "BANK", profile=profile)
    message = wire("BANK", PAY, changed(PAY, ("<PMTID>1", "<PMTID>0")))
    acceptance = await world.post(handler, message)
    reply = parse(acceptance.wire, {profile.namespace: profile}).message
    assert str(reply.status) == "PSPBK0008E"
    assert reply.status_text.endswith("a name stands there (rule no-names)")


# the sending side


async def test_a_sender_is_told_all_before_anything_is_stored(world: World) -> None:
    at(world, MONDAY)
    business = await world.business(checks_content=True)
    body = changed(PAY, ("<PMTID>1", "<PMTID>0"), ("<Amt>75000.00", "<Amt>75000.01"))
    with pytest.raises(InvalidBody) as caught:
        await business.send(PAY, body)
    assert str(caught.value) == (
        "PS810FTRQ: PmtSvc: debits and credits come to different amounts (rule sum-amounts, "
        "PSPBK0111E); PmtSvc/PMTID is 0 (rule group-id, PSPBK0126E)"
    )
    assert await business.store.deliveries() == []
    assert await business.send(PAY, sample(PAY))


@pytest.mark.parametrize("name", ["key", "message_id"])
async def test_a_caller_may_repeat_itself_on_a_later_day(world: World, name: str) -> None:
    """What is on disk must not be told as refused, or it would be paid once more."""
    at(world, MONDAY)
    business = await world.business(checks_content=True)
    receipt = await business.send(PAY, sample(PAY), **{name: "invoice-17"})
    await world.clock.advance_to(MONDAY + timedelta(days=1))
    again = await business.send(PAY, sample(PAY), **{name: "invoice-17"})
    assert (again.message_id, again.created) == (receipt.message_id, False)
    with pytest.raises(KeyReused):
        await business.send(PAY, changed(PAY, ("<PMTID>1", "<PMTID>2")), **{name: "invoice-17"})
    for other in {}, {name: "invoice-18"}:
        with pytest.raises(InvalidBody, match="settlement-date"):
            await business.send(PAY, sample(PAY), **other)
    assert len(await business.store.deliveries()) == 1


async def test_examining_tells_all_faults_behind_whatever_is_answered(world: World) -> None:
    at(world, MONDAY)
    handler = await receiver(world, "BANK", accepts=frozenset({"PS860INQRQ"}))
    body = changed(PAY, ("<PMTID>1", "<PMTID>0"), ("<Amt>75000.00", "<Amt>75000.01"))
    examined = await handler.examine(wire("BANK", PAY, body))
    assert (str(examined.status), examined.reason) == ("PSPBK0114E", "no right to use this service")
    assert [(str(one.status), one.rule) for one in examined.faults] == [
        ("PSPBK0111E", "sum-amounts"),
        ("PSPBK0126E", "group-id"),
    ]
    misfit = await handler.examine(wire("BANK", PAY, changed(PAY, ("<PMTID>1", "<PMTID>x"))))
    (fault,) = misfit.faults
    assert (str(fault.status), fault.rule) == ("PSPBK0001S", "schema")
