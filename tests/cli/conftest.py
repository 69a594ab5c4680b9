"""Folders made by `msh init`, commands run in this process, and servers as real processes."""

from __future__ import annotations

import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import msh
from msh.cli import app
from msh.cli.samples import sample_body
from tests.security.masking import WATCH

Run = Callable[..., Result]
#: Seconds within which a server must be ready, or have ended.
PATIENCE = 20
#: Seconds after which a folder of these tests gives up an attempt.
HASTE = 0.6


@pytest.fixture(autouse=True)
def _no_configuration_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the configuration, the terminal or the time zone of whoever runs it."""
    for name in ("MSH_CONFIG", "COLUMNS", "FORCE_COLOR", "MSH_TRACEBACK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    # `msh serve` lets a handlers file import its neighbours.
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture
def run() -> Run:
    """Run a command line in this process; the result has stdout, stderr and exit_code."""

    def invoke(*arguments: str | Path, stdin: bytes | None = None) -> Result:
        return CliRunner().invoke(app, [str(one) for one in arguments], input=stdin)

    return invoke


def unused_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True)
class Folder:
    """A folder of `msh init`."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "msh.toml"

    @property
    def database(self) -> Path:
        return self.path / "msh.db"

    def message(self, service: str = "PS810FTRQ") -> Path:
        return self.path / "messages" / f"{service}.xml"

    def another(self, service: str = "PS810FTRQ") -> Path:
        """A sample with references that no other message has, in a file of its own."""
        number = sum(1 for _ in (self.path / "messages").iterdir())
        file = self.path / "messages" / f"{service}-{number}.xml"
        file.write_text(sample_body(service), encoding="utf-8")
        return file

    def change(self, old: str, new: str) -> None:
        """Change every ``old`` in the configuration."""
        text = self.config.read_text(encoding="utf-8")
        assert old in text
        self.config.write_text(text.replace(old, new), encoding="utf-8")

    def reach(self, peer: str, url: str) -> None:
        """Set the endpoint of ``peer``."""
        text = self.config.read_text(encoding="utf-8")
        changed, count = re.subn(
            rf'(\[agreements\.{peer}\]\nrole = "\w+"\nendpoint = )"[^"]*"', rf'\1"{url}"', text
        )
        assert count == 1
        self.config.write_text(changed, encoding="utf-8")

    def wait_for_answers(self) -> None:
        """Give a peer that does answer all the time it needs."""
        self.change(f"timeout = {HASTE}", f"timeout = {PATIENCE}")


@pytest.fixture
def biz(run: Run, tmp_path: Path) -> Folder:
    """A business system whose platform does not answer: one attempt, then it is given up."""
    assert run("init", tmp_path / "biz", "--role", "business").exit_code == 0
    folder = Folder(tmp_path / "biz")
    folder.change("resends = 3\ninterval = 60", "resends = 0\ninterval = 0")
    folder.change("timeout = 30", f"timeout = {HASTE}")
    folder.reach("PSP", f"http://127.0.0.1:{unused_port()}/sms")
    return folder


@pytest.fixture
def psp(run: Run, tmp_path: Path) -> Folder:
    """A platform as `msh init` makes it."""
    assert run("init", tmp_path / "psp", "--role", "psp").exit_code == 0
    return Folder(tmp_path / "psp")


@dataclass
class Process:
    """A command as a process of its own, and the first line it printed."""

    process: subprocess.Popen[bytes]
    line: str

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal, wait for the end; the exit code and what was on stderr."""
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=PATIENCE)
        WATCH.look("stderr of a process", errors.decode())
        return self.process.returncode, errors.decode()


@contextmanager
def spawned(*arguments: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """``msh`` with these arguments as a process of its own; always ended."""
    process = subprocess.Popen(
        [sys.executable, "-m", "msh.cli", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(Path(msh.__file__).parents[1])},
    )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


@contextmanager
def started(*arguments: str | Path) -> Iterator[Process]:
    """``msh`` with these arguments, once it has printed its first line; always ended."""
    with spawned(*arguments) as process:
        yield Process(process, _first_line(process))


def _first_line(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    assert process.stderr is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        if not selector.select(timeout=PATIENCE):
            raise AssertionError(f"nothing was printed within {PATIENCE} s")
    line = process.stdout.readline().decode().strip()
    assert line, process.stderr.read().decode()
    return line


@contextmanager
def serving(folder: Folder, *options: str) -> Iterator[Process]:
    """``msh serve`` of a folder on a free port; its line is the URL."""
    with started("-c", folder.config, "serve", "--port", "0", *options) as server:
        word, _, url = server.line.partition("listening on ")
        assert word == ""
        server.line = url
        yield server


@pytest.fixture
def hanging_up() -> Iterator[str]:
    """The URL of a peer that reads something of each message and hangs up without an answer."""
    listener = socket.create_server(("127.0.0.1", 0))

    def take() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)

    taking = threading.Thread(target=take)
    taking.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/sms"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        taking.join(PATIENCE)
