"""Stands in for the gateway and a project of a run, with small backends on a real store."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from airlock import Backend, BackendSettings, Job, LLMRequest, Mediator, Outcome, Pool, Project, Run
from airlock.backends.limits import Limits
from airlock.executions import Execution
from airlock.llm.agent import AgentMediator
from airlock.llm.mediator import MediatorSettings
from airlock.models import ExecutionStatus
from airlock.plugins.manager import Plugins
from airlock.running.patience import Patience
from airlock.running.run import LiveRun, Surroundings
from airlock.running.slots import Slots
from airlock.stores.memory import MemoryStore
from airlock.stores.store import Store

Script = Callable[[Run], Awaitable[Outcome]]
Complete = Callable[[LLMRequest, Callable[[LLMRequest], Awaitable[str]]], Awaitable[str]]


class FunctionBackend(Backend[BackendSettings]):
    """Runs Python functions instead of code; a job's code is a function's name."""

    type = "function"

    def __init__(self, project: Project) -> None:
        super().__init__(project, BackendSettings())
        self.scripts: dict[str, Script] = {}

    async def scale(self, replicas: int) -> None:
        del replicas

    def pool(self) -> Pool:
        return Pool(replicas=1, idle=1)

    async def execute(self, job: Job, run: Run) -> Outcome:
        return await self.scripts[job.code](run)


class FunctionMediator(Mediator[MediatorSettings]):
    type = "function"

    def __init__(self, project: Project, function: Complete) -> None:
        super().__init__(project, MediatorSettings())
        self._function = function

    async def complete(self, request: LLMRequest, ask_agent: Callable[[LLMRequest], Awaitable[str]]) -> str:
        return await self._function(request, ask_agent)


class Bench:
    """Stands in for the gateway and a project."""

    def __init__(
        self,
        replicas: int = 1,
        mediate: Complete | None = None,
        patience: Patience | None = None,
        store: Store[Any] | None = None,
        **limits: Any,
    ) -> None:
        project = Project(name="p", limits=Limits(**limits))
        self.backend = FunctionBackend(project)
        self.mediator = FunctionMediator(project, mediate) if mediate else AgentMediator(project, MediatorSettings())
        self.slots = Slots(replicas)
        self.store = store or MemoryStore()
        self.surroundings = Surroundings(
            backend=self.backend,
            mediator=self.mediator,
            slots=self.slots,
            store=self.store,
            plugins=Plugins(),
            may_pause=lambda: sum(live.is_paused for live in self.lives) < project.limits.max_paused,
            patience=patience or Patience(kill=0.5, store_first_retry=0.01),
        )
        self.lives: list[LiveRun] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def launch(self, script: Script, timeout: int = 60) -> LiveRun:
        number = str(len(self.lives))
        self.backend.scripts[number] = script
        execution = Execution(id=number, project="p", code=number, timeout=timeout)
        await self.store.create(execution)
        live = LiveRun(execution, self.surroundings)
        self.lives.append(live)
        self.tasks.append(asyncio.create_task(live.drive()))
        return live

    async def run(self, script: Script, timeout: int = 60) -> Execution:
        return await self.end_of(await self.launch(script, timeout))

    async def end_of(self, live: LiveRun) -> Execution:
        """Wait for the end, and check that the store has what the live object shows."""
        await asyncio.wait_for(self.tasks[self.lives.index(live)], 20)
        stored = await self.store.get(live.execution.id)
        assert stored == live.execution == live.record.snapshot()
        assert stored.status.is_terminal
        return stored

    async def close(self) -> None:
        for live in self.lives:
            live.end(ExecutionStatus.error, "interrupted", "the test is over")
        await asyncio.gather(*self.tasks)


Benches = Callable[..., Bench]


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


def status_is(live: LiveRun, status: str) -> Callable[[], bool]:
    return lambda: live.execution.status.value == status


async def endless(run: Run) -> Outcome:
    await run.started()
    await asyncio.sleep(3600)
    return Outcome()


async def quick(run: Run) -> Outcome:
    await run.started()
    return Outcome(result="quick")


async def asks(run: Run) -> Outcome:
    await run.started()
    return Outcome(result=await run.complete(LLMRequest(prompt="?")))
