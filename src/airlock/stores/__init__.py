"""The contract of stores, where executions are remembered, and two of them: memory, and SQLite.

The gateway opens one, runs write every change to it. A store must know nothing of what it stores but the record.
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
