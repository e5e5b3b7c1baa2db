"""Core's own stores pass the contract for plugins' stores."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.stores.held import held

from airlock.errors import Conflict, ExecutionNotFound
from airlock.executions import Execution
from airlock.models import ExecutionStatus
from airlock.stores.memory import MemoryStore
from airlock.stores.sqlite.store import SqliteSettings, SqliteStore
from airlock.stores.store import Store
from airlock.testing import StoreContract
from airlock.testing.store import an_execution


class TestMemoryStore(StoreContract):
    def make_store(self, directory: Path) -> Store[Any]:
        return MemoryStore()


class SqliteContract(StoreContract):
    @asynccontextmanager
    async def writes_held(self, store: Store[Any]) -> AsyncIterator[None]:
        assert isinstance(store, SqliteStore)
        with held(store.path):
            yield


class TestSqliteStore(SqliteContract):
    def make_store(self, directory: Path) -> Store[Any]:
        return SqliteStore(SqliteSettings(), directory)


class TestSqliteStoreThatWithstandsPowerLoss(SqliteContract):
    def make_store(self, directory: Path) -> Store[Any]:
        return SqliteStore(SqliteSettings(path="deep/er/file.db", durability="power"), directory)


class Shared(MemoryStore):
    """Compares versions again while writing, as a database shared by several servers would."""

    type = "shared"

    async def update(self, execution: Execution) -> None:
        stored = await self.get(execution.id)
        if stored is None or stored.version != execution.version - 1:
            raise Conflict("another server was faster")
        await super().update(execution)


class TestSharedStore(StoreContract):
    def make_store(self, directory: Path) -> Store[Any]:
        return Shared()


class OwnStep(Shared):
    """Leaves comparing versions to `update`."""

    type = "own-step"

    async def transition(self, execution_id: str, version: int, changes: Mapping[str, Any]) -> Execution:
        if (stored := await self.get(execution_id)) is None:
            raise ExecutionNotFound(execution_id)
        changed = replace(stored.changed(changes), version=version + 1)
        await self.update(changed)
        return changed


class TestStoreWithATransitionOfItsOwn(StoreContract):
    def make_store(self, directory: Path) -> Store[Any]:
        return OwnStep()


@pytest.mark.anyio
async def test_server_that_was_overtaken_between_look_and_update_gets_a_conflict() -> None:
    store = Shared()
    await store.create(an_execution())
    seen = await store.get("0")
    assert seen is not None
    await store.transition("0", 0, {"status": ExecutionStatus.running, "stdout": "of the other server"})
    with pytest.raises(Conflict):
        await store.update(seen.changed({"status": ExecutionStatus.running, "stdout": "mine"}))
    stored = await store.get("0")
    assert stored is not None
    assert stored.stdout == "of the other server"
