"""Recovery at startup: what a durable store still has from the last server."""

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
    """End what was running or paused when the last server ended; return what never started, oldest first.

    Nothing runs a second time, because scripts have side effects. Raises StoreUnavailable.
    """
    never_started = []
    for execution in await store.unfinished():
        if execution.status is ExecutionStatus.pending:
            never_started.append(execution)
        else:
            doing = "paused" if execution.status is ExecutionStatus.awaiting_llm else "running"
            error = f"the server ended while the execution was {doing}, and was restarted"
            await interrupt(store, plugins, execution, error)
    return never_started


async def interrupt(store: Store[Any], plugins: Plugins, execution: Execution, error: str) -> None:
    """End a stored execution that no server continues. Raises StoreUnavailable."""
    changes = {
        "status": ExecutionStatus.error,
        "error_type": "interrupted",
        "error": error,
        "llm_requests": (),
        "finished_at": time.time(),
    }
    announce(await store.transition(execution.id, execution.version, changes), plugins)
