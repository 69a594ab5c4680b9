"""Bodies as Python values, without writing XML.

::

    body = msh.bodies.build("PS810FTRQ", {"SSNID": "1", ...})
    values = msh.bodies.read(message)

These are for the profile that msh carries; `of` gives the same for a profile of a site's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from msh.content.values import Bodies
from msh.errors import UsageError
from msh.message import Message
from msh.profile import Profile
from msh.profiles import read_profile, standard_profile

__all__ = ["Bodies", "build", "of", "read"]


def build(service: str, values: Mapping[str, Any]) -> bytes:
    """The body of ``service`` with ``values``; see `Bodies.build`."""
    return of().build(service, values)


def read(message: Message) -> dict[str, Any]:
    """The values of a message's body; see `Bodies.read`."""
    return of().read(message.service, message.body)


def of(profile: Profile | Path | str | None = None) -> Bodies:
    """What builds and reads the bodies of ``profile``, by default the one that msh carries.

    A profile of a site's own may be given as its folder. Keep the result, which learns each schema
    once. Raises `ConfigurationError` for a folder that is none, `UsageError` for a profile
    without schemas.
    """
    if profile is None:
        return _standard()
    if not isinstance(profile, Profile):
        profile = read_profile(Path(profile))
    return _of(profile)


@lru_cache(maxsize=1)
def _standard() -> Bodies:
    return _of(standard_profile())


def _of(profile: Profile) -> Bodies:
    if profile.content is None:
        raise UsageError(f"profile {profile.name}: it has no folder `bodies` with schemas")
    return Bodies(profile.content)
