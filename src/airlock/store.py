"""Where executions are remembered. The gateway writes every change here before anyone is told of it."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from .errors import Conflict, ExecutionNotFound

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .executions import Execution


class Store(ABC):
    """The contract of a store. All methods are async, so that a durable one may wait for its disk."""

    @abstractmethod
    async def create(self, execution: Execution) -> None:
        """Remember a new execution."""

    @abstractmethod
    async def get(self, execution_id: str) -> Execution | None:
        """Return an execution, or None when there is none, or none any more."""

    @abstractmethod
    async def transition(self, execution_id: str, version: int, changes: Mapping[str, Any]) -> Execution:
        """Change an execution whose stored version is still `version`; returns it after the change.

        Raises Conflict when the version differs or the new status cannot follow, ExecutionNotFound when it is gone.
        """

    async def close(self) -> None:
        """Give everything back."""
        return


class MemoryStore(Store):
    """Keeps executions until the process ends. Bounded: the oldest finished ones are forgotten first."""

    def __init__(self, *, max_count: int = 10_000, max_bytes: int = 256 << 20, max_age: float = 86_400) -> None:
        """Bound the finished executions: how many, their text in bytes together, and their age in seconds."""
        self._max_count = max_count
        self._max_bytes = max_bytes
        self._max_age = max_age
        self._live: dict[str, Execution] = {}
        self._finished: dict[str, tuple[Execution, int]] = {}  # oldest first
        self._bytes = 0

    async def create(self, execution: Execution) -> None:
        """Remember a new execution."""
        self._live[execution.id] = execution

    async def get(self, execution_id: str) -> Execution | None:
        """Return an execution, or None."""
        self._forget()
        finished = self._finished.get(execution_id)
        return finished[0] if finished else self._live.get(execution_id)

    async def transition(self, execution_id: str, version: int, changes: Mapping[str, Any]) -> Execution:
        """Change an execution."""
        execution = await self.get(execution_id)
        if execution is None:
            raise ExecutionNotFound(f"execution {execution_id} is not known")
        if execution.version != version:
            raise Conflict(f"execution {execution_id} is at version {execution.version}, not {version}")
        execution = execution.changed(changes)
        if execution.status.is_terminal:
            del self._live[execution_id]
            size = _size(execution)
            self._finished[execution_id] = execution, size
            self._bytes += size
            self._forget()
        else:
            self._live[execution_id] = execution
        return execution

    def _forget(self) -> None:
        oldest_allowed = time.time() - self._max_age
        while self._finished:
            execution_id, (execution, size) = next(iter(self._finished.items()))
            fits = len(self._finished) <= self._max_count and self._bytes <= self._max_bytes
            if fits and (execution.finished_at or 0) >= oldest_allowed:
                return
            del self._finished[execution_id]
            self._bytes -= size


def _size(value: Any) -> int:
    """Estimate what a record holds in memory: text and numbers dominate, so those are counted."""
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
        total += 50
    return total
