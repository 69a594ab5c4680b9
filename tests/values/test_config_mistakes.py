"""Mistakes in `msh.toml`: each told by its key path, and all at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.values.test_config import GOOD, mistakes, read

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
        ("grace = 5", "grass = 5", "grass", "is not known here; known are: agreements, cut_time"),
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
