"""All executions: their life cycle, faulty plugins, and the end of the server."""

import asyncio
import gc
from typing import Any

import pytest
from tests.gateway.obedient import (
    TERMINAL,
    Gateways,
    ObedientBackend,
    begun,
    gateway_of,
    gateway_with,
    started,
    submit,
    until,
    until_status,
)

from airlock import Backend, ExecutionFinished, Job, LLMAnswered, LLMRequested, Outcome, PoolChanged, Run
from airlock.errors import (
    ShuttingDown,
)
from airlock.executions import Answer
from airlock.llm.agent import AgentMediator
from airlock.llm.mediator import Mediator
from airlock.models import LLMRequest
from airlock.running.run import LiveRun

pytestmark = pytest.mark.anyio


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


async def test_shutdown_tells_those_who_wait_before_the_server_closes(gateways: Gateways) -> None:
    gateway = await started(gateways)
    execution = await submit(gateway, "ask")
    paused = await until_status(gateway, execution, "awaiting_llm")
    waiting = asyncio.create_task(gateway.wait(execution, 30, paused.version))
    await asyncio.sleep(0.01)
    await gateway.drain()
    async with asyncio.timeout(5):
        assert (await waiting).error_type == "interrupted"


async def test_a_finished_execution_is_not_kept_by_a_cycle_of_references(gateways: Gateways) -> None:
    """The garbage collector runs late, and would leave megabytes of output in memory."""
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
        await until(lambda: not any(isinstance(found, LiveRun) for found in gc.get_objects()))
    finally:
        gc.enable()


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


async def test_failure_of_a_backend_is_internal_and_logged(
    gateways: Gateways, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = await started(gateways)
    done = await until_status(gateway, await submit(gateway, "fail"), *TERMINAL)
    assert (done.status.value, done.error_type) == ("error", "internal")
    assert "the backend is broken" not in (done.error or "")
    assert "the backend is broken" in caplog.text
