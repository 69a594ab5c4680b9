"""`msh compose`, `check`, `send` and `resend`."""

from __future__ import annotations

import json
import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from msh.clock import SystemClock
from msh.envelope import normal_body, parse
from msh.profiles import standard_profile
from tests.cli.conftest import Folder, Run


def parsed(wire: bytes) -> Any:
    profile = standard_profile()
    return parse(wire, {profile.namespace: profile}).message


# compose


def test_compose_prints_the_exact_bytes_and_stores_nothing(run: Run, biz: Folder) -> None:
    made = run("-c", biz.config, "compose", "PS810FTRQ", biz.message(), "--msg-id", "BIZ-1")
    assert made.exit_code == 0
    message = parsed(made.stdout_bytes)
    assert (message.service, message.message_id) == ("PS810FTRQ", "BIZ-1")
    assert (message.sender, message.receiver) == ("BIZ", "PSP")
    assert message.body == normal_body(biz.message().read_bytes())
    assert message.expires == message.timestamp + timedelta(hours=1)
    assert made.stdout_bytes.endswith(b"</soap:Envelope>")
    assert sorted(path.name for path in biz.path.iterdir()) == [
        "handlers.py",
        "messages",
        "msh.toml",
    ]


def test_compose_reads_stdin(run: Run, biz: Folder) -> None:
    body = biz.message("IS910SMDRQ").read_bytes()
    assert not body.isascii()
    made = run("-c", biz.config, "compose", "IS910SMDRQ", "-", stdin=body)
    assert parsed(made.stdout_bytes).body == normal_body(body)


def test_compose_asks_for_the_party_where_there_are_two(run: Run, psp: Folder) -> None:
    body = psp.message("IS910SMDRQ")
    unclear = run("-c", psp.config, "compose", "IS910SMDRQ", body)
    assert unclear.exit_code == 2
    assert "BANK, BIZ" in unclear.stderr
    made = run("-c", psp.config, "compose", "IS910SMDRQ", body, "--to", "BANK")
    assert parsed(made.stdout_bytes).receiver == "BANK"


@pytest.mark.parametrize(
    ("service", "body", "words"),
    [
        ("PS811FTRRQ", b"<a/>", "PS811FTRRQ may be sent to no party"),
        ("PS810FTRQ", b"<a>", "the body cannot be sent"),
        ("PS810FTRQ", b"<a>" + b"x" * 1_048_576 + b"</a>", "limit of 1,048,576"),
    ],
)
def test_compose_refuses_what_cannot_be_sent(
    run: Run, biz: Folder, service: str, body: bytes, words: str
) -> None:
    refused = run("-c", biz.config, "compose", service, "-", stdin=body)
    assert refused.exit_code == 2
    assert refused.stdout == ""
    assert words in refused.stderr


def test_a_body_that_does_not_exist(run: Run, biz: Folder) -> None:
    missing = run("-c", biz.config, "send", "PS810FTRQ", biz.path / "no.xml")
    assert missing.exit_code == 2
    assert "no.xml: cannot be read: No such file" in missing.stderr
    assert not biz.database.exists()


# check


@pytest.fixture
def composed(run: Run, biz: Folder, tmp_path: Path) -> Path:
    made = run("-c", biz.config, "compose", "PS810FTRQ", biz.message(), "--msg-id", "BIZ-1")
    (tmp_path / "message.xml").write_bytes(made.stdout_bytes)
    return tmp_path / "message.xml"


def checked(run: Run, folder: Folder, wire: bytes) -> tuple[int, dict[str, Any]]:
    result = run("-c", folder.config, "check", "-", "--json", stdin=wire)
    assert not folder.database.exists()
    return result.exit_code, json.loads(result.stdout)


