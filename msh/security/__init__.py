"""Protection of messages, chosen by the agreement."""

from msh.security.base import Protected, Security, Verified
from msh.security.unprotected import Unprotected

__all__ = ["Protected", "Security", "Unprotected", "Verified"]
