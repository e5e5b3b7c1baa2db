"""What a durable store still has of the server before: the first thing that a server does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airlock.models import ExecutionStatus

from .executions import announce

if TYPE_CHECKING:
    from airlock.executions import Execution
    from airlock.plugins import Plugins
    from airlock.stores import Store


async def recover(store: Store[Any], plugins: Plugins) -> list[Execution]:
    """End what ran or was paused when the last server ended, and return those that never started, oldest first.

    Nothing is run a second time: scripts have effects. Raises StoreUnavailable.
    """
    never_started = []
    for execution in await store.unfinished():
        if execution.status is ExecutionStatus.pending:
            never_started.append(execution)
        else:
            doing = "was paused" if execution.status is ExecutionStatus.awaiting_llm else "ran"
            await interrupt(store, plugins, execution, f"the server ended while it {doing}, and has been started again")
    return never_started


async def interrupt(store: Store[Any], plugins: Plugins, execution: Execution, error: str) -> None:
    """End a stored execution that nobody carries on. Raises StoreUnavailable."""
    changes = {
        "status": ExecutionStatus.error,
        "error_type": "interrupted",
        "error": error,
        "llm_requests": (),
        "finished_at": time.time(),
    }
    announce(await store.transition(execution.id, execution.version, changes), plugins)
