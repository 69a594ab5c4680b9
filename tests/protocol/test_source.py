"""From where messages may come: addresses and certificates, however they are written."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from msh.protection import PeerCertificate, Source
from msh.protocol.source import (
    admits,
    anyone_admits,
    anyone_expects,
    distinguished_name,
    neighbourhood,
    read_address,
    read_network,
    serial_number,
)

ISSUER = "CN=TWCA Global,O=TWCA,C=TW"
CARD = PeerCertificate("0A1B2C", ISSUER)


def source(*addresses: str, certificates: tuple[PeerCertificate, ...] = ()) -> Source:
    """A source of networks as text."""
    return Source(tuple(ip_network(address) for address in addresses), certificates)


# addresses


@pytest.mark.parametrize("address", ["192.0.2.7", "::1", "", "memory", "testclient"])
@pytest.mark.parametrize("certificate", [None, CARD])
def test_an_empty_source_admits_anybody(address: str, certificate: PeerCertificate | None) -> None:
    assert admits(Source(), address, certificate)


@pytest.mark.parametrize(
    ("networks", "address", "admitted"),
    [
        (["192.0.2.0/24"], "192.0.2.0", True),
        (["192.0.2.0/24"], "192.0.2.255", True),
        (["192.0.2.0/24"], "192.0.3.0", False),
        (["192.0.2.7"], "192.0.2.7", True),
        (["192.0.2.7"], "192.0.2.8", False),
        (["10.0.0.0/8", "192.0.2.7/32"], "192.0.2.7", True),
        (["2001:db8::/32"], "2001:db8:ffff::1", True),
        (["2001:db8::/32"], "2001:db9::1", False),
        # an IPv4 address seen through a socket that takes both kinds
        (["192.0.2.0/24"], "::ffff:192.0.2.9", True),
        (["192.0.2.0/24"], "::FFFF:C000:0209", True),
        (["192.0.2.0/24"], "::ffff:192.0.3.9", False),
        (["::ffff:192.0.2.0/120"], "192.0.2.9", True),
        (["::ffff:192.0.2.0/120"], "::ffff:192.0.2.9", True),
        (["::ffff:192.0.2.0/120"], "192.0.3.9", False),
        # no other embedding counts, and one family never means the other
        (["192.0.2.0/24"], "::192.0.2.9", False),
        (["192.0.2.0/24"], "2002:c000:209::", False),
        (["::/0"], "192.0.2.9", False),
        (["::/0"], "::ffff:192.0.2.9", False),
        (["0.0.0.0/0"], "::1", False),
        (["0.0.0.0/0"], "::ffff:1.2.3.4", True),
        (["fe80::/10"], "fe80::1%eth0", True),
        # what is no address
        (["0.0.0.0/0", "::/0"], "", False),
        (["0.0.0.0/0", "::/0"], "memory", False),
        (["0.0.0.0/0", "::/0"], "192.0.2.07", False),
        (["0.0.0.0/0", "::/0"], "192.0.2.7 ", False),
        (["0.0.0.0/0", "::/0"], "192.0.2.7, 192.0.2.8", False),
        (["0.0.0.0/0", "::/0"], "3221225993", False),
        (["0.0.0.0/0", "::/0"], "192.0.2.7:80", False),
        (["0.0.0.0/0", "::/0"], "192.0.2.0/24", False),
    ],
)
def test_addresses(networks: list[str], address: str, admitted: bool) -> None:
    assert admits(source(*networks), address, None) is admitted


@given(st.ip_addresses(v=4), st.integers(0, 32), st.ip_addresses(v=4))
def test_an_address_is_judged_alike_in_both_forms(
    inside: object, length: int, asked: object
) -> None:
    network = ip_network(f"{inside}/{length}", strict=False)
    plain = admits(Source((network,)), str(asked), None)
    assert plain is (ip_address(str(asked)) in network)
    assert admits(Source((network,)), f"::ffff:{asked}", None) is plain
    assert admits(Source((network,)), str(inside), None)


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("192.0.2.7", "192.0.2.7/32"),
        (" 192.0.2.0/24 ", "192.0.2.0/24"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("192.0.2.7/24", None),
        ("192.0.2.0/33", None),
        ("192.0.2", None),
        ("localhost", None),
        ("", None),
    ],
)
def test_networks_are_read(text: str, network: str | None) -> None:
    assert read_network(text) == (ip_network(network) if network else None)


def test_addresses_are_read() -> None:
    assert read_address("::ffff:192.0.2.7") == ip_address("192.0.2.7")
    assert read_address("::1") == ip_address("::1")
    assert read_address("x") is None


# certificates


@pytest.mark.parametrize(
    ("serial", "issuer"),
    [
        ("0A1B2C", ISSUER),
        ("a1b2c", ISSUER),
        ("0a:1b:2c", ISSUER),
        ("a:1b:2c", ISSUER),
        ("00:00:0A:1B:2C", ISSUER),
        (" A1B2C ", ISSUER),
        ("A1B2C", "CN=TWCA Global, O=TWCA, C=TW"),
        ("A1B2C", "cn = TWCA  Global , o = TWCA , c = TW"),
        ("A1B2C", "2.5.4.3=TWCA Global,2.5.4.10=TWCA,2.5.4.6=TW"),
        ("A1B2C", "CN=TWCA\\20Global,O=\\54WCA,C=TW"),
        ("0x0A1B2C", ISSUER),
        # as OpenSSL prints it
        ("A1B2C", "C=TW,O=TWCA,CN=TWCA Global"),
        ("A1B2C", "C = TW, O = TWCA, CN = TWCA Global"),
    ],
)
def test_a_certificate_however_it_is_written(serial: str, issuer: str) -> None:
    written = PeerCertificate(serial, issuer)
    assert admits(source(certificates=(CARD,)), "192.0.2.7", written)
    assert admits(source(certificates=(written,)), "192.0.2.7", CARD)


@pytest.mark.parametrize(
    ("serial", "issuer"),
    [
        ("A1B2D", ISSUER),
        ("A1B2C0", ISSUER),
        ("", ISSUER),
        ("-A1B2C", ISSUER),
        ("A1B2C", ""),
        ("A1B2C", "CN=TWCA Global"),
        ("A1B2C", "CN=TWCA Global,O=TWCA,C=TW,C=TW"),
        ("A1B2C", "CN=TWCA Global+O=TWCA,C=TW"),
        ("A1B2C", "CN=TWCA Global\\,O=TWCA,C=TW"),
        ("A1B2C", "OU=TWCA Global,O=TWCA,C=TW"),
        ("A1B2C", "CN=twca global,O=TWCA,C=TW"),
        ("A1B2C", "/C=TW/O=TWCA/CN=TWCA Global"),
        ("A1B2C", "TWCA Global"),
        ("A1B2C", "O=TWCA,C=TW,CN=TWCA Global"),
    ],
)
def test_another_certificate(serial: str, issuer: str) -> None:
    assert not admits(source(certificates=(CARD,)), "192.0.2.7", PeerCertificate(serial, issuer))


def test_no_certificate_where_one_is_wanted() -> None:
    assert not admits(source(certificates=(CARD,)), "192.0.2.7", None)


def test_what_cannot_be_read_fits_nothing_not_even_itself() -> None:
    for broken in (PeerCertificate("", ""), PeerCertificate("zz", ISSUER)):
        assert not admits(source(certificates=(broken,)), "192.0.2.7", broken)


def test_address_and_certificate_are_both_wanted() -> None:
    both = source("192.0.2.0/24", certificates=(CARD,))
    assert admits(both, "192.0.2.7", CARD)
    assert not admits(both, "192.0.3.7", CARD)
    assert not admits(both, "192.0.2.7", None)


def test_somebody_may_come_from_an_address_whatever_his_certificate() -> None:
    listed = Source((ip_network("192.0.2.0/24"),), (PeerCertificate("0A", "CN=a"),))
    anywhere = Source(certificates=(PeerCertificate("0B", "CN=a"),))
    assert anyone_expects([listed], "192.0.2.7")
    assert not anyone_expects([listed], "192.0.3.7")
    assert not anyone_expects([listed], "")
    assert anyone_expects([listed, anywhere], "192.0.3.7")
    assert not anyone_expects([], "192.0.2.7")


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8::1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("memory", "memory"),
        ("", ""),
    ],
)
def test_what_is_counted_as_one_place(address: str, place: str) -> None:
    assert neighbourhood(address) == place


def test_anyone() -> None:
    near, far = source("192.0.2.0/24"), source("198.51.100.0/24", certificates=(CARD,))
    assert anyone_admits([near, far], "192.0.2.7", None)
    assert anyone_admits([near, far], "198.51.100.1", CARD)
    assert not anyone_admits([near, far], "198.51.100.1", None)
    assert not anyone_admits([], "192.0.2.7", None)


# names


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("CN=a\\,b", "CN=a\\2Cb"),
        ("CN=a\\+b,O=\\\\", "CN=a\\2bb , O=\\5C"),
        ("CN=a+OU=b", "OU=b + CN=a"),
        ("O=款項收付", "O=\\E6\\AC\\BE\\E9\\A0\\85\\E6\\94\\B6\\E4\\BB\\98"),
        ("emailAddress=a@b", "1.2.840.113549.1.9.1=a@b"),
        ("ST=x,street=y", "S=x,2.5.4.9=y"),
    ],
)
def test_names_that_are_the_same(text: str, same: str) -> None:
    assert distinguished_name(text) == distinguished_name(same) is not None


@pytest.mark.parametrize(
    "text", ["", ",", "CN", "CN=", "=x", "CN=a,", "CN=a,,C=b", "C N=a", "CN=a\\"]
)
def test_what_is_no_name(text: str) -> None:
    assert distinguished_name(text) is None


_KINDS = [
    NameOID.COMMON_NAME,
    NameOID.ORGANIZATION_NAME,
    NameOID.ORGANIZATIONAL_UNIT_NAME,
    NameOID.EMAIL_ADDRESS,
    NameOID.LOCALITY_NAME,
]
_VALUES = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFFFF, exclude_categories=("Cs", "Cc")),
    min_size=1,
    max_size=20,
).filter(lambda text: text == " ".join(text.split(" ")).strip() and "  " not in text)


@given(st.lists(st.tuples(st.sampled_from(_KINDS), _VALUES), min_size=1, max_size=4))
def test_names_that_cryptography_writes_are_read_back(pairs: list[tuple[object, str]]) -> None:
    name = x509.Name([x509.NameAttribute(kind, value) for kind, value in pairs])
    found = distinguished_name(name.rfc4514_string())
    assert found is not None
    assert [value for part in reversed(found) for _, value in part] == [v for _, v in pairs]


@given(st.integers(0, 2**160))
def test_serial_numbers(number: int) -> None:
    digits = f"{number:x}"
    even = digits if len(digits) % 2 == 0 else f"0{digits}"
    coloned = ":".join(even[at : at + 2] for at in range(0, len(even), 2))
    for written in (digits, digits.upper(), even, coloned, f"000{digits}"):
        assert int(serial_number(written), 16) == number
        assert serial_number(written) == f"{number:X}"
