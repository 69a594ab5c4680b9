"""The embedded store over SQLite."""

from msh.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
