"""The schemas of the 26 bodies: what fits them, and how it is told what does not."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from lxml import etree

from msh.catalog import load, schemas_folder
from msh.cli.samples import sample_body, samples_folder
from msh.content import Schemas
from msh.profiles import standard_profile
from msh.xml import Element, parse
from tests.content.generating import COMMON, XS

NAMESPACE = "urn:tdcc:psp:body:3.4"
CATALOG = load()
SERVICES = sorted(CATALOG.services)
FOLDER = Path(str(schemas_folder())) / "tdcc-psp-3.4" / "bodies"
#: Longer than any text may be, and of no form that any code has.
PLANTED = "SECRET-7777!" * 200
REPEATING = {"PmtSvc", "OUT", "IN", "Item", "Entry", "Total", "MsgId"}
#: Of a size whose work is bounded in another way.
SIZES = [0, 1_000_000]


@pytest.fixture
def schemas() -> Schemas:
    """The schemas of the standard profile."""
    content = standard_profile().content
    assert content is not None
    return content.schemas


def sample(service: str) -> Element:
    return parse((samples_folder() / f"{service}.xml").read_bytes())


def each(service: str) -> Iterator[tuple[Element, Element]]:
    """A fresh sample for each element in it, with that element."""
    for number in range(sum(1 for _ in sample(service).iter())):
        root = sample(service)
        yield root, list(root.iter())[number]


def name_of(element: Element) -> str:
    return etree.QName(element).localname


def test_every_service_has_a_schema_and_a_sample(schemas: Schemas) -> None:
    assert len(SERVICES) == 26
    assert schemas.services == set(SERVICES)
    assert {file.stem for file in FOLDER.iterdir()} == {*SERVICES, "common", "all"}
    assert {Path(str(file)).stem for file in samples_folder().iterdir()} == set(SERVICES)


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("size", SIZES)
def test_each_sample_fits(schemas: Schemas, service: str, size: int) -> None:
    assert schemas.fault(service, sample(service), size) is None
    assert schemas.fault(service, parse(sample_body(service).encode()), size) is None


@pytest.mark.parametrize("service", SERVICES)
def test_xmllint_finds_each_sample_valid(service: str) -> None:
    file = Path(str(samples_folder())) / f"{service}.xml"
    done = subprocess.run(
        ["xmllint", "--noout", "--nonet", "--schema", str(FOLDER / f"{service}.xsd"), str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.strip()) == (0, f"{file} validates")


def renamed(element: Element) -> None:
    element.tag = f"{{{NAMESPACE}}}Odd"


def elsewhere(element: Element) -> None:
    element.tag = f"{{urn:other}}{name_of(element)}"


def with_an_attribute(element: Element) -> None:
    element.set("odd", PLANTED)


def with_another_text(element: Element) -> None:
    if len(element):  # between its elements
        element[0].tail = PLANTED
    else:
        element.text = PLANTED


def with_a_child(element: Element) -> None:
    etree.SubElement(element, f"{{{NAMESPACE}}}Odd").text = PLANTED


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "change", [renamed, elsewhere, with_an_attribute, with_another_text, with_a_child]
)
def test_every_change_of_every_element_is_refused(
    schemas: Schemas, service: str, change: Callable[[Element], None], size: int
) -> None:
    count = 0
    for root, element in each(service):
        name = name_of(element)
        change(element)
        told = schemas.fault(service, root, size)
        assert told is not None, name
        assert name in told or "Odd" in told or told.startswith(service), told
        assert "SECRET" not in told
        assert "7777" not in told
        assert NAMESPACE not in told
        assert len(told) < 300
        count += 1
    assert count >= 3


@pytest.mark.parametrize("service", SERVICES)
def test_what_stands_once_does_not_stand_twice(schemas: Schemas, service: str) -> None:
    for root, element in each(service):
        parent = element.getparent()
        if parent is None or name_of(element) in REPEATING:
            continue
        parent.insert(parent.index(element), etree.fromstring(etree.tostring(element)))
        told = schemas.fault(service, root)
        assert told is not None
        assert name_of(element) in told


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("SSNID", "SVCREFID is not expected here. Expected is ( SSNID )"),
        ("PmtSvc", "Total is not expected here. Expected is ( PmtSvc )"),
        ("PmtSvc/OUT", "PmtSvc/IN[1] is not expected here. Expected is ( OUT )"),
        ("PmtSvc/IN/Amt", "PmtSvc/IN[1]/PassbookRmk is not expected here. Expected is ( Amt )"),
        ("Total/Amt", "Total is not complete. Expected is ( Amt )"),
    ],
)
def test_what_is_missing_is_named(schemas: Schemas, path: str, told: str) -> None:
    root = sample("PS810FTRQ")
    found = root.find("/".join(f"{{*}}{step}" for step in path.split("/")))
    assert found is not None
    found.getparent().remove(found)  # type: ignore[union-attr]
    assert schemas.fault("PS810FTRQ", root) == told


def enumeration(name: str) -> set[str]:
    return {
        one.get("value")
        for one in COMMON.iterfind(f"{XS}simpleType[@name='{name}']//{XS}enumeration")
    }


def pattern(name: str) -> str:
    (found,) = COMMON.iterfind(f"{XS}simpleType[@name='{name}']//{XS}pattern")
    return str(found.get("value"))


def test_what_is_published_is_what_may_be_written() -> None:
    assert enumeration("BusType") == set(CATALOG.business_types)
    assert enumeration("FundPmtSvc") == {
        shape for row in CATALOG.funding.values() for shape in row.shapes
    }
    for code in CATALOG.statuses:
        assert re.fullmatch(pattern("Status"), code)
    for kind in CATALOG.message_kinds:
        assert re.fullmatch(pattern("Kind"), kind)
    for service in SERVICES:
        assert re.fullmatch(pattern("Service"), service)


def test_prefixes_change_nothing(schemas: Schemas) -> None:
    """Whatever prefixes a peer writes, and whether two of them mean the same."""
    start = f'<b:PS810FTRS xmlns:b="{NAMESPACE}" xmlns:c="{NAMESPACE}" xmlns:d="urn:other">'
    end = "</b:PS810FTRS>"
    for text, told in (
        ("<c:Status>PSPPM0000I</c:Status>", None),
        ("<c:Status>?</c:Status>", "Status has not the form that the schema asks for"),
        ("<d:Status>PSPPM0000I</d:Status>", "Status is not expected here. Expected is"),
        ("<b:SSNID>1</b:SSNID><c:SVCREFID>?</c:SVCREFID>", "SVCREFID has not the form that"),
    ):
        fault = schemas.fault("PS810FTRS", parse(f"{start}{text}{end}".encode()))
        assert fault == told if told is None else (fault or "").startswith(told), text


def test_a_schema_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []
    compile_ = etree.XMLSchema

    def counted(**given: str) -> etree.XMLSchema:
        compiled.append(given["file"])
        return compile_(**given)  # type: ignore[arg-type]

    schemas = Schemas(FOLDER, frozenset(SERVICES))
    monkeypatch.setattr(etree, "XMLSchema", counted)
    root = sample("PS810FTRQ")
    for size in (*SIZES, *SIZES):
        assert schemas.fault("PS810FTRQ", root, size) is None
    assert len(compiled) == 1


def test_many_threads_are_told_what_is_wrong_with_their_own(schemas: Schemas) -> None:
    """A compiled schema keeps the errors it found last."""
    names = ["SSNID", "BusType", "FundPmtSvc", "SettleDate"]

    def work(number: int) -> tuple[str, str | None]:
        root = sample("PS810FTRQ")
        name = names[number % 4]
        found = root.find(f"{{*}}{name}")
        assert found is not None
        found.text = "?"
        return name, schemas.fault("PS810FTRQ", root)

    with ThreadPoolExecutor(8) as pool:
        for name, told in pool.map(work, range(400)):
            assert told is not None
            assert told.startswith(f"{name} ")


def test_a_hint_at_a_schema_is_not_followed(schemas: Schemas, tmp_path: Path) -> None:
    """xsi:schemaLocation is the peer's word; what it names is not even opened."""
    odd = tmp_path / "odd.xsd"
    odd.write_text(
        '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:other">'
        '<xs:element name="Odd"/></xs:schema>'
    )
    xsi = "http://www.w3.org/2001/XMLSchema-instance"
    for size in SIZES:
        root = sample("IS910SMDRQ")
        root.set(f"{{{xsi}}}schemaLocation", f"urn:other {odd.as_uri()}")
        etree.SubElement(root, "{urn:other}Odd")
        told = schemas.fault("IS910SMDRQ", root, size)
        assert told is not None
        assert told.startswith("Odd is not expected here")
