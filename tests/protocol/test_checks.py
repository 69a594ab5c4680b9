"""The checks of a new message, their order, and whether a reply fits its request."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from msh.agreement import Agreement
from msh.message import Message
from msh.profile import Check, Role
from msh.profiles import standard_profile
from msh.protocol.checks import (
    CHECKS,
    Judged,
    Refusal,
    fits_schema,
    in_time,
    judge,
    keeps_the_rules,
    known_service,
    may_use,
    open_now,
    past_time_to_live,
    unbound,
)

NOW = datetime(2026, 11, 21, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
SKEW = timedelta(minutes=5)
LAST = datetime.max.replace(tzinfo=UTC)
FIRST = datetime.min.replace(tzinfo=UTC)
AGREEMENT = Agreement(
    own="PSP",
    own_role=Role.PSP,
    peer="BIZ",
    peer_role=Role.BUSINESS,
    profile=standard_profile(),
    checks_content=False,
    accepts=frozenset({"PS810FTRQ"}),
    clock_skew=timedelta(minutes=5),
    ids_kept=timedelta(days=400),
)
REQUEST = Message(
    service="PS810FTRQ", message_id="BIZ-1", sender="BIZ", receiver="PSP", timestamp=NOW
)
REPLY = Message(
    service="PS810FTRS",
    message_id="PSP-1",
    sender="PSP",
    receiver="BIZ",
    timestamp=NOW,
    ref_to="BIZ-1",
    status=AGREEMENT.own_codes[Check.DONE],
)


def judged(agreement: Agreement = AGREEMENT, **changes: object) -> Judged:
    return Judged(replace(REQUEST, **changes), agreement, NOW)


def test_the_checks_stand_in_the_order_of_the_specification() -> None:
    assert (in_time, known_service, may_use, open_now, fits_schema, keeps_the_rules) == CHECKS


def test_a_good_message_passes() -> None:
    assert judge(judged()) is None
    assert judge(judged(expires=NOW + SECOND)) is None


@pytest.mark.parametrize(
    ("expires", "refused"),
    [
        (None, False),
        (LAST, False),
        (NOW, False),
        (NOW - timedelta(minutes=5) + SECOND, False),
        (NOW - timedelta(minutes=5), True),
        (NOW - timedelta(days=1), True),
        (FIRST, True),
    ],
)
def test_time_to_live_with_the_agreed_skew(expires: datetime | None, refused: bool) -> None:
    expected = Refusal(Check.EXPIRED, "the time to live has passed") if refused else None
    assert in_time(judged(expires=expires)) == expected
    assert past_time_to_live(expires, AGREEMENT, NOW) == refused


@pytest.mark.parametrize(
    ("timestamp", "refused"),
    [
        (NOW - timedelta(days=400), ""),
        (NOW - timedelta(days=400) - SECOND, "older than message ids are kept"),
        (FIRST, "older than message ids are kept"),
        (NOW + SKEW, ""),
        (NOW + SKEW + SECOND, "ahead of time"),
        (LAST, "ahead of time"),
    ],
)
def test_a_timestamp_is_neither_older_than_ids_are_kept_nor_ahead(
    timestamp: datetime, refused: str
) -> None:
    refusal = in_time(judged(timestamp=timestamp))
    assert (refusal is not None) == bool(refused)
    if refusal is not None:
        assert refusal.check is Check.EXPIRED
        assert refused in refusal.reason


@pytest.mark.parametrize("service", ["PS999", "ps810ftrq", "PS810FTRS", "PS811FTRRS", "KEYCHANGE"])
def test_only_request_services_are_known(service: str) -> None:
    assert known_service(judged(service=service)) == Refusal(Check.SERVICE, "no such service")


@pytest.mark.parametrize(
    "service", [s for s, row in standard_profile().catalog.services.items() if row.reply]
)
def test_the_right_is_the_agreements(service: str) -> None:
    assert known_service(judged(service=service)) is None
    may = may_use(judged(service=service))
    assert (may is None) == (service == "PS810FTRQ")
    assert (
        may_use(judged(replace(AGREEMENT, accepts=frozenset({service})), service=service)) is None
    )


def test_the_first_refusal_is_the_reply() -> None:
    late = {"expires": NOW - timedelta(hours=1)}
    assert judge(judged(service="PS999", **late)).check is Check.EXPIRED
    assert judge(judged(service="PS999")).check is Check.SERVICE
    assert judge(judged(service="PS811FTRRQ", **late)).check is Check.EXPIRED
    assert judge(judged(service="PS811FTRRQ")).check is Check.RIGHT


@pytest.mark.parametrize(
    ("role", "check", "code"),
    [
        (Role.PSP, Check.DONE, "PSPPM0000I"),
        (Role.PSP, Check.FORMAT, "PSPPM0001S"),
        (Role.PSP, Check.DUPLICATE, "PSPPM0002S"),
        (Role.PSP, Check.SUSPENDED, "PSPPM0001W"),
        (Role.PSP, Check.HOURS, "PSPPM0002W"),
        (Role.PSP, Check.EXPIRED, "PSPPM0002W"),
        (Role.PSP, Check.RIGHT, "PSPPM0001E"),
        (Role.PSP, Check.SERVICE, "PSPPM0002E"),
        (Role.PSP, Check.KEY, "PSPPM0003E"),
        (Role.PSP, Check.MAC, "PSPPM0004E"),
        (Role.PSP, Check.UNREACHABLE, "PSPBK0011E"),
        (Role.PSP, Check.SYSTEM_ERROR, "PSPPM9999S"),
        (Role.BANK, Check.DONE, "PSPBK0000I"),
        (Role.BANK, Check.FORMAT, "PSPBK0001S"),
        (Role.BANK, Check.DUPLICATE, "PSPBK0114E"),
        (Role.BANK, Check.SUSPENDED, "PSPBK0002S"),
        (Role.BANK, Check.HOURS, "PSPBK0114E"),
        (Role.BANK, Check.EXPIRED, "PSPBK0114E"),
        (Role.BANK, Check.RIGHT, "PSPBK0114E"),
        (Role.BANK, Check.SERVICE, "PSPBK0114E"),
        (Role.BANK, Check.KEY, "PSPBK0114E"),
        (Role.BANK, Check.MAC, "PSPBK0114E"),
        (Role.BANK, Check.MESSAGE_KIND, "PSPBK0106E"),
        (Role.BANK, Check.SYSTEM_ERROR, "PSPBK9999S"),
    ],
)
def test_which_code_a_check_gives(role: Role, check: Check, code: str) -> None:
    assert str(standard_profile().roles[role][check]) == code


@pytest.mark.parametrize("role", list(Role))
def test_every_role_answers_every_check_with_codes_of_its_source(role: Role) -> None:
    codes = standard_profile().roles[role]
    unneeded = {Check.UNREACHABLE} if role is not Role.PSP else set()
    assert set(codes.by_check) == set(Check) - unneeded
    assert {code.source for code in codes.by_check.values()} <= codes.sources


def test_a_reply_that_fits_is_bound() -> None:
    assert unbound(REQUEST, REPLY, AGREEMENT) is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ref_to": None}, "another message"),
        ({"ref_to": "BIZ-2"}, "another message"),
        ({"service": "PS811FTRRS"}, "service"),
        ({"service": "PS810FTRQ"}, "service"),
        ({"sender": "BANK"}, "parties"),
        ({"receiver": "BIZ2"}, "parties"),
        ({"sender": "BIZ", "receiver": "PSP"}, "parties"),
        ({"status": None}, "status code"),
    ],
)
def test_a_reply_that_does_not_fit_is_told_why(changes: dict[str, object], said: str) -> None:
    assert said in unbound(REQUEST, replace(REPLY, **changes), AGREEMENT)


def test_nothing_answers_a_service_that_has_no_reply() -> None:
    request = replace(REQUEST, service="PS810FTRS")
    assert unbound(request, REPLY, AGREEMENT) is not None
