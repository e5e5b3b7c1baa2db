"""Core's own stores keep the contract that plugins' stores keep."""

from pathlib import Path
from typing import Any

from airlock.stores.memory import MemoryStore
from airlock.stores.sqlite.store import SqliteSettings, SqliteStore
from airlock.stores.store import Store
from airlock.testing import StoreContract


class TestMemoryStore(StoreContract):
    def make_store(self, directory: Path) -> Store[Any]:
        return MemoryStore()


class TestSqliteStore(StoreContract):
    def make_store(self, directory: Path) -> Store[Any]:
        return SqliteStore(SqliteSettings(), directory)


class TestSqliteStoreThatWithstandsPowerLoss(StoreContract):
    def make_store(self, directory: Path) -> Store[Any]:
        return SqliteStore(SqliteSettings(path="deep/er/file.db", durability="power"), directory)
