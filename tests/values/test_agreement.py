"""Which agreement allows what."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from msh.agreement import Agreement, Agreements
from msh.errors import NotAgreed, UsageError
from msh.profile import Role
from msh.profiles import standard_profile

PSP = Agreement(
    own="BIZ",
    own_role=Role.BUSINESS,
    peer="PSP",
    peer_role=Role.PSP,
    profile=standard_profile(),
    sends=frozenset({"PS810FTRQ", "IS910SMDRQ"}),
)
OTHER = replace(PSP, peer="PSP2", sends=frozenset({"IS910SMDRQ"}))
BOTH = Agreements.of("BIZ", [PSP, OTHER])


def test_agreements_are_found_by_their_peer() -> None:
    assert list(BOTH) == [PSP, OTHER]
    assert BOTH["PSP2"] is BOTH.get("PSP2") is OTHER
    assert BOTH.get("BANK") is None
    assert OTHER.name == "PSP2"


def test_codes_follow_the_roles() -> None:
    assert PSP.own_codes is PSP.profile.roles[Role.BUSINESS]
    assert PSP.peer_codes is PSP.profile.roles[Role.PSP]


@pytest.mark.parametrize("wrong", [[PSP, PSP], [replace(PSP, own="X")]])
def test_no_two_with_one_peer_and_none_of_another_party(wrong: list[Agreement]) -> None:
    with pytest.raises(ValueError, match="PSP: not of BIZ, or given twice"):
        Agreements.of("BIZ", wrong)


def test_a_service_goes_where_it_is_allowed() -> None:
    assert BOTH.to_send("PS810FTRQ", None) is PSP
    assert BOTH.to_send("IS910SMDRQ", "PSP2") is OTHER


@pytest.mark.parametrize(
    ("service", "to", "said"),
    [
        ("PS810FTRQ", "BANK", "no agreement with party 'BANK'; there is one with: PSP, PSP2"),
        ("PS810FTRQ", "PSP2", "PS810FTRQ may not be sent to PSP2; allowed: IS910SMDRQ"),
        ("IS910SMDRQ", None, "IS910SMDRQ may be sent to PSP, PSP2; say which with `to`"),
        ("PS850CERQ", None, "PS850CERQ may be sent to no party"),
        ("PS850CERQ", "PSP", "PS850CERQ may not be sent to PSP; allowed: "),
        ("PS810FTRS", None, "PS810FTRS is a reply, which is given by a handler and not sent; it"),
        ("nonsense", None, "'nonsense' is no service of tdcc-psp-3.4; see `msh codes services`"),
        ("PS810FTR", None, "'PS810FTR' is no service of tdcc-psp-3.4; did you mean PS810FTRQ"),
        ("ps810ftrq", "PSP", "did you mean PS810FTRQ"),
        ("x" * 900, None, f"'{'x' * 40}…' is no service"),
    ],
)
def test_what_is_not_agreed_is_refused(service: str, to: str | None, said: str) -> None:
    with pytest.raises(NotAgreed) as caught:
        BOTH.to_send(service, to)
    assert said in str(caught.value)


def test_nobody_to_send_to() -> None:
    with pytest.raises(NotAgreed, match="there is one with: none"):
        Agreements.of("BIZ", []).to_send("PS810FTRQ", "PSP")
    silent = replace(PSP, sends=frozenset())
    with pytest.raises(NotAgreed, match="allowed: none"):
        Agreements.of("BIZ", [silent]).to_send("PS810FTRQ", "PSP")


@pytest.mark.parametrize(
    ("service", "to", "said"),
    [
        (None, None, "service must be a text, not NoneType"),
        (810, None, "service must be a text, not int"),
        ("PS810FTRQ", ["PSP"], "to must be a text, not list"),
    ],
)
def test_what_is_no_text_is_told(service: Any, to: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        BOTH.to_send(service, to)
