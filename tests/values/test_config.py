"""msh.toml: what a good one says, and the file itself."""

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
