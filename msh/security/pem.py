"""Reading PEM files: certificates and private keys that may sign, and when the files change.

What may sign: RSA keys of 2048 to 8192 bits, and elliptic curve keys on P-256 and P-384, whose
certificate, if it says what its key is for, allows digital signatures (RFC 5280, 4.2.1.3).
"""

from __future__ import annotations

import errno
import hashlib
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final, Generic, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from msh.errors import KeyUnusable
from msh.protection import TEST_ORGANISATION, too_open
from msh.security.authorities import cannot_issue
from msh.security.signature_shape import LARGEST_CERTIFICATE

#: What `cryptography` raises for a certificate or key that it cannot read.
UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
#: How often files are looked at, at most.
LOOK_EVERY: Final = timedelta(seconds=1)
_RSA_BITS: Final = range(2048, 8192 + 1)
_CURVES: Final = ("secp256r1", "secp384r1")
# What says nothing of the file, and passes without anybody's touching it.
_PASSING: Final = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EINTR, errno.EIO}
)
_SECTION = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)

_log = logging.getLogger("msh.security")

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that may sign. ``fingerprint`` is the SHA-256 of its DER, in hexadecimal."""

    x509: x509.Certificate = field(repr=False)
    fingerprint: str
    subject: str
    not_before: datetime
    not_after: datetime

    def untimely(self, now: datetime) -> str | None:
        """Why it does not count ``now``: not yet, or no longer."""
        if now < self.not_before:
            return "its certificate is not valid yet"
        return "its certificate has expired" if now > self.not_after else None


@dataclass(frozen=True, slots=True)
class Credential:
    """One of our own certificates, and its private key."""

    certificate: Certificate
    key: PrivateKey = field(repr=False)


#: Called with a file that cannot be used; raises, or lets the others be read.
Tell = Callable[[KeyUnusable], None]


class Watched(Generic[T]):
    """What a file or folder holds, read again once it has changed (looked at once a second).

    A file that cannot be used raises `KeyUnusable` at first. Later it is logged, and nothing in it
    counts until it is mended; what the others hold does. While the machine itself cannot read (no
    descriptor is left, the disk fails), what was read before counts. ``changed`` is called whenever
    it was read again.
    """

    def __init__(
        self,
        path: Path,
        read: Callable[[Path, Tell], T],
        now: Callable[[], datetime],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.path = path
        self._read, self._now, self._changed = read, now, changed
        self._failing = False
        self._looked, self._seen = now(), _state(path)
        self._value = read(path, _raise)

    def get(self) -> T:
        """What it holds."""
        now = self._now()
        if abs(now - self._looked) >= LOOK_EVERY:  # a clock may be set back
            self._looked = now
            self._look()
        return self._value

    def _look(self) -> None:
        try:
            seen = _state(self.path)
            if seen != self._seen:
                self._value = self._read(self.path, _log_problem)
                self._seen = seen
                self._changed()
                _log.info("%s has changed and was read again", self.path)
            self._failing = False
        except KeyUnusable as problem:
            if not self._failing:  # else every second
                _log.error("%s; what was read of it before counts until it can be read", problem)
            self._failing = True


def _raise(problem: KeyUnusable) -> None:
    raise problem


def _log_problem(problem: KeyUnusable) -> None:
    if problem.passing:
        raise problem
    _log.error("%s; nothing in it counts until it is mended", problem)


def unusable(certificate: x509.Certificate) -> str | None:
    """Why messages may not be signed with ``certificate``, whatever the time; None if they may."""
    try:
        if reason := _weak(certificate.public_key()):
            return reason
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return None  # RFC 5280, 4.2.1.3: without it, nothing is excluded
    except UNREADABLE:
        return "cannot be read"
    return None if usage.digital_signature else "is not for digital signatures (key usage)"


def made_for_tests(certificate: x509.Certificate) -> bool:
    """Whether its subject says that it is for tests only."""
    names = certificate.subject.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)
    return any(name.value == TEST_ORGANISATION for name in names)


def read_credentials(
    folder: Path, tell: Tell = _raise, *, production: bool = False
) -> list[Credential]:
    """Every credential in the PEM files of ``folder``; ``tell`` hears of files that hold none.

    In ``production``, here and below, what was made for tests is not taken.
    """
    return _each(folder, partial(_credential, production=production), tell)


def read_certificates(
    folder: Path, tell: Tell = _raise, *, production: bool = False
) -> dict[str, Certificate]:
    """Every certificate in the PEM files of ``folder``, by fingerprint."""
    found = _each(folder, partial(_certificates, production=production), tell)
    return {certificate.fingerprint: certificate for some in found for certificate in some}


def read_certificate(file: Path) -> Certificate:
    """The one certificate in ``file``, PEM or DER, that somebody gave us. Raises `KeyUnusable`."""
    content = _read(file)
    kinds = [found[1] for found in _SECTION.finditer(content)]
    if any(kind.endswith(b"PRIVATE KEY") for kind in kinds):
        raise KeyUnusable(
            f"{file}: holds a private key, which its owner must not give away; ask for the "
            "certificate alone, of a new key"
        )
    if not kinds:
        try:
            return _usable(x509.load_der_x509_certificate(content), file)
        except UNREADABLE:
            raise KeyUnusable(f"{file}: holds no certificate that can be read") from None
    certificates = _certificates_in(content, file)
    if len(certificates) != 1:
        raise KeyUnusable(f"{file}: holds {len(certificates)} certificates; one is wanted")
    return _usable(certificates[0], file)


def read_authorities(
    file: Path, tell: Tell = _raise, *, production: bool = False
) -> list[Certificate]:
    """Every certificate in ``file`` that may issue others; ``tell`` hears of those that may not."""
    found = []
    try:
        for certificate in _certificates_in(_read(file), file):
            try:
                found.append(_authority(_taken(certificate, file, production), file))
            except KeyUnusable as problem:
                tell(problem)
    except KeyUnusable as problem:
        tell(problem)
    return found


def _authority(certificate: x509.Certificate, file: Path) -> Certificate:
    try:
        reason = cannot_issue(certificate)
        described = _described(certificate)
    except UNREADABLE:
        raise KeyUnusable(f"{file}: a certificate cannot be read") from None
    if reason:
        raise KeyUnusable(f"{file}: the certificate {described.subject} {reason}")
    return described


def _each(folder: Path, read: Callable[[Path], T], tell: Tell) -> list[T]:
    found: list[T] = []
    try:
        files = _files(folder)
    except OSError as error:
        tell(_unread(folder, error, "; make this folder of PEM files"))
        return found
    for file in files:
        try:
            found.append(read(file))
        except KeyUnusable as problem:
            tell(problem)
    return found


def _certificates(file: Path, *, production: bool) -> list[Certificate]:
    return [
        _usable(_taken(certificate, file, production), file)
        for certificate in _certificates_in(_read(file), file)
    ]


def _credential(file: Path, *, production: bool) -> Credential:
    pem = _read(file)
    certificates = _certificates_in(pem, file)
    keys = [found[0] for found in _SECTION.finditer(pem) if found[1].endswith(b"PRIVATE KEY")]
    if len(certificates) != 1 or len(keys) != 1:
        raise KeyUnusable(
            f"{file}: holds {len(keys)} private keys and {len(certificates)} certificates; it "
            "must hold one of each"
        )
    certificate = _usable(_taken(certificates[0], file, production), file)
    try:
        key = load_pem_private_key(keys[0], password=None)
    except TypeError:
        raise KeyUnusable(
            f"{file}: the private key is encrypted; store it decrypted (openssl pkey), readable "
            "by msh alone"
        ) from None
    except UNREADABLE:
        raise KeyUnusable(f"{file}: the private key cannot be read") from None
    if not isinstance(key, PrivateKey) or key.public_key() != certificates[0].public_key():
        raise KeyUnusable(f"{file}: the private key is not that of the certificate beside it")
    if reason := too_open(file, _mode(file)):
        raise KeyUnusable(f"{file}: {reason}")
    return Credential(certificate, key)


def _taken(certificate: x509.Certificate, file: Path, production: bool) -> x509.Certificate:
    try:
        refused = production and made_for_tests(certificate)
    except UNREADABLE:
        raise KeyUnusable(f"{file}: the subject of a certificate cannot be read") from None
    if refused:
        raise KeyUnusable(f"{file}: is a test certificate, which production = true refuses")
    return certificate


def _usable(certificate: x509.Certificate, file: Path) -> Certificate:
    if reason := unusable(certificate):
        raise KeyUnusable(f"{file}: the certificate {reason}")
    if len(certificate.public_bytes(Encoding.DER)) > LARGEST_CERTIFICATE:
        raise KeyUnusable(f"{file}: the certificate is larger than {LARGEST_CERTIFICATE} bytes")
    return _described(certificate)


def _described(certificate: x509.Certificate) -> Certificate:
    return Certificate(
        certificate,
        hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest(),
        certificate.subject.rfc4514_string(),
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
    )


def _weak(key: object) -> str | None:
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size in _RSA_BITS:
            return None
        # Not how long: a stranger could make as many reasons of it as there are lengths.
        return "has an RSA key that is shorter than 2048 bits, or longer than 8192"
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        return None
    return "has a key that is neither RSA nor on the curves P-256 and P-384"


def _certificates_in(pem: bytes, file: Path) -> list[x509.Certificate]:
    sections = [found[0] for found in _SECTION.finditer(pem) if found[1] == b"CERTIFICATE"]
    if not sections:
        raise KeyUnusable(f"{file}: holds no certificate")
    try:
        return [x509.load_pem_x509_certificate(section) for section in sections]
    except UNREADABLE:
        raise KeyUnusable(f"{file}: a certificate cannot be read") from None


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix == ".pem")


def unlooked(folder: Path) -> str:
    """What of ``folder`` nobody looks into, for the end of a sentence that misses something."""
    try:
        names = sorted(
            one.name
            for one in folder.iterdir()
            if one.suffix != ".pem" and not one.name.startswith(".") and one.is_file()
        )
    except OSError:
        return ""
    if not names:
        return ""
    return f"; only files whose names end in .pem are read, not {', '.join(names[:5])}"


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise _unread(file, error) from None


def _mode(file: Path) -> int:
    try:
        return file.stat().st_mode
    except OSError as error:
        raise _unread(file, error) from None


def _unread(path: Path, error: OSError, advice: str = "") -> KeyUnusable:
    if error.errno in _PASSING:
        return KeyUnusable(f"{path}: {error.strerror}", passing=True)
    return KeyUnusable(f"{path}: {error.strerror}{advice}")


def _state(path: Path) -> object:
    """What changes when a file, or one in a folder, does; None if it is not there.

    Raises `KeyUnusable` where that cannot be told.
    """
    try:
        paths = _files(path) if path.is_dir() else [path]
        stats = [(one.name, one.stat()) for one in paths]
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise KeyUnusable(f"{path}: {error.strerror}", passing=True) from None
    return [(name, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for name, s in stats]
