"""``msh certs``: our certificates and those of the peers, and when they end."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from msh.cli.context import ConfigOption, JsonOption, agreement_with, configuration_of
from msh.cli.output import complain, console, iso, local, print_json, print_table, remark

if TYPE_CHECKING:
    from cryptography import x509

    from msh.agreement import Agreement
    from msh.cli.certificates import Known
    from msh.config import Configuration
    from msh.protection import Signature
    from msh.security.pem import Certificate, Credential

app = typer.Typer(
    no_args_is_help=True,
    help="Certificates for signatures and TLS: ours, the peers', and when they end.",
)

#: How long before its end a certificate is pointed out.
SOON = timedelta(days=30)
#: How many certificates of a peer are pinned at once: one, and its successor.
PINNED = 2
_COLOURS = {"expired": "red", "expires soon": "yellow", "not yet valid": "cyan", "valid": "green"}
# What the peer has to make good for a clock that is behind ours.
_EARLIER = timedelta(minutes=5)


@app.command("list")
def list_certificates(
    ctx: typer.Context, as_json: JsonOption = False, config: ConfigOption = None
) -> None:
    """List every certificate, ours and the peers', those that end first first."""
    from msh.cli.certificates import look

    now = datetime.now(UTC)
    certificates, problems = look(configuration_of(ctx, config, mending=True), now)
    if as_json:
        print_json([_row(one, now) for one in certificates])
    elif certificates:
        columns = ("owner", "use", "state", "days left", "from", "until", "SHA-256", "subject")
        rows = [(*_cells(one, now), one.file.name) for one in certificates]
        print_table((*columns, "file"), rows, fixed=7)
    else:
        remark(
            "no certificates: no agreement is protected by signatures, or their folders are empty"
        )
    for problem in problems:
        complain(problem)


@app.command()
def check(ctx: typer.Context, config: ConfigOption = None) -> None:
    """Say what must be seen to: exits with 1 if anything ends within 30 days or is unusable."""
    from msh.cli.certificates import look

    now = datetime.now(UTC)
    certificates, problems = look(configuration_of(ctx, config), now)
    for one in certificates:
        if one.not_after - now <= SOON:
            ends = "has ended" if one.not_after < now else "ends"
            problems.append(
                f"the certificate {one.subject} of {one.owner} ({one.use}) {ends} on "
                f"{local(one.not_after)}; see to its successor, or remove {one.file}"
            )
    for problem in problems:
        complain(problem)
    if problems:
        raise typer.Exit(1)
    console().print(f"{len(certificates)} certificates, all usable for more than {SOON.days} days")


@app.command("import")
def import_certificate(
    ctx: typer.Context,
    party: Annotated[str, typer.Argument(metavar="PARTY", help="Whose certificate it is.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The certificate, PEM or DER.")],
    config: ConfigOption = None,
) -> None:
    """Pin a certificate of a peer, so that what it signs counts as the peer's.

    Works within a second, also in a `msh serve` that runs.
    """
    from cryptography.hazmat.primitives.serialization import Encoding

    from msh.cli.files import write_new
    from msh.errors import UsageError

    configuration = configuration_of(ctx, config, mending=True)
    protection = _signature(agreement_with(configuration, party))
    now = datetime.now(UTC)
    certificate = _presented(file)
    if certificate.not_after < now:
        raise UsageError(f"{file}: the certificate has ended on {local(certificate.not_after)}")
    if _is_ours(configuration, certificate):
        raise UsageError(f"{file}: the certificate is one of ours; {party}'s is wanted")
    _require_apart(configuration, party, certificate)
    _require_room(protection, party, certificate, now)
    path = protection.peer / f"{certificate.fingerprint[:16]}.pem"
    write_new(path, certificate.x509.public_bytes(Encoding.PEM))
    later = certificate.not_before > now
    begins = (
        f"from {local(certificate.not_before)} on"
        if later
        else "within a second, without a restart"
    )
    console().print(
        f"{path}: {certificate.subject}, until {local(certificate.not_after)}; it counts as "
        f"{party}'s {begins}",
        soft_wrap=True,
    )
    remark(
        f"Compare its SHA-256 fingerprint with {party} by another way, such as the telephone; if "
        f"it differs, remove {path} at once:\n{_spaced(certificate.fingerprint)}"
    )


