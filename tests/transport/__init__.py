"""Tests of the transports, over real connections on loopback."""

import pytest

# Before anything imports the suites: their plain asserts are to be explained like a test's own.
pytest.register_assert_rewrite("msh.testing.contracts")
