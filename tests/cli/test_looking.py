"""`msh list`, `show` and `tail`."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import msh
from msh.cli.looking import moment
from msh.cli.output import local_short
from msh.errors import UsageError
from msh.protocol.digest import message_digest
from msh.store import open_store
from msh.testing.contracts.samples import result_comes
from tests.cli.conftest import Folder, Run
from tests.cli.test_sending import parsed

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def receive(run: Run, folder: Folder, sender: str, message_id: str) -> None:
    """Put a message of ``sender`` into the folder's store, as if it had just arrived."""
    made = run(
        "-c", folder.config, "compose", "PS810FTRQ", folder.message(), "--msg-id", message_id
    )
    wire = (
        made.stdout_bytes.replace(b">BIZ<", b">X<")
        .replace(b">PSP<", b">BIZ<")
        .replace(b">X<", f">{sender}<".encode())
    )
    message = parsed(wire)

    async def store_it() -> None:
        store = open_store(f"sqlite:///{folder.database}")
        await store.open(lambda entries: None)
        now = datetime.now(UTC)
        lease = timedelta(seconds=30)
        await store.receive(message, message_digest(message), wire, now, lease, begin=True)
        await store.close()

    asyncio.run(store_it())


def send(run: Run, folder: Folder, message_id: str, *options: str) -> None:
    command = ("-c", folder.config, "send", "PS810FTRQ", folder.message(), "--msg-id", message_id)
    run(*command, *options)


def listed(run: Run, folder: Folder, *options: str) -> list[str]:
    result = run("-c", folder.config, "list", "--json", *options)
    assert result.exit_code == 0, result.stderr
    return [one["message_id"] for one in json.loads(result.stdout)]


# list


def test_list_before_anything_was_stored_makes_no_database(run: Run, biz: Folder) -> None:
    assert listed(run, biz) == []
    plain = run("-c", biz.config, "list")
    said = f"msh: no messages: {biz.database} does not exist yet\n"
    assert (plain.exit_code, plain.stdout, plain.stderr) == (0, "", said)
    assert not biz.database.exists()


def test_list_newest_first_and_by_direction_and_state(run: Run, biz: Folder) -> None:
    send(run, biz, "OUT-1", "--wait")
    receive(run, biz, "PSP", "IN-1")
    send(run, biz, "OUT-2")
    assert listed(run, biz) == ["OUT-2", "IN-1", "OUT-1"]
    assert listed(run, biz, "--inbound", "--outbound") == ["OUT-2", "IN-1", "OUT-1"]
    assert listed(run, biz, "--outbound") == ["OUT-2", "OUT-1"]
    assert listed(run, biz, "--inbound") == ["IN-1"]
    assert listed(run, biz, "--state", "not-sent") == ["OUT-1"]
    assert listed(run, biz, "--state", "running") == ["IN-1"]
    assert listed(run, biz, "--limit", "1") == ["OUT-2"]
    assert listed(run, biz, "--since", "1h") == ["OUT-2", "IN-1", "OUT-1"]
    assert listed(run, biz, "--since", "2999-01-01") == []


def test_list_json_rows(run: Run, biz: Folder) -> None:
    send(run, biz, "OUT-1", "--key", "鑰")
    receive(run, biz, "PSP", "IN-1")
    result = run("-c", biz.config, "list", "--json")
    inbound, outbound = json.loads(result.stdout)
    assert (outbound["direction"], inbound["direction"]) == ("outbound", "inbound")
    assert outbound | {"at": "", "due": ""} == {
        "held": False,
        "message_id": "OUT-1",
        "direction": "outbound",
        "service": "PS810FTRQ",
        "sender": "BIZ",
        "receiver": "PSP",
        "ref_to": None,
        "state": "queued",
        "status": None,
        "text": "",
        "at": "",
        "bytes": outbound["bytes"],
        "due": "",
        "purged": False,
        "key": "鑰",
        "attempts": 0,
        "settled": None,
        "resolved_by": None,
    }
    assert (inbound["handler_runs"], inbound["replays"]) == (1, 0)
    assert "鑰" in result.stdout
    assert MOMENT.fullmatch(outbound["at"])


