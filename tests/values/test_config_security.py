"""What msh.toml says of protection, sources, TLS, proxies and production; every mistake at once."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest

from msh.config import Configuration, read_configuration
from msh.errors import ConfigurationError
from msh.protection import (
    Mac,
    MacAlgorithm,
    PeerCertificate,
    Plain,
    Signature,
    Source,
)
from msh.transport.tls import ClientCertificates, Tls
from tests.transport.certificates import identity

PSP = "agreements.PSP"
HEAD = """
[party]
id = "BIZ"
role = "business"
"""
AGREEMENT = """
[agreements.PSP]
role = "psp"
protection = "{}"
"""
SIGNATURE = """
[agreements.PSP.signature]
own = "keys/own"
peer = "keys/psp"
anchors = "keys/ca.pem"
subject = "CN=PSP,O=TDCC,C=TW"
"""
MAC = """
[agreements.PSP.mac]
key_encryption = "file:keys/psp.key"
algorithm = "aes-cmac"
overlap = 600
"""
SOURCE = """
[agreements.PSP.source]
addresses = ["192.0.2.0/24", "2001:db8::7"]
certificates = [
    { serial = "0A:1B", issuer = "CN=CA, O=TWCA, C=TW" },
    { serial = "7f", issuer = "CN=CA,C=TW" },
]
"""
TLS = """
[listen]
url = "https://127.0.0.1:8710/sms"
proxies = ["10.0.0.0/8", "::1"]
[tls]
certificate = "tls/bank.pem"
key = "tls/bank.key"
trust = "tls/authority.pem"
client_certificates = "required"
"""
SIGNED = HEAD + AGREEMENT.format("signature") + SIGNATURE
MACED = HEAD + AGREEMENT.format("mac") + MAC
PLAIN = HEAD + AGREEMENT.format("none")
SECURE = HEAD + TLS + AGREEMENT.format("none") + SOURCE


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that the files above name, and with what is for tests only."""
    folder = tmp_path_factory.mktemp("security")
    for name in ("keys/own", "keys/psp", "keys/test", "keys/none", "tls"):
        (folder / name).mkdir(parents=True)
    authority = identity(folder / "tls", "authority", authority=True)
    identity(folder / "tls", "bank", authority)
    identity(folder / "tls", "other", authority)
    identity(folder / "keys/own", "own", authority)
    identity(folder / "keys/psp", "psp", authority)
    identity(folder / "keys/test", "test", authority, organisation="msh test")
    (folder / "keys/ca.pem").write_bytes(authority.certificate.read_bytes())
    for name, mark in (("psp", "# of 2026\n"), ("test", "# msh test key\n")):
        key = folder / f"keys/{name}.key"
        key.touch(mode=0o600)
        key.write_text(mark + "00112233445566778899aabbccddeeff" * 2 + "\n")
    return folder


def read(folder: Path, content: str) -> Configuration:
    file = folder / "msh.toml"
    file.write_text(content, encoding="utf-8")
    return read_configuration(file)


def mistakes(folder: Path, content: str) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        read(folder, content)
    return caught.value.problems


# good files


def test_nothing_said_is_no_protection_and_anywhere(folder: Path) -> None:
    found = read(folder, PLAIN)
    assert found.agreements["PSP"].protection == Plain()
    assert found.agreements["PSP"].source == Source()
    assert (found.tls, found.proxies, found.production) == (None, (), False)


def test_signature(folder: Path) -> None:
    keys = folder / "keys"
    assert read(folder, SIGNED).agreements["PSP"].protection == Signature(
        keys / "own", keys / "psp", keys / "ca.pem", "CN=PSP,O=TDCC,C=TW"
    )
    pinned = SIGNED[: SIGNED.index("anchors")]
    assert read(folder, pinned).agreements["PSP"].protection == Signature(
        keys / "own", keys / "psp"
    )


