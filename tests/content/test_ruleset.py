"""A profile's rules: what a site leaves out, adds and answers; and the tables rules look into."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from msh.businessdays import USUAL
from msh.catalog import StatusCode, schemas_folder
from msh.config import read_configuration
from msh.content.rules import RULES
from msh.errors import ConfigurationError
from msh.profile import Role
from msh.profiles import read_profile, standard_profile
from tests.content.broken import MONDAY, PAY, sample

OURS = '''
from msh.catalog import StatusCode
from msh.content import Facts, Rule


def small(facts: Facts) -> str | None:
    """No group holds more than two credits."""
    for group in facts.batch.groups:
        if len(group.ins) > 2:
            return "a group holds more than two credits"
    return None


RULES = [Rule("small", StatusCode.parse("PSPBK0006E"), frozenset({"PS810FTRQ"}), small)]
'''
Edit = Callable[..., Path]


@pytest.fixture
def edited(tmp_path: Path) -> Edit:
    """Make a copy of the standard profile with these tables added, and our_rules.py beside it."""

    def edit(tables: str = "", roles: str = "", rules: str = OURS) -> Path:
        folder = tmp_path / "ours"
        shutil.copytree(str(schemas_folder() / "tdcc-psp-3.4"), folder)
        (folder / "our_rules.py").write_text(rules, encoding="utf-8")
        with (folder / "profile.toml").open("a", encoding="utf-8") as file:
            file.write(f"\n{tables}\n{roles}\n")
        return folder

    return edit


def problems(folder: Path) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read_profile(folder)
    return "\n".join(caught.value.problems)


def test_the_usual_rules() -> None:
    content = standard_profile().content
    assert content.rules == RULES
    assert len(content.currencies) > 150
    assert content.banks["999"] == {"TESTTWTP"}


def test_some_are_left_out_and_one_is_added_at_its_place(edited: Edit) -> None:
    folder = edited('[rules]\nwithout = ["account-format", "totals"]\nadd = "our_rules.py"')
    content = read_profile(folder).content
    names = [rule.name for rule in content.rules]
    expected = [r.name for r in RULES if r.name not in ("account-format", "totals")]
    place = names.index("small")
    assert names[:place] + names[place + 1 :] == expected
    assert names[place + 1] == "currencies-agree"  # 0006E stands before 0101E
    (broken,) = content.broken(PAY, content.look(sample(PAY).encode()), MONDAY, USUAL)
    assert (broken.rule.name, broken.rule.text) == (
        "small",
        "No group holds more than two credits.",
    )


def test_which_requests_must_have_new_references(edited: Edit) -> None:
    content = read_profile(edited('[rules]\nunique = ["PS810FTRQ"]')).content
    body = content.look(sample(PAY).encode())
    assert content.references(PAY, body) == ("20261123000123", "FT20261123000123")
    assert content.references("PS850CERQ", body) is None
    usual = standard_profile().content
    assert usual.references("PS850CERQ", body) is not None
    assert usual.references("PS811FTRRQ", body) is None


def test_a_role_answers_codes_of_its_own(edited: Edit) -> None:
    profile = read_profile(
        edited(roles='[roles.bank.rules]\nshape = "PSPBK0008E"\nmessage-kind = "PSPBK0114E"')
    )
    rules = {rule.name: rule for rule in RULES}
    bank = profile.roles[Role.BANK]
    assert str(bank.of_rule(rules["shape"])) == "PSPBK0008E"
    assert str(bank.of_rule(rules["message-kind"])) == "PSPBK0114E"
    assert str(bank.of_rule(rules["totals"])) == "PSPBK0120E"
    assert str(profile.roles[Role.PSP].of_rule(rules["shape"])) == "PSPBK0114E"
    assert str(profile.roles[Role.BUSINESS].of_rule(rules["shape"])) == "PSPPM0001S"


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        (
            '[rules]\nwithout = ["totalls"]',
            "rules.without: 'totalls' is no rule; there are currency",
        ),
        ('[rules]\nunique = ["PS810FTRS"]', "rules.unique: 'PS810FTRS' is no request"),
        ('[rules]\nadd = "nowhere.py"', "no such file beside profile.toml"),
        ('[rules]\nwithot = ["totals"]', "rules.withot: is not known here"),
        ('[roles.bank.rules]\nshapes = "PSPBK0114E"', "roles.bank.rules.shapes: is no rule"),
        ('[roles.bank.rules]\nshape = "PSPBK0000I"', "a code that refuses is wanted"),
        ('[roles.bank.rules]\nshape = "PSPPM0001S"', "shape: PSPPM0001S is of another source than"),
        ('[roles.bank.rules]\nshape = "0114"', "roles.bank.rules.shape: '0114' is no status code"),
        (
            '[roles.bank.rules]\nshape = "PSPBK0199E"',
            "PSPBK0199E is not in this profile's statuses",
        ),
    ],
)
def test_mistakes_are_told(edited: Edit, tables: str, said: str) -> None:
    assert said in problems(edited(tables))


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ("RULES = 1", "our_rules.py has no RULES, a list of msh.content.Rule"),
        ("", "our_rules.py has no RULES"),
        ("x = 1\nRULES = [", "our_rules.py, line 2: SyntaxError"),
        ("x = 1\n\ny = x.y", "our_rules.py, line 3: AttributeError"),
        (OURS.replace('"small"', '"shape"'), "rule 'shape': another rule has that name"),
        (OURS.replace("PSPBK0006E", "PSPBK0199E"), "PSPBK0199E is not in this profile's statuses"),
        (OURS.replace("PS810FTRQ", "PS999"), "PS999 is no service of services.json"),
        (
            OURS.replace("small)]", "small, 'colour')]"),
            "its check is none of rule, format, message",
        ),
        (OURS.replace("small)]", "None)]"), "its `broken` is no function"),
    ],
)
def test_mistakes_in_added_rules_are_told(edited: Edit, rules: str, said: str) -> None:
    told = problems(edited('[rules]\nadd = "our_rules.py"', rules=rules))
    assert said in told
    assert told.startswith("rules.add: ")


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("currencies", "{", "currencies.json: cannot be read as JSON"),
        ("currencies", {}, "currencies.json: must be a list of rows"),
        ("currencies", [{"code": "USD"}], "row 1: must be an object of code, digits"),
        ("currencies", [{"code": "usd", "digits": 2}], "row 1, field code: must be three letters"),
        ("currencies", [{"code": "USD", "digits": 2}] * 2, "row 2, field code"),
        ("currencies", [{"code": "USD", "digits": 5}], "row 1, field digits"),
        ("currencies", [{"code": "USD", "digits": True}], "row 1, field digits"),
        ("banks", [{"code": "4", "name": "x", "swift": ["BKTWTWTP"]}], "row 1, field code"),
        ("banks", [{"code": "004", "name": "x", "swift": []}], "row 1, field swift"),
        ("banks", [{"code": "004", "name": "x", "swift": "BKTWTWTP"}], "row 1, field swift"),
        ("banks", [{"code": "004", "name": "x", "swift": ["BKTWTWTP037"]}], "row 1, field swift"),
    ],
)
def test_mistakes_in_tables_are_told(edited: Edit, file: str, content: object, said: str) -> None:
    folder = edited()
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / f"{file}.json").write_text(text, encoding="utf-8")
    assert said in problems(folder)


def test_without_tables_there_is_no_opinion(edited: Edit) -> None:
    folder = edited()
    (folder / "currencies.json").unlink()
    (folder / "banks.json").unlink()
    content = read_profile(folder).content
    body = sample(PAY).replace("USD", "USX").replace("TESTTWTP", "BKTWTWTP").replace(".00", ".0000")
    assert list(content.broken(PAY, content.look(body.encode()), MONDAY, USUAL)) == []


CONFIGURATION = """
[party]
id = "BANK"
role = "{role}"
bank = "{bank}"
[agreements.PSP]
role = "psp"
endpoint = "http://127.0.0.1:8710/sms"
protection = "none"
sends = ["PS811FTRRQ"]
"""


def test_a_bank_says_which_one_it_is(tmp_path: Path) -> None:
    file = tmp_path / "msh.toml"
    file.write_text(CONFIGURATION.format(role="bank", bank="004"), encoding="utf-8")
    assert read_configuration(file).agreements["PSP"].bank == "004"
    for role, bank, said in (
        ("bank", "4", "party.bank: '4': a bank code of three digits"),
        ("business", "004", "party.bank: is for a bank only"),
    ):
        file.write_text(CONFIGURATION.format(role=role, bank=bank), encoding="utf-8")
        with pytest.raises(ConfigurationError, match=said):
            read_configuration(file)


def test_a_code_belongs_to_each_rule() -> None:
    statuses = standard_profile().catalog.statuses
    assert all(isinstance(rule.code, StatusCode) and str(rule.code) in statuses for rule in RULES)
