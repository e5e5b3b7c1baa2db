"""The record of one live execution, and those who wait for news of it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from .errors import StoreUnavailable
from .models import ExecutionStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from .executions import Execution
    from .store import Store


log = logging.getLogger(__name__)

FIRST_RETRY: Final = 0.1  # seconds until the store is asked again; then twice as long each time
LAST_RETRY: Final = 5.0


class LiveRecord:
    """Every change goes to the store, then to `execution`, then to those who wait. It has one writer at a time."""

    def __init__(self, execution: Execution, store: Store[Any]) -> None:
        self.execution = execution
        self.changing = asyncio.Lock()  # held from the look that decides a change until the change is made
        self._store = store
        self._changed = asyncio.Event()
        self._is_left = False

    async def change(self, *, insist: bool = True, **changes: Any) -> None:
        """Store a change and show it, with `changing` held. Without a status, it follows from the open LLM requests.

        While the store cannot write, it waits, unless it shall not `insist`. Who is cancelled meanwhile is so only
        after the change: else the record would be behind what is stored.

        Raises Conflict when the status cannot follow, StoreUnavailable when it does not insist.
        """
        if "status" not in changes:
            is_awaiting = bool(changes["llm_requests"])
            changes["status"] = ExecutionStatus.awaiting_llm if is_awaiting else ExecutionStatus.running
        storing = asyncio.ensure_future(self._stored(changes, insist=insist))
        try:
            self.execution = await asyncio.shield(storing)
        except asyncio.CancelledError:
            self.execution = await storing
            raise
        finally:
            self._tell()

    async def _stored(self, changes: dict[str, Any], *, insist: bool) -> Execution:
        pause = FIRST_RETRY
        while True:
            try:
                return await self._store.transition(self.execution.id, self.execution.version, changes)
            except StoreUnavailable as error:
                if not insist:
                    raise
                if pause == FIRST_RETRY:
                    log.warning("execution %s: %s; asking again until it can be", self.execution.id, error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LAST_RETRY)

    def leave(self) -> None:
        """Let those go who wait: nothing will change as long as this server runs."""
        self._is_left = True
        self._tell()

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def until(self, holds: Callable[[Execution], bool]) -> None:
        """Wait until this holds, or nothing can change any more."""
        while not (self._is_left or holds(self.execution)):
            await self._changed.wait()
