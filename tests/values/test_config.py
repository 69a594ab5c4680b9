"""msh.toml: a good one, and every mistake with its key path, all at once."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from msh.agreement import Handling, Limits, Reliability
from msh.config import Configuration, read_configuration
from msh.errors import ConfigurationError
from msh.profile import Role

GOOD = """
store = "sqlite:///data/msh.db"
handlers = "handlers.py"
grace = 5

[party]
id = "BIZ"
role = "business"

[listen]
url = "http://127.0.0.1:8710/sms"

[retention]
days = 3
ids_days = 30

[agreements.PSP]
role = "psp"
endpoint = "https://psp.example:8443/sms"
protection = "none"
sends = ["PS810FTRQ", "IS910SMDRQ"]
accepts = ["PS811FTRRQ"]
time_to_live = 1800
clock_skew = 60
max_bytes = 500000

[agreements.PSP.outbound]
resends = 2
interval = 10
factor = 3
timeout = 5

[agreements.PSP.inbound]
timeout = 12

[agreements.PSP.limits]
running = 4
waiting = 0
sending = 8

[agreements.PSP.handling]
runs = 5
retry_after = 1.5
lease = 10
patience = 9
busy_reply = false
"""

LEAST = """
[party]
id = "BIZ"
role = "business"
[agreements.PSP]
role = "psp"
protection = "none"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "msh.toml"


def read(file: Path, content: str) -> Configuration:
    file.write_text(content, encoding="utf-8")
    return read_configuration(file)


def mistakes(file: Path, content: str) -> tuple[str, ...]:
    """What is wrong with ``content``; the error shows every line of it."""
    with pytest.raises(ConfigurationError) as caught:
        read(file, content)
    text = str(caught.value)
    assert text.startswith(f"{file}: {len(caught.value.problems)} mistake")
    assert all(f"\n  {problem}" in text for problem in caught.value.problems)
    return caught.value.problems


def test_a_good_file(file: Path) -> None:
    found = read(file, GOOD)
    folder = file.parent
    assert (found.path, found.own, found.role) == (file, "BIZ", Role.BUSINESS)
    assert found.store == f"sqlite:///{folder}/data/msh.db"
    assert found.handlers == folder / "handlers.py"
    assert found.listen == "http://127.0.0.1:8710/sms"
    assert found.grace == 5
    assert found.retention.contents == timedelta(days=3)
    assert found.retention.ids == timedelta(days=30)
    (agreement,) = found.agreements
    assert found.agreements["PSP"] is agreement
    assert (agreement.own, agreement.own_role) == ("BIZ", Role.BUSINESS)
    assert (agreement.peer, agreement.peer_role) == ("PSP", Role.PSP)
    assert agreement.endpoint == "https://psp.example:8443/sms"
    assert agreement.sends == {"PS810FTRQ", "IS910SMDRQ"}
    assert agreement.accepts == {"PS811FTRRQ"}
    assert agreement.outbound == Reliability(2, timedelta(seconds=10), 3, timedelta(seconds=5))
    assert agreement.inbound == Reliability(timeout=timedelta(seconds=12))
    assert agreement.limits == Limits(running=4, waiting=0, sending=8)
    assert agreement.handling == Handling(
        runs=5,
        retry_after=timedelta(seconds=1.5),
        lease=timedelta(seconds=10),
        patience=timedelta(seconds=9),
        busy_reply=False,
    )
    assert agreement.time_to_live == timedelta(minutes=30)
    assert agreement.clock_skew == timedelta(minutes=1)
    assert agreement.ids_kept == timedelta(days=30)
    assert agreement.max_bytes == 500_000
    assert agreement.profile.name == "tdcc-psp-3.4"


def test_the_least_file_has_the_published_defaults(file: Path) -> None:
    found = read(file, LEAST)
    assert found.store == f"sqlite:///{file.parent}/msh.db"
    assert (found.listen, found.handlers, found.grace) == (None, None, 30)
    assert found.retention.contents == timedelta(days=3)
    assert found.retention.ids == timedelta(days=400)
    agreement = found.agreements["PSP"]
    assert agreement.outbound == agreement.inbound == Reliability()
    assert (agreement.limits, agreement.handling) == (Limits(), Handling())
    assert agreement.time_to_live == timedelta(hours=1)
    assert (agreement.endpoint, agreement.sends, agreement.accepts) == (None, set(), set())
    assert agreement.max_bytes == 1_048_576


