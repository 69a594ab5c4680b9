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
    from msh.security.keysource import KeySource, open_key_source
    from msh.security.mac import check_value, new_key, require_key
    from msh.security.maced import EXCHANGE_KEY, Maced

__all__ = [
    "EXCHANGE_KEY",
    "KeyRing",
    "KeySource",
    "Maced",
    "Protected",
    "Security",
    "Unprotected",
    "Verified",
    "WorkingKey",
    "check_value",
    "new_key",
    "open_key_source",
    "require_key",
]

_LATER = {
    "EXCHANGE_KEY": "maced",
    "KeySource": "keysource",
    "Maced": "maced",
    "check_value": "mac",
    "new_key": "mac",
    "open_key_source": "keysource",
    "require_key": "mac",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    globals()[name] = value
    return value
