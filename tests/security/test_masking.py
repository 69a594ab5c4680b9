"""Account numbers, names and keys reach no log, fault or error text, also where things fail.

The plugin looks at the whole suite; here it is shown that it sees, and that what is most likely to
quote something does not.
"""

from __future__ import annotations

import base64
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from pathlib import Path

import pytest

import msh
from msh.config import read_configuration
from msh.envelope import fault
from msh.protection import MacAlgorithm
from msh.protocol.keys import State
from msh.security.key_encryption import combine, read_component
from msh.security.keyring import WorkingKey
from msh.security.keysource import open_key_source
from msh.security.mac import check_value
from msh.testing.network import Fault
from msh.transport.base import Unreadable
from tests.handler.conftest import World
from tests.security.certificates import NOW
from tests.security.masking import ACCOUNT, KEY, NAME, WATCH

BODY = f"<Pay xmlns='urn:test'><Acct>{ACCOUNT}</Acct><Name>{NAME}</Name></Pay>"
SHOWN = [ACCOUNT, NAME, KEY.hex(), KEY.hex().upper(), base64.b64encode(KEY).decode()]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        yield World(stack)


# the plugin sees


@pytest.mark.parametrize("secret", SHOWN)
@pytest.mark.parametrize(
    "leak",
    [
        lambda secret: logging.getLogger("msh.test").warning("account %s", secret),
        lambda secret: logging.getLogger("other").error("e", exc_info=ValueError(secret)),
        lambda secret: msh.KeyUnusable(f"not {secret}"),
        lambda secret: msh.MalformedMessage(f"{secret} is wrong"),
        lambda secret: msh.ConfigurationError("msh.toml", [f"key: {secret}"]),
        lambda secret: Unreadable(fault(f"{secret} is wrong")),
    ],
)
def test_a_leak_is_found(leak: Callable[[str], object], secret: str) -> None:
    leak(secret)
    assert WATCH.take() != []


def test_what_tells_nothing_is_no_leak() -> None:
    looked = WATCH.looked
    logging.getLogger("msh.test").warning("PS810FTRQ BIZ-1: run 1 of 3 failed")
    msh.KeyUnusable("it holds something else than hexadecimal digits")
    Unreadable(fault("the root is not a SOAP 1.1 Envelope"))
    assert WATCH.looked == looked + 3
    assert WATCH.take() == []


# nothing leaks where things fail


def silent(looked: int) -> None:
    """Something was said since then, and nothing of what is planted."""
    assert WATCH.looked > looked
    assert WATCH.take() == []


async def _raises(message: msh.Message) -> msh.Reply:
    raise ValueError(f"cannot pay {message.body.decode()}")


async def _refuses(message: msh.Message) -> msh.Reply:
    raise msh.Refuse("PSPPM0001S", "the account is closed")


async def _writes_wrongly(message: msh.Message) -> msh.Reply:
    def book(connection: sqlite3.Connection) -> None:
        connection.execute(f"INSERT INTO nowhere VALUES ('{ACCOUNT}', '{NAME}')")

    return msh.Reply("PSPPM0000I", apply=book)


