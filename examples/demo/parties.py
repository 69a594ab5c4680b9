"""The three parties of the demonstration: their configurations, keys and programs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from msh.cli.files import write_new
from msh.security.issuing import self_signed
from msh.security.key_encryption import key_file_text, new_key_encryption_key

HERE = Path(__file__).resolve().parent

#: Business system and platform sign; platform and bank use MACs under a key that they exchange.
SIGNATURE = """protection = "signature"
[agreements.{peer}.signature]
own = "keys/{own}"
peer = "certificates/{peer}"
"""
MAC = """protection = "mac"
[agreements.{peer}.mac]
key_encryption = "file:keys/shared.key"
"""

# Two seconds stand for the thirty that a sender waits.
OUTBOUND = """[agreements.{peer}.outbound]
resends = 8
interval = 0.5
factor = 1.5
timeout = 2
"""
INBOUND = """[agreements.{peer}.inbound]
timeout = 2
[agreements.{peer}.handling]
lease = 1
retry_after = 0.5
patience = 1.5
"""

# Small, so that a batch of salaries has to be split.
LARGEST = "max_bytes = 49152\n"

BUSINESS = (
    """store = "sqlite:///biz.db"
handlers = "{handlers}/business_handlers.py"
[party]
id = "BIZ"
role = "business"
[listen]
url = "http://127.0.0.1:{biz_port}/sms"
[agreements.PSP]
role = "psp"
endpoint = "{psp}"
sends = ["PS810FTRQ"]
accepts = ["PS811FTRRQ"]
"""
    + LARGEST
    + SIGNATURE.format(own="BIZ", peer="PSP")
    + OUTBOUND.format(peer="PSP")
)
PLATFORM = (
    """store = "sqlite:///psp.db"
handlers = "{handlers}/platform_handlers.py"
[party]
id = "PSP"
role = "psp"
[listen]
url = "http://127.0.0.1:{psp_port}/sms"
[agreements.BIZ]
role = "business"
endpoint = "http://127.0.0.1:{biz_port}/sms"
sends = ["PS811FTRRQ"]
accepts = ["PS810FTRQ"]
"""
    + LARGEST
    + SIGNATURE.format(own="PSP", peer="BIZ")
    + INBOUND.format(peer="BIZ")
    + OUTBOUND.format(peer="BIZ")
    + """[agreements.BANK]
role = "bank"
endpoint = "{bank}"
sends = ["PS810FTRQ"]
accepts = ["PS811FTRRQ"]
"""
    + MAC.format(peer="BANK")
    + OUTBOUND.format(peer="BANK")
)
BANK = (
    """store = "sqlite:///bank.db"
handlers = "{handlers}/bank_handlers.py"
[party]
id = "BANK"
role = "bank"
[listen]
url = "http://127.0.0.1:0/sms"
[agreements.PSP]
role = "psp"
endpoint = "http://127.0.0.1:{psp_port}/sms"
sends = ["PS811FTRRQ"]
accepts = ["PS810FTRQ"]
"""
    + MAC.format(peer="PSP")
    + OUTBOUND.format(peer="PSP")
    + INBOUND.format(peer="PSP")
)


def make_keys(folder: Path) -> None:
    """A certificate for each side of the signed leg, a key-encryption key for both of the other."""
    keys = folder / "keys"
    keys.mkdir()
    now = datetime.now(UTC)
    for party in ("BIZ", "PSP"):
        begins, ends = now - timedelta(hours=1), now + timedelta(days=1)
        pem, certificate = self_signed(party, begins, ends, test=True)
        (keys / party).mkdir()
        write_new(keys / party / "signing.pem", pem, 0o600)
        pinned = folder / "certificates" / party
        pinned.mkdir(parents=True)
        write_new(pinned / f"{party}.pem", certificate.public_bytes(Encoding.PEM))
    key = key_file_text(new_key_encryption_key(256), test=True)
    write_new(keys / "shared.key", key.encode(), 0o600)


class Programs:
    """The programs, each started, killed and started again by its own process id."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.running: list[subprocess.Popen[str]] = []
        self.environment = {**os.environ, "DEMO_FOLDER": str(folder), **environment}

    def start(self, *words: str) -> subprocess.Popen[str]:
        """A Python program."""
        program = subprocess.Popen(
            [sys.executable, *words],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=(self.folder / "log").open("a"),
            text=True,
        )
        self.running.append(program)
        return program

    def serve(self, configuration: str) -> tuple[subprocess.Popen[str], str]:
        """`msh serve`, once it listens, and where."""
        program = self.start("-m", "msh.cli", "--config", configuration, "serve")
        assert program.stdout is not None
        line = program.stdout.readline()
        if not line.startswith("listening on "):
            raise SystemExit(f"{configuration}: did not start; see {self.folder / 'log'}")
        return program, line.split()[-1]

    def msh(self, configuration: str, *words: str) -> str:
        """A command of msh, and what it prints."""
        program = self.start("-m", "msh.cli", "--config", configuration, *words)
        printed, _ = program.communicate()
        if program.returncode != 0:
            raise SystemExit(f"msh {' '.join(words)} failed; see {self.folder / 'log'}")
        return printed

    def business(self, what: str, *message_ids: str) -> subprocess.Popen[str]:
        """The business system, doing one thing."""
        return self.start(str(HERE / "business.py"), "biz.toml", what, *message_ids)

    def done(self, program: subprocess.Popen[str]) -> str:
        """What a program printed that has come to a good end."""
        printed, _ = program.communicate()
        if program.returncode != 0:
            raise SystemExit(f"the business system failed; see {self.folder / 'log'}")
        return printed.strip()

    def kill(self, program: subprocess.Popen[str]) -> None:
        """End it as a crash would."""
        program.send_signal(signal.SIGKILL)
        program.wait()

    def end(self) -> None:
        """End whatever still runs."""
        for program in self.running:
            if program.poll() is None:
                program.terminate()
                try:
                    program.wait(10)
                except subprocess.TimeoutExpired:
                    program.kill()
                    program.wait()
