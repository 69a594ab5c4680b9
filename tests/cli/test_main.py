"""The command as a whole: help, version, options before and after, errors and exit codes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import msh
from msh.cli import app, looking
from msh.errors import StoreLocked
from tests.cli.conftest import Folder, Run, spawned, started

COMMANDS = [
    *("init", "serve", "send", "resend", "compose", "check"),
    *("list", "show", "why", "tail", "codes", "purge", "wsdl"),
    *("suspend", "resume", "suspensions"),
]
#: Commands of groups, and whether they work on a configuration.
GROUPED = {
    "keys generate": False,
    "keys import": False,
    **dict.fromkeys(("keys list", "keys exchange", "keys rotate"), True),
    **dict.fromkeys(("certs list", "certs check", "certs import", "certs generate"), True),
}


def test_the_help_names_every_command(run: Run) -> None:
    shown = run("--help")
    assert shown.exit_code == 0
    for command in (*COMMANDS, "keys", "certs"):
        assert f" {command} " in shown.stdout
    for command in GROUPED:
        group, name = command.split()
        assert f" {name} " in run(group, "--help").stdout


@pytest.mark.parametrize("command", [*COMMANDS, *GROUPED])
@pytest.mark.parametrize("columns", ["80", "120"])
def test_every_command_has_help_that_fits(
    command: str, columns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    shown = CliRunner().invoke(app, [*command.split(), "--help"])
    assert shown.exit_code == 0
    assert max(map(len, shown.stdout.splitlines())) <= int(columns)
    assert "Usage: " in shown.stdout
    if command != "init" and GROUPED.get(command, True):
        assert "--config" in shown.stdout


def test_without_a_command_the_help_is_shown_as_wrong_use(run: Run) -> None:
    shown = run()
    assert shown.exit_code == 2
    assert "Usage: " in shown.stdout + shown.stderr


def test_the_version(run: Run) -> None:
    assert run("--version").stdout == f"msh {msh.__version__}\n"


def test_the_library_loads_no_command_line() -> None:
    loaded = subprocess.run(
        [
            sys.executable,
            "-c",
            "import msh, sys; print('typer' in sys.modules, 'rich' in sys.modules)",
        ],
        env={"PYTHONPATH": str(Path(msh.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert loaded.stdout == "False False\n"


def test_the_command_line_loads_neither_http_nor_rich_before_it_needs_them() -> None:
    code = "import msh.cli, sys; print([n for n in ('rich', 'aiohttp') if n in sys.modules])"
    loaded = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(Path(msh.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert loaded.stdout == "[]\n"


def test_config_may_stand_before_or_after_the_command(run: Run, biz: Folder) -> None:
    before = run("-c", biz.config, "list", "--json")
    after = run("list", "--json", "--config", biz.config)
    assert (before.exit_code, before.stdout) == (after.exit_code, after.stdout) == (0, "[]\n")


def test_config_from_the_environment_and_what_goes_before_it(
    run: Run, biz: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MSH_CONFIG", str(biz.config))
    assert run("list", "--json").stdout == "[]\n"
    named = run("-c", "other.toml", "list")
    assert named.exit_code == 2
    assert "other.toml" in named.stderr


def test_config_in_the_working_directory(
    run: Run, biz: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(biz.path)
    assert run("list", "--json").stdout == "[]\n"


def test_without_a_configuration_the_message_says_how_to_get_one(run: Run) -> None:
    missing = run("list")
    assert missing.exit_code == 2
    assert missing.stdout == ""
    assert "no such file" in missing.stderr
    assert "msh init" in missing.stderr


def test_every_mistake_of_a_configuration_is_shown(run: Run, biz: Folder) -> None:
    biz.change('protection = "none"', 'protection = "some"')
    biz.change("days = 3", "days = 0")
    wrong = run("-c", biz.config, "list")
    assert wrong.exit_code == 2
    assert "agreements.PSP.protection" in wrong.stderr
    assert "retention.days" in wrong.stderr


def test_a_failing_store_is_exit_code_1(run: Run, biz: Folder) -> None:
    biz.database.write_bytes(b"this is no database, and nobody may write over it" * 100)
    damaged = run("-c", biz.config, "list")
    assert damaged.exit_code == 1
    assert damaged.stderr.startswith("msh: ")
    assert str(biz.database) in damaged.stderr


def test_a_locked_store_is_exit_code_1_with_its_own_words(
    run: Run, biz: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*_: object) -> None:
        raise StoreLocked("msh.db: another process has held the database for 5 s")

    monkeypatch.setattr(looking, "configuration_of", locked)
    held = run("list")
    assert held.exit_code == 1
    assert held.stderr == "msh: msh.db: another process has held the database for 5 s\n"


def test_a_defect_is_one_message_and_a_traceback_only_on_demand(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect(*_: object) -> None:
        raise ZeroDivisionError("of nothing")

    monkeypatch.setattr(looking, "configuration_of", defect)
    short = run("list")
    assert short.exit_code == 1
    assert "ZeroDivisionError at test_main.py:" in short.stderr
    assert "Traceback" not in short.stderr
    monkeypatch.setenv("MSH_TRACEBACK", "1")
    assert "Traceback" in run("list").stderr


def test_an_unknown_option_is_wrong_use(run: Run) -> None:
    assert run("list", "--nonsense").exit_code == 2
    assert run("nonsense").exit_code == 2


def test_a_store_in_memory_cannot_be_shared_among_commands(run: Run, biz: Folder) -> None:
    biz.change("sqlite:///msh.db", "sqlite::memory:")
    refused = run("-c", biz.config, "send", "PS810FTRQ", biz.message())
    assert refused.exit_code == 2
    assert "in memory" in refused.stderr


def test_any_terminal_encoding_will_do() -> None:
    environment = {
        "PYTHONPATH": str(Path(msh.__file__).parents[1]),
        "PYTHONIOENCODING": "ascii",
    }
    for options, expected in (("--json",), "處理完成"), ((), r"\u8655\u7406\u5b8c\u6210"):
        printed = subprocess.run(
            [sys.executable, "-m", "msh.cli", "codes", "statuses", *options],
            env=environment,
            capture_output=True,
            check=True,
        )
        assert expected in printed.stdout.decode("utf-8")


@pytest.mark.parametrize("plain", [False, True])
def test_colours_are_for_terminals_that_want_them(
    run: Run, biz: Folder, monkeypatch: pytest.MonkeyPatch, plain: bool
) -> None:
    run("-c", biz.config, "send", "PS810FTRQ", biz.message(), "--msg-id", "M1")
    environment = {
        "PYTHONPATH": str(Path(msh.__file__).parents[1]),
        "TERM": "xterm-256color",
        **({"NO_COLOR": "1"} if plain else {}),
    }
    command = ("-c", biz.config, "send", "PS810FTRQ", "-", "--msg-id", "M2", "--wait")
    ours, theirs = os.openpty()
    try:
        sent = subprocess.run(
            [sys.executable, "-m", "msh.cli", *command],
            input=biz.another().read_bytes(),
            stdout=theirs,
            env=environment,
            timeout=30,
        )
        assert sent.returncode == 1  # otherwise there might be nothing to read
        seen = os.read(ours, 65536).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert "undelivered, not sent, 1 attempt" in seen
    assert ("\x1b[1;31m" in seen) != plain


def test_a_reader_that_stops_early_is_no_error_to_speak_of() -> None:
    with spawned("codes", "--json") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert "Traceback" not in process.stderr.read().decode()


def test_ctrl_c_is_130_and_leaves_no_traceback(run: Run, biz: Folder) -> None:
    assert run("-c", biz.config, "send", "PS810FTRQ", biz.message()).exit_code == 0
    with started("-c", biz.config, "tail", "--from-start") as tail:
        code, errors = tail.stop(signal.SIGINT)
    assert code == 130
    assert "Traceback" not in errors
