"""`store: sqlite`: executions outlive the server. What a client was told, the store has kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from airlock.stores.store import Store, StoreSettings
from airlock.units import Seconds, Size

from . import file, migration, rows, write_ahead_log
from .thread import SqliteThread

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from airlock.executions import Execution, Listing, Summary


class SqliteSettings(StoreSettings):
    """The file, what it withstands, and how many finished executions it keeps; the oldest are forgotten first."""

    path: str = Field(
        ".airlock/executions.db", min_length=1, description="the file; a relative path starts at airlock.yaml's folder"
    )
    durability: Literal["process", "power"] = Field(
        "process",
        description="process: an accepted execution outlives a crash of the server; "
        "power: a crash of the machine too, at the cost of a disk write for each change",
    )
    max_count: int = Field(100_000, ge=1, description="finished executions")
    max_bytes: Size = Field(2 << 30, ge=1 << 20, description="their code, output and results together")
    max_age: Seconds = Field(7 * 86_400, gt=0, description="seconds since they finished")


class SqliteStore(Store[SqliteSettings]):
    """Keeps executions in one file, which one thread writes.

    Two others read it, on connections of their own, so that no read waits for a write: the file's write-ahead log lets
    them see what was committed before (https://www.sqlite.org/wal.html#concurrency). Lists may visit the whole file;
    so that polls do not wait for them, they have one of the two to themselves.

    Unfinished executions are also held in memory, so that a change need not read the version before it.
    """

    type = "sqlite"
    is_durable = True
    Settings = SqliteSettings

    def __init__(self, settings: SqliteSettings, directory: Path) -> None:
        """Keep the path of the file."""
        super().__init__(settings, directory)
        self.path = directory / settings.path
        self._writer = SqliteThread("airlock store", afterwards=write_ahead_log.Bound(self.path).hold)
        self._reader = SqliteThread("airlock store reads")
        self._lister = SqliteThread("airlock store lists", max_batch=1)  # the log cannot be emptied while one reads
        self._lock: file.Lock | None = None
        self._live: dict[str, Execution] = {}

    @classmethod
    def check(cls, settings: SqliteSettings, directory: Path) -> list[str]:
        """Check the file and its permissions. Raises StoreRefused when it is not Airlock's, or newer."""
        path = directory / settings.path
        if (warning := file.unwritable(path)) is not None:
            return [warning]
        if (version := file.check(path)) < migration.newest():
            return [
                f"{path}: its version is {version}; the next start migrates it to {migration.newest()} and keeps a copy"
            ]
        return []

    async def open(self) -> None:
        """Open the file, and migrate one of an earlier release. Raises StoreRefused."""
        file.check(self.path)  # before a lock file is created beside it
        self._lock = file.Lock(self.path)
        await self._writer.start(lambda: file.connect(self.path, self.settings.durability))
        for thread in (self._reader, self._lister):
            await thread.start(lambda: file.connect_to_read(self.path))
        self._live = {execution.id: execution for execution in await self._writer.call(rows.unfinished)}

    async def create(self, execution: Execution) -> Execution:
        """Keep a new execution."""
        known = await self._writer.call(lambda connection: rows.insert(connection, execution))
        if known is not None:
            return self._live.get(known.id, known)
        self._live[execution.id] = execution
        return execution

    async def get(self, execution_id: str) -> Execution | None:
        """Return an execution, or None."""
        if (live := self._live.get(execution_id)) is not None:
            return live
        return await self._reader.call(lambda connection: rows.select(connection, execution_id))

    async def find(self, client: str | None, idempotency_key: str) -> Execution | None:
        """Return the execution of this key, or None, also while `create` has not returned it yet."""
        found = await self._reader.call(lambda connection: rows.find(connection, client, idempotency_key))
        return found if found is None or found.status.is_terminal else self._live.get(found.id)

    async def update(self, execution: Execution) -> None:
        """Write the next version of an execution."""
        await self._writer.call(lambda connection: rows.update(connection, execution))
        if execution.status.is_terminal:
            del self._live[execution.id]
        else:
            self._live[execution.id] = execution

    async def page(self, listing: Listing) -> list[Summary]:
        """Return summaries, newest first."""
        return await self._lister.call(lambda connection: rows.page(connection, listing))

    async def unfinished(self) -> list[Execution]:
        """Return the unfinished executions."""
        return list(self._live.values())

    async def sweep(self) -> None:
        """Forget what is beyond the limits, in small steps, so that other work does not wait for all of it."""
        bounds = self.settings

        def some(connection: sqlite3.Connection) -> bool:
            return rows.forget(connection, bounds.max_count, bounds.max_bytes, bounds.max_age)

        while await self._writer.call(some):
            pass

    async def close(self) -> None:
        """Finish pending work, and release the file."""
        for thread in (self._lister, self._reader, self._writer):  # whoever closes last empties the write-ahead log
            await thread.close()
        if self._lock is not None:
            self._lock.release()
