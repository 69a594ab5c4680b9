"""msh: a Message Service Handler for payment messages.

Durable, resent until answered, and recognised when repeated, whatever the network, the disk or
either process does.
"""

from msh import bodies as bodies
from msh.agreement import Agreement, Agreements, Handling, Limits, Reliability
from msh.batches import Batch, BatchPart, Fate, Progress
from msh.catalog import Meaning, Service, Status, StatusCode
from msh.content import References
from msh.content.splitting import Part
from msh.errors import (
    ApplyFailed,
    Busy,
    CannotProtect,
    CannotSplit,
    CatalogError,
    ClaimLost,
    ConfigurationError,
    DeliveryError,
    InDoubt,
    InvalidBody,
    KeyReused,
    KeyUnusable,
    MalformedMessage,
    MessageTooLarge,
    MshError,
    NoAnswer,
    NoKey,
    NoOutcome,
    NotAgreed,
    NotAuthentic,
    NotExecuted,
    NotOpen,
    NotSent,
    Refuse,
    Rejected,
    Resolved,
    SecurityError,
    StoreClosed,
    StoreDamaged,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreOfAnother,
    StoreReadOnly,
    StoreTooNew,
    TransportError,
    Undelivered,
    UnknownMessage,
    UsageError,
)
from msh.handler import MessageServiceHandler
from msh.message import Message, Outgoing, Reply
from msh.observer import Observer
from msh.profile import Profile, Role
from msh.protocol.delivery import State as DeliveryState
from msh.protocol.journal import Direction, Entry, Step
from msh.protocol.reception import State as ReceptionState
from msh.receipt import Receipt
from msh.receiver import Receiver
from msh.resending import Again
from msh.sender import Sender
from msh.store import Delivery

__version__ = "0.1.0"

__all__ = [
    "Again",
    "Agreement",
    "Agreements",
    "ApplyFailed",
    "Batch",
    "BatchPart",
    "Busy",
    "CannotProtect",
    "CannotSplit",
    "CatalogError",
    "ClaimLost",
    "ConfigurationError",
    "Delivery",
    "DeliveryError",
    "DeliveryState",
    "Direction",
    "Entry",
    "Fate",
    "Handling",
    "InDoubt",
    "InvalidBody",
    "KeyReused",
    "KeyUnusable",
    "Limits",
    "MalformedMessage",
    "Meaning",
    "Message",
    "MessageServiceHandler",
    "MessageTooLarge",
    "MshError",
    "NoAnswer",
    "NoKey",
    "NoOutcome",
    "NotAgreed",
    "NotAuthentic",
    "NotExecuted",
    "NotOpen",
    "NotSent",
    "Observer",
    "Outgoing",
    "Part",
    "Profile",
    "Progress",
    "Receipt",
    "Receiver",
    "ReceptionState",
    "References",
    "Refuse",
    "Rejected",
    "Reliability",
    "Reply",
    "Resolved",
    "Role",
    "SecurityError",
    "Sender",
    "Service",
    "Status",
    "StatusCode",
    "Step",
    "StoreClosed",
    "StoreDamaged",
    "StoreError",
    "StoreFull",
    "StoreLocked",
    "StoreOfAnother",
    "StoreReadOnly",
    "StoreTooNew",
    "TransportError",
    "Undelivered",
    "UnknownMessage",
    "UsageError",
    "__version__",
]
