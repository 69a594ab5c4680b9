"""A broken table is refused, and the error says in which file, row and field."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from msh.catalog import Catalog, schemas_folder
from msh.errors import CatalogError

GONE = object()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the published tables that a test may break."""
    copy = tmp_path / "tables"
    shutil.copytree(str(schemas_folder() / "tdcc-psp-3.4"), copy)
    return copy


@pytest.mark.parametrize(
    ("table", "row", "field", "value", "said"),
    [
        ("statuses", 3, "code", "PSPXX0001S", "source"),
        ("statuses", 3, "text", GONE, "missing"),
        ("statuses", 3, "text", "", "white space"),
        ("statuses", 3, "gloss", " x", "white space"),
        ("statuses", 3, "text", 7, "must be a text"),
        ("statuses", 3, "colour", "red", "unknown"),
        ("statuses", 3, "source", "BK", "'PM'"),
        ("statuses", 3, "kind", "E", "'S'"),
        ("statuses", 3, "meaning", "done", "'refused'"),
        ("statuses", 3, "meaning", "perhaps", "'refused'"),
        ("statuses", 3, "code", "PSPPM0000I", "earlier row"),
        ("services", 1, "kind", "question", "request or reply"),
        ("services", 1, "direction", "up", "to-bank"),
        ("services", 1, "reply", "PS999", "a service of services.json"),
        ("services", 1, "reply", GONE, "missing"),
        ("services", 1, "reply", "PS830INQRS", "does not point back"),
        ("services", 1, "request", "PS810FTRS", "a request has none"),
        ("services", 1, "result", "PS831INRRQ", "does not point back"),
        ("business_types", 2, "code", "010", "earlier row"),
        ("message_kinds", 1, "service", "IS910SMDRS", "a request of services.json"),
        ("funding", 1, "code", "999", "a code of business_types.json"),
        ("funding", 1, "patterns", ["一扣"], "一扣一入"),
        ("funding", 1, "patterns", "一扣多入", "a list of texts"),
        ("funding", 1, "shapes", ["MOOI"], "OOMI"),
        ("funding", 1, "in", 3, "must be a text"),
        ("funding", 1, "in", GONE, "missing"),
        ("hours", 2, "code", "PS999", "KEYCHANGE"),
        ("hours", 2, "business_types", ["999"], "a code of business_types.json"),
        ("hours", 2, "message_kinds", ["999"], "a code of message_kinds.json"),
        ("hours", 2, "opens", None, "HH:MM"),
        ("hours", 2, "opens", "9:00", "HH:MM"),
        ("hours", 2, "opens", "0900", "HH:MM"),
        ("hours", 2, "opens", "T0900", "HH:MM"),
        ("hours", 2, "closes", "25:00", "HH:MM"),
        ("hours", 2, "in_use", 1, "true or false"),
        ("hours", 2, "sends", "yes", "true, false or null"),
    ],
)
def test_a_broken_field_is_named(
    folder: Path, table: str, row: int, field: str, value: object, said: str
) -> None:
    file = folder / f"{table}.json"
    rows: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    if value is GONE:
        del rows[row - 1][field]
    else:
        rows[row - 1][field] = value
    file.write_text(json.dumps(rows), encoding="utf-8")
    with pytest.raises(CatalogError) as caught:
        Catalog.load(folder)
    assert f"{table}.json, row {row}, field {field}: " in str(caught.value)
    assert said in str(caught.value)


def test_a_reply_that_names_no_request_is_found_by_its_request(folder: Path) -> None:
    file = folder / "services.json"
    rows: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    del rows[1]["request"]
    file.write_text(json.dumps(rows), encoding="utf-8")
    with pytest.raises(CatalogError, match=r"row 1, field reply: PS810FTRS does not point back"):
        Catalog.load(folder)


def test_a_reply_of_its_own_needs_a_request(folder: Path) -> None:
    file = folder / "services.json"
    rows: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    rows.append({"code": "X1", "name": "x", "gloss": "x", "kind": "reply", "direction": "to-bank"})
    file.write_text(json.dumps(rows), encoding="utf-8")
    with pytest.raises(CatalogError, match=r"row 27, field request: missing"):
        Catalog.load(folder)


@pytest.mark.parametrize(
    ("content", "said"),
    [("{", "JSON"), ("{}", "list of rows"), ('["x"]', "row 1: must be an object")],
)
def test_a_file_that_is_no_table_is_named(folder: Path, content: str, said: str) -> None:
    (folder / "hours.json").write_text(content, encoding="utf-8")
    with pytest.raises(CatalogError, match=r"hours\.json") as caught:
        Catalog.load(folder)
    assert said in str(caught.value)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "funding.json").unlink()
    with pytest.raises(CatalogError, match=r"funding\.json"):
        Catalog.load(folder)


def test_a_file_that_is_not_utf_8_is_named(folder: Path) -> None:
    (folder / "funding.json").write_bytes('["集保"]'.encode("big5"))
    with pytest.raises(CatalogError, match=r"funding\.json"):
        Catalog.load(folder)
