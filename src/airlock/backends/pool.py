"""Warm single-use workers, for every backend whose workers are slow to start."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Any, ClassVar, Final
from weakref import WeakSet

from airlock import interfaces
from airlock.backoff import Retry
from airlock.errors import BackendUnavailable, WorkerLost

from .backend import Backend, Job, Pool, Project, Run, S
from .outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Coroutine

log = logging.getLogger(__name__)

TRIES: Final = 3  # workers that may be lost before one runs the job
FIRST_BACKOFF: Final = 0.5  # seconds, doubled with each failure in a row
MAX_BACKOFF: Final = 30.0
ANSWER_TIME: Final = 0.002  # seconds that leave the CPU to whoever waits for the answer, perhaps on this machine


class Worker(ABC):
    """A sandbox that is ready for exactly one job."""

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Refuse a class whose methods the pool could not call: no hook returns it, so nothing else checks it."""
        super().__init_subclass__(**arguments)
        if wrong := "; ".join(interfaces.faults(cls)):
            raise TypeError(f"{wrong} (see docs/plugins.md, Warm workers)")

    @abstractmethod
    async def run(self, job: Job, run: Run) -> Outcome:
        """Run the job. Returns when nothing of the script runs any more, or is about to stop.

        When cancelled, kill what runs, pass the remaining output to `run.write`, and re-raise.

        Raises WorkerLost when the worker died without reporting an end.
        """

    @abstractmethod
    async def stop(self) -> None:
        """Kill what is left and release everything. Called once, after `run` or without it."""


