"""The contract of stores, which keep executions, and core's two stores: in memory and in SQLite.

The app opens one for the gateway, and runs write every change to it. A store must know nothing but the record that it
keeps.
"""

from .memory import MemorySettings, MemoryStore
from .sqlite.store import SqliteSettings, SqliteStore
from .store import Store, StoreSettings

__all__ = [
    "MemorySettings",
    "MemoryStore",
    "SqliteSettings",
    "SqliteStore",
    "Store",
    "StoreSettings",
]
