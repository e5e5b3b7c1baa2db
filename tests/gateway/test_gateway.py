"""The gateway with small backends of its own: queue, up and down, failing backends, drain and close."""

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from types import MappingProxyType
from typing import Any, ClassVar

import pytest

from airlock import (
    Backend,
    BackendSettings,
    BackendUnavailable,
    ExecutionFinished,
    Job,
    Limits,
    LLMAnswered,
    LLMRequested,
    Outcome,
    Pool,
    PoolChanged,
    Project,
    Run,
)
from airlock.config.config import Config
from airlock.config.projects import ProjectConfig
from airlock.config.sections import ServerConfig
from airlock.errors import (
    AlreadyAnswered,
    ExecutionNotFound,
    InvalidRequest,
    NotAwaitingLLM,
    ProjectDown,
    ProjectNotFound,
    QueueFull,
    ScaleFailed,
    ShuttingDown,
)
from airlock.executions import Answer, Execution
from airlock.gateway import project as projects
from airlock.gateway.gateway import Gateway
from airlock.llm.agent import AgentMediator
from airlock.llm.mediator import Mediator, MediatorSettings
from airlock.models import ExecutionRequest, LLMRequest
from airlock.plugins.manager import Plugins
from airlock.running.run import LiveExecution

pytestmark = pytest.mark.anyio


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


def gateway_with(replicas: int = 1, **limits: Any) -> Gateway:
    project = ProjectConfig(
        project=Project(name="p", limits=Limits(**limits)),
        replicas=replicas,
        settings={"REPORT": "of the project"},
        backend=ObedientBackend,
        backend_settings=BackendSettings(),
        mediator=AgentMediator,
        mediator_settings=MediatorSettings(),
    )
    return Gateway(Config(server=ServerConfig(), projects=MappingProxyType({"p": project})), Plugins())


@pytest.fixture
async def gateways() -> AsyncIterator[list[Gateway]]:
    made: list[Gateway] = []
    yield made
    for gateway in made:
        await gateway.close()


Gateways = list[Gateway]


async def started(gateways: Gateways, replicas: int = 1, **limits: Any) -> Gateway:
    return await begun(gateways, gateway_with(replicas, **limits))


async def begun(gateways: Gateways, gateway: Gateway) -> Gateway:
    """Start it, and wait until its project is up, or down."""
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


async def test_settings_of_the_project_win_over_those_of_the_request(gateways: Gateways) -> None:
    gateway = await started(gateways)
    execution = await submit(gateway, "x", settings={"REPORT": "mine", "OTHER": "kept"})
    done = await until_status(gateway, execution, *TERMINAL)
    assert done.result == {"REPORT": "of the project", "OTHER": "kept"}


async def test_no_more_run_at_once_than_there_are_replicas(gateways: Gateways) -> None:
    gateway = await started(gateways, replicas=2)
    ids = [await submit(gateway, "nap") for _ in range(6)]
    for execution in ids:
        assert (await until_status(gateway, execution, *TERMINAL)).status.value == "completed"
    backend = gateway.projects._listed["p"].backend
    assert isinstance(backend, ObedientBackend)
    assert backend.most_running == 2


async def test_full_queue_is_refused_and_loses_nothing_accepted(gateways: Gateways) -> None:
    gateway = await started(gateways, queue=2)
    ids = [await submit(gateway, "nap")]
    await until_status(gateway, ids[0], "running")
    ids += [await submit(gateway, "x"), await submit(gateway, "x")]
    with pytest.raises(QueueFull, match=r"limits\.queue"):
        await submit(gateway, "x")
    for execution in ids:
        assert (await until_status(gateway, execution, *TERMINAL)).status.value == "completed"


async def test_queue_of_zero_takes_what_can_run_now(gateways: Gateways) -> None:
    gateway = await started(gateways, queue=0)
    execution = await submit(gateway, "nap")
    with pytest.raises(QueueFull):
        await submit(gateway, "x")
    await until_status(gateway, execution, *TERMINAL)
    await submit(gateway, "x")


