"""How `SandboxRun` bounds the CPU time that a script uses while its clock stands still."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from tests.sandbox.conftest import Sandbox

from airlock import LLMRequest, Outcome

pytestmark = pytest.mark.anyio

REQUEST = LLMRequest(prompt="x", model="x")


@pytest.fixture
async def paused() -> AsyncIterator[Callable[..., Any]]:
    """Run in the background: `sandbox, record = await paused(answer, timeout)`."""
    running: list[asyncio.Task[Outcome]] = []

    async def start(answer: Callable[[Sandbox], Any], timeout: int) -> tuple[Sandbox, asyncio.Task[Outcome]]:
        sandbox = Sandbox(timeout=timeout, answer=lambda _: answer(sandbox))
        running.append(sandbox.start())
        await sandbox.until_sent(running[0])
        return sandbox, running[0]

    yield start
    for task in running:
        task.cancel()
        await asyncio.wait({task})


async def test_run_time_before_the_pause_leaves_less_for_it(paused: Callable[..., Any]) -> None:
    async def answer(sandbox: Sandbox) -> str:
        sandbox.counters.used += 0.8  # of the second, 0.3 s have run
        await asyncio.sleep(1)
        return ""

    sandbox, running = await paused(answer, 1)
    await asyncio.sleep(0.3)
    await sandbox.record.complete(REQUEST)
    outcome = await running
    assert outcome.error_type == "cpu_limit"
    assert "while it waited for an answer" in outcome.error
    assert "its timeout of 1 s had left" in outcome.error


async def test_cpu_time_between_pauses_is_the_clocks_to_bound(paused: Callable[..., Any]) -> None:
    async def answer(sandbox: Sandbox) -> str:
        await asyncio.sleep(0.2)
        return ""

    sandbox, running = await paused(answer, 1)
    for _ in range(3):
        await sandbox.record.complete(REQUEST)
        sandbox.counters.used += 10
    assert not running.done()


async def test_a_request_opened_while_another_is_open_starts_no_second_pause(paused: Callable[..., Any]) -> None:
    answers: asyncio.Queue[str] = asyncio.Queue()

    async def answer(sandbox: Sandbox) -> str:
        return await answers.get()

    sandbox, running = await paused(answer, 1)
    both = asyncio.gather(sandbox.record.complete(REQUEST), sandbox.record.complete(REQUEST))
    await asyncio.sleep(0)
    sandbox.counters.used += 0.9
    answers.put_nowait("first")
    await asyncio.sleep(0.05)
    sandbox.counters.used += 0.2
    async with asyncio.timeout(10):
        assert (await running).error_type == "cpu_limit"
    answers.put_nowait("second")
    await both


async def test_a_script_that_only_waits_is_hardly_looked_at(paused: Callable[..., Any]) -> None:
    async def answer(sandbox: Sandbox) -> str:
        await asyncio.sleep(0.5)
        return ""

    sandbox, _ = await paused(answer, 60)
    await sandbox.record.complete(REQUEST)
    assert sandbox.counters.looks <= 4
