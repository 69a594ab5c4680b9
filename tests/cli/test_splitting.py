"""``msh split``, ``msh batch`` and ``msh send --split``."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from msh.envelope import normal_body
from tests.cli.conftest import Folder, Run, serving
from tests.splitting.payments import many, read

DATE = "2099-12-31"  # a Thursday; no settlement date of a test may pass


@pytest.fixture
def large(biz: Folder) -> Path:
    """A request of several parts, in a folder that may send little at once."""
    text = biz.config.read_text(encoding="utf-8")
    changed, count = re.subn(r'(role = "psp"\nendpoint = .*\n)', r"\1max_bytes = 8192\n", text)
    assert count == 1
    biz.config.write_text(changed, encoding="utf-8")
    file = biz.path / "large.xml"
    file.write_text(many(60).replace("2026-11-23", DATE), encoding="utf-8")
    return file


def test_split_writes_parts_that_can_be_sent(run: Run, biz: Folder, large: Path) -> None:
    out = biz.path / "parts"
    done = run("-c", biz.config, "split", large, "--out", out)
    assert done.exit_code == 0, done.output
    files = sorted(out.iterdir())
    assert len(files) > 2
    assert files[0].name == "PS810FTRQ-001.xml"
    groups = []
    for file in files:
        body = file.read_bytes()
        assert normal_body(body) == body
        groups += [read(body).texts(one)["PMTID"] for one in read(body).all("PmtSvc")]
        assert run("-c", biz.config, "compose", "PS810FTRQ", file).exit_code == 0
    assert groups == [str(number) for number in range(1, 61)]
    assert "20261123000123-1" in done.stdout
    again = run("-c", biz.config, "split", large, "--out", out)
    assert again.exit_code == 2
    assert "nothing is overwritten" in again.stderr
    assert not biz.database.exists()


def test_split_as_json_tells_every_part(run: Run, biz: Folder, large: Path) -> None:
    done = run("-c", biz.config, "split", large, "--json")
    parts = json.loads(done.stdout)
    assert [part["part"] for part in parts] == list(range(1, len(parts) + 1))
    assert (parts[0]["first"], parts[-1]["last"]) == (1, 60)
    assert parts[1]["ssn_id"] == "20261123000123-2"
    assert parts[1]["service_ref"] == "FT20261123000123-2"
    assert all(part["file"] is None and part["bytes"] < 8192 for part in parts)


def test_what_cannot_be_split_is_wrong_use(run: Run, biz: Folder, large: Path) -> None:
    large.write_text(f"<PS830INQRQ>{'x' * 9000}</PS830INQRQ>", encoding="utf-8")
    biz.change('"PS810FTRQ"', '"PS810FTRQ", "PS830INQRQ"')
    done = run("-c", biz.config, "split", large, "--service", "PS830INQRQ")
    assert done.exit_code == 2
    assert "xxx" not in done.output


def test_send_says_how_to_split(run: Run, biz: Folder, large: Path) -> None:
    done = run("-c", biz.config, "send", "PS810FTRQ", large)
    assert done.exit_code == 2
    assert "msh send --split" in " ".join(done.stderr.split())


def test_send_split_queues_what_batch_shows(run: Run, biz: Folder, large: Path) -> None:
    sending = ["-c", biz.config, "send", "PS810FTRQ", large, "--split", "--key", "run-7"]
    done = run(*sending)
    assert done.exit_code == 0, done.output
    assert "queued as batch run-7" in done.stderr
    shown = run("-c", biz.config, "batch", "run-7", "--json")
    assert shown.exit_code == 1  # nothing is answered yet
    told = json.loads(shown.stdout)
    assert (told["key"], told["done"], told["ended"]) == ("run-7", False, False)
    assert {part["fate"] for part in told["parts"]} == {"open"}
    assert [part["message_id"] for part in told["parts"]]
    assert f"{len(told['parts'])} open" in run("-c", biz.config, "batch", "run-7").stdout
    assert "nothing new was queued" in run(*sending).stderr
    listed = json.loads(run("-c", biz.config, "list", "--json").stdout)
    assert len(listed) == len(told["parts"])


def test_no_such_batch(run: Run, biz: Folder, large: Path) -> None:
    for _ in range(2):
        done = run("-c", biz.config, "batch", "none")
        assert done.exit_code == 2
        assert "no batch of that key" in done.stderr
        run("-c", biz.config, "send", "PS810FTRQ", large, "--split")


def test_split_gives_ids_of_its_own(run: Run, biz: Folder, large: Path) -> None:
    done = run("-c", biz.config, "send", "PS810FTRQ", large, "--split", "--msg-id", "M-1")
    assert done.exit_code == 2
    assert "--msg-id" in done.stderr


def test_wait_delivers_every_part(run: Run, biz: Folder, psp: Folder, large: Path) -> None:
    biz.wait_for_answers()
    with serving(psp) as server:
        biz.reach("PSP", server.line)
        sending = ["-c", biz.config, "send", "PS810FTRQ", large, "--split", "--wait"]
        done = run(*sending, "--json")
    told = json.loads(done.stdout)
    assert told["ended"], told
    assert len(told["parts"]) > 2
    assert {part["fate"] for part in told["parts"]} == {"done"}
    assert done.exit_code == 0


def test_wait_without_a_platform_tells_what_is_known(run: Run, biz: Folder, large: Path) -> None:
    done = run("-c", biz.config, "send", "PS810FTRQ", large, "--split", "--wait")
    assert done.exit_code == 1
    assert "not sent" in done.stdout
