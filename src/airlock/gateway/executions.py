"""The unfinished executions of a server, from launch to end, and their end at shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from itertools import chain
from typing import TYPE_CHECKING, Final

from airlock.backends import ANSWER_TIME
from airlock.errors import StoreUnavailable
from airlock.logs import event_logger
from airlock.models import ExecutionResult, ExecutionStatus
from airlock.plugins import ExecutionFinished, notify_observers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airlock.executions import Execution
    from airlock.plugins import Plugins
    from airlock.running import LiveRun, Patience

    from .project import LiveProject
    from .projects import ProjectRegistry
    from .quotas import Quotas

log = logging.getLogger(__name__)

DRAIN_STEP: Final = 0.05  # seconds between checks of what still runs


class LiveExecutions:
    """Drives the executions of all projects until they have finished."""

    def __init__(
        self, projects: ProjectRegistry, quotas: Quotas, plugins: Plugins, patience: Patience, *, stays_pending: bool
    ) -> None:
        """`stays_pending`: a shutdown does not end what never started, but keeps it for the next server."""
        self._projects = projects
        self._quotas = quotas
        self._plugins = plugins
        self._patience = patience
        self._stays_pending = stays_pending
        self._tasks: set[asyncio.Task[None]] = set()
        self._draining_since: float | None = None
        self._hurried = asyncio.Event()

    def launch(self, project: LiveProject, execution: Execution) -> LiveRun:
        """Start a stored execution that its client's quota admits."""
        run = project.launch(execution)
        task = asyncio.get_running_loop().create_task(self._drive(run, project))
        self._tasks.add(task)  # the loop itself keeps only weak references
        task.add_done_callback(lambda done: self._over(done, run))
        return run

    def _all(self) -> Iterator[LiveRun]:
        return chain.from_iterable([*project.runs.values()] for project in self._projects)

    async def _drive(self, run: LiveRun, project: LiveProject) -> None:
        try:
            await run.drive()
            await asyncio.sleep(0)  # whoever waits for its end still finds it here
        finally:
            del project.runs[run.execution.id]
            self._quotas.release(run.execution.client)
        await asyncio.sleep(ANSWER_TIME)
        if run.execution.status.is_terminal:  # otherwise it is left to the next server
            announce(run.execution, self._plugins)

    def _over(self, task: asyncio.Task[None], run: LiveRun) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, StoreUnavailable):  # only at shutdown, once `interrupt` has given up
            log.error("execution %s: its end could not be stored before the server ended: %s", run.execution.id, error)
        else:
            log.error("execution %s could not be finished", run.execution.id, exc_info=error)

    # --- shutdown ------------------------------------------------------------------------------------------------

    @property
    def is_draining(self) -> bool:
        """Whether `drain` or `hurry` was called."""
        return self._draining_since is not None

    async def drain(self) -> None:
        """Give running executions the `limits.shutdown_grace` of their project, then end the rest.

        It does not wait for paused and pending ones. The grace counts from the first call; `hurry` ends it.
        """
        if self._draining_since is None:
            self._draining_since = time.monotonic()
        if self._stays_pending:
            for run in self._all():
                if run.execution.status is ExecutionStatus.pending:
                    run.shut_down(stays_pending=True)
        while self._give_grace(time.monotonic() - self._draining_since):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurried.wait(), DRAIN_STEP)
        await self.interrupt()

    def hurry(self) -> None:
        """End `drain` now, whatever still runs."""
        self._draining_since = self._draining_since or time.monotonic()
        self._hurried.set()

    async def interrupt(self) -> None:
        """End what is left, while clients that wait for it can still get an answer."""
        left = [run for run in self._all() if not run.is_final]
        for run in left:
            run.shut_down(stays_pending=self._stays_pending)
        if self._tasks:  # including finished executions that are not announced yet
            await asyncio.wait(self._tasks, timeout=self._patience.ending)
        late = [run for run in self._all() if not run.is_final]
        for run in late:
            run.record.leave()  # releases whoever waits for it, and the store is tried once more
        if late:
            await asyncio.wait(self._tasks, timeout=self._patience.ending)

    def _give_grace(self, elapsed: float) -> bool:
        """End the executions whose grace has passed after `elapsed` seconds; returns whether others have some left."""
        running = [run for run in self._all() if run.execution.status is ExecutionStatus.running]
        late = [run for run in running if elapsed >= run.limits.shutdown_grace]
        for run in late:
            run.shut_down(stays_pending=self._stays_pending)
        return len(late) < len(running) and not self._hurried.is_set()


def announce(execution: Execution, plugins: Plugins) -> None:
    """Announce a finished execution in the log and to observers, in the context of its `POST /execute`."""
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
