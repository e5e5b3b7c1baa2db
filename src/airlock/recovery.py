"""What a durable store still has of the server before: the first thing that a server does."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from .events import tell
from .models import ExecutionStatus

if TYPE_CHECKING:
    from .executions import Execution
    from .store import Store

log = logging.getLogger(__name__)


async def recover(store: Store[Any]) -> list[Execution]:
    """End what ran or was paused when the last server ended, and return those that never started, oldest first.

    Nothing is run a second time: scripts have effects.
    """
    never_started = []
    for execution in await store.unfinished():
        if execution.status is ExecutionStatus.pending:
            never_started.append(execution)
        else:
            doing = "was paused" if execution.status is ExecutionStatus.awaiting_llm else "ran"
            await interrupt(store, execution, f"the server ended while it {doing}, and has been started again")
    return never_started


async def interrupt(store: Store[Any], execution: Execution, error: str) -> None:
    """End a stored execution that nobody carries on."""
    changes = {
        "status": ExecutionStatus.error,
        "error_type": "interrupted",
        "error": error,
        "llm_requests": (),
        "finished_at": time.time(),
    }
    await store.transition(execution.id, execution.version, changes)
    tell(log, "execution interrupted", execution_id=execution.id, project=execution.project, request_id=None)
