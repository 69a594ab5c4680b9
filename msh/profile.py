"""A profile: one wire protocol as data.

Namespace, element names, endpoint path, size limit, code tables and the code that each check
gives per role come from a folder such as ``schemas/tdcc-psp-3.4``; a site that holds the
unpublished chapters of the specification changes that folder, not the code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from msh.catalog import Catalog, ServiceRow, StatusCode
from msh.content import Content, Rule
from msh.xml import STANDARD_SHAPE, Shape


class Role(StrEnum):
    """Who a party is (TDCC PSP 9.7.1)."""

    BUSINESS = "business"
    PSP = "psp"
    BANK = "bank"


class Check(StrEnum):
    """What an answer can rest on; each role has a status code for each."""

    DONE = "done"
    FORMAT = "format"
    DUPLICATE = "duplicate"
    SUSPENDED = "suspended"
    HOURS = "hours"
    EXPIRED = "expired"
    RIGHT = "right"
    SERVICE = "service"
    MESSAGE_KIND = "message_kind"
    RULE = "rule"
    KEY = "key"
    MAC = "mac"
    UNREACHABLE = "unreachable"
    SYSTEM_ERROR = "system_error"


#: Checks whose refusal of a resend says nothing of the first copy: they may change with time.
SAYS_NOTHING_OF_THE_FIRST = frozenset(
    {
        Check.SUSPENDED,
        Check.HOURS,
        Check.EXPIRED,
        Check.RIGHT,
        Check.SERVICE,
        Check.MESSAGE_KIND,
        Check.KEY,
        Check.MAC,
        Check.DUPLICATE,
    }
)


@dataclass(frozen=True, slots=True)
class RoleCodes:
    """The status codes of one role: by check, and the sources its handlers may answer with."""

    by_check: Mapping[Check, StatusCode]
    sources: frozenset[str]
    #: What this role answers for a business rule, by the rule's name, if not the rule's own code.
    by_rule: Mapping[str, StatusCode] = field(default_factory=dict)
    in_doubt_on_resend: frozenset[StatusCode] = field(init=False)

    def __post_init__(self) -> None:
        doubtful = {self.by_check[c] for c in SAYS_NOTHING_OF_THE_FIRST if c in self.by_check}
        object.__setattr__(self, "in_doubt_on_resend", frozenset(doubtful))

    def __getitem__(self, check: Check) -> StatusCode:
        return self.by_check[check]

    def of_rule(self, rule: Rule) -> StatusCode:
        """The code for a broken business rule: its own, where this role may answer with that."""
        code = self.by_rule.get(rule.name)
        if code is None and rule.check == Check.RULE and rule.code.source in self.sources:
            code = rule.code
        return code or self[Check(rule.check)]


@dataclass(frozen=True, slots=True)
class HeaderNames:
    """Local names of the header block and of what it holds, all in the profile's namespace."""

    block: str = "MessageHeader"
    service: str = "SvcId"
    message_id: str = "MsgId"
    ref_to: str = "RefToMsgId"
    ref_digest: str = "RefDigest"
    sender: str = "Sender"
    receiver: str = "Receiver"
    timestamp: str = "Timestamp"
    expires: str = "TimeToLive"
    status: str = "StatusCode"
    status_text: str = "StatusText"
    key_id: str = "KeyId"
    mac: str = "MAC"


@dataclass(frozen=True, slots=True)
class KeyExchange:
    """The services by which working keys are exchanged, each with its reply."""

    offer: str = "IS990KEORQ"
    offer_reply: str = "IS990KEORS"
    confirm: str = "IS991KECRQ"
    confirm_reply: str = "IS991KECRS"

    @property
    def requests(self) -> tuple[str, str]:
        """What is sent by the side that changes the key."""
        return self.offer, self.confirm

    @property
    def replies(self) -> tuple[str, str]:
        """What answers them."""
        return self.offer_reply, self.confirm_reply

    def rows(self) -> Mapping[str, ServiceRow]:
        """The services as rows of a catalog."""
        return MappingProxyType(
            {
                code: ServiceRow(code, "換Key訊息", "Key change", kind, "both", **other)
                for pair in zip(self.requests, self.replies, strict=True)
                for code, kind, other in (
                    (pair[0], "request", {"reply": pair[1]}),
                    (pair[1], "reply", {"request": pair[0]}),
                )
            }
        )


@dataclass(frozen=True)
class Profile:
    """One wire protocol. ``max_bytes`` bounds a message over HTTP (TDCC PSP 9.7.5, 5)."""

    name: str
    namespace: str
    catalog: Catalog
    roles: Mapping[Role, RoleCodes]
    prefix: str = "scoi"
    names: HeaderNames = HeaderNames()
    path: str = "/sms"
    max_bytes: int = 1_048_576
    shape: Shape = STANDARD_SHAPE
    key_exchange: KeyExchange = KeyExchange()
    content: Content | None = None
