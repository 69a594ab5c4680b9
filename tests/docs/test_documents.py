"""The code in docs/ runs, block after block, and the documents agree with the code."""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import typer
from sybil import Document
from sybil.parsers.myst import CodeBlockParser

import msh
from msh.agreement import Handling, Limits, Reliability
from msh.cli import app
from msh.cli.samples import sample_body
from msh.config import Retention, read_configuration
from msh.envelope import normal_body, parse, serialise
from msh.errors import ConfigurationError
from msh.profile import Role
from msh.profiles import standard_profile
from msh.protection import Mac, Signature
from msh.testing.counterparty import Counterparty
from msh.transport.base import Peer, Reply
from tests.docs.conftest import ROOT, Made
from tests.transport.certificates import identity

DOCS = ROOT / "docs"
#: Documents whose code stands in another folder than the business system's.
ROLES = {"handlers.md": "psp", "http.md": "psp", "rules.md": "psp"}


def text(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def blocks(document: Path) -> list[tuple[int, str]]:
    """The Python blocks of a document, also invisible ones: line and source."""
    parser = CodeBlockParser(language="python", evaluator=lambda example: None)
    parsed = Document.parse(str(document), parser)
    return [(example.line + 1, str(example.parsed)) for example in parsed.examples()]


async def execute(source: str, document: Path, line: int, names: dict[str, Any]) -> None:
    """Run a block, which may use ``await`` as if it stood in an ``async def``."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile("\n" * (line - 1) + source, str(document), "exec", flags, dont_inherit=True)
    result = eval(code, names)
    if inspect.isawaitable(result):
        await result


# testing.md is a test module of its own, see below.
WITH_CODE = sorted(
    page.name for page in DOCS.glob("*.md") if page.name != "testing.md" and blocks(page)
)


def test_documents_with_code_are_found() -> None:
    assert {"configuration.md", "handlers.md", "sending.md"} <= set(WITH_CODE)


@pytest.mark.parametrize("name", WITH_CODE)
async def test_the_code_runs(name: str, folder: Made, platform: Counterparty) -> None:
    folder(ROLES.get(name, "business"), platform.url)
    names: dict[str, Any] = {"__name__": "document"}
    for line, source in blocks(DOCS / name):
        await execute(source, DOCS / name, line, names)


async def test_the_handlers_of_the_document_answer(folder: Made, platform: Counterparty) -> None:
    folder("psp", platform.url)
    names: dict[str, Any] = {"__name__": "document"}
    for line, source in blocks(DOCS / "handlers.md"):
        await execute(source, DOCS / "handlers.md", line, names)
    handler = names["handler"]
    taken = {"IS910SMDRQ", "IS920VASRQ", "IS940PICRQ", "PS802RSDRQ"}
    shown = taken | {"PS810FTRQ", "PS830INQRQ", "PS850CERQ", "PS860INQRQ"}
    handler.on(*{s for a in handler.agreements for s in a.accepts} - shown)(names["take"])
    async with handler:
        statuses = {}
        for service in ("PS810FTRQ", "PS830INQRQ", "PS850CERQ", "PS860INQRQ", "IS910SMDRQ"):
            answer = await post(handler, service, body_of(service))
            statuses[service] = str(answer.status)
        followed = await handler.store.deliveries()
    assert statuses.pop("PS850CERQ") == "PSPPM0001S"
    assert set(statuses.values()) == {"PSPPM0000I"}
    assert [(one.service, one.ref_to) for one in followed] == [("PS831INRRQ", "BIZ-PS830INQRQ")]


def body_of(service: str) -> str:
    """The sample; of an exchange, one in a currency that the page's handler refuses."""
    return sample_body(service).replace("<Sell>\n    <Ccy>USD", "<Sell>\n    <Ccy>SGD")


async def post(handler: msh.MessageServiceHandler, service: str, body: str) -> msh.Message:
    """Send a request of BIZ to a handler as a transport would; its reply."""
    profile = standard_profile()
    message = msh.Message(
        service=service,
        message_id=f"BIZ-{service}",
        sender="BIZ",
        receiver="PSP",
        timestamp=datetime.now(UTC),
        body=normal_body(body),
    )
    acceptance = await handler.accept(serialise(message, profile), Peer("test"))
    assert isinstance(acceptance, Reply)
    return parse(acceptance.wire, {profile.namespace: profile}).message


def test_testing_is_a_test_module(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n", encoding="utf-8")
    (tmp_path / "conftest.py").write_text(
        "from msh.testing.plugin import msh_counterparty\n", encoding="utf-8"
    )
    source = "\n\n".join(code for _, code in blocks(DOCS / "testing.md"))
    (tmp_path / "test_payments.py").write_text(source, encoding="utf-8")
    chosen = "not TestMyStore and not TestMyTransport"  # which this project's own tests run
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", chosen, tmp_path],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^5 passed, \d+ deselected", done.stdout, re.MULTILINE), done.stdout


def environment() -> dict[str, str]:
    """For a program in a process of its own that is to find this msh."""
    return os.environ | {"PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""}


# configuration.md


def whole_file(name: str = "whole") -> str:
    page = text("configuration.md")
    found = re.search(rf"<!-- {name} file -->\n```toml\n(.*?)```", page, re.S)
    assert found
    return found[1]


def make_keys(folder: Path) -> None:
    """What the protected file names."""
    for name in ("tls", "keys/psp", "keys/biz"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    authority = identity(folder / "tls", "authorities", authority=True)
    identity(folder / "tls", "psp", authority)
    (folder / "keys/authorities.pem").write_bytes(authority.certificate.read_bytes())
    (folder / "keys/bank.key").write_text("5a3c" * 16, encoding="utf-8")


def test_the_protected_file_is_accepted(tmp_path: Path) -> None:
    make_keys(tmp_path)
    (tmp_path / "msh.toml").write_text(whole_file("protected"), encoding="utf-8")
    configuration = read_configuration(tmp_path / "msh.toml")
    assert isinstance(configuration.agreements["BIZ"].protection, Signature)
    key = f"file:{tmp_path}/keys/bank.key"
    assert configuration.agreements["BANK"].protection == Mac(key)
    assert configuration.agreements["BIZ"].source.certificates


def test_the_whole_file_is_accepted_and_shows_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "msh.toml").write_text(whole_file(), encoding="utf-8")
    configuration = read_configuration(tmp_path / "msh.toml")
    agreement = configuration.agreements["PSP"]
    assert configuration.retention == Retention()
    assert configuration.grace == 30
    assert configuration.store == f"sqlite:///{tmp_path / 'msh.db'}"
    assert agreement.outbound == agreement.inbound == Reliability()
    assert agreement.limits == Limits()
    assert agreement.handling == Handling()
    required = {"own", "own_role", "peer", "peer_role", "profile", "endpoint", "sends", "accepts"}
    # Everything else is left out, and must be the same.
    assert agreement == msh.Agreement(**{name: getattr(agreement, name) for name in required})


def test_every_key_is_in_the_tables_and_no_other(tmp_path: Path) -> None:
    tables = {
        "Top of the file": "",
        "`[party]`": "party",
        "`[listen]`": "listen",
        "`[tls]`": "tls",
        "`[retention]`": "retention",
        "`[hours]`": "hours",
        "`[cut_time]`": "cut_time",
        "`[agreements.PARTY]`": "agreements.PSP",
        "`[agreements.PARTY.signature]`": "agreements.BIZ.signature",
        "`[agreements.PARTY.mac]`": "agreements.BANK.mac",
        "`[agreements.PARTY.source]`": "agreements.PSP.source",
        "`[agreements.PARTY.outbound]`": "agreements.PSP.outbound",
        "`[agreements.PARTY.limits]`": "agreements.PSP.limits",
        "`[agreements.PARTY.handling]`": "agreements.PSP.handling",
    }
    make_keys(tmp_path)
    known = known_keys(tmp_path, "protected") | known_keys(tmp_path, "whole")
    assert known["agreements.BIZ.source"] == known["agreements.PSP.source"]
    assert known["agreements.PSP.inbound"] == known["agreements.PSP.outbound"]
    subtables = {"party", "listen", "tls", "retention", "hours", "cut_time", "agreements"}
    parts = {"signature", "mac", "source", "outbound", "inbound", "limits", "handling"}
    for heading, table in tables.items():
        below = parts if table == "agreements.PSP" else set()
        expected = known[table] - (subtables if not table else below)
        assert documented(heading) == expected, heading


def known_keys(tmp_path: Path, name: str) -> dict[str, set[str]]:
    """The keys that the reader knows, from what it says of one that it does not."""
    lines = ["odd = 1"]
    for line in whole_file(name).splitlines():
        lines += [line, "odd = 1"] if line.startswith("[") else [line]
    (tmp_path / "msh.toml").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(ConfigurationError) as raised:
        read_configuration(tmp_path / "msh.toml")
    known = {}
    for problem in raised.value.problems:
        found = re.fullmatch(r"(?:(.*)\.)?odd: is not known here; known are: (.*)", problem)
        assert found, problem
        known[found[1] or ""] = set(found[2].split(", "))
    return known


def documented(heading: str) -> set[str]:
    """The first column of the table under a heading of configuration.md."""
    page = text("configuration.md")
    start = re.search(rf"^#+ {re.escape(heading)}$", page, re.MULTILINE)
    assert start, heading
    section = re.split(r"^#", page[start.end() :], maxsplit=1, flags=re.MULTILINE)[0]
    return set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))