def test_list_for_people(run: Run, biz: Folder) -> None:
    send(run, biz, "OUT-1", "--wait")
    send(run, biz, "OUT-2")
    shown = run("-c", biz.config, "list", "--limit", "1")
    assert "OUT-2" in shown.stdout
    assert "PS810FTRQ  → PSP  queued" in shown.stdout
    assert "OUT-1" not in shown.stdout
    assert "--limit N shows more" in shown.stderr
    assert "\x1b" not in shown.stdout


def test_when_it_came_is_short_for_people() -> None:
    now = datetime(2026, 11, 21, 12, 0).astimezone()
    assert local_short(datetime(2026, 11, 21, 9, 5, 7).astimezone(UTC), now) == "09:05:07"
    assert local_short(datetime(2026, 11, 20, 9, 5, 7).astimezone(UTC), now) == "11-20 09:05"
    assert local_short(datetime(2025, 11, 21, 9, 5, 7).astimezone(UTC), now) == "2025-11-21"


def test_an_unknown_state_names_those_there_are(run: Run, biz: Folder) -> None:
    wrong = run("-c", biz.config, "list", "--state", "lost")
    assert wrong.exit_code == 2
    assert "in-doubt" in wrong.stderr
    assert "set-aside" in wrong.stderr
    other_way = run("-c", biz.config, "list", "--inbound", "--state", "in-doubt")
    assert other_way.exit_code == 2
    assert "outbound" not in other_way.stderr


NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("30m", NOW - timedelta(minutes=30)),
        ("2h", NOW - timedelta(hours=2)),
        ("3d", NOW - timedelta(days=3)),
        ("2026-11-20", datetime(2026, 11, 20).astimezone(UTC)),
        ("2026-11-20T09:30", datetime(2026, 11, 20, 9, 30).astimezone(UTC)),
        ("2026-11-20T09:30:00+08:00", datetime(2026, 11, 20, 1, 30, tzinfo=UTC)),
        ("2026-11-20T09:30:00Z", datetime(2026, 11, 20, 9, 30, tzinfo=UTC)),
    ],
)
def test_points_in_time(text: str, meant: datetime) -> None:
    assert moment(text, NOW) == meant


@pytest.mark.parametrize("text", ["yesterday", "2 h", "h", "²h", "2026-13-01", "99999999999d"])
def test_what_is_no_point_in_time(run: Run, biz: Folder, text: str) -> None:
    with pytest.raises(UsageError, match="2026-11-21T09:00"):
        moment(text, NOW)
    assert run("-c", biz.config, "list", "--since", text).exit_code == 2


# show


def shown(run: Run, folder: Folder, message_id: str) -> dict[str, Any]:
    result = run("-c", folder.config, "show", message_id, "--json")
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_show_json_of_a_delivery(run: Run, biz: Folder) -> None:
    send(run, biz, "OUT-1", "--wait", "--key", "invoice-17")
    found = shown(run, biz, "OUT-1")
    assert (found["state"], found["status"], found["text"]) == ("not-sent", None, "")
    assert (found["direction"], found["key"], found["others"]) == ("outbound", "invoice-17", [])
    assert [attempt["number"] for attempt in found["attempts"]] == [1]
    for attempt in found["attempts"]:
        assert attempt["outcome"] == "not sent"
        assert attempt["detail"]
        assert MOMENT.fullmatch(attempt["began"])
        assert MOMENT.fullmatch(attempt["ended"])
    steps = [entry["step"] for entry in found["journal"]]
    assert steps == ["queued", "attempt-begun", "attempt-failed", "given-up"]
    assert found["journal"][0]["details"]["key"] == "invoice-17"


def test_show_json_of_a_reception(run: Run, biz: Folder) -> None:
    receive(run, biz, "PSP", "IN-1")
    found = shown(run, biz, "IN-1")
    assert (found["direction"], found["sender"], found["state"]) == ("inbound", "PSP", "running")
    assert (found["handler_runs"], found["replays"], found["attempts"]) == (1, 0, [])
    assert [entry["step"] for entry in found["journal"]] == ["received"]


