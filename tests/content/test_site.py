"""A site replaces what bodies hold by files: no code is changed, and mistakes are told at once."""

from __future__ import annotations

import shutil
from decimal import Decimal
from pathlib import Path

import pytest

from msh import bodies
from msh.catalog import schemas_folder
from msh.config import read_configuration
from msh.content import BodyNames
from msh.errors import CatalogError, ConfigurationError, InvalidBody, UsageError
from msh.profiles import read_profile

PAYMENT = """\
<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns="urn:site:body"
           targetNamespace="urn:site:body" elementFormDefault="qualified">
  <xs:include schemaLocation="types/money.xsd"/>
  <xs:element name="Payment">
    <xs:complexType>
      <xs:sequence>
        <xs:element name="Serial" type="xs:string"/>
        <xs:element name="Line" maxOccurs="unbounded">
          <xs:complexType>
            <xs:sequence>
              <xs:element name="Value" type="Money"/>
              <xs:choice minOccurs="0">
                <xs:element name="Day" type="xs:date"/>
                <xs:element name="Moment" type="xs:dateTime"/>
              </xs:choice>
            </xs:sequence>
            <xs:attribute name="urgent" type="xs:boolean"/>
          </xs:complexType>
        </xs:element>
      </xs:sequence>
    </xs:complexType>
  </xs:element>
</xs:schema>
"""
MONEY = """\
<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:site:body">
  <xs:simpleType name="Money">
    <xs:restriction base="xs:decimal"><xs:fractionDigits value="2"/></xs:restriction>
  </xs:simpleType>
</xs:schema>
"""
CONFIGURATION = """
profile = "ours"
[party]
id = "BIZ"
role = "business"
[agreements.PSP]
role = "psp"
endpoint = "http://127.0.0.1:8710/sms"
protection = "none"
sends = ["PS810FTRQ"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A profile of a site's own, whose PS810FTRQ has nothing in common with ours."""
    copy = tmp_path / "ours"
    shutil.copytree(str(schemas_folder() / "tdcc-psp-3.4"), copy)
    (copy / "bodies" / "types").mkdir()
    (copy / "bodies" / "types" / "money.xsd").write_text(MONEY)
    (copy / "bodies" / "PS810FTRQ.xsd").write_text(PAYMENT)
    with (copy / "profile.toml").open("a") as file:
        file.write('\n[body]\nssn_id = "Serial"\ngroup = "Line"\namount = "Value"\n')
    return copy


def problems(folder: Path) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        read_profile(folder)
    return caught.value.problems


def test_bodies_of_another_form(folder: Path) -> None:
    profile = read_profile(folder)
    content = profile.content
    assert content is not None
    assert content.names == BodyNames(ssn_id="Serial", group="Line", amount="Value")
    values = {
        "Serial": "7",
        "Line": [{"Value": Decimal("1.50")}, {"Value": Decimal("2"), "urgent": True}],
    }
    ours = bodies.of(profile)
    body = ours.build("PS810FTRQ", values)
    assert body == (
        b'<Payment xmlns="urn:site:body"><Serial>7</Serial><Line><Value>1.50</Value></Line>'
        b'<Line urgent="true"><Value>2</Value></Line></Payment>'
    )
    read = bodies.of(folder).read("PS810FTRQ", body)
    assert read["Serial"] == "7"
    assert [str(line["Value"]) for line in read["Line"]] == ["1.50", "2"]
    assert read["Line"][1]["urgent"] is True
    for wrong, reason in (
        ({"Value": Decimal("1.505")}, "Value has more decimals than the schema allows"),
        ({"Value": 1.5}, "Value is a float"),
        ({"Value": 1, "urgent": "no"}, "urgent is of type str; a bool is wanted"),
        ({"Value": 1, "Day": "2026-01-01", "Moment": "2026-01-01T00:00:00"}, "Moment is not exp"),
    ):
        with pytest.raises(InvalidBody, match=reason):
            ours.build("PS810FTRQ", {"Serial": "7", "Line": [wrong]})
    # The other services are as before.
    assert ours.build("IS910SMDRQ", {"Kind": "010", "Text": "x"})


def test_ours_do_not_fit_theirs_nor_theirs_ours(folder: Path) -> None:
    theirs, ours = read_profile(folder).content, bodies.of().content
    assert theirs is not None
    body = (
        b'<Payment xmlns="urn:site:body"><Serial>7</Serial><Line><Value>1</Value></Line></Payment>'
    )
    assert theirs.fault("PS810FTRQ", theirs.look(body)) is None
    assert ours.fault("PS810FTRQ", ours.look(body)) == (
        "Payment is not the element that the schema asks for"
    )


def change(folder: Path, name: str, old: str, new: str) -> Path:
    file = folder / "bodies" / name
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("name", "old", "new", "line", "said"),
    [
        ("PS810FTRQ.xsd", "xs:string", "xs:strin", 7, "does not resolve"),
        ("PS810FTRQ.xsd", "</xs:schema>", "", 24, "EndTag|Premature end|end of data"),
        ("PS810FTRQ.xsd", "types/money.xsd", "types/none.xsd", 3, "is no file in"),
        ("PS810FTRQ.xsd", "types/money.xsd", "../profile.toml", 3, "is no file in"),
        ("PS810FTRQ.xsd", "types/money.xsd", "http://127.0.0.1:9/a.xsd", 3, "is no file in"),
        ("PS810FTRQ.xsd", "types/money.xsd", "file:///etc/passwd", 3, "is no file in"),
        ("types/money.xsd", "xs:decimal", "xs:decima", 2, "does not resolve"),
        ("common.xsd", 'name="Reference">', 'name="Referenc">', 1, "does not resolve"),
    ],
)
def test_a_broken_schema_is_told_with_file_and_line(
    folder: Path, name: str, old: str, new: str, line: int, said: str
) -> None:
    file = change(folder, name, old, new)
    told = problems(folder)
    (problem,) = told
    assert f"{file}, line " in problem
    if name != "common.xsd":
        assert f"{file}, line {line}: " in problem
    assert any(word in problem for word in said.split("|"))


def test_a_file_that_is_no_schema_and_one_that_is_missing(folder: Path) -> None:
    (folder / "bodies" / "PS810FTRQ.xsd").write_text("<hello/>")
    (folder / "bodies" / "PS810FTRS.xsd").unlink()
    told = problems(folder)
    assert len(told) == 2
    assert "PS810FTRS.xsd is missing; each service has a schema" in told[0]
    assert "PS810FTRQ.xsd: cannot be used as a schema" in told[1]


def test_the_configuration_that_names_it_says_so(folder: Path) -> None:
    change(folder, "PS810FTRQ.xsd", "xs:string", "xs:strin")
    file = folder.parent / "msh.toml"
    file.write_text(CONFIGURATION)
    with pytest.raises(ConfigurationError) as caught:
        read_configuration(file)
    assert f"{folder / 'bodies' / 'PS810FTRQ.xsd'}, line 7: " in str(caught.value)


def test_a_profile_without_schemas_has_no_values(folder: Path) -> None:
    shutil.rmtree(folder / "bodies")
    with pytest.raises(UsageError, match="no folder `bodies`"):
        bodies.of(folder)


def test_a_schema_of_which_no_values_can_be_made(folder: Path) -> None:
    (folder / "bodies" / "PS810FTRQ.xsd").write_text(
        '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">'
        '<xs:element name="A" type="xs:string"/><xs:element name="B" type="xs:string"/></xs:schema>'
    )
    ours = bodies.of(folder)
    with pytest.raises(CatalogError, match="no Python values"):
        ours.build("PS810FTRQ", {})
