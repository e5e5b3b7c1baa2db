"""The record of one live execution, and those who wait for news of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from .models import ExecutionStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from .executions import Execution
    from .store import Store


class LiveRecord:
    """Every change goes to the store, then to `execution`, then to those who wait. It has one writer at a time."""

    def __init__(self, execution: Execution, store: Store) -> None:
        self.execution = execution
        self.changing = asyncio.Lock()  # held from the look that decides a change until the change is made
        self._store = store
        self._changed = asyncio.Event()

    async def change(self, **changes: Any) -> None:
        """Store a change and show it, with `changing` held. Without a status, it follows from the open LLM requests.

        Raises Conflict when the status cannot follow.
        """
        if "status" not in changes:
            is_awaiting = bool(changes["llm_requests"])
            changes["status"] = ExecutionStatus.awaiting_llm if is_awaiting else ExecutionStatus.running
        self.execution = await self._store.transition(self.execution.id, self.execution.version, changes)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def until(self, holds: Callable[[Execution], bool]) -> None:
        """Wait until this holds."""
        while not holds(self.execution):
            await self._changed.wait()