@pytest.mark.parametrize(
    ("store", "found"),
    [
        ("sqlite:///x.db", "sqlite:///{}/x.db"),
        ("sqlite:///sub/x.db", "sqlite:///{}/sub/x.db"),
        ("sqlite:////var/lib/x.db", "sqlite:////var/lib/x.db"),
        ("sqlite::memory:", "sqlite::memory:"),
    ],
)
def test_a_relative_store_lies_beside_the_file(
    file: Path, store: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    assert read(file, f'store = "{store}"\n{LEAST}').store == found.format(file.parent)


def test_paths_are_absolute_although_the_file_is_named_relatively(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(GOOD, encoding="utf-8")
    monkeypatch.chdir(file.parent)
    found = read_configuration(Path("msh.toml"))
    assert found.path == file
    assert found.handlers == file.parent / "handlers.py"


def test_no_time_to_live_is_zero(file: Path) -> None:
    found = read(file, GOOD.replace("time_to_live = 1800", "time_to_live = 0"))
    assert found.agreements["PSP"].time_to_live is None


def test_patience_follows_the_peers_time_out(file: Path) -> None:
    found = read(file, f"{LEAST}\n[agreements.PSP.inbound]\ntimeout = 6\n")
    assert found.agreements["PSP"].handling.patience == timedelta(seconds=4)


def test_a_listener_may_choose_any_free_port(file: Path) -> None:
    assert read(file, GOOD.replace(":8710", ":0")).listen == "http://127.0.0.1:0/sms"


def test_a_party_may_have_more_than_one_agreement(file: Path) -> None:
    more = '\n[agreements."BANK.1"]\nrole = "bank"\nprotection = "none"\n'
    found = read(file, LEAST + more)
    assert [agreement.peer for agreement in found.agreements] == ["PSP", "BANK.1"]


# one mistake at a time, by its key path

PSP = "agreements.PSP"


@pytest.mark.parametrize(
    ("old", "new", "key", "said"),
    [
        # of the file
        ("sqlite:///data/msh.db", "sqlite://msh.db", "store", "sqlite:///FILE is wanted"),
        ("sqlite:///data/msh.db", "sqlite:///", "store", "sqlite:///FILE is wanted"),
        ("sqlite:///data/msh.db", "oracle:///x", "store", "sqlite:///FILE is wanted"),
        ('"sqlite:///data/msh.db"', "7", "store", "must be a text in quotes, not 7"),
        ('"handlers.py"', "true", "handlers", "must be a text in quotes, not True"),
        ("grace = 5", "grace = -1", "grace", "must be from 0 to 3600"),
        ("grace = 5", "grace = nan", "grace", "must be from 0 to 3600"),
        ("grace = 5", "grace = true", "grace", "must be a number, not True"),
        ("grace = 5", "grass = 5", "grass", "is not known here; known are: agreements, grace"),
        # party
        ('id = "BIZ"', "", "party.id", "is missing"),
        ('id = "BIZ"', 'id = ""', "party.id", "1 to 64 visible ASCII characters"),
        ('id = "BIZ"', 'id = "B Z"', "party.id", "1 to 64 visible ASCII characters"),
        ('id = "BIZ"', 'id = "款"', "party.id", "1 to 64 visible ASCII characters"),
        ('id = "BIZ"', f'id = "{"x" * 65}"', "party.id", "1 to 64 visible"),
        ('id = "BIZ"', "id = 7", "party.id", "must be a text in quotes, not 7"),
        ('role = "business"', "", "party.role", '"business", "psp", "bank" is wanted'),
        ('role = "business"', 'role = "boss"', "party.role", "'boss' is not one of \"business\""),
        ('role = "business"', "role = []", "party.role", "[] is not one of"),
        ('id = "BIZ"', 'id = "BIZ"\nname = "x"', "party.name", "is not known here"),
        # listen
        ('url = "http:', 'url = "ftp:', "listen.url", "an address such as http://127.0.0.1"),
        ('url = "http:', 'url = "https:', "tls", "is missing, and listen.url is https"),
        ("8710/sms", "8710", "listen.url", "an address such as http://127.0.0.1"),
        ("127.0.0.1:8710", ":8710", "listen.url", "an address such as http://127.0.0.1"),
        ("127.0.0.1:8710", "127.0.0.1:99999", "listen.url", "an address such as"),
        ("127.0.0.1:8710", "127.0.0.1:x", "listen.url", "an address such as"),
        ("127.0.0.1:8710", "[::1:8710", "listen.url", "an address such as"),
        ('url = "http://127.0.0.1:8710/sms"', "", "listen.url", "is missing; a text is wanted"),
        # retention
        ("days = 3\n", "days = 0.5\n", "retention.days", "must be from 1 to"),
        ("days = 3\n", "days = 31\n", "retention.ids_days", "at least as long as content (31)"),
        ("ids_days = 30", "ids_days = 0", "retention.ids_days", "must be from 1 to"),
        ("ids_days = 30", 'ids_days = "30"', "retention.ids_days", "must be a number, not '30'"),
        ("ids_days = 30", "years = 1", "retention.years", "known are: days, ids_days"),
        # agreements
        ('[agreements.PSP]\nrole = "psp"', "[agreements.PSP]", f"{PSP}.role", "is missing"),
        ('role = "psp"', 'role = "PSP"', f"{PSP}.role", "'PSP' is not one of"),
        ('protection = "none"\n', "", f"{PSP}.protection", '"none", "signature", "mac" is wanted'),
        ('protection = "none"', 'protection = "rot13"', f"{PSP}.protection", "'rot13' is not one"),
        ("https://psp.example:8443/sms", "psp:8443", f"{PSP}.endpoint", "http or https URL"),
        ("psp.example:8443", "psp.example:84430", f"{PSP}.endpoint", "http or https URL"),
        ("https://psp.example:8443/sms", "http://[", f"{PSP}.endpoint", "http or https URL"),
        ('endpoint = "https://psp.example:8443/sms"', "", f"{PSP}.endpoint", "`sends` is not"),
        ('"IS910SMDRQ"', '"IS999RQ"', f"{PSP}.sends", "'IS999RQ' is no service of tdcc-psp-3.4"),
        ('"IS910SMDRQ"', '"IS910SMDRS"', f"{PSP}.sends", "did you mean IS910SMDRQ?"),
        ('["PS811FTRRQ"]', '["ps811ftrrq"]', f"{PSP}.accepts", "is no service"),
        ('["PS811FTRRQ"]', '"PS811FTRRQ"', f"{PSP}.accepts", "must be a list of texts"),
        ('["PS811FTRRQ"]', "[811]", f"{PSP}.accepts", "must be a list of texts"),
        ("time_to_live = 1800", "time_to_live = -1", f"{PSP}.time_to_live", "must be from 0"),
        ("clock_skew = 60", "clock_skew = 86401", f"{PSP}.clock_skew", "must be from 0 to 86400"),
        ("max_bytes = 500000", "max_bytes = 1048577", f"{PSP}.max_bytes", "to 1.04858e+06"),
        ("max_bytes = 500000", "max_bytes = 1023", f"{PSP}.max_bytes", "must be from 1024"),
        ("max_bytes = 500000", "max_bytes = 5000.5", f"{PSP}.max_bytes", "a whole number"),
        ("max_bytes = 500000", "maxbytes = 1", f"{PSP}.maxbytes", "is not known here"),
        # its tables
        ("resends = 2", "resends = 101", f"{PSP}.outbound.resends", "must be from 0 to 100"),
        ("resends = 2", "resends = 1.5", f"{PSP}.outbound.resends", "must be a whole number"),
        ("interval = 10", "interval = -1", f"{PSP}.outbound.interval", "must be from 0"),
        ("interval = 10", "interval = inf", f"{PSP}.outbound.interval", "must be from 0"),
        ("factor = 3", "factor = 0.9", f"{PSP}.outbound.factor", "must be from 1 to 100"),
        ("timeout = 5\n", "timeout = 0\n", f"{PSP}.outbound.timeout", "must be from 0.05"),
        ("timeout = 5\n", "retries = 3\n", f"{PSP}.outbound.retries", "is not known here"),
        ("timeout = 12", "timeout = 9", f"{PSP}.handling.patience", "below the peer's time-out"),
        ("patience = 9", "patience = 12", f"{PSP}.handling.patience", "12: must be below"),
        ("patience = 9", "patience = 21", f"{PSP}.handling.patience", "must be from 0 to 20"),
        ("running = 4", "running = 0", f"{PSP}.limits.running", "must be from 1"),
        ("waiting = 0", "waiting = -1", f"{PSP}.limits.waiting", "must be from 0"),
        ("sending = 8", "sending = 0", f"{PSP}.limits.sending", "must be from 1"),
        ("sending = 8", "speed = 8", f"{PSP}.limits.speed", "known are: running, sending, wait"),
        ("runs = 5", "runs = 0", f"{PSP}.handling.runs", "must be from 1 to 1000"),
        ("retry_after = 1.5", "retry_after = -1", f"{PSP}.handling.retry_after", "from 0"),
        ("lease = 10", "lease = 0", f"{PSP}.handling.lease", "must be from 0.5 to 3600"),
        ("busy_reply = false", "busy_reply = 0", f"{PSP}.handling.busy_reply", "true or false"),
        ("busy_reply = false", "busy = true", f"{PSP}.handling.busy", "is not known here"),
        ("[agreements.PSP.limits]", "[agreements.PSP.limit]", f"{PSP}.limit", "is not known"),
        # what must hold together
        ("time_to_live = 1800", "time_to_live = 54", f"{PSP}.time_to_live", "at least 55"),
    ],
)
def test_a_mistake_is_told_with_its_key_path(
    file: Path, old: str, new: str, key: str, said: str
) -> None:
    assert old in GOOD
    (problem,) = mistakes(file, GOOD.replace(old, new, 1))
    assert problem.startswith(f"{key}: ")
    assert said in problem


def test_a_table_by_another_name_is_missing_and_unknown(file: Path) -> None:
    missing, unknown = mistakes(file, GOOD.replace("[party]", "[partly]"))
    assert missing == "party: is missing; a table [party] is wanted"
    assert unknown.startswith("partly: is not known here")
    wrong, unknown = mistakes(file, GOOD.replace("[party]\n", "party = 1\n[partly]\n"))
    assert wrong == "party: must be a table [party]"
    assert unknown.startswith("partly: is not known here")


def test_a_message_must_be_kept_and_live_as_long_as_it_is_resent(file: Path) -> None:
    kept, live = mistakes(file, GOOD.replace("interval = 10", "interval = 86400"))
    assert kept == (
        "agreements.PSP.outbound: resends for 345615 s, longer than content is kept"
        " (retention.days)"
    )
    assert live.startswith("agreements.PSP.time_to_live: 1800: must be at least 345615")
    (kept,) = mistakes(file, GOOD.replace("timeout = 12", "timeout = 12\ninterval = 86400"))
    assert kept.startswith("agreements.PSP.inbound: resends for 604848 s")
    assert read(file, GOOD.replace("time_to_live = 1800", "time_to_live = 55"))


def test_all_mistakes_are_told_at_once(file: Path) -> None:
    content = """
        store = 1
        colour = "red"
        profile = "no-such-profile"
        [party]
        id = ""
        [listen]
        url = "ftp://x"
        [retention]
        days = 0
        [agreements.PSP]
        role = "boss"
        protection = "none"
        [agreements.PSP.outbound]
        resends = "3"
        [agreements.PSP.handling]
        runs = 0
        [agreements."no id"]
        role = "psp"
        protection = "none"
        """
    found = mistakes(file, content)
    assert [problem.partition(": ")[0] for problem in sorted(found)] == [
        "agreements.PSP.handling.runs",
        "agreements.PSP.outbound.resends",
        "agreements.PSP.role",
        "agreements.no id",
        "colour",
        "listen.url",
        "party.id",
        "party.role",
        "profile",
        "retention.days",
        "store",
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "agreements: is missing; a table [agreements] is wanted"),
        ("agreements = 1", "agreements: must be a table [agreements]"),
        ("[agreements]", "agreements: at least one agreement is wanted, as [agreements.PARTY]"),
        ("agreements.PSP = 1", "agreements.PSP: must be a table [agreements.PSP]"),
        (
            '[agreements.BIZ]\nrole = "psp"\nprotection = "none"',
            "agreements.BIZ: is this party itself; an agreement is with another one",
        ),
        (
            '[agreements."B Z"]\nrole = "psp"\nprotection = "none"',
            "agreements.B Z: a party id is 1 to 64 visible ASCII characters",
        ),
    ],
)
def test_there_must_be_an_agreement_with_another_party(
    file: Path, content: str, problem: str
) -> None:
    party = 'id = "BIZ"\nrole = "business"\n'
    if content.startswith("agreements"):
        found = mistakes(file, f"{content}\n[party]\n{party}")
    else:
        found = mistakes(file, f"[party]\n{party}{content}")
    assert found == (problem,)