def test_mac(folder: Path) -> None:
    key = f"file:{folder}/keys/psp.key"
    assert read(folder, MACED).agreements["PSP"].protection == Mac(
        key, MacAlgorithm.AES_CMAC, timedelta(minutes=10)
    )
    least = MACED[: MACED.index("algorithm")]
    assert read(folder, least).agreements["PSP"].protection == Mac(
        key, MacAlgorithm.HMAC_SHA256, timedelta(minutes=15)
    )
    of_environment = MACED.replace("file:keys/psp.key", "env:PSP_KEY")
    found = read(folder, of_environment).agreements["PSP"].protection
    assert isinstance(found, Mac)
    assert found.key_encryption == "env:PSP_KEY"


def test_source_tls_and_proxies(folder: Path) -> None:
    found = read(folder, SECURE)
    assert found.agreements["PSP"].source == Source(
        (ip_network("192.0.2.0/24"), ip_network("2001:db8::7")),
        (PeerCertificate("0A:1B", "CN=CA, O=TWCA, C=TW"), PeerCertificate("7f", "CN=CA,C=TW")),
    )
    assert found.listen == "https://127.0.0.1:8710/sms"
    assert found.proxies == (ip_network("10.0.0.0/8"), ip_network("::1"))
    tls = folder / "tls"
    assert found.tls == Tls(
        tls / "bank.pem", tls / "bank.key", tls / "authority.pem", ClientCertificates.REQUIRED
    )


def test_tls_for_the_sending_side_alone(folder: Path) -> None:
    found = read(folder, f'{PLAIN}[tls]\ntrust = "tls/authority.pem"\n')
    assert found.tls == Tls(trust=folder / "tls/authority.pem")
    assert read(folder, f"{PLAIN}[tls]\n").tls == Tls()


def test_certificates_asked_for_by_a_proxy(folder: Path) -> None:
    listen = '[listen]\nurl = "http://127.0.0.1:8710/sms"\nproxies = ["127.0.0.1"]\n'
    assert read(folder, f"{listen}{HEAD}{AGREEMENT.format('none')}{SOURCE}")


# one mistake at a time, by its key path