class PooledBackend(Backend[S]):
    """A backend that keeps `replicas` idle workers and starts a replacement for each one that is taken.

    A plugin implements `start_worker`, and calls `lost` when an idle worker dies. To prepare something once for the
    whole pool, override `scale` and call `super().scale(replicas)` in it.
    """

    refill_delay: ClassVar[float] = ANSWER_TIME
    """Seconds before a used worker is replaced, while at least half of the others are ready. Starting one takes CPU
    from the answer: the more it takes, the longer it may wait."""

    _replicas = 0
    _detail: str | None = None
    note: str | None = None
    """What operators should know of the pool while its workers start."""

    def __init__(self, project: Project, settings: S) -> None:
        """Keep the configuration."""
        super().__init__(project, settings)
        self._idle: deque[Worker] = deque()
        self._dead: WeakSet[Worker] = WeakSet()  # lost before they were idle
        self._waiting: deque[asyncio.Future[Worker]] = deque()
        self._starting: set[asyncio.Task[None]] = set()
        self._stopping: set[asyncio.Task[None]] = set()
        self._retry = Retry(self._refill, first=FIRST_BACKOFF, most=MAX_BACKOFF)

    @abstractmethod
    async def start_worker(self) -> Worker:
        """Start one worker; returns when it is ready. Called concurrently.

        Raises BackendUnavailable, with the remedy, when that is not possible. The pool tries again with backoff.
        """

    def pool(self) -> Pool:
        """Return the state of the pool."""
        return Pool(replicas=self._replicas, idle=len(self._idle), detail=self._detail or self.note)

    async def scale(self, replicas: int) -> None:
        """Keep this many idle workers; returns when they are ready. If that fails, the pool stays as it was."""
        before, self._replicas = self._replicas, replicas
        self._retry.succeeded()
        while len(self._idle) > replicas:
            self._discard(self._idle.pop())
        if replicas == 0:
            self._retry.cancel()
            await _finish(self._starting, cancel=True)
            await _finish(self._stopping)
            return
        missing = replicas - len(self._idle) - self._count_starting()
        starts = [self._track(self._starting, self._start()) for _ in range(missing)]
        started = await asyncio.gather(*starts, return_exceptions=True)
        for error in started:
            if isinstance(error, BaseException):
                self._replicas = before
                if not before:
                    await PooledBackend.scale(self, 0)
                raise error

    async def execute(self, job: Job, run: Run) -> Outcome:
        """Run a job on an idle worker, which is used up by it."""
        tries = TRIES + len(self._idle)  # the idle ones may all have died of one cause
        for _ in range(tries):
            worker = await self._take()
            try:
                return await worker.run(job, run)
            except WorkerLost as lost:
                if run.has_started:
                    return Outcome(error=str(lost) or "the worker was lost", error_type="worker_lost")
                log.warning("project %s: a worker was lost before its job started: %s", self.project.name, lost)
            finally:
                self._spawn(self._stopping, self._retire(worker))
        return Outcome(error=f"{tries} workers in a row were lost before the script started", error_type="worker_lost")

    def lost(self, worker: Worker) -> None:
        """Report that an idle worker died: the pool replaces it."""
        if worker in self._idle:
            self._idle.remove(worker)
            self._discard(worker)
            self._refill()
        else:
            self._dead.add(worker)

    async def close(self) -> None:
        """Stop all workers."""
        await PooledBackend.scale(self, 0)

    async def _take(self) -> Worker:
        if self._idle:
            worker = self._idle.popleft()
        else:
            waiter: asyncio.Future[Worker] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            try:
                self._refill()
                return await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self._stand_by(waiter.result())
                raise
            finally:
                if waiter in self._waiting:
                    self._waiting.remove(waiter)
        if not self._idle:
            self._refill()
        return worker

    def _stand_by(self, worker: Worker) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(worker)
                return
        if len(self._idle) < self._replicas:
            self._idle.append(worker)
        else:
            self._discard(worker)

    def _refill(self) -> None:
        if self._replicas == 0 or self._retry.is_pending:
            return
        wanted = self._replicas + len(self._waiting) - len(self._idle) - self._count_starting()
        for _ in range(wanted):
            self._spawn(self._starting, self._start_in_background())

    def _count_starting(self) -> int:
        """Count the starts under way. One that has just ended stays in the set until the loop calls back."""
        return sum(not start.done() for start in self._starting)

    async def _start(self) -> None:
        worker: object = await self.start_worker()  # whatever the annotations say
        if not isinstance(worker, Worker):
            kind = type(worker).__name__
            raise TypeError(f"{type(self).__name__}.start_worker returned {kind}, which is not an airlock.Worker")
        if worker in self._dead:  # it died while it was handed over
            self._discard(worker)
            raise WorkerLost("the worker died right after it started")
        self._retry.succeeded()
        if self._detail is not None:
            log.info("project %s: workers start again", self.project.name)
        self._detail = None
        self._stand_by(worker)

    async def _start_in_background(self) -> None:
        begun = self._retry.outages
        try:
            await self._start()
        except Exception as error:  # the boundary to a plugin: jobs wait for this worker, so retry
            if not isinstance(error, (BackendUnavailable, WorkerLost, OSError)):
                log.exception("project %s: start_worker failed", self.project.name)
            if self._retry.is_pending:
                return
            # Failures at the same time count once, or a big pool would wait longer than a small one.
            self._detail = f"no worker could be started, trying again: {error}"
            log.warning("project %s: %s (in %g s)", self.project.name, self._detail, self._retry.failed(begun))

    async def _retire(self, worker: Worker) -> None:
        """Replace a worker and stop it; if enough others are ready, only after the result is delivered."""
        if 2 * len(self._idle) >= self._replicas:
            await asyncio.sleep(self.refill_delay)
        self._refill()
        await worker.stop()

    def _discard(self, worker: Worker) -> None:
        self._spawn(self._stopping, worker.stop())

    def _spawn(self, tasks: set[asyncio.Task[None]], work: Coroutine[None, None, None]) -> None:
        self._track(tasks, work).add_done_callback(self._report)

    def _track(self, tasks: set[asyncio.Task[None]], work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        tasks.add(task)  # the loop itself keeps only weak references
        task.add_done_callback(tasks.discard)
        return task

    def _report(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("project %s: a worker could not be started or stopped", self.project.name, exc_info=error)


async def _finish(tasks: set[asyncio.Task[None]], *, cancel: bool = False) -> None:
    for task in tasks if cancel else ():
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
