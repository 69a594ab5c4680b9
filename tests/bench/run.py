"""``make bench``: exchanges per second, each beside a floor taken in the same run.

Prints a table and writes ``build/bench.json``. Every value is the median of five runs that take
turns with the floor's, so that a machine whose speed drifts does not favour either.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table

import msh
from msh.cli.samples import sample_body
from msh.envelope import normal_body, serialise
from msh.profiles import standard_profile
from tests.bench import floor, prepared, receiver

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RUNS = int(os.environ.get("BENCH_RUNS", "5"))
SECONDS = int(os.environ.get("BENCH_SECONDS", "4"))
MEMORY_EXCHANGES = int(os.environ.get("BENCH_MEMORY", "100000"))
DURABLE = 6000
# What must be new in each message, where bodies are looked into.
REFERENCES = re.compile(rb"(?<=<SSNID)>[^<]*<|(?<=<SVCREFID)>[^<]*<")


@dataclass
class Figures:
    """One run: exchanges per second and latencies in milliseconds."""

    value: float
    p50: float
    p99: float


def template(folder: Path) -> Path:
    """A request of about 2 KB; wrk fills in its message id and its references."""
    now = datetime.now(UTC)
    message = msh.Message(
        service="PS810FTRQ",
        message_id="BIZ-ID",
        sender="BIZ",
        receiver="PSP",
        timestamp=now,
        expires=now + timedelta(hours=10),
        body=REFERENCES.sub(b">BIZ-ID<", normal_body(sample_body("PS810FTRQ"))),
    )
    file = folder / "request.xml"
    file.write_bytes(serialise(message, standard_profile()).replace(b"BIZ-ID", b"BIZ-@ID@"))
    return file


@contextmanager
def serving(*words: str, folder: Path | None = None) -> Iterator[tuple[str, int]]:
    """A server in a process of its own: its URL and process id."""
    program = subprocess.Popen(
        [sys.executable, *words], stdout=subprocess.PIPE, text=True, cwd=folder or ROOT
    )
    try:
        assert program.stdout is not None
        line = program.stdout.readline()
        if not line.startswith("listening on "):
            raise SystemExit(f"{words}: did not start")
        yield line.split()[-1], program.pid
    finally:
        program.terminate()
        program.wait(30)
        assert program.stdout is not None
        program.stdout.close()


def wrk(url: str, request: Path, clients: int, seconds: int, prefix: str, most: int) -> Figures:
    """Drive ``url`` for ``seconds``; every answer must be a 200."""
    out = subprocess.run(
        [
            "wrk",
            "-t1",
            f"-c{clients}",
            f"-d{seconds}s",
            "--timeout",
            "10s",
            "-s",
            str(HERE / "wrk.lua"),
            url,
            "--",
            str(request),
            str(most),
            prefix,
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    line = next(line for line in out.splitlines() if line.startswith("FIGURES"))
    count, micros, p50, p99, refused, broken = map(int, line.split()[1:])
    if refused or broken:
        raise SystemExit(f"{url}: {refused} answers were no 200, {broken} connections broke")
    return Figures(count / (micros / 1e6), p50 / 1000, p99 / 1000)


def unsigned(folder: Path, clients: int) -> dict[str, object]:
    """The receiver alone, driven by wrk."""
    request = template(folder)
    ours: list[Figures] = []
    floors: list[Figures] = []
    base = folder / f"unsigned-{clients}"
    base.mkdir()
    with (
        serving("-m", "tests.bench.receiver", str(base / "psp.db")) as (url, _),
        serving("-m", "tests.bench.floor", str(base / "floor.db")) as (floor_url, _),
    ):
        wrk(url, request, clients, 1, f"W{clients}", SECONDS * 20_000)
        for run in range(RUNS):
            most = SECONDS * 20_000
            floors.append(wrk(floor_url, request, clients, SECONDS, f"F{run}", most))
            ours.append(wrk(url, request, clients, SECONDS, f"R{run}", most))
    return row("exchange-unsigned", clients, ours, floors)


def content(folder: Path, clients: int) -> dict[str, object]:
    """What looking into bodies costs: receivers with and without schema and rules, in turns."""
    request = template(folder)
    with_checks: list[Figures] = []
    without: list[Figures] = []
    base = folder / "content"
    base.mkdir()
    with (
        serving("-m", "tests.bench.receiver", str(base / "with.db"), "checked") as (url, _),
        serving("-m", "tests.bench.receiver", str(base / "without.db")) as (plain, _),
    ):
        for run in range(RUNS):
            most = SECONDS * 20_000
            without.append(wrk(plain, request, clients, SECONDS, f"N{run}", most))
            with_checks.append(wrk(url, request, clients, SECONDS, f"C{run}", most))
    values = [statistics.median(one.value for one in runs) for runs in (with_checks, without)]
    return {
        "with": round(values[0]),
        "without": round(values[1]),
        "share_percent": round(100 * (1 - values[0] / values[1]), 1),
    }


def protected(folder: Path, kind: str, clients: int, rate: int) -> dict[str, object]:
    """The receiver alone with protected messages, requests protected in advance.

    ``rate`` is more than it can answer in a second.
    """
    base = folder / f"protected-{kind}"
    keys = base / "keys"
    keys.mkdir(parents=True)
    prepared.make_keys(keys)
    store = f"sqlite:///{base / 'biz.db'}"
    terms = replace(
        receiver.agreement("BIZ", "PSP", "http://127.0.0.1/"),
        protection=prepared.protection(kind, keys, "BIZ"),
    )
    if kind == "mac":
        asyncio.run(prepared.keep_key(store, keys, "PSP"))
    ours: list[Figures] = []
    floors: list[Figures] = []
    with (
        serving("-m", "tests.bench.receiver", str(base / "psp.db"), kind, str(keys)) as (url, _),
        serving("-m", "tests.bench.floor", str(base / "floor.db"), kind, str(keys)) as (below, _),
    ):
        for run in range(RUNS):
            file = base / "requests"
            wires = prepared.requests(terms, store, SECONDS * rate, f"R{run}")
            file.write_bytes(asyncio.run(wires))
            floors.append(wrk(below, file, clients, SECONDS, "", 1))
            ours.append(wrk(url, file, clients, SECONDS, "", 1))
    return row(f"exchange-{kind}".replace("signature", "signed"), clients, ours, floors)


async def durable_run(folder: Path, run: int, clients: int) -> tuple[Figures, Figures]:
    """Our sender and our receiver, both durable; and the floor's."""
    body = sample_body("PS810FTRQ")
    base = folder / f"durable-{run}"
    base.mkdir()
    with serving("-m", "tests.bench.floor", str(base / "floor.db")) as (url, _):
        wire = template(base).read_bytes()
        wires = [wire.replace(b"@ID@", b"%d" % number) for number in range(DURABLE)]
        seconds, latencies = await floor.send(str(base / "floor-sender.db"), url, wires, clients)
        below = figures(seconds, latencies)
    with serving("-m", "tests.bench.receiver", str(base / "psp.db")) as (url, _):
        agreements = msh.Agreements.of("BIZ", [receiver.agreement("BIZ", "PSP", url)])
        handler = msh.MessageServiceHandler(agreements, f"sqlite:///{base / 'biz.db'}")
        numbers = iter(range(DURABLE))
        taken: list[float] = []

        async def client() -> None:
            for _ in numbers:
                began = time.perf_counter()
                receipt = await handler.send("PS810FTRQ", body)
                await receipt.reply()
                taken.append(time.perf_counter() - began)

        async with handler:
            began = time.perf_counter()
            await asyncio.gather(*(client() for _ in range(clients)))
            seconds = time.perf_counter() - began
    return figures(seconds, taken), below


