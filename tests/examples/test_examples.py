"""Each example runs as its docstring says, as a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from msh.cli import app

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
#: Seconds within which anything here must have happened.
PATIENCE = 20


@pytest.fixture
def environment() -> dict[str, str]:
    """Where programs of their own find this msh, and print in UTF-8."""
    around = {name: value for name, value in os.environ.items() if name != "MSH_CONFIG"}
    return around | {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}


@pytest.fixture
def psp(tmp_path: Path) -> Path:
    """The platform's folder, on a free port."""
    return made(
        tmp_path / "psp", "psp", r'^url = "http://127.0.0.1:\d+', 'url = "http://127.0.0.1:0'
    )


def business(tmp_path: Path, endpoint: str) -> Path:
    """The business system's folder, whose platform is at ``endpoint``."""
    return made(tmp_path / "biz", "business", r'^endpoint = "[^"]*"', f'endpoint = "{endpoint}"')


def made(folder: Path, role: str, old: str, new: str) -> Path:
    """A folder of `msh init`, with one line changed."""
    done = CliRunner().invoke(app, ["init", str(folder), "--role", role])
    assert done.exit_code == 0, done.output
    file = folder / "msh.toml"
    text, count = re.subn(old, new, file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert count == 1
    file.write_text(text, encoding="utf-8")
    return folder


@contextmanager
def running(
    command: list[str], folder: Path, environment: dict[str, str]
) -> Iterator[subprocess.Popen[str]]:
    """A program; killed at the end if the test has not ended it."""
    with subprocess.Popen(
        [sys.executable, *command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def address(process: subprocess.Popen[str], stream: IO[str] | None) -> str:
    """The URL in the first line of ``stream`` that has one."""
    assert stream is not None
    lines = []
    watchdog = threading.Timer(PATIENCE, process.kill)
    watchdog.start()
    try:
        for line in stream:
            lines.append(line)
            found = re.search(r"http://127\.0\.0\.1:\d+\S*", line)
            if found:
                return found[0]
    finally:
        watchdog.cancel()
    raise AssertionError(f"no address was printed within {PATIENCE} s: {''.join(lines)}")


def ended(process: subprocess.Popen[str], number: int) -> tuple[int, str]:
    """Stop by a signal; the exit code and what was on stderr."""
    process.send_signal(number)
    _, errors = process.communicate(timeout=PATIENCE)
    return process.returncode, errors


def run(command: list[str], folder: Path, environment: dict[str, str], *, warning: str = "") -> str:
    """What a program prints that ends by itself, and warns of nothing else."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    assert warning in done.stderr if warning else done.stderr == ""
    assert "Traceback" not in done.stderr
    return done.stdout


def booked(folder: Path, table: str = "payment") -> list[str]:
    """The message ids that the receiver has booked."""
    connection = sqlite3.connect(folder / "msh.db")
    try:
        return [row[0] for row in connection.execute(f"SELECT message_id FROM {table}")]
    finally:
        connection.close()


def test_senders_and_receiver(psp: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    with running([str(EXAMPLES / "receiver.py")], psp, environment) as receiver:
        biz = business(tmp_path, address(receiver, receiver.stdout))
        first, again = (
            run([str(EXAMPLES / "sender.py"), "invoice-17"], biz, environment) for _ in range(2)
        )
        blocking = run([str(EXAMPLES / "blocking_sender.py"), "invoice-18"], biz, environment)
        assert ended(receiver, signal.SIGINT) == (0, "")
    assert first == again, "the same key is the same message"
    said, answer = first.splitlines()
    assert said.endswith(" is on disk")
    assert answer == "PSPPM0000I 處理完成 (done)"
    assert blocking == "PSPPM0000I 處理完成\n"
    ledger = booked(psp)
    assert len(ledger) == 2
    assert ledger[0] == said.split()[0]


def test_a_soap_client(psp: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    file = psp / "msh.toml"
    text = file.read_text(encoding="utf-8")
    if "checks_content" not in text:
        text = text.replace("[agreements.BIZ]\n", "[agreements.BIZ]\nchecks_content = true\n")
    file.write_text(text, encoding="utf-8")
    with running(["-m", "msh.cli", "serve"], psp, environment) as server:
        url = address(server, server.stdout)
        run(["-m", "msh.cli", "wsdl", "--endpoint", url], tmp_path, environment)
        command = [str(EXAMPLES / "zeep_client.py"), "wsdl/sms.wsdl", "BIZ-1"]
        around = environment | {"NO_PROXY": "*"}
        first, again = (run(command, tmp_path, around) for _ in range(2))
        assert ended(server, signal.SIGTERM)[0] == 0
    assert re.fullmatch(r"PSP-\S+ PSPPM\d{4}[IW] \S.*\n", first)
    assert first == again, "the same id is the same message"


def test_the_readme_from_its_beginning_in_one_folder(
    psp: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    """`msh serve` first, then receiver.py in the same folder, on the same store."""
    with running(["-m", "msh.cli", "serve"], psp, environment) as server:
        biz = business(tmp_path, address(server, server.stdout))
        send = ["-m", "msh.cli", "send", "PS810FTRQ", "messages/PS810FTRQ.xml"]
        sent = run([*send, "--key", "invoice-16", "--wait"], biz, environment)
        assert ended(server, signal.SIGTERM)[0] == 0
    with running([str(EXAMPLES / "receiver.py")], psp, environment) as receiver:
        file = biz / "msh.toml"
        now_at = f'endpoint = "{address(receiver, receiver.stdout)}"'
        text = re.sub(r'^endpoint = "[^"]*"', now_at, file.read_text("utf-8"), flags=re.MULTILINE)
        file.write_text(text, encoding="utf-8")
        said = run([str(EXAMPLES / "sender.py"), "invoice-17"], biz, environment)
        assert ended(receiver, signal.SIGINT) == (0, "")
    assert said.splitlines()[1] == "PSPPM0000I 處理完成 (done)"
    assert booked(psp, "ledger") == [sent.split()[0]]
    assert booked(psp) == [said.split()[0]]


def test_a_port_that_is_taken_is_one_line(psp: Path, environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        file = psp / "msh.toml"
        text = file.read_text(encoding="utf-8")
        port = taken.getsockname()[1]
        file.write_text(text.replace("127.0.0.1:0/", f"127.0.0.1:{port}/"), encoding="utf-8")
        with running([str(EXAMPLES / "receiver.py")], psp, environment) as receiver:
            _, errors = receiver.communicate(timeout=PATIENCE)
    assert receiver.returncode == 1
    assert str(port) in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("name", ["sender.py", "blocking_sender.py"])
def test_a_sender_without_an_invoice_says_what_it_wants(
    name: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    biz = business(tmp_path, "http://127.0.0.1/sms")
    with running([str(EXAMPLES / name)], biz, environment) as process:
        _, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors) == (1, f"usage: python {name} INVOICE\n")


def test_a_platform_that_is_away(
    tmp_path: Path, environment: dict[str, str], unused_tcp_port: int
) -> None:
    biz = business(tmp_path, f"http://127.0.0.1:{unused_tcp_port}/sms")
    file = biz / "msh.toml"
    text = file.read_text(encoding="utf-8")
    file.write_text(
        text.replace("resends = 3\ninterval = 60", "resends = 0\ninterval = 0").replace(
            "timeout = 30", "timeout = 0.3"
        ),
        encoding="utf-8",
    )
    warning = "attempt 1 failed, not sent"
    command = [str(EXAMPLES / "sender.py"), "invoice-17"]
    said = run(command, biz, environment, warning=warning)
    assert said.splitlines()[1] == "surely not sent: run this again, with the same invoice"
    assert run(command, biz, environment, warning="attempt 2 failed, not sent") == said
    command = [str(EXAMPLES / "blocking_sender.py"), "invoice-18"]
    assert "surely not sent" in run(command, biz, environment, warning=warning)


def test_the_web_application(psp: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    biz = business(tmp_path, "http://127.0.0.1/sms")  # only composes
    compose = ["-m", "msh.cli", "compose", "PS810FTRQ", "messages/PS810FTRQ.xml"]
    wire = run([*compose, "--msg-id", "BIZ-1"], biz, environment).encode()
    command = ["-m", "uvicorn", "--app-dir", str(EXAMPLES), "web_app:app", "--port", "0"]
    with running(command, psp, environment) as server:
        base = address(server, server.stderr)
        answers = [post(f"{base}/sms", wire) for _ in range(2)]
        recent = json.loads(get(f"{base}/recent"))
        ready = json.loads(get(f"{base}/health/ready"))
        code, errors = ended(server, signal.SIGTERM)
    assert code in (0, -signal.SIGTERM), errors
    assert "Traceback" not in errors
    assert answers[0] == answers[1], "a repeat gets the stored reply"
    header = ElementTree.fromstring(answers[0])[0][0]
    values = {element.tag.partition("}")[2]: element.text for element in header}
    assert values["SvcId"] == "PS810FTRS"
    assert values["RefToMsgId"] == "BIZ-1"
    assert values["StatusCode"] == "PSPPM0000I"
    assert recent == [{"id": "BIZ-1", "state": "answered"}]
    assert ready == {"status": "ready"}


def post(url: str, wire: bytes) -> bytes:
    headers = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '""'}
    return get(urllib.request.Request(url, wire, headers))


def get(what: str | urllib.request.Request) -> bytes:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(what, timeout=PATIENCE) as response:
        content: bytes = response.read()
        return content


def test_every_example_has_its_test() -> None:
    here = Path(__file__).read_text(encoding="utf-8")
    for file in EXAMPLES.glob("*.py"):
        assert f'"{file.name}"' in here or f'"{file.stem}:app"' in here, file.name
