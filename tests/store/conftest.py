"""What the store's tests share."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("msh.testing.contracts")
