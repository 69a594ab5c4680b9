"""A megabyte, valid or as wrong as can be, costs what reading it costs."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from msh.content import Content
from msh.profiles import standard_profile

LARGEST = 1_048_576
REFERENCES = "<SSNID>1</SSNID><SVCREFID>1</SVCREFID>"
RESULT = f"{REFERENCES}<BusType>010</BusType><Status>PSPBK0000I</Status>"


def filled(service: str, head: str, repeated: str) -> bytes:
    """The largest body of ``service`` with ``head`` and then ``repeated``, as often as it fits."""
    start, end = f'<{service} xmlns="urn:tdcc:psp:body:3.4">{head}', f"</{service}>"
    room = LARGEST - 1000 - len(start) - len(end)
    return f"{start}{repeated * min(room // len(repeated), 59_000)}{end}".encode()


#: Each makes libxml2 find an error in every element, among as many siblings as there can be.
WRONG = {
    "empty ids": ("PS802RSDRQ", "", "<MsgId/>"),
    "odd ids": ("PS802RSDRQ", "", "<MsgId>&#228;</MsgId>"),
    "attributes": ("PS802RSDRQ", "", '<MsgId a="">1</MsgId>'),
    "lines": ("PS811FTRRQ", RESULT, "<PmtSvc><PMTID>x</PMTID><Status/></PmtSvc>"),
    "odd elements": ("PS802RSDRQ", "", "<Odd/>"),
    "at the end": ("PS802RSDRQ", "<MsgId>1</MsgId>" * 50_000, "<MsgId/>"),
}


@pytest.fixture
def content() -> Content:
    """The content of the standard profile."""
    content = standard_profile().content
    assert content is not None
    return content


def seconds(content: Content, service: str, body: bytes) -> tuple[float, str | None]:
    """The processor time of looking at ``body`` and of validating it."""
    begun = time.process_time()
    fault = content.fault(service, content.look(body))
    return time.process_time() - begun, fault


@pytest.mark.parametrize("shape", sorted(WRONG))
def test_what_is_wrong_everywhere_is_refused_at_the_first(content: Content, shape: str) -> None:
    body = filled(*WRONG[shape])
    spent, fault = seconds(content, WRONG[shape][0], body)
    assert fault is not None
    # 4 s when each error is told. A loaded machine counts the same processor time.
    assert spent < 1


def test_what_is_wrong_takes_no_memory(content: Content) -> None:
    service, head, repeated = WRONG["empty ids"]
    seen = content.look(filled(service, head, repeated))
    tracemalloc.start()
    try:
        assert content.fault(service, seen) is not None
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The text of the tree, and the errors of one piece of it.
    assert most < 4 * LARGEST


@pytest.mark.parametrize(
    ("service", "head", "repeated"),
    [
        ("PS802RSDRQ", "", "<MsgId>1</MsgId>"),
        ("PS811FTRRQ", RESULT, "<PmtSvc><PMTID>1</PMTID><Status>PSPBK0000I</Status></PmtSvc>"),
    ],
)
def test_a_valid_megabyte(content: Content, service: str, head: str, repeated: str) -> None:
    spent, fault = seconds(content, service, filled(service, head, repeated))
    assert fault is None
    assert spent < 1


@pytest.mark.parametrize("count", [1, 100, 3000, 30_000])
def test_large_and_small_are_told_the_same(content: Content, count: int) -> None:
    ids = "<MsgId>1</MsgId>" * count
    start, end = '<PS802RSDRQ xmlns="urn:tdcc:psp:body:3.4">', "</PS802RSDRQ>"
    for wrong, reason in (
        ("<Odd/>", "Odd is not expected here. Expected is one of ( MsgId, SSNID )"),
        ("<SSNID>1</SSNID>", "is not complete. Expected is ( SVCREFID )"),
        ("<SSNID>?</SSNID>", "SSNID has not the form that the schema asks for"),
    ):
        body = f"{start}{ids}{wrong}{end}".encode()
        fault = content.fault("PS802RSDRQ", content.look(body))
        assert fault is not None
        assert fault.endswith(reason)
