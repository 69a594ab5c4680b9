"""Profiles: the one that msh carries, a folder beside msh.toml, and every mistake in one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from msh.catalog import schemas_folder
from msh.config import read_configuration, read_profile, standard_profile
from msh.errors import CatalogError, ConfigurationError
from msh.profile import SAYS_NOTHING_OF_THE_FIRST, Check, HeaderNames, Profile, Role, RoleCodes
from msh.xml import STANDARD_SHAPE

CONFIGURATION = """
profile = "our-profile"
[party]
id = "BIZ"
role = "business"
[agreements.PSP]
role = "psp"
endpoint = "http://127.0.0.1:8710/sms"
protection = "none"
sends = ["PS810FTRQ"]
max_bytes = 2048
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the standard profile, named our-profile, that a test may change."""
    copy = tmp_path / "our-profile"
    shutil.copytree(str(schemas_folder() / "tdcc-psp-3.4"), copy)
    return copy


def change(folder: Path, old: str, new: str) -> None:
    file = folder / "profile.toml"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def problems(folder: Path) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        read_profile(folder)
    assert caught.value.source == str(folder / "profile.toml")
    return caught.value.problems


def test_the_standard_profile() -> None:
    profile = standard_profile()
    assert profile is standard_profile("tdcc-psp-3.4")
    assert profile.name == "tdcc-psp-3.4"
    assert (profile.prefix, profile.path, profile.max_bytes) == ("scoi", "/sms", 1_048_576)
    assert profile.names == HeaderNames()
    assert profile.shape == STANDARD_SHAPE
    assert set(profile.roles) == set(Role)
    assert len(profile.catalog.services) == 26


def test_a_folder_beside_the_configuration_is_found_by_its_name(folder: Path) -> None:
    change(folder, 'namespace = "urn:tdcc:psp:sms:3.4"', 'namespace = "http://site.example/sms"')
    change(folder, 'name = "tdcc-psp-3.4"', 'name = "ours"')
    change(folder, 'prefix = "scoi"', 'prefix = "our"')
    change(folder, 'path = "/sms"', 'path = "/in/sms"')
    change(folder, "max_bytes = 1048576", "max_bytes = 4096")
    change(folder, 'sender = "Sender"', 'sender = "From"')
    file = folder.parent / "msh.toml"
    file.write_text(CONFIGURATION, encoding="utf-8")
    agreement = read_configuration(file).agreements["PSP"]
    profile = agreement.profile
    assert (profile.name, profile.namespace) == ("ours", "http://site.example/sms")
    assert (profile.prefix, profile.path) == ("our", "/in/sms")
    assert (profile.max_bytes, agreement.max_bytes) == (4096, 2048)
    assert profile.names == HeaderNames(sender="From")
    assert agreement.own_codes is profile.roles[Role.BUSINESS]
    assert agreement.peer_codes is profile.roles[Role.PSP]


def test_an_agreement_may_not_exceed_its_profile(folder: Path) -> None:
    change(folder, "max_bytes = 1048576", "max_bytes = 2047")
    file = folder.parent / "msh.toml"
    file.write_text(CONFIGURATION, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"agreements\.PSP\.max_bytes: 2048"):
        read_configuration(file)


def test_a_broken_profile_is_told_with_all_else(folder: Path) -> None:
    change(folder, 'name = "tdcc-psp-3.4"', "")
    change(folder, 'done = "PSPBK0000I"', 'done = "PSPBK0000X"')
    file = folder.parent / "msh.toml"
    text = CONFIGURATION.replace('role = "psp"', 'role = "boss"')
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        read_configuration(file)
    found = caught.value.problems
    assert len(found) == 3
    assert found[0].startswith("profile: ")
    assert any("profile: name: is missing" in problem for problem in found)
    assert any(
        "profile: roles.bank.done: 'PSPBK0000X' is no status" in problem for problem in found
    )
    assert any(problem.startswith("agreements.PSP.role: ") for problem in found)


@pytest.mark.parametrize("name", ["nowhere", "../nowhere", "", "/"])
def test_a_profile_that_is_nowhere(tmp_path: Path, name: str) -> None:
    file = tmp_path / "msh.toml"
    file.write_text(CONFIGURATION.replace("our-profile", name), encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        read_configuration(file)
    (problem,) = caught.value.problems
    assert problem.startswith(f"profile: {name!r}: neither a profile that msh carries")


def test_a_standard_profile_that_is_not_there_is_a_mistake() -> None:
    with pytest.raises(ConfigurationError, match=r"no-such-profile.*profile\.toml"):
        standard_profile("no-such-profile")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('name = "tdcc-psp-3.4"', "", "name: is missing"),
        ('"urn:tdcc:psp:sms:3.4"', '"sms"', "namespace: 'sms': an absolute URI is wanted"),
        ('"urn:tdcc:psp:sms:3.4"', '"urn:a b"', "namespace: 'urn:a b': an absolute URI"),
        ('"urn:tdcc:psp:sms:3.4"', '":x"', "namespace: ':x': an absolute URI"),
        ('"urn:tdcc:psp:sms:3.4"', '"urn:x&y"', "namespace: 'urn:x&y': an absolute URI"),
        ('"urn:tdcc:psp:sms:3.4"', '"urn:x|y"', "namespace: 'urn:x|y': an absolute URI"),
        ('prefix = "scoi"', 'prefix = "a b"', "prefix: 'a b' is not the name of an XML element"),
        ('prefix = "scoi"', 'prefix = "Xmlns"', "prefix: 'Xmlns': XML keeps prefixes"),
        ('path = "/sms"', 'path = "sms"', "path: 'sms': must begin with /"),
        ("max_bytes = 1048576", "max_bytes = 1", "max_bytes: 1: must be from 1024"),
        ('service = "SvcId"', 'service = "1"', "names.service: '1' is not the name of an XML"),
        ('service = "SvcId"', 'service = "MsgId"', "names: two header elements have one name"),
        ('service = "SvcId"', 'svc = "x"', "names.svc: is not known here"),
        ("[names]", "[name_s]", "name_s: is not known here"),
        ("[roles.bank]", "[roles.bang]", "roles.bank: is missing; a table [roles.bank] is wanted"),
        ('sources = ["BK"]', "", "roles.bank.sources: must hold PM, BK or both"),
        ('sources = ["BK"]', 'sources = ["XX"]', "roles.bank.sources: must hold PM, BK or both"),
        ('sources = ["BK"]', 'sources = ["PM"]', "roles.bank.done: PSPBK0000I is of another sour"),
        ('done = "PSPBK0000I"', "", "roles.bank.done: is missing; a text is wanted"),
        ('done = "PSPBK0000I"', 'done = ""', "roles.bank.done: is empty; a status code is wanted"),
        ('done = "PSPBK0000I"', "done = 0", "roles.bank.done: must be a text in quotes, not 0"),
        ('done = "PSPBK0000I"', 'done = "OK"', "roles.bank.done: 'OK' is no status code"),
        ('done = "PSPBK0000I"', 'done = "PSPBK0135I"', "PSPBK0135I is not in this profile's stat"),
        ('done = "PSPBK0000I"', 'done = "PSPBK0005E"', "a code that means done is wanted"),
        ('error = "PSPBK9999S"', 'error = "PSPBK0001S"', "means system-error is wanted"),
        ('mac = "PSPBK0114E"', 'mac = "PSPPM0004E"', "roles.bank.mac: PSPPM0004E is of another"),
        ('mac = "PSPBK0114E"', 'Mac = "PSPBK0114E"', "roles.bank.Mac: is not known here"),
    ],
)
def test_a_mistake_in_a_profile_is_told(folder: Path, old: str, new: str, problem: str) -> None:
    change(folder, old, new)
    assert [found for found in problems(folder) if problem in found]


def test_a_broken_table_is_a_mistake_of_the_profile(folder: Path) -> None:
    (folder / "hours.json").write_text("[1]", encoding="utf-8")
    (problem,) = problems(folder)
    assert "hours.json, row 1: must be an object" in problem


def test_a_profile_that_is_not_toml(folder: Path) -> None:
    change(folder, "name = ", "name ")
    assert len(problems(folder)) == 1
    (folder / "profile.toml").unlink()
    assert len(problems(folder)) == 1


def test_only_the_platform_passes_on_that_a_party_was_not_reached(folder: Path) -> None:
    change(folder, 'unreachable = "PSPBK0011E"\n', "")
    codes = read_profile(folder).roles[Role.PSP]
    assert Check.UNREACHABLE not in codes.by_check
    with pytest.raises(KeyError):
        codes[Check.UNREACHABLE]


def test_what_says_nothing_of_a_first_copy_follows_from_the_checks() -> None:
    codes = standard_profile().roles[Role.BANK].by_check
    some = {check: codes[check] for check in (Check.DONE, Check.FORMAT, Check.SUSPENDED)}
    assert RoleCodes(some, frozenset({"BK"})).in_doubt_on_resend == {codes[Check.SUSPENDED]}
    steady = {Check.DONE, Check.FORMAT, Check.RULE, Check.SYSTEM_ERROR, Check.UNREACHABLE}
    assert set(Check) - SAYS_NOTHING_OF_THE_FIRST == steady


def test_a_profile_can_be_made_without_files() -> None:
    usual = standard_profile()
    made = Profile("mine", "urn:mine", usual.catalog, usual.roles)
    assert (made.prefix, made.path, made.max_bytes) == ("scoi", "/sms", 1_048_576)


def test_the_errors_are_no_catalog_errors(folder: Path) -> None:
    change(folder, 'done = "PSPBK0000I"', 'done = "OK"')
    with pytest.raises(ConfigurationError) as caught:
        read_profile(folder)
    assert not isinstance(caught.value, CatalogError)
