"""`msh purge`."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest

from tests.cli.conftest import Folder, Run


def age(folder: Folder, days: float) -> None:
    """Make everything in the store so many days older."""
    with closing(sqlite3.connect(folder.database)) as database:
        micros = int(days * 86400 * 1_000_000)
        database.execute(
            "UPDATE delivery SET queued = queued - ?, settled = settled - ?", [micros] * 2
        )
        database.commit()


def purge(run: Run, folder: Folder, *options: str) -> str:
    done = run("-c", folder.config, "purge", *options)
    assert done.exit_code == 0, done.stderr
    return done.stdout


def test_nothing_stored_is_nothing_removed(run: Run, biz: Folder) -> None:
    assert purge(run, biz) == (
        "content of 0 messages removed (older than 3 days), 0 ids forgotten (older than 400 days)\n"
    )
    assert not biz.database.exists()


def test_old_content_goes_and_ids_stay_until_they_are_old_too(run: Run, biz: Folder) -> None:
    send = ("-c", biz.config, "send", "PS810FTRQ", biz.message())
    run(*send, "--msg-id", "OLD", "--wait")
    run(*send, "--msg-id", "QUEUED")
    age(biz, 2)
    assert purge(run, biz).startswith("content of 0 messages")
    assert purge(run, biz, "--contents-days", "1").startswith("content of 1 messages")
    shown = json.loads(run("-c", biz.config, "show", "OLD", "--json").stdout)
    assert (shown["purged"], shown["state"], shown["journal"]) == (True, "not-sent", [])
    assert "purged" in run("-c", biz.config, "show", "OLD").stdout
    biz.change("ids_days = 400", "ids_days = 1.2")
    biz.change("\ndays = 3 ", "\ndays = 1 ")
    said = purge(run, biz, "--contents-days", "1", "--ids-days", "1.5")
    assert "1 ids forgotten (older than 1.5 days)" in said
    left = json.loads(run("-c", biz.config, "list", "--json").stdout)
    assert [one["message_id"] for one in left] == ["QUEUED"]


@pytest.mark.parametrize(
    "options",
    [
        ("--contents-days", "0.5"),
        ("--ids-days", "0"),
        ("--contents-days", "5", "--ids-days", "4"),
        ("--contents-days", "99999999"),
        ("--ids-days", "399"),
    ],
)
def test_less_than_must_be_kept_is_refused(run: Run, biz: Folder, options: tuple[str, ...]) -> None:
    assert run("-c", biz.config, "purge", *options).exit_code == 2


def test_ids_are_kept_for_as_long_as_the_configuration_says(run: Run, biz: Folder) -> None:
    done = run("-c", biz.config, "purge", "--ids-days", "5")
    assert "ids are kept for 400 days, by which repeats are recognised" in done.stderr
    assert "set retention.ids_days" in done.stderr


def test_the_store_of_another_party_is_not_touched(run: Run, biz: Folder) -> None:
    run("-c", biz.config, "send", "PS810FTRQ", biz.message(), "--msg-id", "QUEUED")
    text = biz.config.read_text(encoding="utf-8")
    own = next(line for line in text.splitlines() if line.startswith("id = "))
    biz.change(own, 'id = "OTHER"')
    for command in (["purge"], ["list"], ["suspend", "PSP"]):
        done = run("-c", biz.config, *command)
        assert done.exit_code != 0
        assert "and this party is OTHER; give each party a file of its own" in done.stderr
