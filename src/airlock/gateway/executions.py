"""The executions of a server that are not over, from their launch to their end, and the end of all at a shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Final

from airlock.backends import ANSWER_TIME
from airlock.errors import StoreUnavailable
from airlock.logs import event_logger
from airlock.models import ExecutionResult, ExecutionStatus
from airlock.plugins import ExecutionFinished, notify_observers

if TYPE_CHECKING:
    from airlock.executions import Execution
    from airlock.plugins import Plugins
    from airlock.running import LiveExecution

    from .project import LiveProject
    from .quotas import Quotas

log = logging.getLogger(__name__)

ENDING_PATIENCE: Final = 5.0  # seconds that ended executions get to be gone, at shutdown
DRAIN_STEP: Final = 0.05  # seconds between looks at what still runs


class LiveExecutions:
    """Finds executions by id as long as they are not over."""

    def __init__(self, quotas: Quotas, plugins: Plugins, *, stays_pending: bool) -> None:
        """`stays_pending`: those that never started are not ended at a shutdown, but kept for the next server."""
        self._quotas = quotas
        self._plugins = plugins
        self._stays_pending = stays_pending
        self._live: dict[str, LiveExecution] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._draining_since: float | None = None
        self._hurried = asyncio.Event()

    def get(self, execution_id: str) -> LiveExecution | None:
        """Return an execution, if it is not over."""
        return self._live.get(execution_id)

    def launch(self, project: LiveProject, execution: Execution) -> LiveExecution:
        """Begin a stored execution, for which its client's quota has room."""
        live = project.launch(execution)
        self._live[execution.id] = live
        task = asyncio.get_running_loop().create_task(self._drive(live, project))
        self._tasks.add(task)  # the loop itself keeps only weak references
        task.add_done_callback(lambda done: self._over(done, live))
        return live

    async def _drive(self, live: LiveExecution, project: LiveProject) -> None:
        try:
            await live.drive()
            await asyncio.sleep(0)  # who waits for its end finds it here
        finally:
            self._live.pop(live.execution.id, None)
            project.forget(live)
            self._quotas.release(live.execution.client)
        await asyncio.sleep(ANSWER_TIME)
        if live.execution.status.is_terminal:  # else it is left to the next server
            announce(live.execution, self._plugins)

    def _over(self, task: asyncio.Task[None], live: LiveExecution) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, StoreUnavailable):  # not before this server ends: `interrupt` has given up
            log.error(
                "execution %s: its end could not be stored before that of the server: %s", live.execution.id, error
            )
        else:
            log.error("execution %s could not be finished", live.execution.id, exc_info=error)

    # --- shutdown ------------------------------------------------------------------------------------------------

    @property
    def is_draining(self) -> bool:
        """Whether `drain` or `hurry` was called."""
        return self._draining_since is not None

    async def drain(self) -> None:
        """Give each running one the `limits.shutdown_grace` of its project, then end the rest.

        Paused and pending ones do not hold it. The grace counts from the first call; `hurry` ends it.
        """
        if self._draining_since is None:
            self._draining_since = time.monotonic()
        if self._stays_pending:
            for live in self._live.values():
                if live.execution.status is ExecutionStatus.pending:
                    live.leave()
        while self._give_grace(time.monotonic() - self._draining_since):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurried.wait(), DRAIN_STEP)
        await self.interrupt()

    def hurry(self) -> None:
        """Let `drain` end now, whatever still runs."""
        self._draining_since = self._draining_since or time.monotonic()
        self._hurried.set()

    async def interrupt(self) -> None:
        """End what is left, while those who wait for it can still be told."""
        left = [live for live in self._live.values() if not live.is_final]
        for live in left:
            self._end(live)
        if self._tasks:  # also those that are over, and not announced
            await asyncio.wait(self._tasks, timeout=ENDING_PATIENCE)
        late = [live for live in self._live.values() if not live.is_final]
        for live in late:
            live.record.leave()  # who waits for it is let go, and the store is asked once more
        if late:
            await asyncio.wait(self._tasks, timeout=ENDING_PATIENCE)

    def _give_grace(self, elapsed: float) -> bool:
        """End those whose grace is over after these seconds; returns whether it is not for others."""
        running = [live for live in self._live.values() if live.execution.status is ExecutionStatus.running]
        late = [live for live in running if elapsed >= live.limits.shutdown_grace]
        for live in late:
            self._end(live)
        return len(late) < len(running) and not self._hurried.is_set()

    def _end(self, live: LiveExecution) -> None:
        if self._stays_pending:
            live.leave()
        else:
            live.end(ExecutionStatus.error, "interrupted", "the server was shut down")


def announce(execution: Execution, plugins: Plugins) -> None:
    """Tell the log and the observers that an execution has finished, in the context of its `POST /execute`."""
    event_logger(execution.id)(
        "execution finished",
        project=execution.project,
        client=execution.client,
        status=execution.status.value,
        error_type=execution.error_type,
        run_ms=execution.run_ms,
    )
    result = ExecutionResult.model_validate(execution)
    notify_observers(plugins, ExecutionFinished(project=execution.project, result=result))