@app.command()
def generate(
    ctx: typer.Context,
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="CN", help="Its common name (else our party id)."),
    ] = None,
    days: Annotated[
        int, typer.Option("--days", min=1, max=3650, metavar="N", help="How long it is valid.")
    ] = 365,
    begins_in: Annotated[
        int | None,
        typer.Option(
            "--begins-in",
            min=0,
            max=365,
            metavar="DAYS",
            help="When it begins to sign (else at once, or in 7 days if another one signs now).",
            show_default=False,
        ),
    ] = None,
    ecdsa: Annotated[bool, typer.Option("--ecdsa", help="P-256 instead of RSA-2048.")] = False,
    party: Annotated[
        str | None,
        typer.Option(
            "--party",
            metavar="PARTY",
            help="For this agreement, where they do not share one folder.",
            show_default=False,
        ),
    ] = None,
    test: Annotated[
        bool, typer.Option("--test", help="Mark it (O=msh test); production refuses it.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Make a private key and its self-signed certificate, into the folder of our own.

    The certificate alone is printed in PEM: give that to the peers, which import it.
    """
    from cryptography.hazmat.primitives.serialization import Encoding

    from msh.cli.files import SECRET, write_new
    from msh.errors import KeyUnusable, UsageError
    from msh.security.issuing import self_signed

    configuration = configuration_of(ctx, config, mending=True)
    if test and configuration.production:
        raise UsageError("--test: production = true refuses what is for tests")
    folder = _own_folder(configuration, party)
    now = datetime.now(UTC).replace(microsecond=0)
    present = _counting(folder, now, production=configuration.production)
    begins = _beginning(folder, len(present), begins_in, now)
    try:
        pem, certificate = self_signed(
            name or configuration.own, begins, begins + timedelta(days=days), ecdsa=ecdsa, test=test
        )
    except KeyUnusable as error:
        raise UsageError(f"--name: {error}") from None
    stem = re.sub(r"[^A-Za-z0-9._-]", "_", configuration.own)
    path = folder / f"{stem}-{begins:%Y%m%d-%H%M%S}.pem"
    write_new(path, pem, SECRET)
    typer.echo(certificate.public_bytes(Encoding.PEM), nl=False)
    signs = f"signs from {local(begins)} on" if begins > now else "signs from now on"
    remark(
        f"{path}: {certificate.subject.rfc4514_string()}, until "
        f"{local(certificate.not_valid_after_utc)}; it {signs}, without a restart"
    )
    remark(f"Its SHA-256 fingerprint, which the peers compare:\n{_fingerprint(certificate)}")
    remark(
        "Give the certificate above to the peers before then; they take it by `msh certs import "
        f"{configuration.own} FILE`."
    )
    if begins <= now and present:
        remark(
            "It signs at once: whatever is sent to a peer that has not imported it yet is refused "
            "there. Another time, let it begin later."
        )
    for old in _for_tests(folder) if configuration.production else ():
        remark(f"Remove {old}, a test certificate: `msh serve` refuses to start with it.")


# list


def _row(one: Known, now: datetime) -> dict[str, Any]:
    return {
        "owner": one.owner,
        "use": one.use,
        "state": one.state(now, SOON),
        "signs": one.signs,
        "days_left": one.days_left(now),
        "subject": one.subject,
        "fingerprint": one.fingerprint,
        "not_before": iso(one.not_before),
        "not_after": iso(one.not_after),
        "file": str(one.file),
    }


def _cells(one: Known, now: datetime) -> list[Any]:
    from rich.text import Text

    state = one.state(now, SOON)
    return [
        one.owner,
        f"{one.use}, now" if one.signs else one.use,
        Text(state, style=_COLOURS[state]),
        Text(f"{one.days_left(now)}", style=_COLOURS[state]),
        f"{one.not_before.astimezone():%Y-%m-%d}",
        f"{one.not_after.astimezone():%Y-%m-%d}",
        f"{one.fingerprint[:16]}…",
        one.subject,
    ]


# import


def _signature(agreement: Agreement) -> Signature:
    from msh.errors import NotAgreed
    from msh.protection import Signature

    if not isinstance(agreement.protection, Signature):
        raise NotAgreed(
            f"messages with {agreement.peer} are not protected by signatures; see "
            f"agreements.{agreement.peer}.protection"
        )
    return agreement.protection


def _presented(file: Path) -> Certificate:
    """The certificate in a file that somebody gave us. Raises `UsageError`."""
    from msh.errors import KeyUnusable, UsageError
    from msh.security.pem import read_certificate

    try:
        return read_certificate(file)
    except KeyUnusable as error:
        raise UsageError(str(error)) from None


def _is_ours(configuration: Configuration, certificate: Certificate) -> bool:
    from msh.cli.certificates import own_folders
    from msh.security.pem import read_credentials

    key = certificate.x509.public_key()
    return any(
        credential.certificate.x509.public_key() == key
        for folder in own_folders(configuration)
        for credential in read_credentials(folder, lambda problem: None)
    )


def _require_apart(configuration: Configuration, party: str, certificate: Certificate) -> None:
    """A certificate of another party would let it sign as this one; one for tests, anybody."""
    from msh.errors import UsageError
    from msh.protection import Signature
    from msh.security.pem import made_for_tests, read_certificates

    if configuration.production and made_for_tests(certificate.x509):
        raise UsageError(
            f"{certificate.subject} is a test certificate, which production = true refuses"
        )
    for agreement in configuration.agreements:
        if agreement.peer == party or not isinstance(agreement.protection, Signature):
            continue
        if certificate.fingerprint in read_certificates(agreement.protection.peer, lambda _: None):
            raise UsageError(
                f"the certificate {certificate.subject} is pinned for {agreement.peer} already; "
                "each party needs one of its own"
            )


def _require_room(
    protection: Signature, party: str, certificate: Certificate, now: datetime
) -> None:
    """At most one and its successor: more would only be forgotten there."""
    from msh.cli.certificates import files_by_fingerprint
    from msh.errors import UsageError
    from msh.security.pem import read_certificates

    pinned = read_certificates(protection.peer, lambda problem: None)
    if certificate.fingerprint in pinned:
        raise UsageError(f"{party}'s certificate {certificate.subject} is pinned already")
    counting = [one for one in pinned.values() if one.not_after >= now]
    if len(counting) >= PINNED:
        files = files_by_fingerprint(protection.peer)
        names = sorted(str(files[one.fingerprint]) for one in counting)
        raise UsageError(
            f"{party} has {len(counting)} certificates here already, one and its successor; remove "
            f"the one that it no longer signs with: {' or '.join(names)}"
        )


def _fingerprint(certificate: x509.Certificate) -> str:
    from cryptography.hazmat.primitives.hashes import SHA256

    return _spaced(certificate.fingerprint(SHA256()).hex())


def _spaced(fingerprint: str) -> str:
    pairs = [fingerprint[at : at + 2].upper() for at in range(0, len(fingerprint), 2)]
    return ":".join(pairs)


# generate


def _own_folder(configuration: Configuration, party: str | None) -> Path:
    """Where our own certificate goes. Raises `UsageError` where that is not one place."""
    from msh.cli.certificates import own_folders
    from msh.errors import UsageError

    if party is not None:
        return _signature(agreement_with(configuration, party)).own
    folders = own_folders(configuration)
    if not folders:
        raise UsageError(
            'no agreement is protected by signatures; write protection = "signature" and a table '
            "[agreements.PARTY.signature] in msh.toml first"
        )
    if len(folders) > 1:
        raise UsageError("the agreements have folders of their own; say which with --party")
    return folders[0]


def _counting(folder: Path, now: datetime, *, production: bool) -> list[Credential]:
    """Our certificates that have not ended; in production, without those made for tests."""
    from msh.security.pem import read_credentials

    found = read_credentials(folder, lambda problem: None, production=production)
    return [credential for credential in found if credential.certificate.not_after >= now]


def _for_tests(folder: Path) -> list[Path]:
    from msh.cli.certificates import files_by_fingerprint
    from msh.security.pem import made_for_tests, read_credentials

    files = files_by_fingerprint(folder)
    certificates = [one.certificate for one in read_credentials(folder, lambda problem: None)]
    return [files[one.fingerprint] for one in certificates if made_for_tests(one.x509)]


def _beginning(folder: Path, present: int, begins_in: int | None, now: datetime) -> datetime:
    """The newest valid one signs, so a successor begins once the peers have had time for it.

    ``present`` is how many there are. Raises `UsageError` where a successor is there already.
    """
    from msh.errors import UsageError
    from msh.security.certificates import IN_USE

    if present >= IN_USE:
        raise UsageError(
            f"{folder} holds {present} certificates of ours already, one and its successor; "
            "remove the older one once every peer has the newer"
        )
    wait = begins_in if begins_in is not None else 7 if present else 0
    return now + timedelta(days=wait) if wait else now - _EARLIER
