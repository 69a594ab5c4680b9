"""A platform that listens on loopback, and what SOAP clients send to it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import msh
from msh import bodies, wsdl
from msh.blocking import MessageServiceHandler
from msh.catalog import schemas_folder
from msh.cli.samples import sample_body
from msh.profile import Role
from msh.profiles import standard_profile

PROFILE = standard_profile()
SHIPPED = Path(str(schemas_folder())) / "tdcc-psp-3.4"
REQUESTS = sorted(row.code for row in PROFILE.catalog.services.values() if row.kind == "request")
PATIENCE = 20


def agreement(own: str, endpoint: str | None = None, **changes: Any) -> msh.Agreement:
    """The agreement of BIZ or of PSP with the other, unprotected and with every service."""
    roles = {"BIZ": Role.BUSINESS, "PSP": Role.PSP}
    peer = "PSP" if own == "BIZ" else "BIZ"
    return msh.Agreement(
        **{
            "own": own,
            "own_role": roles[own],
            "peer": peer,
            "peer_role": roles[peer],
            "profile": PROFILE,
            "endpoint": endpoint,
            "sends": frozenset(REQUESTS) if endpoint else frozenset(),
            "accepts": frozenset() if endpoint else frozenset(REQUESTS),
            "checks_content": True,
            **changes,
        }
    )


class Platform:
    """A platform whose handlers answer ``answer``; ``messages`` are those that they were given."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.messages: list[msh.Message] = []
        self.answer: Callable[[msh.Message], msh.Reply] = lambda message: msh.Reply("PSPPM0000I")
        self.terms = agreement("PSP", **changes)
        self.handler = MessageServiceHandler(
            msh.Agreements.of("PSP", [self.terms]),
            f"sqlite:///{folder / 'psp.db'}",
            listen=f"http://127.0.0.1:0{self.terms.profile.path}",
        )
        self.handler.on(*self.terms.accepts)(self._handle)

    def _handle(self, message: msh.Message) -> msh.Reply:
        self.messages.append(message)
        return self.answer(message)

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self.handler.url is not None
        return self.handler.url

    def described(self, folder: Path) -> str:
        """Write its WSDL; the file."""
        for name, content in wsdl.files(self.terms.profile, self.url).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return str(folder / wsdl.WSDL_FILE)


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Callable[..., Platform]]:
    """Start a platform, with changes to its agreement."""
    with ExitStack() as stack:

        def start(**changes: Any) -> Platform:
            made = Platform(tmp_path, **changes)
            stack.enter_context(made.handler)
            return made

        yield start


def header(service: str, message_id: str, **changes: Any) -> dict[str, Any]:
    """The header block as zeep takes it."""
    now = datetime.now(UTC)
    values = {
        "SvcId": service,
        "MsgId": message_id,
        "Sender": "BIZ",
        "Receiver": "PSP",
        "Timestamp": now,
        "TimeToLive": now + timedelta(hours=1),
    }
    return {"MessageHeader": values | changes}


def values(service: str) -> dict[str, Any]:
    """The fields of a sample body, with references of its own."""
    return bodies.of().read(service, sample_body(service).encode())


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A profile of a site's own: other namespaces, names and schemas."""
    copy = tmp_path / "site"
    shutil.copytree(SHIPPED, copy)
    file = copy / "profile.toml"
    text = file.read_text(encoding="utf-8")
    for old, new in (
        ('"urn:tdcc:psp:sms:3.4"', '"http://site.example/sms"'),
        ('prefix = "scoi"', 'prefix = "soap"'),
        ('path = "/sms"', 'path = "/other"'),
        ('block = "MessageHeader"', 'block = "Head"'),
        ('message_id = "MsgId"', 'message_id = "Number"'),
    ):
        assert old in text
        text = text.replace(old, new, 1)
    file.write_text(text, encoding="utf-8")
    (copy / "bodies" / "PS810FTRQ.xsd").write_text(
        '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:site:body" '
        'elementFormDefault="qualified"><xs:element name="Payment"><xs:complexType><xs:sequence>'
        '<xs:element name="Serial" type="xs:string"/></xs:sequence></xs:complexType></xs:element>'
        "</xs:schema>"
    )
    return copy
