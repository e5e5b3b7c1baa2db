"""A backend that does what the code says, and gateways with one project that uses it."""

import asyncio
from dataclasses import replace
from types import MappingProxyType
from typing import Any, ClassVar

from airlock import Backend, BackendSettings, BackendUnavailable, Job, Limits, Outcome, Pool, Project, Run
from airlock.config.config import Config
from airlock.config.projects import ProjectConfig
from airlock.config.sections import ServerConfig
from airlock.executions import Execution
from airlock.gateway.gateway import Gateway
from airlock.llm.agent import AgentMediator
from airlock.llm.mediator import Mediator, MediatorSettings
from airlock.models import ExecutionRequest, LLMRequest
from airlock.plugins.manager import Plugins
from airlock.running.patience import Patience


class ObedientBackend(Backend[BackendSettings]):
    """Does what the code says: `sleep`, `ask`, `fail`, anything else completes."""

    type = "obedient"
    broken: ClassVar[str | None] = None
    replicas = 0
    running = 0
    most_running = 0

    async def scale(self, replicas: int) -> None:
        if replicas and self.broken:
            raise BackendUnavailable(self.broken, "Mend it.")
        self.replicas = replicas

    def pool(self) -> Pool:
        return Pool(replicas=self.replicas, idle=max(0, self.replicas - self.running))

    async def execute(self, job: Job, run: Run) -> Outcome:
        await run.started()
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            if job.code == "sleep":
                await asyncio.sleep(60)
            elif job.code == "nap":
                await asyncio.sleep(0.2)
            elif job.code == "ask":
                return Outcome(result=await run.complete(LLMRequest(prompt="?")))
            elif job.code == "fail":
                raise RuntimeError("the backend is broken")
            return Outcome(result=dict(job.settings))
        finally:
            self.running -= 1


class RunsNoCode(ObedientBackend):
    runs_code = False


def gateway_with(replicas: int = 1, patience: Patience | None = None, **limits: Any) -> Gateway:
    project = ProjectConfig(
        project=Project(name="p", limits=Limits(**limits)),
        replicas=replicas,
        settings={"REPORT": "of the project"},
        backend=ObedientBackend,
        backend_settings=BackendSettings(),
        mediator=AgentMediator,
        mediator_settings=MediatorSettings(),
    )
    config = Config(server=ServerConfig(), projects=MappingProxyType({"p": project}))
    return Gateway(config, Plugins(), patience=patience)


Gateways = list[Gateway]


async def started(gateways: Gateways, replicas: int = 1, patience: Patience | None = None, **limits: Any) -> Gateway:
    return await begun(gateways, gateway_with(replicas, patience, **limits))


async def begun(gateways: Gateways, gateway: Gateway) -> Gateway:
    """Start a gateway, and wait until its project is up, or down."""
    gateways.append(gateway)
    await gateway.start()
    await until(lambda: gateway_status(gateway) != "starting")
    return gateway


def gateway_status(gateway: Gateway) -> str | None:
    return gateway.projects._listed["p"].info().detail


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


async def submit(gateway: Gateway, code: str, **more: Any) -> str:
    return (await gateway.submit(ExecutionRequest(project="p", code=code, **more))).id


async def until_status(gateway: Gateway, execution_id: str, *statuses: str) -> Execution:
    async with asyncio.timeout(20):
        while (execution := await gateway.get(execution_id)).status.value not in statuses:
            await asyncio.sleep(0.005)
    return execution


TERMINAL = ("completed", "error", "timeout")


def gateway_of(backend: type[Backend[Any]], mediator: type[Mediator[Any]] = AgentMediator, **limits: Any) -> Gateway:
    project = gateway_with(**limits).config.projects["p"]
    return Gateway(Config(projects={"p": replace(project, backend=backend, mediator=mediator)}), Plugins())