# other pages


def test_the_codes_of_each_check_are_the_profiles() -> None:
    roles = standard_profile().roles
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \| (\S+) \| (\S+) \|$", text("protocol.md"), re.M)
    said = {
        (check, role): code
        for check, *codes in rows
        for role, code in zip((Role.PSP, Role.BANK, Role.BUSINESS), codes, strict=True)
        if code != "–"
    }
    assert said == {
        (str(check), role): str(code)
        for role, codes in roles.items()
        for check, code in codes.by_check.items()
    }


def test_what_says_nothing_of_the_first_copy_is_the_profiles() -> None:
    bullet = re.search(r"^- Codes that say nothing.*?(?=^- )", text("sending.md"), re.M | re.S)
    assert bullet
    platform, bank = bullet[0].split("bank's")
    for part, role, prefix in ((platform, Role.PSP, "PSPPM"), (bank, Role.BANK, "PSPBK")):
        codes = {prefix + code for code in re.findall(r"(\d{4}[ISWE])", part)}
        assert codes == {str(code) for code in standard_profile().roles[role].in_doubt_on_resend}


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("handlers.md", [str(step) for step in msh.Step]),
        ("command-line.md", [str(state) for state in msh.DeliveryState]),
        ("command-line.md", [str(state) for state in msh.ReceptionState]),
        ("sending.md", [str(state) for state in msh.DeliveryState]),
    ],
)
def test_every_name_of_the_tables_is_explained(page: str, words: list[str]) -> None:
    assert [word for word in words if f"`{word}`" not in text(page)] == []


