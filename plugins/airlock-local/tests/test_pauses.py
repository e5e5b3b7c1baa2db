"""While a script waits for a model its clock stands still; what it computes meanwhile is bounded all the same."""

import asyncio
import os
from collections.abc import Callable
from typing import Any

import pytest

from airlock import LLMRequest
from airlock.testing import RecordingSession
from airlock_local.pauses import PauseWatch

pytestmark = pytest.mark.anyio

needs_cgroup = pytest.mark.skipif(os.geteuid() != 0, reason="without a cgroup only each process by itself is bounded")

SPIN_IN_CHILDREN = """
import os
for _ in range(4):
    if os.fork() == 0:
        while True: pass
"""
SPIN_IN_CHILDREN_ONE_AFTER_THE_OTHER = """
import os, threading
def spin():
    while True:
        pid = os.fork()
        if pid == 0:
            for _ in range(10 ** 6): pass
            os._exit(0)
        os.waitpid(pid, 0)
threading.Thread(target=spin, daemon=True).start()
"""
SPIN_IN_A_THREAD = """
import threading
def spin():
    while True: pass
threading.Thread(target=spin, daemon=True).start()
"""


async def slow(request: LLMRequest) -> str:
    await asyncio.sleep(20)
    return "late"


@needs_cgroup
@pytest.mark.parametrize(
    "spin",
    [SPIN_IN_CHILDREN, SPIN_IN_CHILDREN_ONE_AFTER_THE_OTHER, SPIN_IN_A_THREAD],
    ids=["children", "children one after the other", "thread"],
)
async def test_computing_on_behind_a_pause_ends_at_what_the_timeout_has_left(local: Any, spin: str) -> None:
    ran = await local.run(f"{spin}\nllm.complete('x')", answer=slow, timeout=1)
    assert ran.error_type == "cpu_limit"
    assert "1 s" in ran.error
    assert "limits.timeout" in ran.error
    assert ran.seconds < 10


@needs_cgroup
async def test_many_short_pauses_count_together(local: Any) -> None:
    async def answer(request: LLMRequest) -> str:
        await asyncio.sleep(0.2)
        return "soon"

    ran = await local.run(f"{SPIN_IN_CHILDREN}\nfor n in range(100): llm.complete(str(n))", answer=answer, timeout=1)
    assert ran.error_type == "cpu_limit"
    assert len(ran.session.requests) < 50


@needs_cgroup
async def test_a_busy_script_may_still_wait_for_as_long_as_it_likes(local: Any) -> None:
    async def answer(request: LLMRequest) -> str:
        await asyncio.sleep(1.5)
        return "late"

    code = "import time\nbegun = time.monotonic()\nwhile time.monotonic() - begun < 0.5: pass\n"
    ran = await local.run(f"{code}set_result(llm.complete('x'))", answer=answer, timeout=1)
    assert ran.result == "late"


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

    def watch(self, answer: Callable[[LLMRequest], Any], timeout: float) -> PauseWatch:
        return PauseWatch(RecordingSession(answer), timeout, 2, self.cpu_time, self.end)


REQUEST = LLMRequest(prompt="x", model="x")


async def test_run_time_before_the_pause_leaves_less_for_it() -> None:
    sandbox = Sandbox()

    async def answer(request: LLMRequest) -> str:
        sandbox.used += 0.8  # of the second, 0.3 s have run
        await asyncio.sleep(1)
        return ""

    watch = sandbox.watch(answer, timeout=1)
    await watch.started()
    await asyncio.sleep(0.3)
    await watch.complete(REQUEST)
    assert sandbox.is_over


async def test_cpu_time_between_pauses_is_the_clocks_to_bound() -> None:
    sandbox = Sandbox()

    async def answer(request: LLMRequest) -> str:
        await asyncio.sleep(0.2)
        return ""

    watch = sandbox.watch(answer, timeout=1)
    await watch.started()
    for _ in range(3):
        await watch.complete(REQUEST)
        sandbox.used += 10
    assert not sandbox.is_over


async def test_a_request_opened_while_another_is_open_starts_no_second_pause() -> None:
    sandbox = Sandbox()
    answers: asyncio.Queue[str] = asyncio.Queue()

    async def answer(request: LLMRequest) -> str:
        return await answers.get()

    watch = sandbox.watch(answer, timeout=1)
    await watch.started()
    both = asyncio.gather(watch.complete(REQUEST), watch.complete(REQUEST))
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

    watch = sandbox.watch(answer, timeout=60)
    await watch.started()
    await watch.complete(REQUEST)
    assert sandbox.looks <= 4
