"""Business references that no two receptions of a sender and service hold at once."""

from __future__ import annotations

from msh.catalog import Meaning, StatusCode
from msh.content import References
from msh.message import Message
from msh.protocol.reception import State
from msh.store.sqlite.writer import Transaction

# A request that such an answer refuses had no effect, so its references may be used again ...
_REFUSES = frozenset({Meaning.REFUSED, Meaning.LATER})
# ... but for the answers that say "later" of what is being posted already (TDCC PSP 9.2).
_UNDER_WAY = frozenset({StatusCode("BK", 107, "E"), StatusCode("BK", 112, "E")})


def keep(tx: Transaction, reception: int, message: Message, references: References | None) -> bool:
    """Whether nobody else holds one of ``references``; then all are held by ``reception``.

    Else none is, and no run begins: whoever handles or takes over the reception refuses it.
    """
    if references is None or references == (None, None):
        return True
    cursor = tx.execute(
        "INSERT INTO reception_reference VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (reception, message.sender, message.service, *references),
    )
    if cursor.rowcount:
        return True
    tx.execute(
        "UPDATE reception SET reused = 1, state = ?, runs = 0 WHERE id = ?",
        (State.CLAIMED, reception),
    )
    return False


def free(tx: Transaction, reception: int, status: StatusCode) -> None:
    """Let go of the references, if ``status`` says that the message had no effect."""
    if status.meaning in _REFUSES and status not in _UNDER_WAY:
        tx.execute("DELETE FROM reception_reference WHERE reception = ?", (reception,))
