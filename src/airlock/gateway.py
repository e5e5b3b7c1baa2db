"""The only orchestrator: what the REST API and the command line ask for, done with projects, sessions and the store."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from typing import TYPE_CHECKING, Any, Final

from .errors import ExecutionNotFound, ProjectDown, ProjectNotFound, QueueFull, ShuttingDown, StoreUnavailable
from .events import tell
from .executions import Execution
from .memory_store import MemoryStore
from .models import ExecutionStatus
from .projects import LiveProject
from .questions import news
from .quotas import Quotas
from .recovery import interrupt, recover
from .submission import check_memory_keys, check_same, digest_of, timeout_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from .config import Config
    from .executions import Position, Summary
    from .models import ExecutionRequest, PoolStatus, ProjectInfo
    from .plugins import Plugins
    from .questions import Answer
    from .session import LiveExecution
    from .store import Store

log = logging.getLogger(__name__)

MAX_UNLISTED: Final = 256  # projects of `default_backend` that are remembered: their names come from clients
ENDING_PATIENCE: Final = 5.0  # seconds that ended executions get to be gone, at shutdown
DRAIN_STEP: Final = 0.05  # seconds between looks at what still runs
CLOSING_PATIENCE: Final = 10.0  # seconds that backends get to give everything back, at shutdown
# Seconds that a backend without code gets: so the next poll is deterministic, also where each request has its own loop.
SOON: Final = 0.5
SWEEP_PERIOD: Final = 60.0  # seconds
CANCEL_PATIENCE: Final = 30.0  # seconds; longer than a backend may take to kill


class Gateway:
    """Runs scripts for clients. Made without I/O; `start` brings the pools up, `close` ends everything."""

    def __init__(self, config: Config, plugins: Plugins, store: Store[Any] | None = None) -> None:
        self.config = config
        self.plugins = plugins
        self._store = store or MemoryStore()
        self._listed = {name: LiveProject(project, self._store, plugins) for name, project in config.projects.items()}
        self._quotas = Quotas(config.server.keys)
        self._unlisted: dict[str, LiveProject] = {}
        self._live: dict[str, LiveExecution] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._draining_since: float | None = None
        self._hurried = asyncio.Event()
        self._sweeping: asyncio.Task[None] | None = None

    # --- life of the server --------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Go on with what the store has, and begin to bring up every listed project that has replicas.

        Waits for no project: one that fails hurts no other. Raises StoreUnavailable.
        """
        waiting = await recover(self._store)
        for live in self._listed.values():
            live.start(live.config.replicas)
        for execution in waiting:
            await self._begin_again(execution)
        if self._store.is_durable:
            tell(
                log, "store opened", f"executions that wait for their turn again: {len(waiting)}", waiting=len(waiting)
            )
        self._sweeping = asyncio.create_task(self._sweep())

    async def _begin_again(self, execution: Execution) -> None:
        """Queue an execution that the server before this one accepted and never started."""
        try:
            project = await self._project(execution.project)
        except ProjectNotFound as error:
            await interrupt(self._store, execution, str(error))
            return
        self._quotas.hold(execution.client)
        self._launch(project, execution)
        try:
            project.check_accepts()
        except ProjectDown as error:
            self._live[execution.id].end(ExecutionStatus.error, "project_down", str(error))
        except QueueFull:
            pass  # it has its place already

    async def _sweep(self) -> None:
        while True:
            try:
                await self._store.sweep()
            except StoreUnavailable as error:
                log.warning("old executions cannot be forgotten: %s", error)
            await asyncio.sleep(SWEEP_PERIOD)

    async def drain(self) -> None:
        """Take no more executions, give the running ones their `limits.shutdown_grace`, then end the rest.

        Paused and pending ones do not hold it; a durable store keeps the pending ones, for the next start. The grace
        counts from the first call; `hurry` ends it.
        """
        if self._draining_since is None:
            self._draining_since = time.monotonic()
        if self._store.is_durable:
            for live in self._live.values():
                if live.execution.status is ExecutionStatus.pending:
                    live.leave()
        while self._has_running(time.monotonic() - self._draining_since):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurried.wait(), DRAIN_STEP)
        await self._interrupt()

    async def _interrupt(self) -> None:
        """End what is left, while those who wait for it can still be told."""
        for live in self._live.values():
            if self._store.is_durable:
                live.leave()
            else:
                live.end(ExecutionStatus.error, "interrupted", "the server was shut down")
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=ENDING_PATIENCE)

    def _has_running(self, elapsed: float) -> bool:
        return not self._hurried.is_set() and any(
            live.execution.status is ExecutionStatus.running and elapsed < project.project.limits.shutdown_grace
            for project in self._projects
            for live in project.executions
        )

    def check_open(self) -> None:
        """Raise ShuttingDown when the server drains."""
        if self._draining_since is not None:
            raise ShuttingDown("the server takes no new executions")

    def hurry(self) -> None:
        """Let `drain` end now, whatever still runs."""
        self._draining_since = self._draining_since or time.monotonic()
        self._hurried.set()

    async def close(self) -> None:
        """End every execution that is left as `interrupted`, then every pool."""
        self.hurry()
        if self._sweeping is not None:
            self._sweeping.cancel()
        await self._interrupt()
        if closing := {asyncio.ensure_future(project.close()): project.project.name for project in self._projects}:
            _, late = await asyncio.wait(closing, timeout=CLOSING_PATIENCE)
            for task in late:
                log.error("project %s could not be closed within %g s", closing[task], CLOSING_PATIENCE)
        await self._store.close()

    @property
    def _projects(self) -> list[LiveProject]:
        return [*self._listed.values(), *self._unlisted.values()]

    # --- executions ----------------------------------------------------------------------------------------------

    async def submit(
        self, request: ExecutionRequest, client: str | None = None, idempotency_key: str | None = None
    ) -> Execution:
        """Accept a script of this client; returns its record, which is pending.

        If the client sent the same request with the same key before, returns the execution of then.

        Raises InvalidRequest, ProjectNotFound, ProjectDown, QueueFull, QuotaExceeded, IdempotencyKeyReused,
        StoreUnavailable or ShuttingDown when it is not accepted.
        """
        digest = digest_of(request) if idempotency_key else ""
        if idempotency_key and (known := await self._store.find(client, idempotency_key)) is not None:
            return check_same(known, digest)
        self.check_open()
        project = await self._project(request.project)
        execution = Execution(
            id=str(uuid.uuid4()),
            project=request.project,
            client=client,
            code=request.code,
            timeout=timeout_of(request, project.project.limits.timeout),
            settings=request.settings,
            memory=request.memory,
            idempotency_key=idempotency_key,
            request_digest=digest,
        )
        if project.backend.runs_code:
            check_memory_keys(request)
        project.check_accepts()
        self._quotas.admit(client)
        # What is stored is begun, also when the client is gone meanwhile.
        accepted = await asyncio.shield(asyncio.ensure_future(self._accept(project, execution)))
        if accepted is not execution:  # the same request came twice at once
            return check_same(accepted, digest)
        live = self._live.get(execution.id)
        if not project.backend.runs_code and live is not None:
            await _at_most(SOON, live.settled())
        return execution

    async def _accept(self, project: LiveProject, execution: Execution) -> Execution:
        try:
            accepted = await self._store.create(execution)
        except BaseException:
            self._quotas.release(execution.client)
            raise
        if accepted is not execution:
            self._quotas.release(execution.client)
            return accepted
        client, name = execution.client, execution.project
        tell(log, "execution accepted", execution_id=execution.id, project=name, client=client)
        self._launch(project, execution)
        return execution

    def _launch(self, project: LiveProject, execution: Execution) -> None:
        live = project.launch(execution)
        self._live[execution.id] = live
        task = asyncio.get_running_loop().create_task(live.drive())
        self._tasks.add(task)  # the loop itself keeps only weak references
        task.add_done_callback(lambda done: self._over(done, live, project))

    async def page(
        self,
        project: str | None,
        status: ExecutionStatus | None,
        client: str | None,
        after: Position | None,
        limit: int,
    ) -> Sequence[Summary]:
        """Return some executions, newest first. See `Store.page`."""
        return await self._store.page(project=project, status=status, client=client, after=after, limit=limit)

    async def get(self, execution_id: str) -> Execution:
        """Return an execution, with its output up to now.

        Raises ExecutionNotFound.
        """
        if (live := self._live.get(execution_id)) is not None:
            return live.snapshot()
        execution = await self._store.get(execution_id)
        if execution is None:
            raise no_such_execution(execution_id)
        return execution

    async def wait(self, execution_id: str, seconds: float, since: int | None = None) -> Execution:
        """Return an execution once it is over or awaits an answer; with `since`, once its version differs.

        Returns it as it is after `seconds` at the latest, or when the server shuts down. Raises ExecutionNotFound.
        """
        if (live := self._live.get(execution_id)) is not None and seconds:
            await _at_most(seconds, live.record.until(lambda e: e.is_settled if since is None else e.version != since))
        return await self.get(execution_id)

    async def respond(self, execution_id: str, *answers: Answer) -> Execution:
        """Answer LLM requests of an execution, all or none; returns the execution as it is then.

        Raises ExecutionNotFound, NotAwaitingLLM when a request is not open, AlreadyAnswered when it got another answer.
        """
        live = self._live.get(execution_id)
        if live is None:
            execution = await self.get(execution_id)
            news(execution, answers)  # raises, unless all were given before
            return execution
        await live.answer(*answers)
        if not live.runs_code:
            await _at_most(SOON, live.settled())
        return live.snapshot()

    async def cancel(self, execution_id: str) -> Execution:
        """End an execution, whatever it does; returns it once that is done, or as it was if it was over.

        Raises ExecutionNotFound.
        """
        if (live := self._live.get(execution_id)) is not None:
            live.end(ExecutionStatus.error, "cancelled", "a client cancelled the execution")
            await _at_most(CANCEL_PATIENCE, live.record.until(lambda execution: execution.status.is_terminal))
        execution = await self.get(execution_id)
        if execution.status is ExecutionStatus.pending and self._draining_since is not None:
            raise ShuttingDown("it is kept for the next start of the server; cancel it then")
        return execution

    def _over(self, task: asyncio.Task[None], live: LiveExecution, project: LiveProject) -> None:
        self._tasks.discard(task)
        self._live.pop(live.execution.id, None)
        project.forget(live)
        self._quotas.release(live.execution.client)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("execution %s could not be finished", live.execution.id, exc_info=error)

    # --- projects ------------------------------------------------------------------------------------------------

    async def projects(self) -> list[ProjectInfo]:
        """Return what airlock.yaml lists."""
        return [(await self._ready(live)).info() for live in self._listed.values()]

    def look(self) -> list[ProjectInfo]:
        """Return what airlock.yaml lists, as it is, without bringing anything up."""
        return [live.info() for live in self._listed.values()]

    def unready(self) -> dict[str, str]:
        """Return the listed projects that shall be up and are not, and why."""
        return {name: reason for name, live in self._listed.items() if (reason := live.unready) is not None}

    async def up(self, name: str, replicas: int) -> PoolStatus:
        """Scale a project. See `LiveProject.up`; raises ProjectNotFound too."""
        return await (await self._project(name)).up(replicas)

    async def down(self, name: str) -> PoolStatus:
        """Put a project down. See `LiveProject.down`; raises ProjectNotFound too."""
        return await (await self._project(name)).down()

    async def _project(self, name: str) -> LiveProject:
        live = self._listed.get(name) or self._unlisted.get(name)
        if live is None:
            config = self.config.project(name)
            if config is None:
                known = ", ".join(sorted(self._listed)) or "none"
                raise ProjectNotFound(f"no project {name!r}; listed in airlock.yaml: {known}")
            live = self._unlisted[name] = LiveProject(config, self._store, self.plugins)
            self._forget_unlisted()
        return await self._ready(live)

    async def _ready(self, live: LiveProject) -> LiveProject:
        """Bring a project that runs no code up on first use: it needs no server, only an event loop."""
        if not live.backend.runs_code and live.is_untouched:
            await live.up(live.config.replicas)
        return live

    def _forget_unlisted(self) -> None:
        idle = [name for name, live in self._unlisted.items() if live.is_idle]
        for name in idle[: max(0, len(self._unlisted) - MAX_UNLISTED)]:
            del self._unlisted[name]


def no_such_execution(execution_id: str) -> ExecutionNotFound:
    """Make the error that is the same whether the execution is unknown, forgotten, or another client's."""
    return ExecutionNotFound(f"no execution has the id {execution_id[:100]!r}, or it was forgotten since")


async def _at_most(seconds: float, news: Awaitable[None]) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await news
