"""Every error msh raises, in one tree.

::

    MshError
    ├── CatalogError              a code or a published table is not what it should be
    ├── ConfigurationError        msh.toml or a profile is wrong; lists every mistake
    ├── UsageError                the caller's mistake; nothing was stored or sent
    │   ├── MessageTooLarge       over the agreement's size, protection included
    │   │   └── CannotSplit       and cannot be cut into smaller ones
    │   ├── InvalidBody           the body is not one well-formed, harmless XML element
    │   ├── NotAgreed             no agreement allows this service with this party
    │   ├── NotOpen               outside the hours of its service
    │   ├── KeyReused             the key or message id names other content already
    │   └── UnknownMessage        no message of that id is stored
    ├── MalformedMessage          the peer's mistake: bytes that are not a message
    ├── SecurityError             protection: keys, certificates, signatures, MACs
    │   ├── NotAuthentic          a message is not protected as agreed, or was changed
    │   │   └── NoKey             a message names a key that is not known here
    │   ├── CannotProtect         nothing may leave now: no key exchanged, no valid certificate
    │   └── KeyUnusable           a key or certificate of ours cannot be used
    ├── ApplyFailed               the writes that were to commit with a reply failed
    ├── Refuse                    raised by a handler to answer with a status code
    ├── DeliveryError             what became of a message that has no plain answer
    │   ├── Undelivered           surely not sent: it had no effect
    │   ├── InDoubt               it may have taken effect; never send it as a new message
    │   ├── NotExecuted           it left, and surely was not executed
    │   ├── NoOutcome             it was refused, so that no result follows
    │   └── Resolved              its result arrived, its reply never did
    ├── StoreError                the store could not do it; nothing was promised
    │   ├── StoreLocked           another process holds the database
    │   ├── StoreFull             no room is left
    │   ├── StoreReadOnly         the file or folder may not be written
    │   ├── StoreDamaged          the file is not, or no longer, a database
    │   ├── StoreTooNew           a newer msh wrote this database
    │   ├── StoreOfAnother        the database holds another party's messages
    │   ├── StoreClosed           the store was closed
    │   └── ClaimLost             another owner has the work now
    └── TransportError            an exchange gave no answer
        ├── NotSent               no connection was made: no byte has left
        ├── NoAnswer              in doubt: bytes may have arrived
        ├── Busy                  in doubt: the peer asked to come back later
        └── Rejected              in doubt: the peer's HTTP side refused it
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from msh.catalog import StatusCode


class MshError(Exception):
    """Anything msh raises on purpose. The text says what happened and what to do next."""


class CatalogError(MshError, ValueError):
    """A code, or a row of a published table, is not what it should be."""


class ConfigurationError(MshError):
    """The configuration is wrong. ``problems`` holds every mistake, each with its key path."""

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        self.source = source
        self.problems = tuple(problems)
        lines = "".join(f"\n  {problem}" for problem in self.problems)
        count = len(self.problems)
        super().__init__(f"{source}: {count} mistake{'s' if count != 1 else ''}:{lines}")


class UsageError(MshError):
    """The caller asked for something that cannot be; nothing was stored or sent."""


class MessageTooLarge(UsageError):
    """The message is larger than the agreement allows (TDCC PSP 9.7.5, 5)."""


class CannotSplit(MessageTooLarge):
    """It cannot be cut into smaller requests: nothing repeats in it, or one group is too large."""


class InvalidBody(UsageError, ValueError):
    """The body is not one well-formed XML element that a message may carry."""


class NotAgreed(UsageError):
    """No agreement allows this service with this party."""


class NotOpen(UsageError):
    """Outside the hours in which the service may be sent. ``opens``: when they begin, or None."""

    def __init__(self, service: str, opens: datetime | None) -> None:
        then = f"it opens at {opens:%Y-%m-%d %H:%M %Z}" if opens else "it does not open in a year"
        advice = "; send it then, or with `when_open` to have it queued until then" if opens else ""
        super().__init__(f"{service}: outside service hours, {then}{advice}")
        self.opens = opens


class KeyReused(UsageError):
    """The caller's key, or the message id given, already names other content."""


class UnknownMessage(UsageError, LookupError):
    """No message of that id is stored here."""


