"""What a newcomer meets: wrong words, empty files, results that refer, content asked for."""

from __future__ import annotations

import json
import signal

import pytest

from tests.cli.conftest import PATIENCE, Folder, Run, serving, spawned
from tests.cli.test_looking import receive
from tests.cli.test_sending import parsed
from tests.cli.test_serve import wait_for

# one line per mistake


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["frob"], "No such command 'frob'; see `msh --help`"),
        (["send"], "Missing argument 'SVCID'; see `msh send --help`"),
        (["list", "--nope"], "No such option: --nope"),
        (["init", "x", "--role", "clerk"], "'clerk' is not one of 'business', 'psp', 'bank'; see"),
    ],
)
def test_a_wrong_command_line_is_one_line(run: Run, words: list[str], said: str) -> None:
    wrong = run(*words)
    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("msh: ")
    assert wrong.stderr.count("\n") == 1
    assert said in wrong.stderr


def test_no_words_at_all_print_the_help(run: Run) -> None:
    assert "Usage: msh" in run().output
    assert run("--help").exit_code == 0
    assert run("codes").exit_code == 0


# send


@pytest.mark.parametrize("command", ["send", "compose"])
@pytest.mark.parametrize("content", [b"", b" \n"])
def test_an_empty_body_is_refused(run: Run, biz: Folder, command: str, content: bytes) -> None:
    (biz.path / "empty.xml").write_bytes(content)
    for name, shown in (("-", "stdin"), (biz.path / "empty.xml", "empty.xml")):
        refused = run("-c", biz.config, command, "PS810FTRQ", name, stdin=content)
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert f"{shown}: is empty" in refused.stderr
    assert not biz.database.exists()


def test_a_service_that_is_none_is_told_from_one_that_is_not_agreed(run: Run, biz: Folder) -> None:
    wrong = run("-c", biz.config, "send", "ps810ftrq", biz.message())
    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert "'ps810ftrq' is no service of tdcc-psp-3.4; did you mean PS810FTRQ" in wrong.stderr
    wrong = run("-c", biz.config, "send", "PS811FTRRQ", biz.message())
    assert "PS811FTRRQ may be sent to no party: no agreement has it in `sends`" in wrong.stderr


@pytest.mark.parametrize("command", ["send", "compose"])
def test_a_message_refers_to_another(run: Run, psp: Folder, command: str) -> None:
    body = psp.message("PS811FTRRQ")
    done = run("-c", psp.config, command, "PS811FTRRQ", body, "--to", "BIZ", "--ref-to", "BIZ-1")
    assert done.exit_code == 0, done.stderr
    if command == "send":
        (row,) = json.loads(run("-c", psp.config, "list", "--json").stdout)
        assert row["ref_to"] == "BIZ-1"
    else:
        assert parsed(done.stdout_bytes).ref_to == "BIZ-1"


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_waiting_has_an_end(run: Run, biz: Folder, options: list[str]) -> None:
    biz.change("resends = 0\ninterval = 0", "resends = 1\ninterval = 600")
    command = ("send", "PS810FTRQ", biz.message(), "--msg-id", "M1", "--wait", "--timeout", "0.3")
    waited = run("-c", biz.config, *command, *options)
    assert waited.exit_code == 1
    assert "M1 has not ended within 0.3 s; it is kept; a running `msh serve`" in waited.stderr
    if options:
        assert json.loads(waited.stdout)["state"] in ("waiting", "sending")
    again = run("-c", biz.config, "send", "PS810FTRQ", biz.message(), "--timeout", "1")
    assert again.exit_code == 2
    assert "--timeout is for --wait" in again.stderr


# check, list, show, why


def test_ones_own_message_is_checked_at_the_other_end(run: Run, biz: Folder) -> None:
    wire = run("-c", biz.config, "compose", "PS810FTRQ", biz.message()).stdout_bytes
    said = run("-c", biz.config, "check", "-", stdin=wire)
    assert said.exit_code == 1
    assert "it is from BIZ, addressed to PSP, and this is BIZ" in said.stdout


def test_refusals_are_listed_by_their_code(run: Run, biz: Folder, psp: Folder) -> None:
    handlers = psp.path / "handlers.py"
    text = handlers.read_text(encoding="utf-8")
    handlers.write_text(text.replace("if not request.body:", "if True:"), encoding="utf-8")
    with serving(psp) as server:
        biz.reach("PSP", server.line)
        biz.wait_for_answers()
        for service, message_id in (("PS810FTRQ", "M1"), ("PS830INQRQ", "M2")):
            command = ("send", service, biz.message(service), "--msg-id", message_id, "--wait")
            run("-c", biz.config, *command)
    run("-c", biz.config, "send", "PS810FTRQ", biz.message(), "--msg-id", "M3")
    for code, ids in {"PSPPM0001S": ["M1"], "PSPPM0000I": ["M2"], "PSP": ["M2", "M1"]}.items():
        rows = json.loads(run("-c", biz.config, "list", "--status", code, "--json").stdout)
        assert [row["message_id"] for row in rows] == ids
    assert "M1" in run("-c", biz.config, "list", "--status", "PSPPM0001S", "--limit", "1").stdout


