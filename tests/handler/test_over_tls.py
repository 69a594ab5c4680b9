"""Two handlers with files of their own over TLS: certificates both ways, bound to the party."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import msh
from msh.cli.samples import sample_body
from msh.security.issuing import self_signed
from tests.transport.certificates import Identity, identity

PARTY = """
[party]
id = "{id}"
role = "{role}"
[tls]
certificate = "{own}.pem"
key = "{own}.key"
trust = "authority.pem"
client_certificates = "required"
"""
PLATFORM = (
    'store = "sqlite::memory:"\ngrace = 1\n'
    + PARTY
    + """
[listen]
url = "https://localhost:0/sms"
[agreements.BIZ]
role = "business"
protection = "none"
accepts = ["PS810FTRQ"]
[agreements.BIZ.source]
{source}
"""
)
BUSINESS = (
    'store = "sqlite::memory:"\ngrace = 1\n'
    + PARTY
    + """
[agreements.PSP]
role = "psp"
protection = "none"
endpoint = "{endpoint}"
sends = ["PS810FTRQ"]
[agreements.PSP.outbound]
resends = 0
timeout = 2
"""
)


async def test_a_certificate_that_has_ended_is_told_at_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    begins = datetime.now(UTC).replace(microsecond=0) - timedelta(days=9)
    pem, _ = self_signed("psp", begins, begins + timedelta(days=1), ecdsa=True)
    (tmp_path / "psp.pem").write_bytes(pem)
    (tmp_path / "psp.key").write_bytes(pem)
    identity(tmp_path, "authority", authority=True)
    async with platform(tmp_path, ""):
        pass
    assert "certificate of PSP (TLS)" in caplog.text
    assert "has ended" in caplog.text


@pytest.fixture
def authority(tmp_path: Path) -> Identity:
    made = identity(tmp_path, "authority", authority=True)
    identity(tmp_path, "psp", made)
    return made


def platform(folder: Path, source: str) -> msh.MessageServiceHandler:
    file = folder / "psp.toml"
    file.write_text(PLATFORM.format(id="PSP", role="psp", own="psp", source=source), "utf-8")
    handler = msh.MessageServiceHandler.from_config(file)

    @handler.on("PS810FTRQ")
    async def transfer(request: msh.Message) -> msh.Reply:
        return msh.Reply("PSPPM0000I")

    return handler


def business(folder: Path, endpoint: str) -> msh.MessageServiceHandler:
    file = folder / "biz.toml"
    text = BUSINESS.format(id="BIZ", role="business", own="biz", endpoint=endpoint)
    file.write_text(text, "utf-8")
    return msh.MessageServiceHandler.from_config(file)


def certificate(own: Identity) -> str:
    """A source that wants this certificate, in another spelling."""
    serial = f"{own.x509.serial_number:040x}"
    issuer = own.named.issuer.replace(",O=", ", o = ").replace("\\", "\\\\")
    return f'certificates = [{{ serial = "{serial}", issuer = "{issuer}" }}]'


@pytest.mark.parametrize("where", ['addresses = ["127.0.0.1", "::1"]', ""])
async def test_a_message_with_the_partys_certificate_is_answered(
    tmp_path: Path, authority: Identity, where: str
) -> None:
    own = identity(tmp_path, "biz", authority)
    async with platform(tmp_path, f"{where}\n{certificate(own)}") as receiver:
        assert receiver.url is not None
        async with business(tmp_path, receiver.url) as sender:
            receipt = await sender.send("PS810FTRQ", sample_body("PS810FTRQ"))
            assert str((await receipt.reply()).status) == "PSPPM0000I"


@pytest.mark.parametrize("wrong", ["certificate", "address"])
async def test_another_certificate_or_address_is_refused_unread(
    tmp_path: Path, authority: Identity, wrong: str
) -> None:
    """Both are trusted by TLS: the agreement decides. The sender knows nothing of the outcome."""
    own = identity(tmp_path, "biz", authority)
    other = identity(tmp_path, "other", authority)
    source = (
        certificate(other)
        if wrong == "certificate"
        else f'addresses = ["192.0.2.0/24"]\n{certificate(own)}'
    )
    async with platform(tmp_path, source) as receiver:
        assert receiver.url is not None
        async with business(tmp_path, receiver.url) as sender:
            receipt = await sender.send("PS810FTRQ", sample_body("PS810FTRQ"))
            with pytest.raises(msh.InDoubt):
                await receipt.reply()
        assert await receiver.store.receptions() == []
        assert sum(receiver.receiver.refused.values()) == 1