class MalformedMessage(MshError):
    """Bytes that are not a message of this protocol (the peer's mistake).

    ``reason`` never quotes the content of the message.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"not a readable message: {reason}")


class SecurityError(MshError):
    """Something about protection. The text never holds a key or a message's content."""


class NotAuthentic(SecurityError):
    """A message is not protected as the agreement says, or does not fit its protection.

    ``reason`` says which, and never quotes the message. ``certificate`` is the one that it was
    signed with, in DER, as far as it came to that.
    """

    def __init__(self, reason: str, certificate: bytes = b"") -> None:
        self.reason = reason
        self.certificate = certificate
        super().__init__(f"not authentic: {reason}")


class NoKey(NotAuthentic):
    """A message names a working key that is not known here (TDCC PSP 9.2, 0003E)."""


class CannotProtect(SecurityError):
    """A message cannot leave protected as agreed; it is held, without an attempt."""


class KeyUnusable(SecurityError):
    """A key or certificate file of ours is missing, unreadable or too weak.

    ``passing`` tells that the machine could not read it just now (no descriptor was left, say), so
    that what was read of it before still holds.
    """

    def __init__(self, text: str, *, passing: bool = False) -> None:
        self.passing = passing
        super().__init__(text)


class ApplyFailed(MshError):
    """A reply's ``apply`` raised; neither its writes nor the reply were kept."""


class Refuse(MshError):
    """Raised by a handler to answer with a refusal: ``raise msh.Refuse("PSPBK0005E")``.

    Raises `UsageError` for a code that says *done* (its kind is I: TDCC PSP 9.2).
    """

    def __init__(self, status: StatusCode | str, text: str = "") -> None:
        if str(status).endswith("I"):
            raise UsageError(f"{status} says done, which refuses nothing; return msh.Reply instead")
        self.status = status
        self.text = text
        super().__init__(f"refused with {status}")


class DeliveryError(MshError):
    """What became of a message that has no plain answer.

    ``message_id`` names it; ``status`` is the code that was seen, if any.
    """

    def __init__(self, message_id: str, text: str, status: StatusCode | None = None) -> None:
        self.message_id = message_id
        self.status = status
        super().__init__(f"{message_id}: {text}")


class Undelivered(DeliveryError):
    """No attempt ever left this machine: the message had no effect."""


class InDoubt(DeliveryError):
    """The message may have taken effect. Ask the peer, or wait; never send it as a new one."""


class NotExecuted(DeliveryError):
    """The message left, and it was found out that it was not executed: by an inquiry that came
    back with "not found" when no copy could be taken any more, or by an operator.
    """


class NoOutcome(DeliveryError):
    """The request was refused, so no result follows. ``status`` is its reply's."""


class Resolved(DeliveryError):
    """The peer's result message arrived, so it knows the request; its reply never came."""


class StoreError(MshError):
    """The store could not do what was asked. Nothing was promised, so nothing is lost."""


class StoreLocked(StoreError):
    """Another process holds the database for longer than we waited."""


class StoreFull(StoreError):
    """No room is left on the disk, or the database reached its size limit."""


class StoreReadOnly(StoreError):
    """The database file, or its folder, may not be written by this user."""


class StoreDamaged(StoreError):
    """The file is not a database of msh, or is damaged."""


class StoreTooNew(StoreError):
    """A newer version of msh wrote this database."""


class StoreOfAnother(StoreError):
    """The database holds the messages of another party."""


class StoreClosed(StoreError):
    """The store was closed, or never opened."""


class ClaimLost(StoreError):
    """Another owner took over the work; whatever this owner did for it is not kept."""


class TransportError(MshError):
    """An exchange gave no answer.

    ``reconnected`` tells that the bytes were given to a second, fresh connection after a pooled
    one turned out closed, so that one more copy may have arrived.
    """

    def __init__(self, text: str, *, reconnected: bool = False) -> None:
        self.reconnected = reconnected
        super().__init__(text)


class NotSent(TransportError):
    """No connection was made: surely no byte has left."""


class NoAnswer(TransportError):
    """Bytes may have arrived and no answer came: the attempt is in doubt."""


class Busy(TransportError):
    """The peer answered 502, 503 or 504: in doubt, and to be tried again by the schedule."""


class Rejected(TransportError):
    """The peer's HTTP side refused (another non-2xx): in doubt, and an operator is told."""