def test_content_is_shown_only_when_it_is_asked_for(run: Run, biz: Folder) -> None:
    run("-c", biz.config, "send", "PS810FTRQ", biz.message(), "--msg-id", "M1")
    receive(run, biz, "PSP", "M2")
    for message_id in ("M1", "M2"):
        command = ("-c", biz.config, "show", message_id)
        for options in ([], ["--json"]):
            assert "99900100000001" not in run(*command, *options).stdout
        plain = run(*command, "--body").stdout
        assert "99900100000001" in plain
        assert "reply: none is stored" in plain
        content = json.loads(run(*command, "--body", "--json").stdout)
        assert "投資人甲" in content["request"]
        assert content["reply"] is None


def test_request_and_reply_are_shown_on_both_sides(run: Run, biz: Folder, psp: Folder) -> None:
    with serving(psp) as server:
        biz.reach("PSP", server.line)
        biz.wait_for_answers()
        command = ("-c", biz.config, "send", "PS810FTRQ", biz.message(), "--msg-id", "M1")
        assert run(*command, "--wait").exit_code == 0
    shown = [
        json.loads(run("-c", folder.config, "show", "M1", "--body", "--json").stdout)
        for folder in (biz, psp)
    ]
    assert shown[0]["request"] == shown[1]["request"]
    assert shown[0]["reply"] == shown[1]["reply"]
    assert "PSPPM0000I" in shown[0]["reply"]
    plain = run("-c", biz.config, "show", "M1", "--body").stdout
    assert shown[0]["reply"] in plain
    assert "wire bytes" in plain
    assert "queued       2,081 bytes, on disk" in plain


def test_why_names_the_command_and_breaks_no_line(run: Run, biz: Folder, psp: Folder) -> None:
    psp.change("runs = 3", "runs = 1")
    (psp.path / "handlers.py").write_text(
        "import msh\n"
        "def register(handler):\n"
        "    handler.on(*{s for a in handler.agreements for s in a.accepts})(take)\n"
        "def take(request):\n"
        "    return None\n",
        encoding="utf-8",
    )
    with serving(psp) as server:
        biz.reach("PSP", server.line)
        biz.wait_for_answers()
        command = ("-c", biz.config, "send", "PS810FTRQ", biz.message(), "--msg-id", "M1")
        assert run(*command, "--wait").exit_code == 1
        log = server.stop()[1]
    reason = "a handler must return msh.Reply, not NoneType"
    assert "PS810FTRQ M1: run 1 of 1 failed: UsageError at desk.py:" in log
    assert reason in log
    assert reason in run("-c", psp.config, "show", "M1").stdout
    why = run("-c", psp.config, "why", "M1").stdout
    assert "`msh send PS811FTRRQ BODY.xml --to BIZ --ref-to M1`" in why
    assert why.count("\n") == 1


# serve


def test_serve_without_any_handler_ends_and_says_so(run: Run, psp: Folder) -> None:
    (psp.path / "handlers.py").write_text("def register(handler): pass\n", encoding="utf-8")
    refused = run("-c", psp.config, "serve", "--port", "0")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "PS810FTRQ: is accepted by an agreement and has no handler" in refused.stderr


def test_serve_tells_of_a_counterparty_that_is_away(run: Run, biz: Folder) -> None:
    run("-c", biz.config, "send", "PS810FTRQ", biz.message(), "--msg-id", "M1")

    def ended() -> bool:
        (row,) = json.loads(run("-c", biz.config, "list", "--json").stdout)
        return row["state"] == "not-sent"

    with serving(biz) as server:
        wait_for(ended)
        log = server.stop()[1]
    assert "WARNING msh.sender: M1 to PSP: attempt 1 failed, not sent: " in log
    assert "WARNING msh.sender: M1 to PSP: given up, surely not sent" in log
    assert "投資人" not in log


def test_ctrl_c_while_waiting_is_no_traceback(biz: Folder) -> None:
    biz.change("resends = 0\ninterval = 0", "resends = 1\ninterval = 600")
    command = ("-c", biz.config, "send", "PS810FTRQ", biz.message(), "--msg-id", "M1", "--wait")
    with spawned(*command) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"M1\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert b"M1: it is kept; a running `msh serve` goes on with it" in errors
    assert b"Traceback" not in errors
