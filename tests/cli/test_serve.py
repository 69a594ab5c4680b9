"""`msh serve`: the handlers file, where it listens, and whole stories among real processes."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from msh.cli.serve import listen_url
from msh.config import read_configuration
from msh.errors import ConfigurationError
from tests.cli.conftest import PATIENCE, Folder, Run, serving, spawned, started
from tests.cli.test_sending import parsed


def ledger(folder: Folder) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(folder.database)) as database:
        return database.execute("SELECT message_id, amount FROM ledger ORDER BY rowid").fetchall()


def shown(run: Run, folder: Folder, message_id: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        run("-c", folder.config, "show", message_id, "--json").stdout
    )
    return found


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.02)


def post(url: str, wire: bytes) -> bytes:
    request = urllib.request.Request(
        url, wire, {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '""'}
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as response:
        body: bytes = response.read()
        return body


# stories


def test_init_serve_send_show_why(run: Run, tmp_path: Path) -> None:
    run("init", "biz", "--role", "business")
    run("init", "psp", "--role", "psp")
    biz, psp = Folder(tmp_path / "biz"), Folder(tmp_path / "psp")
    with serving(psp) as server:
        biz.reach("PSP", server.line)
        command = ("-c", biz.config, "send", "PS810FTRQ", biz.message(), "--msg-id", "BIZ-1")
        sent = run(*command, "--wait")
        assert sent.exit_code == 0, sent.stderr
        first, heading, *lines = sent.stdout.splitlines()
        assert first == "BIZ-1"
        assert heading == (
            "PS810FTRQ  BIZ-1   BIZ → PSP    answered PSPPM0000I 處理完成, 1 attempt"
        )
        assert [line[16:] for line in lines] == [
            "queued       2,081 bytes, on disk",
            "attempt 1    answered PSPPM0000I 處理完成",
        ]
        code, log = server.stop()
    assert (code, ledger(psp)) == (0, [("BIZ-1", "1250000.00")])
    assert "stopped" in log
    assert "投資人" not in log
    out, into = shown(run, biz, "BIZ-1"), shown(run, psp, "BIZ-1")
    assert (out["state"], out["status"], out["text"]) == ("answered", "PSPPM0000I", "處理完成")
    assert [attempt["outcome"] for attempt in out["attempts"]] == ["answered"]
    assert (into["state"], into["status"], into["text"]) == ("answered", "PSPPM0000I", "處理完成")
    assert (into["handler_runs"], into["replays"]) == (1, 0)
    assert [entry["step"] for entry in into["journal"]] == ["received", "replied"]
    why = run("-c", biz.config, "why", "BIZ-1").stdout
    assert "PSP answered PSPPM0000I (處理完成, processing complete)" in why
    again = run(*command, "--wait", "--json")
    assert again.exit_code == 0
    assert json.loads(again.stdout) == {
        "message_id": "BIZ-1",
        "state": "answered",
        "status": "PSPPM0000I",
        "text": "處理完成",
        "attempts": 1,
        "created": False,
    }


def test_every_sample_is_answered_as_done(run: Run, tmp_path: Path) -> None:
    roles = {"BIZ": "business", "PSP": "psp", "BANK": "bank"}
    # Those who send have folders of their own, so that no server delivers for them.
    receiving = {own: Folder(tmp_path / role) for own, role in roles.items()}
    sending = {own: Folder(tmp_path / f"{role}-sends") for own, role in roles.items()}
    for own, role in roles.items():
        for folder in (receiving[own], sending[own]):
            run("init", folder.path, "--role", role)
    with ExitStack() as stack:
        urls = {own: stack.enter_context(serving(receiving[own])).line for own in roles}
        for folder in sending.values():
            for agreement in read_configuration(folder.config).agreements:
                folder.reach(agreement.peer, urls[agreement.peer])
                for service in sorted(agreement.sends):
                    command = ("-c", folder.config, "send", service, folder.message(service))
                    sent = run(*command, "--to", agreement.peer, "--wait", "--json")
                    assert sent.exit_code == 0, (folder, service, sent.stdout)
                    done = "PSPBK0000I" if agreement.peer == "BANK" else "PSPPM0000I"
                    assert json.loads(sent.stdout)["status"] == done
    assert len(ledger(receiving["PSP"])) == len(ledger(receiving["BANK"])) == 1


def test_a_running_server_delivers_what_is_queued(run: Run, biz: Folder, psp: Folder) -> None:
    with serving(psp) as platform:
        biz.reach("PSP", platform.line)
        biz.wait_for_answers()
        with serving(biz):
            run("-c", biz.config, "send", "PS810FTRQ", biz.message(), "--msg-id", "BIZ-1")
            wait_for(lambda: shown(run, biz, "BIZ-1")["state"] == "answered")
    assert ledger(psp) == [("BIZ-1", "1250000.00")]


def test_a_repeat_gets_the_stored_reply_byte_for_byte(run: Run, biz: Folder, psp: Folder) -> None:
    composed = run("-c", biz.config, "compose", "PS810FTRQ", biz.message(), "--msg-id", "BIZ-1")
    with serving(psp) as server:
        first = post(server.line, composed.stdout_bytes)
        assert post(server.line, composed.stdout_bytes) == first
    assert str(parsed(first).status) == "PSPPM0000I"
    found = shown(run, psp, "BIZ-1")
    assert (found["handler_runs"], found["replays"]) == (1, 1)
    assert ledger(psp) == [("BIZ-1", "1250000.00")]
    assert "Repeats of it came once" in run("-c", psp.config, "why", "BIZ-1").stdout
    tailed = run("-c", psp.config, "tail", "--from-start", "--until-idle", "0").stdout
    assert "replayed     a repeat: the stored reply is for it" in tailed


def test_a_refusal_is_exit_code_1(run: Run, biz: Folder, psp: Folder) -> None:
    handlers = psp.path / "handlers.py"
    text = handlers.read_text(encoding="utf-8").replace("if not request.body:", "if True:")
    handlers.write_text(text, encoding="utf-8")
    with serving(psp) as server:
        biz.reach("PSP", server.line)
        biz.wait_for_answers()
        command = ("send", "PS810FTRQ", biz.message(), "--wait", "--json")
        refused = run("-c", biz.config, *command)
    assert refused.exit_code == 1
    said = json.loads(refused.stdout)
    assert (said["state"], said["status"]) == ("answered", "PSPPM0001S")
    assert said["text"] == "訊息格式錯誤: a body is wanted"


def test_two_servers_on_one_database(run: Run, biz: Folder, psp: Folder) -> None:
    composed = run("-c", biz.config, "compose", "PS810FTRQ", biz.message(), "--msg-id", "BIZ-1")
    with serving(psp) as one, serving(psp) as other:
        assert one.line != other.line
        first = post(one.line, composed.stdout_bytes)
        assert post(other.line, composed.stdout_bytes) == first
    assert ledger(psp) == [("BIZ-1", "1250000.00")]


def test_what_is_in_hand_is_finished_before_the_end(run: Run, biz: Folder, psp: Folder) -> None:
    slow = psp.path / "handlers.py"
    slow.write_text(
        "import asyncio, pathlib, msh\n"
        "def register(handler):\n"
        "    services = {s for a in handler.agreements for s in a.accepts}\n"
        "    @handler.on(*services)\n"
        "    async def slow(request):\n"
        "        pathlib.Path(__file__).with_name('begun').touch()\n"
        "        await asyncio.sleep(0.5)\n"
        "        return msh.Reply('PSPPM0000I')\n",
        encoding="utf-8",
    )
    with serving(psp) as server:
        biz.reach("PSP", server.line)
        biz.wait_for_answers()
        command = ("-c", biz.config, "send", "PS810FTRQ", biz.message(), "--wait", "--json")
        with spawned(*command) as sending:
            wait_for(lambda: (psp.path / "begun").exists())
            assert server.stop()[0] == 0
            said, _ = sending.communicate(timeout=PATIENCE)
    assert json.loads(said)["status"] == "PSPPM0000I"
    assert json.loads(said)["attempts"] == 1


def test_a_killed_server_leaves_its_work_to_the_next(run: Run, biz: Folder, psp: Folder) -> None:
    psp.change("lease = 30", "lease = 0.5")
    handlers = psp.path / "handlers.py"
    working = handlers.read_text(encoding="utf-8")
    handlers.write_text(
        working.replace(
            "    if not request.body:",
            "    import os\n    os.kill(os.getpid(), 9)\n    if not request.body:",
        ),
        encoding="utf-8",
    )
    with serving(psp) as server:
        biz.reach("PSP", server.line)
        sent = run(
            "-c", biz.config, "send", "PS810FTRQ", biz.message(), "--msg-id", "BIZ-1", "--wait"
        )
        assert sent.exit_code == 1
        assert "in doubt" in sent.stdout
        assert server.process.wait(PATIENCE) == -signal.SIGKILL
    handlers.write_text(working, encoding="utf-8")
    with serving(psp) as server:
        wait_for(lambda: shown(run, psp, "BIZ-1")["state"] == "answered")
        biz.wait_for_answers()
        biz.reach("PSP", server.line)
        assert run("-c", biz.config, "resend", "BIZ-1", "--wait").exit_code == 0
    found = shown(run, psp, "BIZ-1")
    assert (found["handler_runs"], found["replays"]) == (2, 1)
    assert ledger(psp) == [("BIZ-1", "1250000.00")]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_both_signals_end_it_cleanly(psp: Folder, number: int) -> None:
    with serving(psp) as server:
        code, log = server.stop(number)
    assert code == 0
    assert "Traceback" not in log


def test_a_party_that_accepts_nothing_only_sends(run: Run, biz: Folder, psp: Folder) -> None:
    text = biz.config.read_text(encoding="utf-8")
    before, _, rest = text.partition("accepts = [")
    after = rest.partition("]")[2].replace('handlers = "handlers.py"', "")
    biz.config.write_text(f"{before}accepts = []{after}", encoding="utf-8")
    with serving(psp) as platform:
        biz.reach("PSP", platform.line)
        biz.wait_for_answers()
        with started("-c", biz.config, "serve") as server:
            assert server.line == "sending only: no agreement accepts a service"
            run("-c", biz.config, "send", "PS810FTRQ", biz.message(), "--msg-id", "BIZ-1")
            wait_for(lambda: shown(run, biz, "BIZ-1")["state"] == "answered")


def test_old_content_is_purged_at_the_start(run: Run, biz: Folder) -> None:
    given_up = run(
        "-c", biz.config, "send", "PS810FTRQ", biz.message(), "--msg-id", "OLD", "--wait"
    )
    assert "undelivered, not sent" in given_up.stdout, given_up.stderr
    with closing(sqlite3.connect(biz.database)) as database:
        database.execute("UPDATE delivery SET settled = settled - 4 * 86400 * 1000000")
        database.commit()
    with serving(biz) as server:
        wait_for(lambda: bool(shown(run, biz, "OLD")["purged"]))
        assert "purged 1 messages" in server.stop()[1]


def test_the_log_can_tell_each_step(run: Run, biz: Folder, psp: Folder) -> None:
    composed = run("-c", biz.config, "compose", "PS810FTRQ", biz.message(), "--msg-id", "BIZ-1")
    with serving(psp, "--log-level", "debug") as server:
        post(server.line, composed.stdout_bytes)
        _, log = server.stop()
    assert "inbound PS810FTRQ BIZ-1 replied" in log
    assert "投資人" not in log


# where it listens


@pytest.mark.parametrize(
    ("listen", "host", "port", "url"),
    [
        ("http://127.0.0.1:8710/sms", None, None, "http://127.0.0.1:8710/sms"),
        ("http://127.0.0.1:8710/sms", None, 0, "http://127.0.0.1:0/sms"),
        ("http://127.0.0.1:8710/in", "0.0.0.0", None, "http://0.0.0.0:8710/in"),
        ("http://[::1]:8710/in", None, 9, "http://[::1]:9/in"),
        ("http://localhost/in", "::", None, "http://[::]/in"),
        (None, None, 9, "http://127.0.0.1:9/sms"),
        (None, "::1", 9, "http://[::1]:9/sms"),
    ],
)
def test_host_and_port_override_the_address(
    psp: Folder, listen: str | None, host: str | None, port: int | None, url: str
) -> None:
    configuration = replace(read_configuration(psp.config), listen=listen)
    assert listen_url(configuration, host, port) == url


def test_without_an_address_there_must_be_a_port(psp: Folder) -> None:
    configuration = replace(read_configuration(psp.config), listen=None)
    with pytest.raises(ConfigurationError, match=r"listen\.url: is missing"):
        listen_url(configuration, None, None)


def test_an_address_that_is_taken(run: Run, psp: Folder) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = run("-c", psp.config, "serve", "--port", port)
    assert refused.exit_code == 2
    assert str(port) in refused.stderr


# the handlers file


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("import nothing_of_that_name\n", ["line 1", "ModuleNotFoundError"]),
        ("x = 1\n\ny = x +\n", ["line 3", "SyntaxError"]),
        ("def start(handler): ...\n", ["no function register(handler)", "msh init"]),
        ("register = 7\n", ["no function register(handler)"]),
        ("def register(handler):\n    handler.on('PS999')\n", ["line 2", "no agreement accepts"]),
        ("def register():\n    ...\n", ["TypeError"]),
        (
            "def register(handler):\n    handler.on('PS810FTRQ')(print)\n",
            ["PS811FTRRQ", "no handler"],
        ),
    ],
)
def test_what_is_wrong_with_the_handlers_is_named(
    run: Run, psp: Folder, content: str, words: list[str]
) -> None:
    (psp.path / "handlers.py").write_text(content)
    refused = run("-c", psp.config, "serve", "--port", "0")
    assert refused.exit_code == 2
    for word in words:
        assert word in refused.stderr
    assert "Traceback" not in refused.stderr


def test_missing_handlers(run: Run, psp: Folder) -> None:
    (psp.path / "handlers.py").unlink()
    gone = run("-c", psp.config, "serve", "--port", "0")
    assert gone.exit_code == 2
    assert "handlers.py does not exist" in gone.stderr
    psp.change('handlers = "handlers.py"', "")
    unnamed = run("-c", psp.config, "serve", "--port", "0")
    assert unnamed.exit_code == 2
    assert "handlers: is missing" in unnamed.stderr


def test_a_handlers_file_may_import_its_neighbours(run: Run, psp: Folder) -> None:
    (psp.path / "msh_neighbour_of_a_test.py").write_text("SERVICES = ['nothing']\n")
    (psp.path / "handlers.py").write_text(
        "from msh_neighbour_of_a_test import SERVICES\n"
        "def register(handler):\n    handler.on(*SERVICES)\n"
    )
    assert "no agreement accepts nothing" in run("-c", psp.config, "serve").stderr
