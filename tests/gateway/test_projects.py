"""All projects of a gateway: which are found, and which are stored."""

import asyncio
from dataclasses import replace

import pytest
from tests.gateway.obedient import Gateways, RunsNoCode, gateway_with, started, submit, until

from airlock.config.config import Config
from airlock.config.sections import ServerConfig
from airlock.errors import ProjectNotFound
from airlock.executions import Answer, Execution
from airlock.gateway import projects as projects_module
from airlock.gateway.gateway import Gateway
from airlock.models import ExecutionRequest
from airlock.plugins.manager import Plugins

pytestmark = pytest.mark.anyio


async def test_unknown_project_is_named_with_those_that_exist(gateways: Gateways) -> None:
    gateway = await started(gateways)
    with pytest.raises(ProjectNotFound, match=r"'q'.*: p"):
        await gateway.up("q", 1)


async def test_cores_of_an_execution_are_shown() -> None:
    listed = gateway_with().config.projects["p"]
    limits = listed.project.limits.model_copy(update={"cpus": 1.5})
    listed = replace(listed, project=replace(listed.project, limits=limits))
    gateway = Gateway(Config(projects={"p": listed}), Plugins())
    assert gateway.projects._listed["p"].info().cpus == 1.5


async def test_many_names_served_by_the_default_backend_are_not_all_remembered() -> None:
    gateway = gateway_with()
    unlisted = gateway.config.projects["p"]
    gateway = Gateway(Config(server=ServerConfig(), unlisted=unlisted), Plugins())
    for number in range(400):
        await gateway.up(f"p{number}", 1)
    assert len(gateway.projects._unlisted) == 256
    assert "p399" in gateway.projects._unlisted
    await gateway.close()


async def test_a_project_is_remembered_as_long_as_an_execution_of_it_is_being_stored(
    gateways: Gateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlisted = replace(gateway_with().config.projects["p"], backend=RunsNoCode)
    gateway = Gateway(Config(server=ServerConfig(), unlisted=unlisted), Plugins())
    gateways.append(gateway)
    create, may_store = gateway._store.create, asyncio.Event()

    async def slow(execution: Execution) -> Execution:
        await may_store.wait()
        return await create(execution)

    monkeypatch.setattr(gateway._store, "create", slow)
    submitting = asyncio.create_task(submit(gateway, "ask"))
    await until(lambda: any(project.expected for project in gateway.projects))
    for number in range(300):
        await gateway.projects.get(f"p{number}")
    may_store.set()
    execution = await submitting
    assert gateway.projects.run(execution) is not None
    assert (await gateway.cancel(execution)).error_type == "cancelled"
    await until(lambda: gateway.projects.run(execution) is None)


async def test_a_new_project_is_not_forgotten_at_once_when_all_others_are_busy(
    gateways: Gateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projects_module, "MAX_UNLISTED", 2)
    unlisted = replace(gateway_with().config.projects["p"], backend=RunsNoCode)
    gateway = Gateway(Config(server=ServerConfig(), unlisted=unlisted), Plugins())
    gateways.append(gateway)
    executions = [(await gateway.submit(ExecutionRequest(project=f"p{number}", code="ask"))).id for number in range(4)]
    for execution in executions:
        assert (await gateway.respond(execution, Answer("yes", 1))).status.value == "completed"
    await until(lambda: all(project.is_idle for project in gateway.projects))
    await gateway.projects.get("p4")
    assert len(gateway.projects._unlisted) == 2