def test_show_an_id_of_both_directions(run: Run, biz: Folder) -> None:
    receive(run, biz, "PSP", "SAME")
    receive(run, biz, "OTHER", "SAME")
    send(run, biz, "SAME")
    found = shown(run, biz, "SAME")
    assert found["direction"] == "outbound"
    others = {(other["direction"], other["sender"]) for other in found["others"]}
    assert others == {("inbound", "PSP"), ("inbound", "OTHER")}
    assert [entry["step"] for entry in found["journal"]] == ["queued"]
    assert [len(other["journal"]) for other in found["others"]] == [1, 1]
    plain = run("-c", biz.config, "show", "SAME").stdout
    assert plain.count("PS810FTRQ  SAME") == 3
    assert run("-c", biz.config, "why", "SAME").stdout.count("PS810FTRQ SAME") == 3


def test_show_for_people(run: Run, biz: Folder) -> None:
    send(run, biz, "OUT-1", "--key", "[red]invoice[/red]")
    plain = run("-c", biz.config, "show", "OUT-1").stdout
    assert plain.splitlines()[0] == "PS810FTRQ  OUT-1   BIZ → PSP    queued"
    assert "  key            [red]invoice[/red]\n" in plain


@pytest.mark.parametrize("stored", [False, True])
def test_show_an_unknown_id(run: Run, biz: Folder, stored: bool) -> None:
    if stored:
        send(run, biz, "OUT-1")
    unknown = run("-c", biz.config, "show", "M9", "--json")
    assert (unknown.exit_code, unknown.stdout) == (2, "")
    assert "M9: no message of that id" in unknown.stderr
    assert "msh list" in unknown.stderr
    assert biz.database.exists() == stored


# tail


def tailed(run: Run, folder: Folder, *options: str) -> list[str]:
    result = run("-c", folder.config, "tail", "--until-idle", "0", *options)
    assert result.exit_code == 0, result.stderr
    return result.stdout.splitlines()


def test_tail_from_the_start(run: Run, biz: Folder) -> None:
    send(run, biz, "OUT-1", "--wait")
    send(run, biz, "OUT-2")
    lines = tailed(run, biz, "--from-start")
    headings = [line for line in lines if line.startswith("PS810FTRQ")]
    assert headings == [
        "PS810FTRQ  OUT-1   BIZ → PSP    undelivered, not sent, 1 attempt",
        "PS810FTRQ  OUT-2   BIZ → PSP    queued",
    ]
    assert len(lines) == 6


@pytest.mark.parametrize(
    ("count", "expected"), [(0, []), (1, ["queued"]), (2, ["given up", "queued"])]
)
def test_tail_of_the_last_lines(run: Run, biz: Folder, count: int, expected: list[str]) -> None:
    send(run, biz, "OUT-1", "--wait")
    send(run, biz, "OUT-2")
    lines = [line for line in tailed(run, biz, "--lines", str(count)) if line.startswith(" ")]
    assert [line[16:29].strip() for line in lines] == expected


def test_tail_counts_lines_over_the_holes_that_purging_leaves(run: Run, biz: Folder) -> None:
    send(run, biz, "OUT-1")

    async def leave_holes() -> None:
        store = open_store(f"sqlite:///{biz.database}")
        await store.open(lambda entries: None)
        for number in range(30):
            name = f"TEMPORARY-{number}"
            draft = msh.store.Draft(name, "PS810FTRQ", "BIZ", "PSP", b"<a/>", name.encode())
            await store.enqueue(draft, datetime.now(UTC))
            await result_comes(store, name, datetime.now(UTC), name=f"PSP-{number}")
        later = datetime.now(UTC) + timedelta(days=9)
        assert sum([step.contents async for step in store.purge(later, later, later)]) == 30
        await store.close()

    asyncio.run(leave_holes())
    send(run, biz, "OUT-2")
    lines = [line for line in tailed(run, biz, "--lines", "2") if line.startswith(" ")]
    assert len(lines) == 2