# the file itself


def test_a_missing_file_says_how_to_get_one(file: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_configuration(file)
    assert caught.value.problems == (
        "no such file; `msh init DIR` writes one, --config or MSH_CONFIG names it",
    )
    assert caught.value.source == str(file)


def test_a_folder_is_no_file(file: Path) -> None:
    file.mkdir()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_configuration(file)


def test_what_is_not_toml_is_told_with_its_place(file: Path) -> None:
    (problem,) = mistakes(file, "[party]\nid = BIZ\n")
    assert problem.startswith("is not TOML: ")
    assert "line 2" in problem


def test_a_key_given_twice_is_not_toml(file: Path) -> None:
    (problem,) = mistakes(file, "[party]\nid = 'A'\nid = 'B'\n")
    assert problem.startswith("is not TOML: ")


def test_bytes_that_are_not_utf_8_are_not_toml(file: Path) -> None:
    file.write_bytes('\nname = "款項"'.encode("big5"))
    with pytest.raises(ConfigurationError, match="line 2 is not in UTF-8; save the file as UTF-8"):
        read_configuration(file)


def test_the_mark_that_windows_puts_in_front_is_taken(file: Path) -> None:
    plain = read(file, GOOD)
    file.write_bytes(b"\xef\xbb\xbf" + GOOD.encode().replace(b"\n", b"\r\n"))
    assert read_configuration(file) == plain
