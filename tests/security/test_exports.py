"""What `msh.security` hands on, some of it only when it is asked for."""

from __future__ import annotations

import pytest

import msh.security


def test_every_name_that_is_promised_is_there() -> None:
    assert msh.security.__all__ == sorted(msh.security.__all__)
    for name in msh.security.__all__:
        assert getattr(msh.security, name) is not None


def test_what_is_loaded_later_is_promised_and_has_a_home() -> None:
    assert set(msh.security._LATER) <= set(msh.security.__all__)
    for name, module in msh.security._LATER.items():
        home = __import__(f"msh.security.{module}", fromlist=[name])
        assert getattr(home, name) is getattr(msh.security, name)


def test_any_other_name_is_missing_in_the_usual_way() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = msh.security.Nothing