@pytest.mark.parametrize(
    ("content", "old", "new", "key", "said"),
    [
        # protection
        (SIGNED, SIGNATURE, "", f"{PSP}.signature", "a table [agreements.PSP.signature]"),
        (MACED, MAC, "", f"{PSP}.mac", "is missing; a table [agreements.PSP.mac]"),
        (SIGNED, '"signature"', '"none"', f"{PSP}.signature", 'but protection is "none"'),
        (MACED, '"mac"', '"none"', f"{PSP}.mac", 'is given, but protection is "none"'),
        (SIGNED, SIGNATURE, SIGNATURE + MAC, f"{PSP}.mac", 'protection is "signature"'),
        (SIGNED, '"signature"', '"sign"', f"{PSP}.protection", "'sign' is not one of"),
        (SIGNED, 'own = "keys/own"', "", f"{PSP}.signature.own", "is missing"),
        (SIGNED, 'peer = "keys/psp"', "", f"{PSP}.signature.peer", "is missing"),
        (SIGNED, "keys/own", "keys/away", f"{PSP}.signature.own", "keys/away is not there"),
        (SIGNED, "keys/psp", "keys/ca.pem", f"{PSP}.signature.peer", "ca.pem is not there"),
        (SIGNED, "keys/ca.pem", "no.pem", f"{PSP}.signature.anchors", "does not exist"),
        (SIGNED, 'anchors = "keys/ca.pem"', "", f"{PSP}.signature.subject", "without anchors"),
        (SIGNED, 'subject = "CN=PSP,O=TDCC,C=TW"', "", f"{PSP}.signature.subject", "is missing"),
        (SIGNED, "CN=PSP,O=TDCC,C=TW", "PSP", f"{PSP}.signature.subject", "a name such as"),
        (SIGNED, "CN=PSP,", "CM=PSP,", f"{PSP}.signature.subject", "nobody knows cm"),
        (SIGNED, ",C=TW", ",C=TWN", f"{PSP}.signature.subject", "in two letters"),
        (SIGNED, '"keys/psp"', '"keys/./own"', f"{PSP}.signature.peer", "is the folder `own` too"),
        (SIGNED, "anchors", "anchor", f"{PSP}.signature.anchor", "is not known here"),
        (MACED, 'key_encryption = "file:keys/psp.key"', "", f"{PSP}.mac.key_encryption", "missing"),
        (MACED, "keys/psp.key", "keys/no.key", f"{PSP}.mac.key_encryption", "does not exist"),
        (MACED, "file:keys/psp.key", "file:", f"{PSP}.mac.key_encryption", "file:PATH or"),
        (MACED, "file:keys/psp.key", "env:A B", f"{PSP}.mac.key_encryption", "file:PATH or"),
        (MACED, "aes-cmac", "md5", f"{PSP}.mac.algorithm", "'md5' is not one of"),
        (MACED, "overlap = 600", "overlap = -1", f"{PSP}.mac.overlap", "must be from 0"),
        (MACED, "overlap = 600", "over = 600", f"{PSP}.mac.over", "is not known here"),
        # source
        (SECURE, "192.0.2.0/24", "192.0.2.1/24", f"{PSP}.source.addresses", "is 192.0.2.0/24:"),
        (SECURE, "192.0.2.0/24", "psp.example", f"{PSP}.source.addresses", "'psp.example': an"),
        (SECURE, '["192.0.2.0/24", "2001:db8::7"]', '"::"', f"{PSP}.source.addresses", '["192.0'),
        (SECURE, '"0A:1B"', '"x"', f"{PSP}.source.certificates[0].serial", "hexadecimal"),
        (
            SECURE,
            "0A:1B",
            "340282366920938463463374607431768211455",
            f"{PSP}.source.certificates[0].serial",
            "is in decimal; write it in hexadecimal, FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF,",
        ),
        (SECURE, "0A:1B", "A" * 42, f"{PSP}.source.certificates[0].serial", "longer than the 20"),
        (SECURE, "CN=CA,C=TW", "/C=TW", f"{PSP}.source.certificates[1].issuer", "a name such"),
        (SECURE, '"7f",', '"7f", a = 1,', f"{PSP}.source.certificates[1].a", "is not known"),
        (SECURE, 'serial = "7f",', "", f"{PSP}.source.certificates[1].serial", "is missing"),
        # listen and tls
        (SECURE, "10.0.0.0/8", "proxy", "listen.proxies", "'proxy': an address or a network"),
        (SECURE, "[tls]", "[tsl]", "tls", "is missing, and listen.url is https"),
        (SECURE, 'certificate = "tls/bank.pem"\n', "", "tls.certificate", "for https"),
        (SECURE, "tls/bank.pem", "tls/no.pem", "tls.certificate", "no.pem does not exist"),
        (SECURE, "tls/bank.key", "tls/no.key", "tls.key", "no.key does not exist"),
        (SECURE, "tls/bank.key", "tls/other.key", "tls.key", "are not a certificate in PEM and"),
        (SECURE, 'key = "tls/bank.key"', "", "tls.certificate", "are not a certificate in PEM"),
        (SECURE, "tls/authority.pem", "tls/no.pem", "tls.trust", "no.pem does not exist"),
        (SECURE, "tls/authority.pem", "tls/bank.key", "tls.trust", "no certificates in PEM"),
        (SECURE, 'trust = "tls/authority.pem"', "", "tls.trust", "checked against it"),
        (SECURE, '"required"', '"sometimes"', "tls.client_certificates", "'sometimes' is not"),
        (SECURE, "client_certificates", "clients", "tls.clients", "is not known here"),
    ],
)
def test_a_mistake_is_told_with_its_key_path(
    folder: Path, content: str, old: str, new: str, key: str, said: str
) -> None:
    assert old in content
    content = content.replace(old, new, 1)
    found = [problem for problem in mistakes(folder, content) if problem.startswith(f"{key}: ")]
    assert len(found) == 1
    assert said in found[0]


@pytest.mark.parametrize(
    "changes",
    [
        [('"required"', '"none"')],
        [("https:", "http:")],
    ],
)
def test_certificates_that_nobody_asks_for(folder: Path, changes: list[tuple[str, str]]) -> None:
    content = SECURE.replace('proxies = ["10.0.0.0/8", "::1"]', "")
    assert read(folder, content)
    for old, new in changes:
        content = content.replace(old, new)
    (problem,) = mistakes(folder, content)
    assert problem.startswith(f"{PSP}.source.certificates: nobody asks for a certificate")


