"""`airlock.pauses`: when the CPU time of pauses is looked at, and what counts. The attack suites try it for real."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from airlock import LLMRequest
from airlock.sandbox.pauses import PauseWatch
from airlock.testing import RecordingRun

pytestmark = pytest.mark.anyio


class Sandbox:
    """A CPU time, and how often it was looked at."""

    def __init__(self) -> None:
        self.used = 0.0
        self.looks = 0
        self.is_over = False

    def cpu_time(self) -> float:
        self.looks += 1
        return self.used

    def end(self) -> None:
        self.is_over = True

    async def start(self, answer: Callable[[LLMRequest], Any], timeout: float) -> RecordingRun:
        run = RecordingRun(answer)
        await run.started()
        PauseWatch(run, timeout, 2, self.cpu_time, self.end)
        return run


REQUEST = LLMRequest(prompt="x", model="x")


async def test_run_time_before_the_pause_leaves_less_for_it() -> None:
    sandbox = Sandbox()

    async def answer(request: LLMRequest) -> str:
        sandbox.used += 0.8  # of the second, 0.3 s have run
        await asyncio.sleep(1)
        return ""

    run = await sandbox.start(answer, timeout=1)
    await asyncio.sleep(0.3)
    await run.complete(REQUEST)
    assert sandbox.is_over


async def test_cpu_time_between_pauses_is_the_clocks_to_bound() -> None:
    sandbox = Sandbox()

    async def answer(request: LLMRequest) -> str:
        await asyncio.sleep(0.2)
        return ""

    run = await sandbox.start(answer, timeout=1)
    for _ in range(3):
        await run.complete(REQUEST)
        sandbox.used += 10
    assert not sandbox.is_over


async def test_a_request_opened_while_another_is_open_starts_no_second_pause() -> None:
    sandbox = Sandbox()
    answers: asyncio.Queue[str] = asyncio.Queue()

    async def answer(request: LLMRequest) -> str:
        return await answers.get()

    run = await sandbox.start(answer, timeout=1)
    both = asyncio.gather(run.complete(REQUEST), run.complete(REQUEST))
    await asyncio.sleep(0)
    sandbox.used += 0.9
    answers.put_nowait("first")
    await asyncio.sleep(0.05)
    sandbox.used += 0.2
    await asyncio.sleep(1)
    assert sandbox.is_over
    answers.put_nowait("second")
    await both


async def test_a_script_that_only_waits_is_hardly_looked_at() -> None:
    sandbox = Sandbox()

    async def answer(request: LLMRequest) -> str:
        await asyncio.sleep(0.5)
        return ""

    run = await sandbox.start(answer, timeout=60)
    await run.complete(REQUEST)
    assert sandbox.looks <= 4
