"""What repeats is told by ``profile.toml``."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from msh.catalog import schemas_folder
from msh.errors import ConfigurationError
from msh.profiles import read_profile, standard_profile

USUAL = {"PS810FTRQ": "group", "IS930PIDRQ": "item"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(str(schemas_folder() / "tdcc-psp-3.4"), tmp_path / "site"))


def change(folder: Path, old: str, new: str) -> None:
    file = folder / "profile.toml"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def test_the_standard_one() -> None:
    splitting = standard_profile().content.splitting
    assert (splitting.repeats, splitting.reference_length) == (USUAL, 35)


def test_a_site_may_say_otherwise(folder: Path) -> None:
    change(folder, 'PS810FTRQ = "group"\nIS930PIDRQ', "IS920VASRQ")
    change(folder, "reference_length = 35", "reference_length = 20")
    splitting = read_profile(folder).content.splitting
    assert (splitting.repeats, splitting.reference_length) == ({"IS920VASRQ": "item"}, 20)


def test_a_profile_that_says_nothing_has_the_usual(folder: Path) -> None:
    change(folder, "[splitting.repeats]", "[unread]")
    change(folder, "[splitting] ", "[unread_too] ")
    with pytest.raises(ConfigurationError) as raised:
        read_profile(folder)
    assert {problem.partition(":")[0] for problem in raised.value.problems} == {
        "unread",
        "unread_too",
    }


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('PS810FTRQ = "group"', 'PS810FTRQ = "total"', "splitting.repeats.PS810FTRQ"),
        ('PS810FTRQ = "group"', 'PS810FTRS = "group"', "splitting.repeats.PS810FTRS"),
        ("reference_length = 35", "reference_length = 5", "splitting.reference_length"),
        ("reference_length = 35", "reference = 35", "splitting.reference"),
    ],
)
def test_mistakes_are_told(folder: Path, old: str, new: str, problem: str) -> None:
    change(folder, old, new)
    with pytest.raises(ConfigurationError) as raised:
        read_profile(folder)
    (told,) = raised.value.problems
    assert told.startswith(problem)
