"""What is wrong is told where it is made, and why a handler failed is told at all."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import msh
from msh.envelope import serialise
from tests.handler.test_repeats import PROFILE, request, status_of

HERE = Path(__file__).name


# handlers and replies


def one_argument_too_many(request, connection):
    return msh.Reply("PSPPM0000I")


def yields(request):
    yield msh.Reply("PSPPM0000I")


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (None, "a handler is a function of the message, not NoneType"),
        ("transfer", "not str"),
        (lambda: msh.Reply("PSPPM0000I"), "too many positional arguments"),
        (one_argument_too_many, r"one_argument_too_many\(request, connection\).*'connection'"),
        (lambda request, *, other: None, "'other'"),
        (yields, "yields nothing"),
    ],
)
def test_what_cannot_be_a_handler_is_refused_at_once(world, function: Any, said: str) -> None:
    platform = world.handler("PSP")
    with pytest.raises(msh.UsageError, match=said):
        platform.on("PS810FTRQ")(function)


@pytest.mark.parametrize(
    "function",
    [lambda message: None, lambda message, run: None, lambda message, *, run=1: None, print, max],
)
def test_what_can_be_called_is_taken(world, function: Any) -> None:
    assert world.handler("PSP").on("PS810FTRQ")(function) is function


@pytest.mark.parametrize("services", [(), (["PS810FTRQ"],), (None,), (one_argument_too_many,)])
def test_on_wants_service_codes(world, services: Any) -> None:
    with pytest.raises(msh.UsageError, match=r'@handler\.on\("PS810FTRQ"\)'):
        world.handler("PSP").on(*services)


def test_on_names_every_service_that_is_wrong(world) -> None:
    platform = world.handler("PSP")
    with pytest.raises(msh.UsageError, match="no agreement accepts IS910SMDRQ, IS920VASRQ; add"):
        platform.on("PS810FTRQ", "IS910SMDRQ", "IS920VASRQ")
    platform.on("PS810FTRQ")(print)
    with pytest.raises(msh.UsageError, match="PS810FTRQ: has a handler already"):
        platform.on("PS830INQRQ", "PS810FTRQ")


async def asynchronous(connection):
    pass


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"status": "XX"}, "'XX' is no status code"),
        ({"status": 0}, "a status code is text, not int"),
        ({"status": None}, "not NoneType"),
        ({"text": 5}, "text must be a text, not int"),
        ({"apply": "x"}, "apply must be a function of the connection, not str"),
        ({"apply": asynchronous}, "plain function"),
        ({"then": msh.Outgoing("PS811FTRRQ", "<a/>", "BIZ")}, r"such as \(outgoing,\)"),
        ({"then": ("PS811FTRRQ",)}, r"such as \(outgoing,\)"),
    ],
)
def test_a_reply_that_cannot_be_is_refused_where_it_is_made(arguments: Any, said: str) -> None:
    with pytest.raises(msh.UsageError, match=said):
        msh.Reply(**{"status": "PSPPM0000I"} | arguments)


@pytest.mark.parametrize("status", ["PSPPM0000I", "PSPBK0000I", msh.StatusCode("BK", 0, "I")])
def test_a_refusal_does_not_say_done(status: Any) -> None:
    with pytest.raises(msh.UsageError, match="says done"):
        msh.Refuse(status)


# why a handler failed


def refuses_to_refuse(request):
    raise msh.Refuse("PSPPM0000I")


def wrong_columns(connection):
    connection.execute("CREATE TABLE booked (a TEXT, b TEXT)")
    connection.execute("INSERT INTO booked VALUES (?)", ("account 1234567890",))


def our_tables(connection):
    connection.execute("DELETE FROM journal")


def quotes(connection):
    connection.execute("INSERT INTO nothing VALUES ('account 1234567890' 'x)")


def raises(connection):
    raise ValueError("account 1234567890")


def replying(**options: Any) -> Any:
    return lambda request: msh.Reply("PSPPM0000I", **options)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda request: None, "a handler must return msh.Reply, not NoneType"),
        (lambda request: "PSPPM0000I", "not str"),
        (lambda request: msh.Reply("X"), f"UsageError at {HERE}:"),
        (replying(apply="x"), "apply must be a function"),
        (replying(body="<open>"), "the body cannot be sent"),
        (replying(body={}), "the body must be bytes or a text, not dict"),
        (replying(then=(msh.Outgoing("PS999", "<a/>", "BIZ"),)), "'PS999' is no service"),
        (replying(apply=wrong_columns), f"OperationalError at {HERE}:"),
        (replying(apply=wrong_columns), "table booked has 2 columns but 1 values were supplied"),
        (replying(apply=our_tables), "it may write its own tables only"),
        (replying(apply=quotes), f"ApplyFailed: apply raised OperationalError at {HERE}:"),
        (replying(apply=raises), f"ApplyFailed: apply raised ValueError at {HERE}:"),
        (replying(apply=lambda: 1), "ApplyFailed: apply raised TypeError"),
        (replying(apply=lambda connection: asynchronous(connection)), "something to await"),
        (refuses_to_refuse, "PSPPM0000I says done"),
    ],
)
async def test_the_log_and_the_journal_say_why_a_handler_failed(world, caplog, answer, said):
    services = {"accepts": frozenset({"PS810FTRQ"}), "handling": msh.Handling(runs=1)}
    platform = world.handler("PSP", **services)
    platform.on("PS810FTRQ")(answer)
    await world.start(platform)
    task = asyncio.create_task(world.post(platform, serialise(request(world), PROFILE)))
    while not task.done():  # a thread is nothing that the virtual clock waits for
        await asyncio.sleep(0.001)
    assert status_of(task.result()) == "PSPPM9999S"
    (aside,) = [entry for entry in world.entries if entry.step is msh.Step.SET_ASIDE]
    assert said in aside.details["reason"]
    assert said in caplog.text
    assert "1234567890" not in caplog.text + str(world.entries)
