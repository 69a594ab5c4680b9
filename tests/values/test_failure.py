"""What is said of a failure: kind and place, and a text only where it can hold no value."""

from __future__ import annotations

import sqlite3
from decimal import Decimal, InvalidOperation
from pathlib import Path

import pytest

from msh.errors import UsageError
from msh.failure import told
from msh.message import Reply

HERE = Path(__file__).name
SCHEMA = """
CREATE TABLE ledger (id TEXT PRIMARY KEY, amount INTEGER NOT NULL CHECK (amount > 0));
CREATE TRIGGER closed BEFORE DELETE ON ledger BEGIN SELECT RAISE(ABORT, 'held by 投資人'); END;
INSERT INTO ledger VALUES ('A123456789', 5);
"""


def failed(statement: str, *values: object) -> str:
    connection = sqlite3.connect(":memory:")
    try:
        connection.executescript(SCHEMA)
        connection.execute(statement, values)
    except sqlite3.Error as error:
        return told(error)
    finally:
        connection.close()
    raise AssertionError("nothing failed")


@pytest.mark.parametrize(
    ("statement", "values", "said"),
    [
        ("SELECT * FROM elsewhere", (), "no such table: elsewhere"),
        ("SELECT payee FROM ledger", (), "no such column: payee"),
        ("INSERT INTO ledger VALUES (?)", (1,), "has 2 columns but 1 values were supplied"),
        ("INSERT INTO ledger (payee) VALUES (?)", (1,), "has no column named payee"),
        ("INSERT INTO ledger VALUES (?, ?)", ("A123456789", 1), "constraint failed: ledger.id"),
        ("INSERT INTO ledger VALUES ('x', NULL)", (), "NOT NULL constraint failed: ledger.amount"),
        ("CREATE TABLE ledger (id TEXT)", (), "table ledger already exists"),
        ("INSERT INTO ledger VALUES (?, ?)", (1,), "uses 2, and there are 1 supplied."),
        ("INSERT INTO ledger VALUES (?, ?)", (1, []), "type 'list' is not supported"),
    ],
)
def test_what_names_tables_and_columns_only_is_quoted(
    statement: str, values: tuple[object, ...], said: str
) -> None:
    line = failed(statement, *values)
    assert f"Error at {HERE}:" in line
    assert line.endswith(said)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO ledger VALUES ('A123456789' 'x', 1)",  # near ...: syntax error
        "INSERT INTO ledger VALUES ('A123456789, 1)",  # unrecognized token ...
        "SELECT * FROM ledger WHERE id = A123456789",  # no such column ...
        "DELETE FROM ledger WHERE id = 'A123456789'",  # the text of a trigger
        "SELECT id FROM ledger WHERE CAST(x'ff' AS TEXT) = A123456789()",  # no such function
    ],
)
def test_what_may_hold_a_value_is_not(statement: str) -> None:
    line = failed(statement)
    assert f"Error at {HERE}:" in line
    assert "A123456789" not in line
    assert "投資人" not in line


def test_the_place_is_the_last_one_outside_msh() -> None:
    with pytest.raises(UsageError) as caught:
        Reply("X")
    line = told(caught.value)
    assert line.startswith(f"UsageError at {HERE}:{caught.traceback[0].lineno + 1}: Reply: 'X' is")


def test_the_text_of_any_other_error_is_left_out() -> None:
    with pytest.raises(InvalidOperation) as caught:
        Decimal("1234567890x")
    assert told(caught.value) == f"InvalidOperation at {HERE}:{caught.traceback[0].lineno + 1}"
    with pytest.raises(KeyError) as missing:
        {}["1234567890"]
    assert told(missing.value) == f"KeyError at {HERE}:{missing.traceback[0].lineno + 1}"
    assert told(ValueError("1234567890")) == "ValueError"
