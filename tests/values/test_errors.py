"""The tree of errors, and the tree as it is printed."""

from __future__ import annotations

import re

import pytest

import msh
import msh.errors
from msh.errors import ConfigurationError, DeliveryError, MalformedMessage, MshError

CLASSES = {
    name: value
    for name, value in vars(msh.errors).items()
    if isinstance(value, type) and issubclass(value, Exception)
}


def printed() -> list[tuple[int, str]]:
    """Depth and name of each class in the docstring's tree."""
    lines = (msh.errors.__doc__ or "").splitlines()
    found = [re.match(r"    ([ │├└─]*)([A-Z]\w+)", line) for line in lines]
    return [(len(match[1]) // 4, match[2]) for match in found if match]


def test_the_printed_tree_is_the_tree() -> None:
    path: list[str] = []
    for depth, name in printed():
        del path[depth:]
        if path:
            assert CLASSES[path[-1]] in CLASSES[name].__bases__
        path.append(name)
    assert sorted(name for _, name in printed()) == sorted(CLASSES)


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_every_error_is_of_the_tree_documented_and_exported(name: str) -> None:
    assert issubclass(CLASSES[name], MshError)
    assert CLASSES[name].__doc__
    assert getattr(msh, name) is CLASSES[name]


def test_texts_of_errors() -> None:
    assert str(MalformedMessage("no XML")) == "not a readable message: no XML"
    one = ConfigurationError("msh.toml", ["store: wrong"])
    assert str(one) == "msh.toml: 1 mistake:\n  store: wrong"
    assert str(ConfigurationError("x", ["a", "b"])) == "x: 2 mistakes:\n  a\n  b"
    error = DeliveryError("BIZ-1", "in doubt", msh.StatusCode.parse("PSPPM0002W"))
    assert (str(error), error.message_id) == ("BIZ-1: in doubt", "BIZ-1")
    assert str(msh.Refuse("PSPBK0005E")) == "refused with PSPBK0005E"
    assert msh.NoAnswer("closed", reconnected=True).reconnected
    assert not msh.NoAnswer("closed").reconnected
