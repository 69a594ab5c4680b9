"""Protection of messages, chosen by the agreement.

What needs cryptography is in files of its own, which only a protected agreement loads.
"""

from msh.security.base import Protected, Security, Verified
from msh.security.unprotected import Unprotected

__all__ = ["Protected", "Security", "Unprotected", "Verified"]
