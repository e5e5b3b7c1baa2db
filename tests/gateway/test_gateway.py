"""What clients ask of the gateway: to answer, cancel and wait."""

import asyncio
import contextlib
from typing import Any

import pytest
from tests.gateway.obedient import (
    TERMINAL,
    Gateways,
    ObedientBackend,
    RunsNoCode,
    begun,
    gateway_of,
    gateway_with,
    started,
    submit,
    until,
    until_status,
)

from airlock import Job, Outcome, Run
from airlock.errors import (
    AlreadyAnswered,
    ExecutionNotFound,
    NotAwaitingLLM,
    StoreUnavailable,
)
from airlock.executions import Answer, Execution
from airlock.gateway.gateway import Gateway
from airlock.models import LLMRequest
from airlock.running.patience import Patience

pytestmark = pytest.mark.anyio


async def test_answer_to_what_is_running_or_over_is_refused(gateways: Gateways) -> None:
    gateway = await started(gateways)
    execution = await submit(gateway, "nap")
    await until_status(gateway, execution, "running")
    with pytest.raises(NotAwaitingLLM, match="running"):
        await gateway.respond(execution, Answer("x"))
    await until_status(gateway, execution, *TERMINAL)
    with pytest.raises(NotAwaitingLLM, match="completed"):
        await gateway.respond(execution, Answer("x"))


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


async def test_cancelling_is_not_reported_before_the_end_is_stored(
    gateways: Gateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await started(gateways, patience=Patience(cancel=0.1))
    running = await submit(gateway, "sleep")
    await until_status(gateway, running, "running")
    may_write, transition = asyncio.Event(), gateway._store.transition

    async def slow(*args: Any) -> Execution:
        await may_write.wait()
        return await transition(*args)

    monkeypatch.setattr(gateway._store, "transition", slow)
    with pytest.raises(StoreUnavailable, match="poll it"):
        await gateway.cancel(running)
    may_write.set()
    assert (await gateway.cancel(running)).error_type == "cancelled"


async def test_cancelling_an_unknown_execution_is_not_found(gateways: Gateways) -> None:
    gateway = await started(gateways)
    with pytest.raises(ExecutionNotFound):
        await gateway.cancel("nobody")


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


async def test_submit_does_not_wait_for_a_slow_backend_that_runs_no_code(gateways: Gateways) -> None:
    gateway = gateway_of(RunsNoCode)
    gateways.append(gateway)
    async with asyncio.timeout(10):
        execution = await submit(gateway, "sleep")
    assert (await gateway.get(execution)).status.value == "running"


class AsksTwice(ObedientBackend):
    async def execute(self, job: Job, run: Run) -> Outcome:
        await run.started()
        return Outcome(result=[await run.complete(LLMRequest(prompt=prompt)) for prompt in ("one?", "two?")])


@pytest.fixture
async def asked_twice(gateways: Gateways) -> tuple[Gateway, str]:
    """A gateway, and an execution that got its first answer and shows its second request."""
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
    with pytest.raises(AlreadyAnswered, match="the LLM request 1 already has another answer"):
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


class AsksAtOnce(ObedientBackend):
    """Makes as many LLM requests at once as the code says, and one more after all are answered."""

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
    gateway = gateway_with(patience=Patience(sweep=0.01))
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
