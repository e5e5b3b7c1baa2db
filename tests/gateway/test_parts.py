"""Backends and mediators that cannot be created."""

from dataclasses import replace
from typing import Any

import pytest
from tests.gateway.obedient import (
    TERMINAL,
    Gateways,
    ObedientBackend,
    begun,
    gateway_status,
    gateway_with,
    submit,
    until,
    until_status,
)

from airlock import BackendSettings, Project
from airlock.config.config import Config
from airlock.errors import (
    ProjectDown,
)
from airlock.gateway.gateway import Gateway
from airlock.llm.agent import AgentMediator
from airlock.llm.mediator import MediatorSettings
from airlock.models import ExecutionRequest
from airlock.plugins.manager import Plugins

pytestmark = pytest.mark.anyio


class ForgetsSuper(ObedientBackend):
    def __init__(self, project: Project, settings: BackendSettings) -> None:
        pass


class FailsToBeMade(ObedientBackend):
    def __init__(self, project: Project, settings: BackendSettings) -> None:
        raise SystemExit(3)


class ForgetsSuperToo(AgentMediator):
    def __init__(self, project: Project, settings: MediatorSettings) -> None:
        pass


class FailsToBeMadeToo(AgentMediator):
    def __init__(self, project: Project, settings: MediatorSettings) -> None:
        raise SystemExit(3)


@pytest.mark.parametrize(
    ("classes", "told"),
    [
        (
            {"backend": ForgetsSuper},
            "'obedient' could not be made (TypeError: ForgetsSuper.__init__ does not call super",
        ),
        ({"backend": FailsToBeMade}, "The backend 'obedient' could not be made (SystemExit: 3)."),
        ({"mediator": ForgetsSuperToo}, "could not be made (TypeError: ForgetsSuperToo.__init__ does not call super"),
        ({"mediator": FailsToBeMadeToo}, "The mediator 'agent' could not be made (SystemExit: 3)."),
    ],
)
async def test_a_part_that_cannot_be_made_costs_its_project_only(
    gateways: Gateways, classes: dict[str, Any], told: str, caplog: pytest.LogCaptureFixture
) -> None:
    sound = gateway_with().config.projects["p"]
    projects = {"p": replace(sound, **classes), "sound": replace(sound, project=replace(sound.project, name="sound"))}
    gateway = await begun(gateways, Gateway(Config(projects=projects), Plugins()))
    assert told in (gateway_status(gateway) or "")
    with pytest.raises(ProjectDown, match="could not be made"):
        await submit(gateway, "x")
    await until(lambda: gateway.projects._listed["sound"].info().status == "up")
    ran = await gateway.submit(ExecutionRequest(project="sound", code="x"))
    assert (await until_status(gateway, ran.id, *TERMINAL)).status.value == "completed"
    assert any(record.exc_info for record in caplog.records), "the log has the traceback"
