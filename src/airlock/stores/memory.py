"""`store: memory`: keeps executions until the process ends."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import Field

from airlock.units import Seconds, Size

from .store import Store, StoreSettings

if TYPE_CHECKING:
    from airlock.executions import Execution, Listing, Summary

PER_ITEM: Final = 50  # bytes, roughly, that an object takes in addition to its content


class MemorySettings(StoreSettings):
    """How many finished executions are kept; the oldest are forgotten first."""

    max_count: int = Field(10_000, ge=0, description="finished executions")
    max_bytes: Size = Field(256 << 20, ge=0, description="their code, output and results together")
    max_age: Seconds = Field(86_400, ge=0, description="seconds since they finished")


class MemoryStore(Store[MemorySettings]):
    """Keeps executions until the process ends, and forgets the oldest finished ones beyond its limits."""

    type = "memory"
    Settings = MemorySettings

    def __init__(self, settings: MemorySettings | None = None, directory: Path = Path()) -> None:
        """Start empty."""
        super().__init__(settings or MemorySettings(), directory)
        self._live: dict[str, Execution] = {}
        self._finished: dict[str, tuple[Execution, int]] = {}  # oldest first
        self._by_key: dict[tuple[str | None, str], str] = {}
        self._bytes = 0

    async def create(self, execution: Execution) -> Execution:
        """Keep a new execution."""
        if execution.idempotency_key is not None:
            if (known := await self.find(execution.client, execution.idempotency_key)) is not None:
                return known
            self._by_key[execution.client, execution.idempotency_key] = execution.id
        self._live[execution.id] = execution
        return execution

    async def get(self, execution_id: str) -> Execution | None:
        """Return an execution, or None."""
        self._forget()
        finished = self._finished.get(execution_id)
        return finished[0] if finished else self._live.get(execution_id)

    async def find(self, client: str | None, idempotency_key: str) -> Execution | None:
        """Return the execution of this key, or None."""
        return await self.get(self._by_key.get((client, idempotency_key), ""))

    async def update(self, execution: Execution) -> None:
        """Write the next version of an execution."""
        if not execution.status.is_terminal:
            self._live[execution.id] = execution
            return
        del self._live[execution.id]
        size = _size(execution)
        self._finished[execution.id] = execution, size
        self._bytes += size
        self._forget()

    async def page(self, listing: Listing) -> list[Summary]:
        """Return summaries, newest first."""
        self._forget()
        found = [
            execution
            for execution in (*self._live.values(), *(finished for finished, _ in self._finished.values()))
            if (listing.project is None or execution.project == listing.project)
            and (listing.status is None or execution.status is listing.status)
            and (listing.client is None or execution.client == listing.client)
            and (listing.after is None or execution.position < listing.after)
        ]
        found.sort(key=lambda execution: execution.position, reverse=True)
        return [execution.summary() for execution in found[: listing.limit]]

    async def unfinished(self) -> list[Execution]:
        """Return the unfinished executions."""
        return list(self._live.values())

    async def sweep(self) -> None:
        """Forget finished executions that are too old."""
        self._forget()

    def _forget(self) -> None:
        bounds = self.settings
        oldest_allowed = time.time() - bounds.max_age
        while self._finished:
            execution_id, (execution, size) = next(iter(self._finished.items()))
            fits = len(self._finished) <= bounds.max_count and self._bytes <= bounds.max_bytes
            if fits and (execution.finished_at or 0) >= oldest_allowed:
                return
            del self._finished[execution_id]
            self._bytes -= size
            if execution.idempotency_key is not None:
                self._by_key.pop((execution.client, execution.idempotency_key), None)


def _size(value: Any) -> int:
    """Estimate the bytes that a record takes: its texts, and a constant for each object."""
    total, stack = 0, [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str | bytes):
            total += len(item)
        elif isinstance(item, dict):
            stack.extend(item.keys())
            stack.extend(item.values())
        elif isinstance(item, list | tuple):
            stack.extend(item)
        elif hasattr(item, "__dataclass_fields__"):
            stack.extend(getattr(item, name) for name in item.__dataclass_fields__)
        total += PER_ITEM
    return total