def test_check_accepts_what_the_other_side_composed(run: Run, psp: Folder, composed: Path) -> None:
    code, said = checked(run, psp, composed.read_bytes())
    assert (code, said["accepted"]) == (0, True)
    assert said["status"] == "PSPPM0000I"
    assert (said["message_id"], said["service"]) == ("BIZ-1", "PS810FTRQ")
    assert said["reason"]
    plain = run("-c", psp.config, "check", composed)
    assert plain.exit_code == 0
    assert plain.stdout.startswith("accepted  PSPPM0000I  PS810FTRQ  BIZ-1")


def test_check_refuses_by_the_code_of_each_check(run: Run, psp: Folder, composed: Path) -> None:
    wire = composed.read_bytes()
    now = SystemClock().now()
    changes = {
        "PSPPM0001S": wire[:-1],
        "PSPPM0001E": wire.replace(b">BIZ<", b">WHO<"),
        "PSPPM0002E": wire.replace(b">PS810FTRQ<", b">PS999XXRQ<"),
        "PSPPM0002W": wire.replace(f"{now:%Y-%m-%d}T".encode(), b"2020-01-01T"),
    }
    for status, changed in changes.items():
        assert changed != wire
        code, said = checked(run, psp, changed)
        assert (code, said["status"], said["accepted"]) == (1, status, False)
        assert said["reason"]
    assert checked(run, psp, wire[:-1])[1]["message_id"] is None


def test_check_refuses_a_service_without_right(run: Run, psp: Folder, composed: Path) -> None:
    psp.change('    "PS810FTRQ",\n', "")
    code, said = checked(run, psp, composed.read_bytes())
    assert (code, said["status"]) == (1, "PSPPM0001E")
    assert "no right" in said["reason"]


def test_check_refuses_what_is_too_large_before_reading_it(run: Run, psp: Folder) -> None:
    code, said = checked(run, psp, b"<" * 1_048_577)
    assert (code, said["status"]) == (1, "PSPPM0001S")
    assert "1048576" in said["reason"]


def test_check_answers_with_a_banks_codes_for_a_bank(run: Run, tmp_path: Path) -> None:
    run("init", "bank", "--role", "bank")
    code, said = checked(run, Folder(tmp_path / "bank"), b"<nothing/>")
    assert (code, said["status"]) == (1, "PSPBK0001S")


def test_check_knows_a_reply_from_a_request(
    run: Run, biz: Folder, psp: Folder, composed: Path
) -> None:
    wire = composed.read_bytes().replace(b">PS810FTRQ<", b">PS810FTRS<")
    code, said = checked(run, psp, wire)
    assert (code, said["status"]) == (1, None)
    assert "not sent from here" in said["reason"]
    back = wire.replace(b">BIZ<", b">X<").replace(b">PSP<", b">BIZ<").replace(b">X<", b">PSP<")
    code, said = checked(run, biz, back)
    assert code == 1
    assert "without RefToMsgId" in said["reason"]
    whole = back.replace(
        b"</scoi:MsgId>", b"</scoi:MsgId><scoi:RefToMsgId>BIZ-0</scoi:RefToMsgId>"
    ).replace(
        b"</scoi:MessageHeader>",
        b"<scoi:StatusCode>PSPPM0000I</scoi:StatusCode></scoi:MessageHeader>",
    )
    code, said = checked(run, biz, whole)
    assert (code, said["status"]) == (0, None)
    assert "BIZ-0" in said["reason"]


def test_check_of_a_missing_file_is_wrong_use(run: Run, psp: Folder) -> None:
    assert run("-c", psp.config, "check", "no.xml").exit_code == 2


# send


def test_send_queues_and_prints_the_id(run: Run, biz: Folder) -> None:
    sent = run("-c", biz.config, "send", "PS810FTRQ", biz.message())
    assert sent.exit_code == 0
    assert sent.stdout.startswith("BIZ-")
    assert "a running `msh serve` delivers it" in sent.stderr
    with sqlite3.connect(biz.database) as database:
        rows = database.execute("SELECT msg_id, state, attempts FROM delivery").fetchall()
    database.close()
    assert rows == [(sent.stdout.strip(), "queued", 0)]


