"""The only orchestrator: does what the REST API and the command line ask for, with projects, runs and the store."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from airlock.errors import (
    ExecutionNotFound,
    NotAwaitingLLM,
    ProjectDown,
    ProjectNotFound,
    QueueFull,
    ShuttingDown,
    StoreUnavailable,
)
from airlock.executions import Execution
from airlock.logs import log_event
from airlock.models import ExecutionStatus
from airlock.running import Patience, StoredExecution, not_given_before
from airlock.stores import MemoryStore

from .executions import LiveExecutions
from .projects import ProjectRegistry
from .quotas import Quotas
from .recovery import interrupt, recover
from .submission import check_memory_keys, check_same, digest_of, timeout_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from airlock.config import Config
    from airlock.executions import Answer, Listing, Summary
    from airlock.models import ExecutionRequest, PoolStatus
    from airlock.plugins import Followed, Plugins
    from airlock.stores import Store

    from .project import LiveProject

log = logging.getLogger(__name__)


class Gateway:
    """Runs scripts for clients. Creating it does no I/O; `start` brings up the pools, `close` ends everything."""

    def __init__(
        self, config: Config, plugins: Plugins, store: Store[Any] | None = None, patience: Patience | None = None
    ) -> None:
        self.config = config
        self.plugins = plugins
        self._store = store or MemoryStore()
        self._patience = patience or Patience()
        self.projects = ProjectRegistry(config, plugins, self._store, self._patience)
        self._quotas = Quotas(config.server.keys)
        self._live = LiveExecutions(
            self.projects, self._quotas, plugins, self._patience, stays_pending=self._store.is_durable
        )
        self._stored: WeakValueDictionary[str, StoredExecution] = WeakValueDictionary()  # those that streams read from
        self._sweeping: asyncio.Task[None] | None = None

    # --- life of the server --------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Recover what the store has, and start to bring up every listed project that has replicas.

        Does not wait for projects: one that fails does not affect the others. Raises StoreUnavailable.
        """
        waiting = await recover(self._store, self.plugins)
        self.projects.start()
        for execution in waiting:
            await self._begin_again(execution)
        if self._store.is_durable:
            log_event("store opened", f"executions queued again: {len(waiting)}", waiting=len(waiting))
        self._sweeping = asyncio.create_task(self._sweep())

    async def _begin_again(self, execution: Execution) -> None:
        """Queue an execution that the previous server accepted but never started."""
        try:
            project = await self.projects.get(execution.project)
        except ProjectNotFound as error:
            await interrupt(self._store, self.plugins, execution, str(error))
            return
        self._quotas.hold(execution.client)
        live = self._live.launch(project, execution)
        try:
            project.check_accepts()
        except ProjectDown as error:
            live.end(ExecutionStatus.error, "project_down", str(error))
        except QueueFull:
            pass  # it has its place in the queue already

    async def _sweep(self) -> None:
        while True:
            try:
                await self._store.sweep()
            except StoreUnavailable as error:
                log.warning("old executions cannot be forgotten: %s", error)
            except Exception:  # the boundary to a plugin
                log.exception("old executions cannot be forgotten")
            await asyncio.sleep(self._patience.sweep)

    async def drain(self) -> None:
        """Accept no more executions, and end the existing ones. See `LiveExecutions.drain`."""
        for project in self.projects:
            project.drain()
        await self._live.drain()

    def hurry(self) -> None:
        """End `drain` now, whatever still runs."""
        self._live.hurry()

    def check_open(self) -> None:
        """Raise ShuttingDown while the server drains."""
        if self._live.is_draining:
            raise ShuttingDown("the server no longer accepts executions or scales projects")

    async def close(self) -> None:
        """End every remaining execution as `interrupted`, then every pool."""
        self.hurry()
        if self._sweeping is not None:
            self._sweeping.cancel()
        await self._live.interrupt()
        await self.projects.close()
        await self._store.close()

    # --- executions ----------------------------------------------------------------------------------------------

    async def submit(
        self, request: ExecutionRequest, client: str | None = None, idempotency_key: str | None = None
    ) -> Execution:
        """Accept a script of this client; returns its pending record.

        If the client sent the same request with the same key before, returns the execution that it created then.

        Raises InvalidRequest, ProjectNotFound, ProjectDown, QueueFull, QuotaExceeded, IdempotencyKeyReused,
        StoreUnavailable or ShuttingDown when it is not accepted.
        """
        digest = digest_of(request) if idempotency_key else ""
        if idempotency_key and (known := await self._store.find(client, idempotency_key)) is not None:
            return check_same(known, digest)
        self.check_open()
        project = await self.projects.get(request.project)
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
        project.expected += 1
        # What is stored is also started, even if the client is gone meanwhile.
        accepted = await asyncio.shield(asyncio.ensure_future(self._accept(project, execution)))
        if accepted is not execution:  # the same request arrived twice at once
            return check_same(accepted, digest)
        live = self.projects.run(execution.id)
        if not project.backend.runs_code and live is not None:
            await _at_most(self._patience.soon, live.settled())
        return execution

    async def _accept(self, project: LiveProject, execution: Execution) -> Execution:
        try:
            accepted = await self._store.create(execution)
        except BaseException:
            self._quotas.release(execution.client)
            raise
        finally:
            project.expected -= 1
        if accepted is not execution:
            self._quotas.release(execution.client)
            return accepted
        client, name = execution.client, execution.project
        log_event("execution accepted", execution_id=execution.id, project=name, client=client)
        self._live.launch(project, execution)
        return execution

    async def page(self, listing: Listing) -> Sequence[Summary]:
        """Return some executions, newest first. See `Store.page`."""
        return await self._store.page(listing)

    async def get(self, execution_id: str) -> Execution:
        """Return an execution with its output so far.

        Raises ExecutionNotFound.
        """
        if (live := self.projects.run(execution_id)) is not None:
            return live.record.snapshot()
        execution = await self._store.get(execution_id)
        if execution is None:
            raise no_such_execution(execution_id)
        return execution

    async def wait(self, execution_id: str, seconds: float, since: int | None = None) -> Execution:
        """Return an execution once it has finished or awaits an answer; with `since`, once its version differs.

        Returns it as it is after `seconds`, or when the server shuts down. Raises ExecutionNotFound.
        """
        if (live := self.projects.run(execution_id)) is not None and seconds:
            await _at_most(seconds, live.record.until(lambda e: e.is_settled if since is None else e.version != since))
        return await self.get(execution_id)

    async def follow(self, execution_id: str) -> Followed:
        """Return an execution to read its output in pieces. Raises ExecutionNotFound."""
        followed: Followed | None = self.projects.run(execution_id) or self._stored.get(execution_id)
        if followed is None:
            followed = self._stored[execution_id] = StoredExecution(await self.get(execution_id))
        return followed

    async def respond(self, execution_id: str, *answers: Answer) -> Execution:
        """Answer LLM requests of an execution, all or none; returns the execution as it is then.

        Raises ExecutionNotFound, NotAwaitingLLM when a request is not open, AlreadyAnswered when it has another answer.
        """
        live = self.projects.run(execution_id)
        if live is None:
            execution = await self.get(execution_id)
            if not_given_before(execution, answers):  # else it raises, or all were given before
                raise NotAwaitingLLM("the execution is not running on this server, so nothing awaits the answer")
            return execution
        await live.answer(*answers)
        if not live.runs_code:
            await _at_most(self._patience.soon, live.settled())
        return live.record.snapshot()

    async def cancel(self, execution_id: str) -> Execution:
        """End an execution, whatever it does; returns it once it has ended. A finished one stays as it is.

        Raises ExecutionNotFound, and StoreUnavailable when its end cannot be stored for now; that is retried.
        """
        if (live := self.projects.run(execution_id)) is not None:
            live.end(ExecutionStatus.error, "cancelled", "a client cancelled the execution")
            record = live.record
            await _at_most(
                self._patience.cancel, record.until(lambda e: e.status.is_terminal or record.trouble is not None)
            )
            record.check_stored()
        execution = await self.get(execution_id)
        if execution.status is ExecutionStatus.pending and self._live.is_draining:
            raise ShuttingDown("the execution is kept for the server's next start; cancel it then")
        if live is not None and not execution.status.is_terminal:
            raise StoreUnavailable("the execution is ending, but the store has not written that yet; poll it")
        return execution

    # --- projects ------------------------------------------------------------------------------------------------

    async def up(self, name: str, replicas: int) -> PoolStatus:
        """Scale a project. See `LiveProject.up`; raises ProjectNotFound and ShuttingDown too."""
        self.check_open()
        return await (await self.projects.get(name)).up(replicas)

    async def down(self, name: str) -> PoolStatus:
        """Take a project down. See `LiveProject.down`; raises ProjectNotFound and ShuttingDown too."""
        self.check_open()
        return await (await self.projects.get(name)).down()


def no_such_execution(execution_id: str) -> ExecutionNotFound:
    """Make the error that is the same whether the execution is unknown, forgotten, or another client's."""
    return ExecutionNotFound(f"no execution has the id {execution_id[:100]!r}, or it has been forgotten")


async def _at_most(seconds: float, waiting: Awaitable[None]) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await waiting
