"""The contract of a store, kept by SQLite in a file and in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from msh.store import Store, open_store
from msh.testing.contracts.samples import Notified
from msh.testing.contracts.store import StoreContract
from msh.testing.contracts.store_kept import Reopen


class TestSqliteFile(StoreContract):
    durable = True
    shared = True

    @pytest.fixture
    async def store(self, tmp_path: Path, notified: Notified) -> AsyncIterator[Store]:
        store = open_store(f"sqlite:///{tmp_path}/msh.db")
        await store.open(notified)
        yield store
        await store.close()

    @pytest.fixture
    async def second(self, store: Store, tmp_path: Path) -> AsyncIterator[Store]:
        second = open_store(f"sqlite:///{tmp_path}/msh.db")
        await second.open(Notified())
        yield second
        await second.close()

    @pytest.fixture
    async def reopen(self, store: Store, tmp_path: Path) -> AsyncIterator[Reopen]:
        opened = []

        async def reopen() -> Store:
            await store.close()
            again = open_store(f"sqlite:///{tmp_path}/msh.db")
            await again.open(Notified())
            opened.append(again)
            return again

        yield reopen
        for again in opened:
            await again.close()


class TestSqliteMemory(StoreContract):
    @pytest.fixture
    async def store(self, notified: Notified) -> AsyncIterator[Store]:
        store = open_store("sqlite::memory:")
        await store.open(notified)
        yield store
        await store.close()


def test_no_suite_hides_a_test_of_another() -> None:
    suites = [suite for suite in StoreContract.__mro__ if suite is not object]
    names = [name for suite in suites for name in vars(suite) if name.startswith("test_")]
    assert sorted(names) == sorted(set(names))