def test_every_command_and_option_is_in_the_command_line_page() -> None:
    page = text("command-line.md")
    group = typer.main.get_command(app)
    commands: dict[str, Any] = {}
    for name, command in group.commands.items():
        below = getattr(command, "commands", None)
        commands |= {f"{name} {one}": it for one, it in below.items()} if below else {name: command}
    missing = []
    for name, command in commands.items():
        found = re.search(rf"^`msh {name}\b[^`]*`$", page, re.MULTILINE)
        assert found, name
        said = {"--config", *re.findall(r"--[\w-]+", found[0])}
        options = {opt for one in command.params for opt in one.opts if opt.startswith("--")}
        missing += [f"{name} {option}" for option in sorted(options - said)]
    assert missing == []


def test_every_public_name_is_in_the_api_page() -> None:
    page = text("api.md")
    missing = []
    for name in msh.__all__:
        value = getattr(msh, name)
        error = isinstance(value, type) and issubclass(value, msh.MshError)
        if not error and name != "__version__" and f"msh.{name}\n" not in page:
            missing.append(name)
    assert missing == []


def test_the_pages_build_without_a_warning(tmp_path: Path) -> None:
    options, out = ["-W", "--keep-going", "-q", "-b", "html"], tmp_path / "html"
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, "-d", tmp_path / "doctrees", DOCS, out],
        capture_output=True,
        text=True,
        timeout=90,
        env=environment(),
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (out / "index.html").is_file()