async def _breaks_a_rule(message: msh.Message) -> msh.Reply:
    def book(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE IF NOT EXISTS paid (account TEXT PRIMARY KEY)")
        for _ in range(2):
            connection.execute("INSERT INTO paid VALUES (?)", (ACCOUNT,))

    return msh.Reply("PSPPM0000I", apply=book)


@pytest.mark.parametrize("answer", [_raises, _refuses, _writes_wrongly, _breaks_a_rule])
async def test_a_handler_that_fails_shows_nothing(
    world: World, answer: Callable[[msh.Message], object]
) -> None:
    looked = WATCH.looked
    await world.platform(answer)
    business = await world.business()
    receipt = await business.send("PS810FTRQ", BODY)
    await world.clock.advance(700)
    with suppress(msh.DeliveryError):
        await receipt.reply()
    assert ACCOUNT in world.network.sent[0].decode()
    silent(looked)


async def test_no_message_shows_anything_of_what_is_wrong_with_it(world: World) -> None:
    looked = WATCH.looked
    platform = await world.platform()
    business = await world.business()
    wire = (await business.compose("PS810FTRQ", BODY)).decode()
    wrong = [
        wire[: wire.index(NAME) + 2],
        wire.replace(f"<Acct>{ACCOUNT}</Acct>", f"<Acct>{ACCOUNT}<Acct>"),
        wire.replace(ACCOUNT, f"{ACCOUNT}<!-- {NAME} -->"),
        wire.replace(ACCOUNT, f"&{NAME};"),
        wire.replace("<Acct>", f"<Acct {NAME}='{ACCOUNT}' {NAME}='{ACCOUNT}'>"),
        f"<!DOCTYPE a [<!ENTITY a '{ACCOUNT}'>]>{wire.partition('?>')[2]}",
        wire.replace("<Acct>", f"<x:{NAME}>"),
        f"<{NAME}>{ACCOUNT}</{NAME}>",
        ACCOUNT,
        wire.replace("PSP<", "é<"),
        wire.replace("PS810FTRQ", ACCOUNT),
    ]
    assert len({wire, *wrong}) == len(wrong) + 1
    refused = 0
    for one in wrong:
        refused += isinstance(await world.post(platform, one.encode()), Unreadable)
    assert refused >= len(wrong) - 2
    silent(looked)


@pytest.mark.parametrize(
    "body",
    [f"<a>{ACCOUNT}", f"{NAME}", f"<a>{ACCOUNT}</a><b/>", f"<a><?{NAME} {ACCOUNT}?></a>"],
)
async def test_a_body_that_is_none_is_not_quoted(world: World, body: str) -> None:
    looked = WATCH.looked
    business = await world.business()
    with pytest.raises(msh.InvalidBody):
        await business.send("PS810FTRQ", body)
    silent(looked)


@pytest.mark.parametrize("fault_", [Fault.LOSE_REPLY, Fault.LOSE_REQUEST])
async def test_a_message_that_is_given_up_shows_nothing(world: World, fault_: Fault) -> None:
    looked = WATCH.looked
    await world.platform()
    business = await world.business()
    world.network.always = fault_
    receipt = await business.send("PS810FTRQ", BODY, key="invoice-1")
    await world.clock.advance(timedelta(minutes=10).total_seconds())
    with pytest.raises(msh.DeliveryError):
        await receipt.reply()
    with pytest.raises(msh.KeyReused):
        await business.send("PS810FTRQ", BODY.replace("Pay", "Paid"), key="invoice-1")
    silent(looked)


# keys

HEX = KEY.hex()


@pytest.mark.parametrize(
    "content", [f"{HEX}\n{HEX}", f"{HEX}zz", HEX[:-1], HEX[:-2], f"key = {HEX}", f"{HEX}{HEX}"]
)
def test_a_key_that_cannot_be_used_is_not_quoted(tmp_path: Path, content: str) -> None:
    looked = WATCH.looked
    file = tmp_path / "k"
    file.write_text(content)
    for mode in (0o644, 0o600):
        file.chmod(mode)
        with pytest.raises(msh.KeyUnusable):
            open_key_source(f"file:{file}")
    for name in (content, f"env:{content}", f"file:{file}/x"):
        with pytest.raises(msh.KeyUnusable):
            open_key_source(name if name != f"env:{content}" else "env:K", {"K": content})
    with suppress(msh.KeyUnusable):
        combine([read_component(content), KEY])
    for algorithm in MacAlgorithm:
        with suppress(msh.KeyUnusable):
            check_value(algorithm, content.encode())
    silent(looked)


def test_a_key_in_the_wrong_place_of_the_configuration_is_not_quoted(tmp_path: Path) -> None:
    looked = WATCH.looked
    (tmp_path / "msh.toml").write_text(
        '[party]\nid = "BIZ"\nrole = "business"\n[agreements.PSP]\nrole = "psp"\n'
        f'protection = "mac"\n[agreements.PSP.mac]\nkey_encryption = "{HEX}"\n'
    )
    with pytest.raises(msh.ConfigurationError):
        read_configuration(tmp_path / "msh.toml")
    silent(looked)


def test_values_that_hold_keys_do_not_show_them(tmp_path: Path) -> None:
    file = tmp_path / "k"
    file.write_text(HEX)
    file.chmod(0o600)
    source = open_key_source(f"file:{file}")
    key = WorkingKey("k", KEY, State.ACTIVE, NOW)
    for text in (repr(source), str(source), repr(key), str(key)):
        assert HEX not in text
        assert repr(KEY)[2:-1] not in text
