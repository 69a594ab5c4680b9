"""The READMEs: their code is the examples', their files exist, and what they say of them is so."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import msh
from msh.blocking import MessageServiceHandler
from msh.cli import app
from msh.cli.serve import load_handlers
from msh.config import read_configuration
from msh.profiles import standard_profile
from msh.testing.counterparty import Counterparty
from tests.docs.conftest import ROOT, Made

READMES = ["README.md", "README.zh-TW.md"]


def blocks(name: str, language: str) -> list[str]:
    """The fenced blocks of a README in one language."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def example(name: str) -> str:
    """An example without its docstring."""
    source = (ROOT / "examples" / name).read_text(encoding="utf-8")
    return source.partition('\n"""\n')[2].lstrip("\n")


@pytest.mark.parametrize("readme", READMES)
def test_sender_and_receiver_are_the_examples(readme: str) -> None:
    sender, receiver, _ = blocks(readme, "python")
    assert sender == example("sender.py")
    assert receiver == example("receiver.py")


@pytest.mark.parametrize("readme", READMES)
def test_the_short_configuration_is_accepted(readme: str, tmp_path: Path) -> None:
    (short,) = blocks(readme, "toml")
    (tmp_path / "msh.toml").write_text(short, encoding="utf-8")
    agreement = read_configuration(tmp_path / "msh.toml").agreements["PSP"]
    assert agreement.outbound == msh.Reliability()
    assert agreement.sends == {"PS810FTRQ"}


@pytest.mark.parametrize("readme", READMES)
def test_the_short_configuration_fits_the_handlers_of_init(readme: str, folder: Made) -> None:
    made = folder("business")
    (short,) = blocks(readme, "toml")
    (made / "msh.toml").write_text(short, encoding="utf-8")
    configuration = read_configuration(made / "msh.toml")
    handler = msh.MessageServiceHandler.from_config(configuration)
    load_handlers(configuration, handler)  # which registers what is accepted, and nothing else
    with pytest.raises(msh.UsageError, match="has a handler already"):
        handler.on(*configuration.agreements["PSP"].accepts)


@pytest.fixture
def sender(tmp_path: Path) -> Iterator[Callable[[str], MessageServiceHandler]]:
    """What the README leaves to its reader: a blocking handler for a URL."""
    running: list[MessageServiceHandler] = []

    def make(url: str) -> MessageServiceHandler:
        agreement = msh.Agreement(
            own="BIZ",
            own_role=msh.Role.BUSINESS,
            peer="PSP",
            peer_role=msh.Role.PSP,
            profile=standard_profile(),
            checks_content=False,
            endpoint=url,
            sends=frozenset({"PS810FTRQ"}),
            outbound=msh.Reliability(
                interval=timedelta(seconds=0.1), timeout=timedelta(seconds=0.5)
            ),
        )
        agreements = msh.Agreements.of("BIZ", [agreement])
        handler = MessageServiceHandler(agreements, f"sqlite:///{tmp_path / 'biz.db'}")
        handler.start()
        running.append(handler)
        return handler

    yield make
    for handler in running:
        handler.stop()


@pytest.mark.parametrize("readme", READMES)
def test_the_test_of_the_readme_passes(
    readme: str,
    msh_counterparty: Callable[..., Counterparty],
    sender: Callable[[str], MessageServiceHandler],
) -> None:
    names: dict[str, Any] = {}
    exec(blocks(readme, "python")[2], names)
    names["test_a_lost_reply"](msh_counterparty, sender)


def test_the_commands_of_the_readme_run(folder: Made, platform: Counterparty) -> None:
    made = folder("business", platform.url)
    (line,) = re.findall(
        r"^    msh (send .*)$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert made == Path.cwd()
    sent = CliRunner().invoke(app, line.split())
    assert sent.exit_code == 0, sent.output
    message_id = sent.stdout.split()[0]
    for words in (["list"], ["show", message_id], ["why", message_id]):
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
        assert message_id in done.stdout


@pytest.mark.parametrize("readme", READMES)
def test_every_link_leads_to_a_file(readme: str) -> None:
    text = (ROOT / readme).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert len(links) >= 10
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_both_readmes_say_the_same() -> None:
    """As far as a test can tell: the same sections, rows, code, links and commands."""
    english, chinese = ((ROOT / name).read_text(encoding="utf-8") for name in READMES)
    for pattern in (r"^## ", r"^\| ", r"^- ", r"^```", r"^    (?:make|msh|pip) [^#\n]*"):
        found = [re.findall(pattern, text, re.MULTILINE) for text in (english, chinese)]
        stripped = [[one.strip() for one in each] for each in found]
        assert stripped[0] == stripped[1], pattern
