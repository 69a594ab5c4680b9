"""`msh codes`: the published tables."""

from __future__ import annotations

import json
import shutil

import pytest

from msh.catalog import load, schemas_folder
from tests.cli.conftest import Folder, Run

COUNTS = {
    "services": 26,
    "statuses": 62,
    "business_types": 34,
    "message_kinds": 15,
    "funding": 15,
    "hours": len(load().hours),
}


def test_all_tables_as_one_object(run: Run) -> None:
    result = run("codes", "--json")
    assert result.exit_code == 0
    tables = json.loads(result.stdout)
    assert tables.pop("rules")
    assert {name: len(rows) for name, rows in tables.items()} == COUNTS
    assert "處理完成" in result.stdout


@pytest.mark.parametrize("table", COUNTS)
def test_one_table_as_rows(run: Run, table: str) -> None:
    rows = json.loads(run("codes", table, "--json").stdout)
    assert len(rows) == COUNTS[table]
    assert all(row["code"] for row in rows)


def test_rows_have_what_programs_look_for(run: Run) -> None:
    tables = json.loads(run("codes", "--json").stdout)
    by_code = {name: {row["code"]: row for row in rows} for name, rows in tables.items()}
    assert by_code["services"]["PS810FTRQ"]["name"] == "款項收付服務請求"
    assert by_code["services"]["PS810FTRQ"]["result"] == "PS811FTRRQ"
    assert by_code["statuses"]["PSPPM0000I"]["text"] == "處理完成"
    assert by_code["message_kinds"]["011"]["service"] == "IS910SMDRQ"
    assert by_code["funding"]["010"]["patterns"] == ["一扣多入"]
    assert tables["hours"][0]["opens"] == "07:30"


@pytest.mark.parametrize("table", COUNTS)
def test_a_table_for_people_has_every_code(run: Run, table: str) -> None:
    shown = run("codes", table)
    assert shown.exit_code == 0
    for row in load().rows(table):
        assert row["code"] in shown.stdout


def test_all_tables_for_people(run: Run) -> None:
    shown = run("codes").stdout
    for title in ("Services (9.1)", "Status codes (9.2)", "Opening hours, Asia/Taipei (9.6)"):
        assert title in shown


def test_an_unknown_table_is_wrong_use(run: Run) -> None:
    assert run("codes", "colours").exit_code == 2


def test_a_configuration_gives_its_profiles_tables(run: Run, biz: Folder) -> None:
    shutil.copytree(str(schemas_folder() / "tdcc-psp-3.4"), biz.path / "ours")
    statuses = biz.path / "ours" / "statuses.json"
    text = statuses.read_text(encoding="utf-8").replace("處理完成", "完成了")
    statuses.write_text(text, encoding="utf-8")
    biz.change('profile = "tdcc-psp-3.4"', 'profile = "ours"')
    assert "完成了" in run("-c", biz.config, "codes", "statuses").stdout
    assert "處理完成" in run("codes", "statuses").stdout


def test_mistakes_elsewhere_do_not_hide_the_codes(
    run: Run, biz: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    biz.change('"PS810FTRQ"', '"PS810FTRX"')
    monkeypatch.chdir(biz.path)
    shown = run("codes", "services", "--json")
    assert shown.exit_code == 0
    assert len(json.loads(shown.stdout)) == 26
    assert "has mistakes" in shown.stderr
    assert run("codes", "--config", biz.config).exit_code == 2