def test_send_prints_json(run: Run, biz: Folder) -> None:
    sent = run("-c", biz.config, "send", "PS810FTRQ", biz.message(), "--msg-id", "M1", "--json")
    assert json.loads(sent.stdout) == {
        "message_id": "M1",
        "state": "queued",
        "status": None,
        "text": "",
        "attempts": 0,
        "created": True,
    }


def test_a_key_names_one_message(run: Run, biz: Folder) -> None:
    command = ("-c", biz.config, "send", "PS810FTRQ", biz.message(), "--key", "invoice-17")
    first = run(*command)
    again = run(*command)
    assert again.stdout == first.stdout
    assert "queued before" in again.stderr
    other = run("-c", biz.config, "send", "PS810FTRQ", biz.another(), "--key", "invoice-17")
    assert other.exit_code == 2
    assert "invoice-17" in other.stderr


def test_send_wait_gives_up_and_says_not_sent(run: Run, biz: Folder) -> None:
    biz.change("resends = 0", "resends = 1")
    sent = run("-c", biz.config, "send", "PS810FTRQ", biz.message(), "--msg-id", "M1", "--wait")
    assert sent.exit_code == 1
    first, heading, *lines = sent.stdout.splitlines()
    assert first == "M1"
    assert heading == "PS810FTRQ  M1   BIZ → PSP    undelivered, not sent, 2 attempts"
    labels = [line[16:29].strip() for line in lines]
    assert labels == ["queued", "attempt 1", "attempt 2", "given up"]
    assert "not sent" in lines[1]


def test_send_wait_json_in_doubt(run: Run, biz: Folder, hanging_up: str) -> None:
    biz.reach("PSP", hanging_up)
    sent = run("-c", biz.config, "send", "PS810FTRQ", biz.message(), "--wait", "--json")
    assert sent.exit_code == 1
    said = json.loads(sent.stdout)
    assert (said["state"], said["status"], said["attempts"]) == ("in-doubt", None, 1)


def test_send_wait_delivers_nothing_else(run: Run, biz: Folder, hanging_up: str) -> None:
    biz.reach("PSP", hanging_up)
    run("-c", biz.config, "send", "PS810FTRQ", biz.message(), "--msg-id", "other")
    run("-c", biz.config, "send", "PS810FTRQ", biz.message(), "--msg-id", "mine", "--wait")
    listed = json.loads(run("-c", biz.config, "list", "--json").stdout)
    assert {one["message_id"]: one["attempts"] for one in listed} == {"mine": 1, "other": 0}


# resend


def test_resend_begins_a_new_series(run: Run, biz: Folder) -> None:
    run("-c", biz.config, "send", "PS810FTRQ", biz.message(), "--msg-id", "M1", "--wait")
    asked = run("-c", biz.config, "resend", "M1")
    assert asked.exit_code == 0
    assert "a running `msh serve` makes them" in asked.stderr
    waited = run("-c", biz.config, "resend", "M1", "--wait")
    assert waited.exit_code == 1
    assert "undelivered, not sent, 2 attempts" in waited.stdout


@pytest.mark.parametrize("stored", [False, True])
def test_resend_of_an_unknown_id(run: Run, biz: Folder, stored: bool) -> None:
    if stored:
        run("-c", biz.config, "send", "PS810FTRQ", biz.message())
    unknown = run("-c", biz.config, "resend", "M9")
    assert unknown.exit_code == 2
    assert "M9: no message of that id" in unknown.stderr
    assert biz.database.exists() == stored


def test_resend_of_what_is_queued_is_refused(run: Run, biz: Folder) -> None:
    run("-c", biz.config, "send", "PS810FTRQ", biz.message(), "--msg-id", "M1")
    refused = run("-c", biz.config, "resend", "M1")
    assert refused.exit_code == 2
    assert "it is queued" in refused.stderr