@pytest.mark.parametrize(
    ("overlap", "resending", "wrong"),
    [
        (540, "", False),  # attempts at 0, 90, 240 and 510 s, the last one for 30 s
        (539, "", True),
        (0, "[agreements.PSP.outbound]\nresends = 0\ntimeout = 5\n", True),
        (540, "[agreements.PSP.outbound]\nresends = 4\n", True),
        (540, "[agreements.PSP.inbound]\nresends = 4\n", True),
        (540, "[agreements.PSP.inbound]\nresends = 0\n", False),
    ],
)
def test_a_replaced_key_is_taken_for_as_long_as_a_message_is_resent(
    folder: Path, overlap: int, resending: str, wrong: bool
) -> None:
    content = f"{MACED.replace('overlap = 600', f'overlap = {overlap}')}{resending}"
    if not wrong:
        assert read(folder, content).agreements["PSP"]
        return
    problems = mistakes(folder, content)
    assert all(f"{PSP}.mac.overlap: {overlap}: must be at least" in one for one in problems)


def test_what_may_be_a_key_is_not_shown(folder: Path) -> None:
    key = "00112233445566778899aabbccddeeff"
    (problem,) = mistakes(folder, MACED.replace("file:keys/psp.key", key))
    assert key not in problem


def test_all_mistakes_are_told_at_once(folder: Path) -> None:
    content = """
production = true
[party]
id = "BIZ"
role = "boss"
[listen]
url = "https://127.0.0.1:8710/sms"
proxies = ["x"]
[tls]
certificate = "no.pem"
trust = "nothing.pem"
[agreements.PSP]
role = "psp"
protection = "none"
[agreements.PSP.source]
addresses = ["y"]
[agreements.BANK]
role = "bank"
protection = "signature"
[agreements.BANK.signature]
own = "nowhere"
peer = "keys/test"
"""
    found = [problem.partition(": ")[0] for problem in mistakes(folder, content)]
    assert sorted(found) == [
        "agreements.BANK.signature.own",
        "agreements.BANK.signature.peer",
        "agreements.PSP.protection",
        "agreements.PSP.source.addresses",
        "listen.proxies",
        "party.role",
        "tls.certificate",
        "tls.trust",
    ]


# production


def test_production_takes_what_is_not_for_tests(folder: Path) -> None:
    for content in (SIGNED, MACED):
        assert read(folder, f"production = true\n{content}").production


@pytest.mark.parametrize(
    ("content", "old", "new", "key"),
    [
        (PLAIN, "", "", f"{PSP}.protection"),
        (SIGNED, "keys/own", "keys/test", f"{PSP}.signature.own"),
        (SIGNED, "keys/psp", "keys/test", f"{PSP}.signature.peer"),
        (SIGNED, "keys/ca.pem", "keys/test/test.pem", f"{PSP}.signature.anchors"),
        (MACED, "keys/psp.key", "keys/test.key", f"{PSP}.mac.key_encryption"),
        (f'{SIGNED}[tls]\ntrust = "T.pem"', "T.pem", "keys/test/test.pem", "tls.trust"),
        (
            f'{SIGNED}[tls]\ncertificate = "T.pem"\nkey = "T.key"',
            'T.pem"\nkey = "T.key',
            'keys/test/test.pem"\nkey = "keys/test/test.key',
            "tls.certificate",
        ),
    ],
)
def test_production_refuses_what_is_for_tests(
    folder: Path, content: str, old: str, new: str, key: str
) -> None:
    content = content.replace(old, new, 1)
    assert read(folder, f"production = false\n{content}")
    (problem,) = mistakes(folder, f"production = true\n{content}")
    assert problem.startswith(f"{key}: ")
    assert "production = true" in problem


def test_production_refuses_a_test_key_of_the_environment(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PSP_KEY", (folder / "keys/test.key").read_text())
    content = MACED.replace("file:keys/psp.key", "env:PSP_KEY")
    (problem,) = mistakes(folder, f"production = true\n{content}")
    assert problem.startswith(f"{PSP}.mac.key_encryption: env:PSP_KEY is a test key")
