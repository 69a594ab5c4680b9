"""The WSDL agrees with the profile, is what the generator writes, and loads from its folder."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path

import pytest
import zeep
from lxml import etree
from typer.testing import CliRunner

from msh import wsdl
from msh.cli import app
from msh.errors import CatalogError, UsageError
from msh.profiles import read_profile
from tests.soap.conftest import PROFILE, REQUESTS, SHIPPED

NAMES = {"w": "http://schemas.xmlsoap.org/wsdl/", "s": "http://schemas.xmlsoap.org/wsdl/soap/"}


def test_the_shipped_files_are_what_the_generator_writes() -> None:
    files = wsdl.files(PROFILE)
    assert {"sms.wsdl", "header.xsd", "bodies/common.xsd"} < files.keys()
    for name, content in files.items():
        assert (SHIPPED / name).read_bytes() == content, f"write {name} anew with `msh wsdl`"


def test_it_agrees_with_the_catalog() -> None:
    root = etree.parse(str(SHIPPED / "sms.wsdl")).getroot()
    assert root.get("targetNamespace") == PROFILE.namespace
    messages = {
        message.get("name"): {part.get("name"): part.get("element") for part in message}
        for message in root.iterfind("w:message", NAMES)
    }
    services = PROFILE.catalog.services
    assert messages.keys() == services.keys() | {"Unreadable"}
    for service in services:
        assert messages[service] == {
            "MessageHeader": "scoi:MessageHeader",
            "body": f"body:{service}",
        }
    for part in ("portType", "binding"):
        operations = root.findall(f"w:{part}/w:operation", NAMES)
        assert sorted(str(operation.get("name")) for operation in operations) == REQUESTS
    for operation in root.iterfind("w:portType/w:operation", NAMES):
        row = services[str(operation.get("name"))]
        ends = [operation.find(f"w:{way}", NAMES) for way in ("input", "output", "fault")]
        told = [end.get("message") for end in ends if end is not None]
        assert told == [f"scoi:{row.code}", f"scoi:{row.reply}", "scoi:Unreadable"]
        assert row.name in str(operation.findtext("w:documentation", namespaces=NAMES))
    for operation in root.iterfind("w:binding/w:operation", NAMES):
        action = operation.find("s:operation", NAMES)
        assert action is not None
        assert action.get("soapAction") == f"{PROFILE.namespace}#{operation.get('name')}"
    address = root.find("w:service/w:port/s:address", NAMES)
    assert address is not None
    assert str(address.get("location")).endswith(PROFILE.path)


def test_the_header_has_the_names_of_the_profile() -> None:
    root = etree.fromstring(wsdl.header_schema(PROFILE).encode())
    names = {f: getattr(PROFILE.names, f) for f in PROFILE.names.__dataclass_fields__}
    assert root.get("targetNamespace") == PROFILE.namespace
    (block, status) = root.findall("{*}element")
    assert (block.get("name"), status.get("name")) == (names.pop("block"), names["status"])
    inside = [element.get("name") for element in block.iter("{*}element") if element is not block]
    assert inside == list(names.values())


def test_loading_it_goes_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    loaded: list[Path] = []

    class Watching(zeep.Transport):
        def load(self, url: str) -> bytes:
            loaded.append(Path(url))
            return super().load(url)

    client = zeep.Client(str(SHIPPED / "sms.wsdl"), transport=Watching())
    assert all(hasattr(client.service, name) for name in REQUESTS)
    assert len(loaded) > len(REQUESTS)
    assert all(file.resolve().is_relative_to(SHIPPED.resolve()) for file in loaded)


def test_every_operation_has_its_schemas() -> None:
    client = zeep.Client(str(SHIPPED / "sms.wsdl"))
    for service in REQUESTS:
        operation = client.service._binding.get(service)
        reply = PROFILE.catalog.services[service].reply
        for message, name in ((operation.input, service), (operation.output, reply)):
            assert message.body.qname.localname == name
            assert [part for part, _ in message.header.type.elements] == ["MessageHeader"]


def test_the_command_writes_all_that_it_loads(tmp_path: Path) -> None:
    out = tmp_path / "given"
    url = "https://psp.example/sms?a=1&b=2"
    done = CliRunner().invoke(app, ["wsdl", "--endpoint", url, "--out", str(out)])
    assert (done.exit_code, done.stdout) == (0, f"{out / 'sms.wsdl'}\n")
    client = zeep.Client(str(out / "sms.wsdl"))
    assert client.service._binding_options["address"] == url
    schema = subprocess.run(
        ["xmllint", "--noout", "--nonet", "--schema", str(out / "header.xsd"), "-"],
        input=b"<a/>",
        capture_output=True,
        check=False,
    )
    assert b"compile" not in schema.stderr
    again = CliRunner().invoke(app, ["wsdl", "--out", str(out)])
    assert again.exit_code == 2
    assert "is there already" in again.stderr
    wrong = CliRunner().invoke(app, ["wsdl", "--endpoint", "psp", "--out", str(tmp_path / "b")])
    assert wrong.exit_code == 2
    assert not (tmp_path / "b").exists()


def test_the_command_takes_the_address_from_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MSH_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, ["init", "biz", "--role", "business"]).exit_code == 0
    assert CliRunner().invoke(app, ["wsdl", "-c", "biz/msh.toml"]).exit_code == 0
    address = zeep.Client("wsdl/sms.wsdl").service._binding_options["address"]
    assert address == "http://127.0.0.1:8711/sms"


def test_a_profile_of_a_sites_own(site: Path, tmp_path: Path) -> None:
    for name, content in wsdl.files(read_profile(site)).items():
        path = tmp_path / "out" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    client = zeep.Client(str(tmp_path / "out" / "sms.wsdl"))
    assert client.service._binding_options["address"].endswith("/other")
    operation = client.service._binding.get("PS810FTRQ")
    assert operation.input.body.qname.text == "{urn:site:body}Payment"
    assert operation.soapaction == "http://site.example/sms#PS810FTRQ"
    ((part, block),) = operation.input.header.type.elements
    assert (part, block.qname.text) == ("Head", "{http://site.example/sms}Head")
    assert "Number" in dict(block.type.elements)


def test_schemas_that_contradict_each_other(site: Path) -> None:
    file = site / "bodies" / "PS811FTRRQ.xsd"
    file.write_text(
        '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:site:body">'
        '<xs:element name="Payment" type="xs:string"/></xs:schema>'
    )
    with pytest.raises(CatalogError, match="Payment"):
        wsdl.files(read_profile(site))


def test_a_profile_without_schemas(site: Path) -> None:
    shutil.rmtree(site / "bodies")
    with pytest.raises(UsageError, match="no folder `bodies`"):
        wsdl.files(read_profile(site))