def figures(seconds: float, latencies: list[float]) -> Figures:
    cuts = statistics.quantiles(latencies, n=100)
    return Figures(len(latencies) / seconds, cuts[49] * 1000, cuts[98] * 1000)


def durable(folder: Path, clients: int, run_loop: type[asyncio.Runner]) -> dict[str, object]:
    """Sender and receiver together."""
    pairs = []
    for run in range(RUNS):
        with run_loop(loop_factory=receiver.loop_factory()) as runner:
            pairs.append(runner.run(durable_run(folder, run, clients)))
    return row("exchange-durable", clients, [a for a, _ in pairs], [b for _, b in pairs])


def row(name: str, clients: int, ours: list[Figures], floors: list[Figures]) -> dict[str, object]:
    middle = sorted(ours, key=lambda one: one.value)[len(ours) // 2]
    below = statistics.median(one.value for one in floors)
    return {
        "name": name,
        "clients": clients,
        "value": round(middle.value),
        "p50_ms": round(middle.p50, 2),
        "p99_ms": round(middle.p99, 2),
        "floor": round(below),
        "ratio": round(middle.value / below, 2),
    }


def memory(folder: Path) -> dict[str, object]:
    """Resident memory of ``msh serve`` after 1,000 exchanges, and after many more."""
    home = folder / "psp"
    command = [sys.executable, "-m", "msh.cli"]
    subprocess.run(
        [*command, "init", str(home), "--role", "psp"], check=True, stdout=subprocess.DEVNULL
    )
    request = template(folder)
    done, run = 0.0, 0
    first = 0
    with serving("-m", "msh.cli", "serve", "--port", "0", folder=home) as (url, pid):
        while done < MEMORY_EXCHANGES:
            seconds = 1 if not done else 5
            done += wrk(url, request, 32, seconds, f"M{run}", seconds * 20_000).value * seconds
            run += 1
            first = first or resident(pid)
        last = resident(pid)
    return {
        "exchanges": round(done),
        "first_mb": round(first / 1e6, 1),
        "last_mb": round(last / 1e6, 1),
        "growth_mb": round((last - first) / 1e6, 1),
    }


def resident(pid: int) -> int:
    """Bytes of resident memory (Linux)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("no VmRSS in /proc; memory can be measured on Linux only")


def main() -> None:
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is missing; install it with: apt-get install wrk")
    with tempfile.TemporaryDirectory(prefix="msh-bench-") as name:
        folder = Path(name)
        rows = [unsigned(folder, clients) for clients in (1, 8, 32)]
        rows.append(durable(folder, 32, asyncio.Runner))
        rows.append(protected(folder, "mac", 32, 8_000))
        rows.append(protected(folder, "signature", 32, 3_000))
        looked = content(folder, 32)
        used = memory(folder)
    table = Table(
        title=f"exchanges per second, {platform.python_version()}, {os.cpu_count()} cores"
    )
    for column in rows[0]:
        table.add_column(column, justify="left" if column == "name" else "right")
    for one in rows:
        table.add_row(
            *(f"{value:,}" if isinstance(value, int) else str(value) for value in one.values())
        )
    Console().print(table)
    print(
        f"schema and rules: {looked['share_percent']} % of exchange-unsigned at 32 clients "
        f"({looked['with']:,}/s with, {looked['without']:,}/s without)"
    )
    print(
        f"memory of msh serve: {used['first_mb']} MB after the first second, {used['last_mb']} MB "
        f"after {used['exchanges']:,} exchanges"
    )
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    measured = {"rows": rows, "content": looked, "memory": used}
    (build / "bench.json").write_text(json.dumps(measured, indent=2) + "\n")


if __name__ == "__main__":
    main()
