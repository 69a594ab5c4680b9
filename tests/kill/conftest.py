"""Programs that die on purpose, started again by the test."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


class Program:
    """One handler process at a time, on one folder and one port."""

    def __init__(self, role: str, folder: Path, *more: str, **environment: str) -> None:
        self.role, self.folder, self.more = role, folder, more
        self.environment = environment
        self.port = "0"
        self.url = ""
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, kill_at: str = "") -> None:
        """Start it; returns when it listens, or is dead already."""
        self.stop()
        words = ["-m", "tests.kill.program", self.role, str(self.folder), self.port, *self.more]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *words],
                cwd=ROOT,
                env={**os.environ, **self.environment, "KILL_AT": kill_at},
                bufsize=0,  # so that a line that was read ahead cannot be missed by select
                stdout=subprocess.PIPE,
                stderr=log,
            )
        line = self.read_line(15)
        if line.startswith("listening on "):
            self.url = line.split()[-1]
            self.port = self.url.rpartition(":")[2].partition("/")[0]

    def read_line(self, seconds: float) -> str:
        """The next line it prints; empty if it died. Fails after ``seconds``."""
        assert self.process is not None
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            assert selector.select(seconds), f"no line in {seconds} s: {self.log()}"
        return self.process.stdout.readline().decode().strip()

    def is_dead(self, seconds: float) -> bool:
        """Wait for its death by its own hand."""
        assert self.process is not None
        until = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        return self.process.poll() == -9

    def stop(self) -> None:
        """End it, if it lives."""
        if self.process is not None:
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait(10)
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None

    def log(self) -> str:
        """What it has complained of."""
        return (self.folder / "log").read_text()


@pytest.fixture
def program(tmp_path: Path) -> Iterator[object]:
    made: list[Program] = []

    def make(role: str, *more: str, **environment: str) -> Program:
        made.append(Program(role, tmp_path, *more, **environment))
        return made[-1]

    yield make
    for one in made:
        one.stop()
