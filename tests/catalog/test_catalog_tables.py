"""The published tables (TDCC PSP appendix 9.1 to 9.6), against entries typed from the text."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from datetime import time
from pathlib import Path
from typing import Any

import pytest

from msh.catalog import TABLES, Catalog, HoursRow, Service, Status, StatusCode, load, schemas_folder
from msh.errors import CatalogError

catalog = load()
COUNTS = {
    "services": 26,
    "statuses": 62,
    "business_types": 34,
    "message_kinds": 15,
    "funding": 15,
    "hours": 27,
}


def stored(table: str) -> list[dict[str, Any]]:
    """The rows of a table as they stand in its file."""
    file = schemas_folder() / "tdcc-psp-3.4" / f"{table}.json"
    rows: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    return rows


@pytest.mark.parametrize("table", TABLES)
def test_every_row_of_a_file_is_in_the_catalog(table: str) -> None:
    rows = catalog.rows(table)
    assert len(rows) == len(stored(table)) == COUNTS[table]
    for row, written in zip(rows, stored(table), strict=True):
        assert {name: row[name] for name in written} == written
        assert all(row[name] is None for name in row.keys() - written.keys())
    assert json.loads(json.dumps(rows)) == rows


def test_there_is_no_other_table() -> None:
    with pytest.raises(CatalogError, match="services, statuses"):
        catalog.rows("colours")


def test_the_constants_are_the_tables() -> None:
    assert [service.value for service in Service] == list(catalog.services)
    assert [status.value for status in Status] == list(catalog.statuses)
    assert all(member.name == member.value for member in [*Service, *Status])


def test_a_constant_finds_its_row() -> None:
    assert catalog.services[Service.PS810FTRQ].name == "款項收付服務請求"
    assert catalog.text_of(Status.PSPPM0000I) == "處理完成"


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("PS811FTRRQ", "款項收付服務結果通知"),
        ("PS831INRRS", "款項收付狀態查詢結果通知驗證結果"),
        ("PS802RSDRQ", "訊息重送請求"),
        ("IS920VASRQ", "核印資訊傳遞請求"),
        ("PS851CERQ", "匯兌處理結果通知請求"),
        ("PS861INRRQ", "帳戶餘額明細查詢結果通知"),
    ],
)
def test_official_service_names(code: str, name: str) -> None:
    assert catalog.services[code].name == name


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("PSPPM9999S", "系統發生錯誤"),
        ("PSPPM0003E", "OPC尚未交換KEY"),
        ("PSPBK0002S", "系統暫停服務"),
        ("PSPBK0102E", "整批作業 OOMI/MOOI 超過一組資料"),
        ("PSPBK0112E", "原交易收檔中，尚未處理"),
        ("PSPBK0125E", "查詢訖日不得大於查詢起日"),
        ("PSPBK0128E", "PMTINID不得為0"),
        ("PSPBK0134E", "退匯"),
    ],
)
def test_official_status_texts(code: str, text: str) -> None:
    assert catalog.text_of(code) == text
    assert catalog.text_of(StatusCode.parse(code)) == text


def test_a_code_outside_of_the_table_has_no_text() -> None:
    assert catalog.text_of("PSPBK0135E") == ""


def test_the_reversed_official_text_has_a_right_gloss() -> None:
    assert "end date may not be before the start" in catalog.statuses["PSPBK0125E"].gloss


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("010", "國際債券還本付息款項撥轉"),
        ("060", "境外基金溢收款項撥轉/調撥"),
        ("070", "匯兌"),
        ("621", "興櫃餘額交割帳戶查詢"),
        ("724", "不休假津貼(行政款項)"),
        ("740", "行政業務款項帳戶查詢"),
    ],
)
def test_official_business_types(code: str, name: str) -> None:
    assert catalog.business_types[code].name == name


@pytest.mark.parametrize(
    ("code", "service", "text"),
    [
        ("011", "IS910SMDRQ", "結帳(cut time)訊息。"),
        ("022", "IS920VASRQ", "核印訊息 – 境外基金核印通知(全國繳費稅)"),
        ("041", "IS940PICRQ", "匯入款確認訊息 – 國際債券還本付息款項匯入確認結果。"),
        ("050", "IS930PIDRQ", "債權人繳費收款明細訊息 – 繳費款項匯入。"),
        ("750", "IS930PIDRQ", "行政業務應收款項通知"),
    ],
)
def test_official_message_kinds(code: str, service: str, text: str) -> None:
    row = catalog.message_kinds[code]
    assert (row.service, row.text) == (service, text)


@pytest.mark.parametrize(
    ("code", "patterns", "shapes", "out", "into", "note"),
    [
        ("010", ["一扣多入"], ["OOMI"], "集保結算所", "投資人", ""),
        ("032", ["一扣一入", "多扣一入"], ["OOOI", "MOOI"], "投資人", "集保結算所", "需核印"),
        (
            "038",
            ["一扣一入", "一扣多入", "多扣一入"],
            ["OOOI", "OOMI", "MOOI"],
            "集保結算所",
            "投資人",
            "",
        ),
        (
            "040",
            ["一扣一入"],
            ["OOOI"],
            "集保結算所",
            "集保結算所撥款專戶(總代理人 銷售機構)",
            "適用主要收付銀行",
        ),
        (
            "050",
            ["一扣一入", "一扣多入"],
            ["OOOI", "OOMI"],
            "集保結算所",
            "款項收付銀行",
            "適用主要收付銀行",
        ),
    ],
)
def test_official_funding(
    code: str, patterns: list[str], shapes: list[str], out: str, into: str, note: str
) -> None:
    row = next(row for row in catalog.rows("funding") if row["code"] == code)
    found = (row["patterns"], row["shapes"], row["out"], row["in"], row["note"])
    assert found == (patterns, shapes, out, into, note)


def test_requests_and_replies_pair_both_ways() -> None:
    kinds = Counter(row.kind for row in catalog.services.values())
    assert kinds == {"request": 13, "reply": 13}
    for code, row in catalog.services.items():
        assert catalog.is_reply(code) == (row.kind == "reply")
        if row.kind == "request":
            reply = catalog.reply_for(code)
            assert reply == code[:-1] + "S"
            assert catalog.request_for(reply) == code
            assert catalog.request_for(code) is None
        else:
            assert catalog.reply_for(code) is None


def test_results_and_what_they_tell_of() -> None:
    results = {code: catalog.result_for(code) for code in catalog.services}
    assert {code: result for code, result in results.items() if result} == {
        "PS810FTRQ": "PS811FTRRQ",
        "PS830INQRQ": "PS831INRRQ",
        "PS850CERQ": "PS851CERQ",
        "PS860INQRQ": "PS861INRRQ",
    }
    for code in catalog.services:
        result_of = catalog.services[code].result_of
        assert catalog.is_result(code) == (code in results.values())
        assert result_of is None or results[result_of] == code


def test_an_unknown_service_has_nothing() -> None:
    assert catalog.reply_for("PS999") is None
    assert catalog.request_for("PS999") is None
    assert catalog.result_for("PS999") is None
    assert not catalog.is_reply("PS999")
    assert not catalog.is_result("PS999")


def test_directions() -> None:
    opposite = {"to-bank": "to-business", "to-business": "to-bank", "both": "both"}
    requests = {
        code: row.direction for code, row in catalog.services.items() if row.kind == "request"
    }
    assert requests == {
        "PS810FTRQ": "to-bank",
        "PS811FTRRQ": "to-business",
        "PS830INQRQ": "to-bank",
        "PS831INRRQ": "to-business",
        "PS802RSDRQ": "both",
        "IS910SMDRQ": "both",
        "IS920VASRQ": "both",
        "IS930PIDRQ": "to-business",
        "IS940PICRQ": "both",
        "PS850CERQ": "to-bank",
        "PS851CERQ": "to-business",
        "PS860INQRQ": "to-bank",
        "PS861INRRQ": "to-business",
    }
    for code, direction in requests.items():
        assert catalog.services[catalog.reply_for(code) or ""].direction == opposite[direction]


def test_statuses_per_source_and_meaning() -> None:
    rows = catalog.statuses.values()
    assert Counter(row.source for row in rows) == {"PM": 10, "BK": 52}
    assert Counter(row.meaning for row in rows) == {
        "done": 2,
        "later": 6,
        "system-error": 2,
        "refused": 52,
    }


def hours(code: str, **wanted: object) -> list[HoursRow]:
    return [
        row
        for row in catalog.hours
        if row.code == code and all(getattr(row, name) == value for name, value in wanted.items())
    ]


def test_hours_of_key_change_and_bonds() -> None:
    (keys,) = hours("KEYCHANGE")
    assert (keys.name, keys.opens, keys.closes) == ("換Key訊息", time(7, 30), time(19, 30))
    (bonds,) = hours("PS810FTRQ", business_types=("010", "011"))
    assert (bonds.opens, bonds.closes, bonds.sends) == (time(9), time(16), True)
    (results,) = hours("PS811FTRRQ", business_types=("010", "011"))
    assert (results.closes, results.sends) == (time(16, 30), False)


def test_every_business_type_that_moves_money_has_hours() -> None:
    covered = {code for row in hours("PS810FTRQ") for code in row.business_types}
    # 070 has services of its own (PS850), 620, 621 and 740 are inquiries (PS860).
    assert covered == catalog.business_types.keys() - {"070", "620", "621", "740"}
    assert covered == {code for row in hours("PS811FTRRQ") for code in row.business_types}


def test_hours_of_collection_details_per_business() -> None:
    found = {
        row.message_kinds: (row.opens, row.closes, row.next_day_after)
        for row in hours("IS930PIDRQ")
    }
    assert found == {
        ("030", "031"): (time(8), time(17, 30), time(15, 30)),
        ("050",): (time(8), time(17, 30), None),
        ("600", "610"): (time(8, 30), time(23), None),
        ("750",): (time(8), time(16, 30), None),
    }


def test_the_cut_time_message_opens_in_the_evening_with_no_end() -> None:
    rows = hours("IS910SMDRQ", message_kinds=("011",))
    assert [(row.opens, row.closes, row.sends) for row in rows] == [(time(19, 45), None, True)] * 2
    assert [row.closes for row in catalog.hours if row.closes is None] == [None, None]


def test_what_is_published_as_not_in_use() -> None:
    assert {row.code: row.note for row in catalog.hours if not row.in_use} == {
        "PS830INQRQ": "未使用",
        "PS831INRRQ": "未使用",
    }


def test_hours_close_after_they_open() -> None:
    assert all(row.closes is None or row.opens < row.closes for row in catalog.hours)


def test_the_catalog_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        catalog.services["PS999"] = catalog.services["PS810FTRQ"]  # type: ignore[index]  # tested


def test_loading_is_cached_and_waits_until_it_is_asked_for() -> None:
    assert load() is load()
    script = "import msh.catalog.tables as t; print(t.load.cache_info().currsize)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "0"


def test_a_profile_that_is_not_there_is_named() -> None:
    with pytest.raises(CatalogError, match="no-such-profile"):
        load("no-such-profile")


def test_a_folder_given_as_a_path_loads_too() -> None:
    folder = Path(str(schemas_folder() / "tdcc-psp-3.4"))
    assert Catalog.load(folder) == catalog
