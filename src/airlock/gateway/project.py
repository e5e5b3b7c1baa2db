"""One project while the server runs: its backend, its pool's state, and the executions in it."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, Final, Literal

from airlock.backends import Pool
from airlock.backoff import Retry
from airlock.errors import BackendUnavailable, InvalidRequest, ProjectDown, QueueFull, ScaleFailed
from airlock.logs import log_event
from airlock.models import ExecutionStatus, PoolStatus, ProjectInfo
from airlock.plugins import PoolChanged, notify_observers
from airlock.running import LiveRun, Slots, Surroundings
from airlock.secrets import Redactor
from airlock.units import format_size

from .parts import make_parts

if TYPE_CHECKING:
    from airlock.config import ProjectConfig
    from airlock.executions import Execution
    from airlock.plugins import Plugins
    from airlock.running import Patience
    from airlock.stores import Store

log = logging.getLogger("airlock.projects")  # the logger of project events: `airlock run` filters by it

MAX_WEIGHT: Final = 256 << 20  # bytes of code, settings and memory of a project's unfinished executions


class LiveProject:
    """A project's pool and queue. It comes up and goes down by itself; the server's start does not wait for it."""

    def __init__(self, config: ProjectConfig, store: Store[Any], plugins: Plugins, patience: Patience) -> None:
        self.config = config
        self.project = config.project
        self.backend, self._mediator = make_parts(config)
        self.runs: dict[str, LiveRun] = {}  # unfinished ones, by the id of the execution
        self.expected = 0  # accepted executions that are still being stored
        self.held = 0  # callers that are about to use it
        self._plugins = plugins
        self._patience = patience
        self._slots = Slots(0)
        self._surroundings = Surroundings(
            backend=self.backend,
            mediator=self._mediator,
            slots=self._slots,
            store=store,
            plugins=plugins,
            may_pause=lambda: self.paused < self.project.limits.max_paused,
            settings=config.settings,
            secrets=config.secrets,
            redactor=Redactor(secret.get_secret_value() for secret in config.secrets.values()),
            patience=patience,
        )
        self._state: Literal["new", "starting", "up", "down", "failed"] = "new"
        self._detail: str | None = "server not started"
        self._scaling = asyncio.Lock()
        self._wanted = 0
        self._tasks: set[asyncio.Task[str | None]] = set()
        self._ending: asyncio.TimerHandle | None = None  # of the grace that `down` gives
        self._is_draining = False
        self._retry = Retry(self._spawn_scaling, first=patience.scale_first_retry, most=patience.scale_last_retry)

    # --- pool ----------------------------------------------------------------------------------------------------

    async def up(self, replicas: int) -> PoolStatus:
        """Keep `replicas` workers. Returns when they are ready, or after 30 s with the current state, and goes on.

        Raises InvalidRequest above `limits.max_replicas`, ScaleFailed with the remedy when the backend fails.
        """
        most = self.project.limits.max_replicas
        if replicas > most:
            raise InvalidRequest(("body", "replicas"), f"at most {most} (limits.max_replicas of {self.project.name})")
        scaling = self.start(replicas)
        await asyncio.wait({scaling}, timeout=self._patience.scale)
        if scaling.done() and (detail := scaling.result()) is not None:
            raise ScaleFailed(detail)
        return self.pool_status()

    def start(self, replicas: int) -> asyncio.Task[str | None]:
        """Start to scale, and return the task that does so; its result says why that failed, or is None."""
        self._wanted = replicas
        self._retry.cancel()
        self._retry.succeeded()  # the caller may have fixed what failed
        self._end_no_rest()
        if not replicas:
            self._state, self._detail = "down", "replicas is 0 in airlock.yaml"
        elif self._state != "up":
            self._state, self._detail = "starting", "starting"
        return self._spawn_scaling()

    async def down(self) -> PoolStatus:
        """Take the project down: what is queued ends now, the rest after `limits.shutdown_grace`. An `up` spares it."""
        self._wanted = 0
        self._retry.cancel()
        self._state, self._detail = "down", "taken down"
        log_event("project down", f"project {self.project.name} was taken down", project=self.project.name)
        self._end_runs("was taken down", ExecutionStatus.pending)
        if self._ending is None:  # a second `down` does not make the grace longer
            self._ending = asyncio.get_running_loop().call_later(self.project.limits.shutdown_grace, self._end_rest)
        await asyncio.wait({self._spawn_scaling()}, timeout=self._patience.scale)
        return self.pool_status()

    def _end_no_rest(self) -> None:
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None

    def _end_rest(self) -> None:
        self._ending = None
        self._end_runs("was taken down", *ExecutionStatus)  # while down it accepts none, so all are older

    def _end_runs(self, why: str, *statuses: ExecutionStatus) -> None:
        for run in list(self.runs.values()):
            if run.execution.status in statuses:
                run.end(ExecutionStatus.error, "project_down", f"project {self.project.name} {why}")

    def _spawn_scaling(self) -> asyncio.Task[str | None]:
        task = asyncio.get_running_loop().create_task(self._scale())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _scale(self) -> str | None:
        detail = None
        async with self._scaling:
            replicas = self._wanted
            began = time.monotonic()
            try:
                await self.backend.scale(replicas)
            except BackendUnavailable as error:
                detail = str(error)
            except (Exception, SystemExit):  # the boundary to a plugin: the project is down, the others serve
                log.exception("project %s: backend %r failed to scale", self.project.name, self.backend.type)
                detail = "the backend failed to scale; the server's log says why"
            if detail is not None:
                self._fail(detail)
            else:
                if replicas:  # at 0, running executions and those back from a pause may still finish
                    self._slots.resize(replicas)
                if replicas and self._wanted:
                    self._tell_up(replicas)
                    self._state, self._detail = "up", None
                    self._retry.succeeded()
        changed = PoolChanged(project=self.project.name, pool=self._pool(), seconds=time.monotonic() - began)
        notify_observers(self._plugins, changed)
        return detail

    def _tell_up(self, replicas: int) -> None:
        backend, isolation = self.backend.type, self.backend.isolation
        again = " again" if self._state == "failed" else ""
        log_event(
            "project up",
            f"project {self.project.name} is up{again}: replicas {replicas}, backend {backend}, isolation: {isolation}",
            project=self.project.name,
            replicas=replicas,
            backend=backend,
            isolation=isolation,
        )

    def _tell_failure(self, text: str, detail: str) -> None:
        name = self.project.name
        log_event("project failed", f"project {name} {text}", level=logging.ERROR, project=name, detail=detail)

    def _fail(self, detail: str) -> None:
        still = self._pool().replicas
        if self._state == "up" and still:
            self._tell_failure(f"stays at {still} replicas: {detail}", detail)
            self._wanted = still
        elif self._wanted:
            self._state, self._detail = "failed", detail
            self._tell_failure(f"is down: {detail} (tried again in {self._retry.failed():g} s)", detail)
            self._end_runs(f"is down: {detail}", ExecutionStatus.pending)

    @property
    def is_untouched(self) -> bool:
        """Whether no workers have been asked for yet."""
        return self._state == "new"

    @property
    def unready(self) -> str | None:
        """Why it is not up although it should be; None when it is up, was taken down, or comes up on first use."""
        if self._state in ("up", "down") or (self.is_untouched and not self.backend.runs_code):
            return None
        return (self._pool().detail if self._state == "starting" else None) or self._detail

    # --- executions ----------------------------------------------------------------------------------------------

    def check_accepts(self) -> None:
        """Raise ProjectDown or QueueFull when the project cannot accept an execution."""
        if self._state not in ("starting", "up"):
            remedy = f"; POST /projects/{self.project.name}/up brings it up" if self._state == "down" else ""
            raise ProjectDown(f"project {self.project.name} is down: {self._detail}{remedy}")
        limit = self.project.limits.queue
        waiting = sum(run.waits_for_slot for run in self.runs.values())
        if waiting + self.expected >= limit + max(0, self._slots.free):
            raise QueueFull(f"{limit} executions of project {self.project.name} are waiting (limits.queue)")
        if sum(run.record.weight for run in self.runs.values()) >= MAX_WEIGHT:
            most = format_size(MAX_WEIGHT)
            raise QueueFull(f"the unfinished executions of project {self.project.name} together hold {most}")

    def launch(self, execution: Execution) -> LiveRun:
        """Queue a stored execution. The caller drives the run, and removes it from `runs` when it has finished."""
        run = self.runs[execution.id] = LiveRun(execution, self._surroundings)
        return run

    @property
    def paused(self) -> int:
        """How many executions wait for an LLM answer and hold no slot."""
        return sum(run.is_paused for run in self.runs.values())

    def _count(self, *statuses: ExecutionStatus) -> int:
        return sum(run.execution.status in statuses for run in self.runs.values())

    def _pool(self) -> Pool:
        """Ask the backend for its pool, even a faulty one."""
        try:
            pool: object = self.backend.pool()  # whatever the annotations say
        except (Exception, SystemExit):  # the boundary to a plugin
            log.exception("project %s: pool() of backend %r failed", self.project.name, self.backend.type)
        else:
            if isinstance(pool, Pool):
                return pool
            kind = type(pool).__name__
            log.error("project %s: pool() of backend %r returned %s", self.project.name, self.backend.type, kind)
        return Pool(replicas=0, idle=0, detail="pool() of the backend failed; the server's log says why")

    # --- looks ---------------------------------------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """Whether it could be dropped and made again unnoticed."""
        return not (self.runs or self.expected or self.held or self._tasks)

    def pool_status(self) -> PoolStatus:
        """Return what `up` and `down` respond with."""
        is_up = self._state == "up"
        return PoolStatus(
            name=self.project.name,
            status="up" if is_up else "down",
            replicas=self._pool().replicas if is_up else 0,
            detail=self._detail if self._state == "starting" else None,
        )

    def info(self) -> ProjectInfo:
        """Return what `GET /projects` shows."""
        pool = self._pool()
        status = self.pool_status()
        return ProjectInfo(
            name=self.project.name,
            description=self.project.description,
            status=status.status,
            replicas=status.replicas,
            idle_workers=pool.idle if status.status == "up" else 0,
            packages=list(self.project.packages),
            backend=self.backend.type,
            detail=self._shown_detail(pool),
            isolation=self.backend.isolation,
            cpus=self.project.limits.cpus,
            queued=self._count(ExecutionStatus.pending),
            running=self._count(ExecutionStatus.running),
            paused=self._count(ExecutionStatus.awaiting_llm),
        )

    def _shown_detail(self, pool: Pool) -> str | None:
        if self._is_draining:
            return "the server is shutting down: running executions may finish, new ones are not accepted"
        return (pool.detail or self._detail) if self._state == "starting" else (self._detail or pool.detail)

    def drain(self) -> None:
        """Note that the server is shutting down."""
        self._is_draining = True

    async def close(self) -> None:
        """End the pool. Core has ended all executions before."""
        self._wanted = 0
        self._retry.cancel()
        self._end_no_rest()
        self._state, self._detail = "down", "shut down"
        for scaling in self._tasks:  # installing packages takes minutes: do not wait for that
            scaling.cancel()
        await self._spawn_scaling()
        for part in (self.backend, self._mediator):
            try:
                await part.close()
            except (Exception, SystemExit):  # the boundary to a plugin: the others are closed all the same
                log.exception("project %s: %r could not be closed", self.project.name, part.type)
