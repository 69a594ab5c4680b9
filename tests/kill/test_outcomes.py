"""SIGKILL at the steps of the outcome leg: no result, no repeat and no rerun is lost or doubled."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import msh
from msh.envelope import serialise
from msh.profiles import standard_profile
from msh.store import Store, open_store
from tests.kill.test_inbound import ledger, post, status, wire_of

PROFILE = standard_profile()


def result_for(message_id: str, name: str = "PSP-1") -> bytes:
    now = datetime.now(UTC)
    message = msh.Message(
        service="PS811FTRRQ",
        message_id=name,
        sender="PSP",
        receiver="BIZ",
        timestamp=now,
        expires=now + timedelta(hours=1),
        body=b"<Result></Result>",
        ref_to=message_id,
    )
    return serialise(message, PROFILE)


def rows(file: Path, sql: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(file)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def in_store(file: Path, act: Callable[[Store], Any]) -> None:
    async def run() -> None:
        store = open_store(f"sqlite:///{file}")
        await store.open(lambda entries: None)
        try:
            await act(store)
        finally:
            await store.close()

    asyncio.run(run())


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("step", ["received", "resolved", "replied"])
def test_killed_while_a_result_is_received(program, tmp_path, step):
    """Nobody listens at the platform, so that only the result can end the request."""
    business = program("biz", "http://127.0.0.1:9/sms", KEYS="a")
    business.start()
    file = tmp_path / "BIZ.db"
    until(lambda: rows(file, "SELECT 1 FROM delivery") != [])
    business.start(step)
    assert post(business.url, result_for("BIZ-a")) is None
    assert business.is_dead(5)
    # Whatever it died of: what was received was tied in the same transaction.
    assert rows(file, "SELECT state, resolved_by FROM delivery") == [("resolved", "PSP-1")]
    business.start()
    assert business.read_line(10) == "resolved None"
    assert status(post(business.url, result_for("BIZ-a"))) == "PSPPM0000I"
    assert rows(file, "SELECT msg_id FROM delivery_outcome") == [("PSP-1",)]
    assert len(rows(file, "SELECT 1 FROM journal WHERE step = 'resolved'")) == 1


def test_killed_while_a_further_result_is_received(program, tmp_path):
    business = program("biz", "http://127.0.0.1:9/sms", KEYS="a")
    business.start()
    until(lambda: rows(tmp_path / "BIZ.db", "SELECT 1 FROM delivery") != [])
    assert post(business.url, result_for("BIZ-a")) is not None
    business.start("outcome")
    assert post(business.url, result_for("BIZ-a", "PSP-2")) is None
    assert business.is_dead(5)
    business.start()
    assert post(business.url, result_for("BIZ-a", "PSP-2")) is not None
    outcomes = rows(tmp_path / "BIZ.db", "SELECT msg_id FROM delivery_outcome ORDER BY id")
    assert outcomes == [("PSP-1",), ("PSP-2",)]


@pytest.mark.parametrize("step", ["taken-over", "run-begun", "handling", "applying", "rerun-ended"])
def test_killed_during_a_run_that_an_operator_asked_for(program, tmp_path, step):
    platform = program("psp")
    platform.start()
    wire = wire_of("fail-until")
    file = tmp_path / "PSP.db"
    until(lambda: post(platform.url, wire) is not None)
    stored = post(platform.url, wire)
    assert status(stored) == "PSPPM9999S"
    (tmp_path / "mended").touch()
    platform.start("" if step == "taken-over" else step)
    in_store(file, lambda store: store.rerun("BIZ", "fail-until", datetime.now(UTC)))
    if step == "taken-over":  # of a rerun nobody lets go by itself
        platform.start("run-begun")
        assert platform.is_dead(10)
        platform.start("taken-over")
    assert platform.is_dead(10)
    platform.start()
    until(lambda: rows(file, "SELECT state FROM reception") == [("answered",)])
    assert post(platform.url, wire) == stored
    assert ledger(tmp_path) == ["fail-until"]
    assert len(rows(file, "SELECT 1 FROM journal WHERE step = 'rerun-ended'")) == 1