async def test_paused_execution_frees_the_project(gateways: Gateways) -> None:
    gateway = await started(gateways, replicas=1)
    asking = await submit(gateway, "ask")
    await until_status(gateway, asking, "awaiting_llm")
    other = await submit(gateway, "x")
    assert (await until_status(gateway, other, *TERMINAL)).status.value == "completed"
    [info] = await gateway.projects.infos()
    assert (info.paused, info.running, info.queued) == (1, 0, 0)
    await gateway.respond(asking, Answer("yes"))
    assert (await until_status(gateway, asking, *TERMINAL)).result == "yes"


async def test_answer_to_what_is_running_or_over_is_refused(gateways: Gateways) -> None:
    gateway = await started(gateways)
    execution = await submit(gateway, "nap")
    await until_status(gateway, execution, "running")
    with pytest.raises(NotAwaitingLLM, match="running"):
        await gateway.respond(execution, Answer("x"))
    await until_status(gateway, execution, *TERMINAL)
    with pytest.raises(NotAwaitingLLM, match="completed"):
        await gateway.respond(execution, Answer("x"))


async def test_failure_of_a_backend_is_internal_and_logged(
    gateways: Gateways, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = await started(gateways)
    done = await until_status(gateway, await submit(gateway, "fail"), *TERMINAL)
    assert (done.status.value, done.error_type) == ("error", "internal")
    assert "the backend is broken" not in (done.error or "")
    assert "the backend is broken" in caplog.text


async def test_project_without_a_lifespan_is_down(gateways: Gateways) -> None:
    gateway = gateway_with()
    gateways.append(gateway)
    [info] = await gateway.projects.infos()
    assert (info.status, info.detail) == ("down", "server not started")
    with pytest.raises(ProjectDown, match="server not started"):
        await submit(gateway, "x")


async def test_unknown_project_is_named_with_those_that_exist(gateways: Gateways) -> None:
    gateway = await started(gateways)
    with pytest.raises(ProjectNotFound, match=r"'q'.*: p"):
        await gateway.up("q", 1)


async def test_down_ends_what_waits_at_once_and_what_runs_after_its_grace(gateways: Gateways) -> None:
    gateway = await started(gateways, shutdown_grace=0.1)
    running, waiting = await submit(gateway, "sleep"), await submit(gateway, "x")
    await until_status(gateway, running, "running")
    status = await gateway.down("p")
    assert (status.status, status.replicas) == ("down", 0)
    for execution in (waiting, running):
        done = await until_status(gateway, execution, *TERMINAL)
        assert (done.status.value, done.error_type) == ("error", "project_down")
    with pytest.raises(ProjectDown):
        await submit(gateway, "x")
    assert (await gateway.up("p", 2)).replicas == 2
    await until_status(gateway, await submit(gateway, "x"), "completed")


async def test_up_within_the_grace_of_down_saves_what_still_runs(gateways: Gateways) -> None:
    gateway = await started(gateways, shutdown_grace=0.2)
    running, asking = await submit(gateway, "sleep"), await submit(gateway, "ask")
    await until_status(gateway, running, "running")
    await gateway.down("p")
    await gateway.up("p", 2)
    await until_status(gateway, await submit(gateway, "ask"), "awaiting_llm")
    await asyncio.sleep(0.4)
    assert (await gateway.get(running)).status.value == "running"
    assert (await gateway.get(asking)).error_type == "project_down"  # it waited: `down` ends that at once
    await gateway.down("p")
    assert (await until_status(gateway, running, *TERMINAL)).error_type == "project_down"


async def test_a_second_down_does_not_make_the_grace_longer(gateways: Gateways) -> None:
    gateway = await started(gateways, shutdown_grace=0.3)
    running = await submit(gateway, "sleep")
    await until_status(gateway, running, "running")
    began = time.monotonic()
    while (await gateway.get(running)).status.value == "running" and time.monotonic() - began < 60:
        await gateway.down("p")
        await asyncio.sleep(0.02)
    assert (await until_status(gateway, running, *TERMINAL)).error_type == "project_down"


async def test_paused_execution_may_finish_within_the_grace_of_down(gateways: Gateways) -> None:
    gateway = await started(gateways, shutdown_grace=20)
    asking = await submit(gateway, "ask")
    await until_status(gateway, asking, "awaiting_llm")
    await gateway.down("p")
    await gateway.respond(asking, Answer("still here"))
    assert (await until_status(gateway, asking, *TERMINAL)).result == "still here"


async def test_more_replicas_than_allowed_are_refused_and_change_nothing(gateways: Gateways) -> None:
    gateway = await started(gateways, max_replicas=3)
    with pytest.raises(InvalidRequest, match=r"limits\.max_replicas"):
        await gateway.up("p", 4)
    [info] = await gateway.projects.infos()
    assert info.replicas == 1


async def test_backend_that_cannot_come_up_says_why_and_can_be_tried_again(
    gateways: Gateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ObedientBackend, "broken", "No such thing.")
    gateway = await started(gateways)
    [info] = await gateway.projects.infos()
    assert (info.status, info.detail) == ("down", "No such thing. Mend it.")
    with pytest.raises(ProjectDown, match="Mend it"):
        await submit(gateway, "x")
    with pytest.raises(ScaleFailed, match="Mend it"):
        await gateway.up("p", 1)
    monkeypatch.setattr(ObedientBackend, "broken", None)
    assert (await gateway.up("p", 1)).status == "up"
    await until_status(gateway, await submit(gateway, "x"), "completed")


# --- cancel ------------------------------------------------------------------------------------------------------


async def test_a_running_execution_is_cancelled_and_its_worker_is_free_again(gateways: Gateways) -> None:
    gateway = await started(gateways)
    running = await submit(gateway, "sleep")
    await until_status(gateway, running, "running")
    cancelled = await gateway.cancel(running)
    assert (cancelled.status.value, cancelled.error_type) == ("error", "cancelled")
    assert (await until_status(gateway, await submit(gateway, "x"), "completed")).error is None


async def test_a_pending_execution_is_cancelled_and_never_runs(gateways: Gateways) -> None:
    gateway = await started(gateways)
    running = await submit(gateway, "sleep")
    await until_status(gateway, running, "running")
    pending = await submit(gateway, "x")
    assert (await gateway.cancel(pending)).error_type == "cancelled"
    assert (await gateway.get(pending)).started_at is None
    assert (await gateway.get(running)).status.value == "running"


async def test_a_paused_execution_is_cancelled_and_takes_no_answer_any_more(gateways: Gateways) -> None:
    gateway = await started(gateways)
    asking = await submit(gateway, "ask")
    await until_status(gateway, asking, "awaiting_llm")
    assert (await gateway.cancel(asking)).llm_requests == ()
    with pytest.raises(NotAwaitingLLM, match="error"):
        await gateway.respond(asking, Answer("too late"))


async def test_cancelling_what_is_over_changes_nothing(gateways: Gateways) -> None:
    gateway = await started(gateways)
    done = await submit(gateway, "x")
    before = await until_status(gateway, done, "completed")
    assert await gateway.cancel(done) == before
    running = await submit(gateway, "sleep")
    assert await gateway.cancel(running) == await gateway.cancel(running)


async def test_who_waits_for_an_execution_that_is_cancelled_is_told(gateways: Gateways) -> None:
    gateway = await started(gateways)
    running = await submit(gateway, "sleep")
    waiting = asyncio.create_task(gateway.wait(running, 20))
    await until_status(gateway, running, "running")
    first, second = await asyncio.gather(gateway.cancel(running), gateway.cancel(running))
    assert first == second == await waiting


async def test_cancelling_an_unknown_execution_is_not_found(gateways: Gateways) -> None:
    gateway = await started(gateways)
    with pytest.raises(ExecutionNotFound):
        await gateway.cancel("nobody")


async def test_a_project_that_cannot_grow_serves_on_with_what_it_has(
    gateways: Gateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await started(gateways)
    monkeypatch.setattr(ObedientBackend, "broken", "No room.")
    with pytest.raises(ScaleFailed, match="Mend it"):
        await gateway.up("p", 3)
    [info] = await gateway.projects.infos()
    assert (info.status, info.replicas) == ("up", 1)
    await until_status(gateway, await submit(gateway, "x"), "completed")


async def test_execution_accepted_while_starting_ends_when_the_start_fails(
    gateways: Gateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ObedientBackend, "broken", "No such thing.")
    gateway = gateway_with()
    gateways.append(gateway)
    await gateway.start()
    execution = await submit(gateway, "x")
    done = await until_status(gateway, execution, *TERMINAL)
    assert (done.error_type, done.started_at) == ("project_down", None)
    assert "Mend it" in (done.error or "")


async def test_drain_refuses_new_ones_and_lets_running_ones_finish(gateways: Gateways) -> None:
    gateway = await started(gateways)
    execution = await submit(gateway, "nap")
    asking = await submit(gateway, "ask")
    await until_status(gateway, execution, "running")
    draining = asyncio.create_task(gateway.drain())
    await asyncio.sleep(0)
    with pytest.raises(ShuttingDown):
        await submit(gateway, "x")
    for change in (gateway.up("p", 2), gateway.down("p")):
        with pytest.raises(ShuttingDown):
            await change
    [info] = await gateway.projects.infos()
    assert (info.status, info.running) == ("up", 1)
    assert "shutting down" in (info.detail or "")
    await draining
    assert (await gateway.get(execution)).status.value == "completed"
    assert (await gateway.get(asking)).error_type == "interrupted"


async def test_close_ends_the_rest_as_interrupted() -> None:
    gateway = await started([], shutdown_grace=0)
    ids = [await submit(gateway, "sleep"), await submit(gateway, "x")]
    await until_status(gateway, ids[0], "running")
    await gateway.drain()
    await gateway.close()
    for execution in ids:
        done = await gateway.get(execution)
        assert (done.status.value, done.error_type) == ("error", "interrupted")


@pytest.mark.parametrize("key", ["nodot", ".key", "category."])
async def test_memory_key_that_no_script_can_read_is_refused(gateways: Gateways, key: str) -> None:
    gateway = await started(gateways)
    with pytest.raises(InvalidRequest, match=r"category\.key"):
        await submit(gateway, "x", memory={key: 1})


async def test_observers_see_the_whole_life(gateways: Gateways) -> None:
    seen: list[str] = []

    class Observer:
        from airlock import hookimpl

        @hookimpl
        def airlock_pool_changed(self, event: PoolChanged) -> None:
            seen.append(f"pool {event.project} {event.pool.replicas}")

        @hookimpl
        def airlock_llm_requested(self, event: LLMRequested) -> None:
            seen.append(f"asked {event.request.prompt}")

        @hookimpl
        def airlock_llm_answered(self, event: LLMAnswered) -> None:
            seen.append(f"answered {event.response}")

        @hookimpl
        def airlock_execution_finished(self, event: ExecutionFinished) -> None:
            seen.append(f"finished {event.result.status.value}")
            raise RuntimeError("an observer hurts nobody")

    gateway = gateway_with()
    gateways.append(gateway)
    gateway.plugins.register(Observer())
    await gateway.start()
    asking = await submit(gateway, "ask")
    await until_status(gateway, asking, "awaiting_llm")
    await gateway.respond(asking, Answer("42"))
    await until_status(gateway, asking, "completed")
    assert seen == ["pool p 1", "asked ?", "answered 42", "finished completed"]


async def test_wait_ends_with_the_execution_or_with_the_patience(gateways: Gateways) -> None:
    gateway = await started(gateways)
    execution = await submit(gateway, "nap")
    assert (await gateway.wait(execution, 0.01)).status.value in ("pending", "running")
    assert (await gateway.wait(execution, 20)).status.value == "completed"


async def test_wait_since_a_version_ends_with_the_next_change(gateways: Gateways) -> None:
    gateway = await started(gateways)
    execution = await submit(gateway, "ask")
    seen: list[str] = []
    version = 0
    while not seen or seen[-1] != "awaiting_llm":
        now = await gateway.wait(execution, 20, version)
        seen.append(now.status.value)
        version = now.version
    assert seen in (["running", "awaiting_llm"], ["awaiting_llm"])


async def test_shutdown_tells_those_who_wait_before_the_server_closes(gateways: Gateways) -> None:
    gateway = await started(gateways)
    execution = await submit(gateway, "ask")
    paused = await until_status(gateway, execution, "awaiting_llm")
    waiting = asyncio.create_task(gateway.wait(execution, 30, paused.version))
    await asyncio.sleep(0.01)
    await gateway.drain()
    async with asyncio.timeout(5):
        assert (await waiting).error_type == "interrupted"


async def test_many_names_served_by_the_default_backend_are_not_all_remembered() -> None:
    gateway = gateway_with()
    unlisted = gateway.config.projects["p"]
    gateway = Gateway(Config(server=ServerConfig(), unlisted=unlisted), Plugins())
    for number in range(400):
        await gateway.up(f"p{number}", 1)
    assert len(gateway.projects._unlisted) == 256
    assert "p399" in gateway.projects._unlisted
    await gateway.close()


async def test_a_finished_execution_is_not_kept_by_a_cycle_of_references(gateways: Gateways) -> None:
    """The garbage collector comes late, and megabytes of output would wait for it."""
    gateway = await started(gateways)
    gc.collect()
    gc.disable()
    try:
        for code in ("x", "ask"):
            execution = await submit(gateway, code)
            await until_status(gateway, execution, *TERMINAL, "awaiting_llm")
            if code == "ask":
                await gateway.respond(execution, Answer("yes"))
                await until_status(gateway, execution, *TERMINAL)
        await until(lambda: not any(isinstance(found, LiveExecution) for found in gc.get_objects()))
    finally:
        gc.enable()


async def started_and_failed(gateways: Gateways, monkeypatch: pytest.MonkeyPatch, first_retry: float) -> Gateway:
    monkeypatch.setattr(projects, "FIRST_RETRY", first_retry)
    monkeypatch.setattr(ObedientBackend, "broken", "No room.")
    return await started(gateways)


async def test_a_project_that_failed_to_start_is_tried_again_until_it_is_up(
    gateways: Gateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await started_and_failed(gateways, monkeypatch, first_retry=0.01)
    assert gateway_status(gateway) == "No room. Mend it."
    monkeypatch.setattr(ObedientBackend, "broken", None)
    await until(lambda: gateway_status(gateway) is None)
    done = await until_status(gateway, await submit(gateway, "x"), *TERMINAL)
    assert done.error is None


async def test_a_project_that_was_put_down_is_not_tried_again(
    gateways: Gateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await started_and_failed(gateways, monkeypatch, first_retry=0.05)
    await gateway.down("p")
    monkeypatch.setattr(ObedientBackend, "broken", None)
    await asyncio.sleep(0.3)
    assert gateway_status(gateway) == "put down"


# --- plugins that are wrong --------------------------------------------------------------------------------------


def gateway_of(backend: type[Backend[Any]], mediator: type[Mediator[Any]] = AgentMediator, **limits: Any) -> Gateway:
    project = gateway_with(**limits).config.projects["p"]
    return Gateway(Config(projects={"p": replace(project, backend=backend, mediator=mediator)}), Plugins())


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


class HasNoPool(ObedientBackend):
    def pool(self) -> Any:
        return {"replicas": 1}


async def test_a_pool_that_is_none_is_told_in_the_name_of_the_backend(gateways: Gateways) -> None:
    gateway = await begun(gateways, gateway_of(HasNoPool))
    assert gateway_status(gateway) == "pool() of the backend failed; the server's log says why"


class IsNotAsync(ObedientBackend):
    def execute(self, job: Job, run: Run) -> Any:
        return Outcome()


class TakesTooLittle(ObedientBackend):
    async def execute(self, job: Job) -> Outcome:  # type: ignore[override]
        return Outcome()


class EndsTheServer(ObedientBackend):
    async def execute(self, job: Job, run: Run) -> Outcome:
        raise SystemExit(1)


class ReturnsText(ObedientBackend):
    async def execute(self, job: Job, run: Run) -> Any:
        await run.started()
        return "done"


class UpdatesNumbers(ObedientBackend):
    async def execute(self, job: Job, run: Run) -> Outcome:
        await run.started()
        updates: Any = {1: 2}
        return Outcome(memory_updates=updates)


class MakesACauseUp(ObedientBackend):
    async def execute(self, job: Job, run: Run) -> Outcome:
        await run.started()
        return Outcome(error="no", error_type="oops")


WRONG = [IsNotAsync, TakesTooLittle, EndsTheServer, ReturnsText, UpdatesNumbers, MakesACauseUp]


@pytest.mark.parametrize("backend", WRONG)
async def test_a_wrong_execute_is_an_internal_error_and_keeps_no_slot(
    gateways: Gateways, backend: type[Backend[Any]], caplog: pytest.LogCaptureFixture
) -> None:
    gateway = await begun(gateways, gateway_of(backend))
    for _ in range(3):  # of one replica
        done = await until_status(gateway, await submit(gateway, "x"), *TERMINAL)
        assert done.error_type == "internal"
    assert "the backend 'obedient' failed" in caplog.text


class AnswersWithANumber(AgentMediator):
    async def complete(self, request: LLMRequest, ask_agent: Any) -> Any:
        return 42


class EndsTheServerToo(AgentMediator):
    async def complete(self, request: LLMRequest, ask_agent: Any) -> Any:
        raise SystemExit(1)


@pytest.mark.parametrize("mediator", [AnswersWithANumber, EndsTheServerToo])
async def test_a_wrong_mediator_is_told_to_the_script(gateways: Gateways, mediator: type[Mediator[Any]]) -> None:
    gateway = await begun(gateways, gateway_of(ObedientBackend, mediator))
    done = await until_status(gateway, await submit(gateway, "ask"), *TERMINAL)
    assert done.status.value == "error"


class IsSlow(ObedientBackend):
    runs_code = False


async def test_submit_does_not_wait_for_a_slow_backend_that_runs_no_code(gateways: Gateways) -> None:
    gateway = gateway_of(IsSlow)
    gateways.append(gateway)
    async with asyncio.timeout(10):
        execution = await submit(gateway, "sleep")
    assert (await gateway.get(execution)).status.value == "running"


# --- answers that are sent again ---------------------------------------------------------------------------------


class AsksTwice(ObedientBackend):
    async def execute(self, job: Job, run: Run) -> Outcome:
        await run.started()
        return Outcome(result=[await run.complete(LLMRequest(prompt=prompt)) for prompt in ("one?", "two?")])


@pytest.fixture
async def asked_twice(gateways: Gateways) -> tuple[Gateway, str]:
    """An execution that got its first answer, and shows its second question."""
    gateway = await begun(gateways, gateway_of(AsksTwice))
    execution = await submit(gateway, "x")
    shown = (await until_status(gateway, execution, "awaiting_llm")).llm_request
    assert shown is not None
    assert (shown.id, shown.prompt) == (1, "one?")
    await gateway.respond(execution, Answer("1", 1))
    await until_status(gateway, execution, "awaiting_llm")
    return gateway, execution


async def test_an_answer_that_is_sent_again_does_not_answer_the_next_request(asked_twice: tuple[Gateway, str]) -> None:
    gateway, execution = asked_twice
    again = await gateway.respond(execution, Answer("1", 1))
    assert [request.id for request in again.llm_requests] == [2]
    await gateway.respond(execution, Answer("2", 2))
    assert (await until_status(gateway, execution, *TERMINAL)).result == ["1", "2"]


async def test_another_answer_to_the_same_request_is_refused(asked_twice: tuple[Gateway, str]) -> None:
    gateway, execution = asked_twice
    with pytest.raises(AlreadyAnswered, match="the LLM request 1 got another answer"):
        await gateway.respond(execution, Answer("one", 1))


async def test_an_answer_to_a_request_that_was_never_made_names_those_that_are_open(
    asked_twice: tuple[Gateway, str],
) -> None:
    gateway, execution = asked_twice
    with pytest.raises(NotAwaitingLLM, match="open LLM requests: 2"):
        await gateway.respond(execution, Answer("7", 7))


async def test_an_answer_without_an_id_is_for_the_request_that_is_shown(asked_twice: tuple[Gateway, str]) -> None:
    gateway, execution = asked_twice
    await gateway.respond(execution, Answer("2"))
    assert (await until_status(gateway, execution, *TERMINAL)).result == ["1", "2"]


# --- prompts that are open together ------------------------------------------------------------------------------


class AsksAtOnce(ObedientBackend):
    """Asks as often as the code says, at once, and then once more when all were answered."""

    async def execute(self, job: Job, run: Run) -> Outcome:
        await run.started()
        prompt = "x" * 1024
        await asyncio.gather(*(run.complete(LLMRequest(prompt=prompt)) for _ in range(int(job.code))))
        return Outcome(result=await run.complete(LLMRequest(prompt=prompt)))


@pytest.mark.parametrize(("count", "error_type"), [("16", None), ("17", "llm_limit")])
async def test_open_prompts_are_bounded_together(gateways: Gateways, count: str, error_type: str | None) -> None:
    gateway = await begun(gateways, gateway_of(AsksAtOnce, prompt=1024))
    execution = await submit(gateway, count)
    while not (now := await until_status(gateway, execution, *TERMINAL, "awaiting_llm")).status.is_terminal:
        with contextlib.suppress(NotAwaitingLLM):  # it may end meanwhile
            await gateway.respond(execution, Answer("yes"))
        await asyncio.sleep(0.005)
    assert now.error_type == error_type


async def test_a_store_that_fails_to_forget_is_asked_again(
    gateways: Gateways, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("airlock.gateway.gateway.SWEEP_PERIOD", 0.01)
    gateway = gateway_with()
    sweeps = 0

    async def sweep() -> None:
        nonlocal sweeps
        sweeps += 1
        if sweeps == 1:
            raise KeyError("of the store's own")

    monkeypatch.setattr(gateway._store, "sweep", sweep)
    await begun(gateways, gateway)
    await until(lambda: sweeps > 2)
    assert "old executions cannot be forgotten" in caplog.text


async def test_executions_that_are_not_over_weigh_so_much_at_most(
    gateways: Gateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projects, "MAX_WEIGHT", 1 << 20)
    gateway = await started(gateways)
    first = await submit(gateway, "sleep")
    heavy = [await submit(gateway, "\N{GRINNING FACE}" * 70_000) for _ in range(4)]  # four bytes each, in memory
    with pytest.raises(QueueFull, match="weigh 1MiB together"):
        await submit(gateway, "x")
    for execution in heavy:
        await gateway.cancel(execution)
    await gateway.cancel(first)
    await submit(gateway, "x")
