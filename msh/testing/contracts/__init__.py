"""Contract suites: classes of plain tests that every implementation of a contract passes."""

from msh.testing.contracts.store import StoreContract

__all__ = ["StoreContract"]
