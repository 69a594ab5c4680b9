"""``msh init``: a folder that works as it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from msh.cli.protecting import table
from msh.protection import ProtectionKind

if TYPE_CHECKING:
    from msh.profile import Profile


class Role(StrEnum):
    """Who the new folder is for (TDCC PSP 9.7.1)."""

    BUSINESS = "business"
    PSP = "psp"
    BANK = "bank"


@dataclass(frozen=True)
class Party:
    """One of the three parties that the folders know."""

    id: str
    name: str
    port: int
    done: str
    malformed: str


_PARTIES: Mapping[Role, Party] = {
    Role.BUSINESS: Party(
        "BIZ", "a business application system (業務應用系統)", 8711, "PSPPM0000I", "PSPPM0001S"
    ),
    Role.PSP: Party(
        "PSP", "the payment service platform (款項收付服務平台)", 8710, "PSPPM0000I", "PSPPM0001S"
    ),
    Role.BANK: Party("BANK", "a payment bank (款項收付服務銀行)", 8712, "PSPBK0000I", "PSPBK0001S"),
}
# Whom each talks to, and the direction of what it sends them: business -> platform -> bank.
_PEERS: Mapping[Role, Mapping[Role, str]] = {
    Role.BUSINESS: {Role.PSP: "to-bank"},
    Role.PSP: {Role.BUSINESS: "to-business", Role.BANK: "to-bank"},
    Role.BANK: {Role.PSP: "to-business"},
}
_MEANT: Mapping[ProtectionKind, str] = {
    ProtectionKind.NONE: "messages go as they are: for a network protected otherwise",
    ProtectionKind.SIGNATURE: "each message is signed, both ways",
    ProtectionKind.MAC: "each message carries a MAC, both ways",
}


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to write.")],
    role: Annotated[Role, typer.Option("--role", help="Which party it is for.")],
    protection: Annotated[
        ProtectionKind | None,
        typer.Option(
            "--protection",
            help="How messages are protected, with test keys (else as --peer says, or none).",
            show_default=False,
        ),
    ] = None,
    peers: Annotated[
        list[Path] | None,
        typer.Option(
            "--peer",
            metavar="DIR",
            help="The folder of a peer, made before: keys and certificates go both ways.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write a folder that works as it is: configuration, handlers, sample messages.

    Nothing that exists is overwritten.
    """
    from msh.cli.files import OPEN, SECRET, write_new
    from msh.cli.protecting import chosen_kind, make, read_peers
    from msh.cli.samples import sample_body
    from msh.errors import UsageError
    from msh.profiles import standard_profile

    profile = standard_profile()
    own, parties = _PARTIES[role].id, [_PARTIES[peer].id for peer in _PEERS[role]]
    there = read_peers(peers or [], own, parties)
    kind = chosen_kind(protection, own, there)
    sends = sorted({s for peer in _PEERS[role] for s in _sent(profile, role, peer)})
    accepts = sorted({s for peer in _PEERS[role] for s in _sent(profile, peer, role)})
    files = {f"messages/{service}.xml": sample_body(service) for service in sends}
    files["handlers.py"] = handlers_text(role, accepts)
    # The configuration comes last: a folder that holds one is whole.
    files["msh.toml"] = configuration_text(role, profile, kind)
    _require_absent(folder, files)
    made = make(kind, own, parties, there)
    _require_absent(folder, [*made.own, *made.theirs])
    try:
        for name in made.folders:  # each before those in it, so that the mode is this one
            (folder / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        for path, content in made.theirs.items():
            write_new(path, content, OPEN)
        for name, content in made.own.items():
            write_new(folder / name, content, SECRET)
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise UsageError(
            f"{error.filename or folder}: cannot be written: {error.strerror}"
        ) from None
    typer.echo(
        _what_next(folder, role, profile, kind, {p: c.path.parent for p, c in there.items()})
    )


def _require_absent(folder: Path, names: Iterable[str | Path]) -> None:
    """Raises `UsageError` if any of these files is there."""
    from msh.errors import UsageError

    there = sorted(str(name) for name in names if (folder / name).exists())
    if there:
        raise UsageError(
            f"{folder} holds {', '.join(there)} already; nothing was written. Name another "
            "folder, or move what is there away"
        )


def _sent(profile: Profile, sender: Role, receiver: Role) -> list[str]:
    """The requests that ``sender`` sends to ``receiver``, in the order of the tables."""
    direction = _PEERS[sender][receiver]
    rows = profile.catalog.services.values()
    return [
        row.code for row in rows if row.kind == "request" and row.direction in (direction, "both")
    ]


# msh.toml


def configuration_text(
    role: Role, profile: Profile, kind: ProtectionKind = ProtectionKind.NONE
) -> str:
    """The configuration of a new folder."""
    party = _PARTIES[role]
    agreements = "".join(_agreement_text(role, peer, profile, kind) for peer in _PEERS[role])
    return f"""\
# The configuration of {party.id}, {party.name}.
# `msh` reads it from the folder it is started in; --config or MSH_CONFIG names another.
# Every mistake in it is reported with its key, all at once: try `msh list`.

profile = "{profile.name}"             # the protocol: one that msh carries, or a folder
store = "sqlite:///msh.db"           # where messages are kept; beside this file
handlers = "handlers.py"             # what `msh serve` calls for each message it receives
grace = 30                           # seconds in which `msh serve` finishes its work when it ends

[party]
id = "{party.id}"{" " * (29 - len(party.id))} # this party, as it stands in every message
role = "{role}"{" " * (27 - len(role))} # business, psp or bank: whose status codes it answers with

[listen]
url = "http://127.0.0.1:{party.port}{profile.path}"    # where `msh serve` receives

[retention]                          # 9.7.5: at least one day; the platform keeps three
days = 3                             # content and journal of messages that are settled
ids_days = 400                       # their ids, by which a repeat is still recognised
{agreements}"""


def _agreement_text(role: Role, peer: Role, profile: Profile, kind: ProtectionKind) -> str:
    other = _PARTIES[peer]
    sends, accepts = _sent(profile, role, peer), _sent(profile, peer, role)
    return f"""
# The agreement with {other.id}, {other.name}.
[agreements.{other.id}]
role = "{peer}"
endpoint = "http://127.0.0.1:{other.port}{profile.path}"
protection = "{kind}"{" " * (21 - len(kind))} # {_MEANT[kind]}
sends = {_list_text(sends)}
accepts = {_list_text(accepts)}
time_to_live = 3600                  # seconds after which {other.id} refuses a message; 0 sets none
clock_skew = 300                     # seconds by which the two clocks may differ
{table(kind, other.id)}
# How we resend (9.7.5): with these values, attempts at 0, 90, 240 and 510 s, given up at 540 s.
[agreements.{other.id}.outbound]
resends = 3
interval = 60                        # seconds from the end of the time-out to the first resend
factor = 2                           # each interval is so many times the one before
timeout = 30                         # seconds for an answer

# How {other.id} resends: it is answered within its time-out.
[agreements.{other.id}.inbound]
resends = 3
interval = 60
factor = 2
timeout = 30

# What {other.id} may use at once.
[agreements.{other.id}.limits]
running = 32                         # handlers
waiting = 256                        # messages stored behind them
sending = 32                         # exchanges on their way to {other.id}

# How this side handles what {other.id} sends.
[agreements.{other.id}.handling]
runs = 3                             # a failing handler runs so often, then 9999S is answered
retry_after = 5                      # seconds between two runs
lease = 30                           # seconds until the work of a killed process is taken over
"""


def _list_text(services: list[str]) -> str:
    lines = "".join(f'\n    "{service}",' for service in services)
    return f"[{lines}\n]"


# handlers.py


def handlers_text(role: Role, accepts: list[str]) -> str:
    """The handlers of a new folder: one for each service it accepts."""
    party = _PARTIES[role]
    books = "PS810FTRQ" in accepts
    others = [service for service in accepts if not (books and service == "PS810FTRQ")]
    listed = "".join(f'    "{service}",\n' for service in others)
    head = f'''\
"""What {party.id} does with the messages it receives.

`msh serve` calls `register` once. A handler takes the message and returns the reply; it may be
`def` or `async def`. An exception is a failure, not an answer: the handler runs again. To refuse,
`raise msh.Refuse("{party.malformed}", "the reason")`.
"""

from __future__ import annotations

{_BOOKING_IMPORTS if books else ""}import msh

# Requests that are only taken note of here.
TAKEN = (
{listed})

'''
    registering = '    handler.on("PS810FTRQ")(transfer)\n' if books else ""
    body = f'''
def register(handler: msh.MessageServiceHandler) -> None:
    """Say which function handles which service."""
{registering}    handler.on(*TAKEN)(take)


def take(request: msh.Message) -> msh.Reply:
    """Answer that the request has passed its checks."""
    return msh.Reply("{party.done}")
'''
    booking = _BOOKING.replace("DONE", party.done).replace("MALFORMED", party.malformed)
    return head + body + (booking if books else "")


_BOOKING_IMPORTS = """\
import sqlite3

from lxml import etree

"""

_BOOKING = '''

def transfer(request: msh.Message) -> msh.Reply:
    """Book a transfer: its row in the ledger and the reply are committed as one, or not at all."""
    if not request.body:
        raise msh.Refuse("MALFORMED", "a body is wanted")
    body = etree.fromstring(request.body)
    row = (
        request.sender,
        request.message_id,
        body.findtext("{*}SVCREFID"),
        body.findtext("{*}PmtSvc/{*}OUT/{*}Ccy"),
        body.findtext("{*}PmtSvc/{*}OUT/{*}Amt"),
    )

    def book(connection: sqlite3.Connection) -> None:
        # Runs in the very transaction that stores the reply, and may run again if that fails:
        # write tables of your own here, and do nothing else.
        connection.execute(
            "CREATE TABLE IF NOT EXISTS ledger (sender TEXT, message_id TEXT, reference TEXT,"
            " currency TEXT, amount TEXT, PRIMARY KEY (sender, message_id))"
        )
        connection.execute("INSERT INTO ledger VALUES (?, ?, ?, ?, ?)", row)

    return msh.Reply("DONE", apply=book)
'''


# what next


def _what_next(
    folder: Path, role: Role, profile: Profile, kind: ProtectionKind, there: Mapping[str, Path]
) -> str:
    party = _PARTIES[role]
    peer = list(_PEERS[role])[-1]
    other = _PARTIES[peer].id
    service = _sent(profile, role, peer)[0]
    file = Path("messages") / f"{service}.xml"
    made = f"`msh init DIR --role {peer}`, then "
    if other in there:
        made = ""
    elif kind is not ProtectionKind.NONE:
        made = f"`msh init DIR --role {peer} --peer {folder}`, then "
    exchange = (
        f"  msh keys exchange {other}     the first working key\n"
        if kind is ProtectionKind.MAC
        else ""
    )
    return f"""\
{folder} is {party.id}, {party.name}. Next:

  cd {folder}
  msh serve     receive at http://127.0.0.1:{party.port}{profile.path}, and deliver
  msh tail      in another window: follow each message

With {other} running ({made}`msh serve` there):

{exchange}  msh send {service} {file} --wait

msh.toml says what is agreed with whom, handlers.py what is done with what comes in."""
