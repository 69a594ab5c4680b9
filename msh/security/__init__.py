"""Protection of messages, chosen by the agreement.

What needs cryptography is loaded when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from msh.security.base import Protected, Security, Verified
from msh.security.keyring import KeyRing, WorkingKey
from msh.security.unprotected import Unprotected

if TYPE_CHECKING:
    from msh.security.certificates import Listed, list_certificates
    from msh.security.keysource import KeySource, open_key_source
    from msh.security.mac import check_value, new_key, require_key
    from msh.security.maced import EXCHANGE_KEY, Maced
    from msh.security.signature import Signed, open_signed

__all__ = [
    "EXCHANGE_KEY",
    "KeyRing",
    "KeySource",
    "Listed",
    "Maced",
    "Protected",
    "Security",
    "Signed",
    "Unprotected",
    "Verified",
    "WorkingKey",
    "check_value",
    "list_certificates",
    "new_key",
    "open_key_source",
    "open_signed",
    "require_key",
]

_LATER = {
    "EXCHANGE_KEY": "maced",
    "KeySource": "keysource",
    "Listed": "certificates",
    "Maced": "maced",
    "Signed": "signature",
    "check_value": "mac",
    "list_certificates": "certificates",
    "new_key": "mac",
    "open_key_source": "keysource",
    "open_signed": "signature",
    "require_key": "mac",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    globals()[name] = value
    return value
