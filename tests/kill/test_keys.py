"""SIGKILL at every step of a key exchange: repeating it is enough, and payments go on."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.kill.test_outbound import settle


@pytest.fixture
def kek(tmp_path: Path) -> str:
    file = tmp_path / "kek"
    file.write_text("# msh test key\n" + "5a3c" * 16 + "\n")
    file.chmod(0o600)
    return str(file)


def states(file: Path) -> list[str]:
    """The states of the working keys, oldest first."""
    connection = sqlite3.connect(file)
    try:
        rows = connection.execute("SELECT state FROM working_key ORDER BY offered").fetchall()
    finally:
        connection.close()
    return [state for (state,) in rows]


@pytest.mark.parametrize(
    "step", ["key-offered", "queued", "attempt-begun", "answered", "key-activated", "key-verified"]
)
def test_the_side_that_changes_the_key_is_killed(program, kek, step):
    platform = program("psp", KEK=kek)
    platform.start()
    business = program("biz", platform.url, KEYS="a b", KEK=kek)
    business.start(step)
    assert business.is_dead(20)
    business.start()
    assert settle(business, 2) == ["answered PSPPM0000I"] * 2
    for party in ("PSP", "BIZ"):
        assert states(platform.folder / f"{party}.db")[-1] == "active"


@pytest.mark.parametrize("step", ["key-offered", "replied", "key-activated", "key-verified"])
def test_the_side_that_is_offered_one_is_killed(program, kek, step):
    platform = program("psp", KEK=kek)
    platform.start(step)
    business = program("biz", platform.url, KEYS="a b", KEK=kek)
    business.start()
    assert platform.is_dead(20)
    platform.start()
    assert settle(business, 2) == ["answered PSPPM0000I"] * 2
    for party in ("PSP", "BIZ"):
        assert states(platform.folder / f"{party}.db")[-1] == "active"
