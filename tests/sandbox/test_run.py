"""What `SandboxRun` concludes from a sandbox's frames and counters. Both attack suites test it on real sandboxes."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from airlock import Job, Limits, LLMRequest, Outcome
from airlock.sandbox import Counters, SandboxRun
from airlock.testing import RecordingRun
from airlock.worker import codec

pytestmark = pytest.mark.anyio

LIMITS = Limits(memory=64 << 20, processes=7, file_size=1 << 20)
MEMORY = "the script used more than its memory (limits.memory is 64MiB)"
CORES = 2
REQUEST = LLMRequest(prompt="x", model="x")


class Counted(Counters):
    """Counters with values that a test sets."""

    def __init__(self) -> None:
        super().__init__([])
        self.used = 0.0
        self.kills = self.refused = self.looks = 0

    @property
    def counts_cpu_time(self) -> bool:
        return True

    def cpu_time(self) -> float:
        self.looks += 1
        return self.used

    def oom_kills(self) -> int:
        return self.kills

    def refused_forks(self) -> int:
        return self.refused


class Sandbox:
    """A sandbox that does what a test says."""

    def __init__(self, *, timeout: int = 1, counted: bool = True, answer: Callable[[LLMRequest], Any] | None = None):
        self.counters = Counted()
        self.sent = b""
        self.ends = 0
        self.record = RecordingRun(answer) if answer else RecordingRun()
        self.run = SandboxRun(
            Job(id="1", code="", timeout=timeout),
            self.record,
            LIMITS,
            self.send,
            cores=CORES,
            counters=self.counters if counted else None,
        )

    def send(self, data: bytes) -> None:
        self.sent += data

    async def end(self) -> None:
        self.ends += 1
        self.record.write("stderr", b"last words\n")

    def start(self, killed_for_memory: Any = None) -> asyncio.Task[Outcome]:
        async def run() -> Outcome:
            await self.run.started()
            return await self.run.outcome(self.end, killed_for_memory)

        return asyncio.create_task(run())

    async def until_sent(self, running: asyncio.Task[Outcome]) -> None:
        while not self.sent:
            assert not running.done()
            await asyncio.sleep(0)

    async def exits(self, code: int | None, killed_for_memory: Any = None) -> Outcome:
        running = self.start(killed_for_memory)
        await self.until_sent(running)
        self.run.exited(code)
        return await running

    async def says(self, error: str | None) -> Outcome:
        running = self.start()
        await self.until_sent(running)
        self.run.feed(codec.encode(codec.END, {"error": error}))
        return await running


# --- how it ends ---------------------------------------------------------------------------------------------------


async def test_a_script_that_says_its_end_completes_and_the_sandbox_is_ended_once() -> None:
    sandbox = Sandbox()
    assert await sandbox.says(None) == Outcome()
    assert sandbox.run.said_end
    assert sandbox.ends == 1
    assert sandbox.record.stderr == "last words\n"


async def test_cancellation_ends_the_sandbox_and_still_names_limits() -> None:
    sandbox = Sandbox()
    running = sandbox.start()
    await sandbox.until_sent(running)
    sandbox.counters.refused = 1
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert sandbox.ends == 1
    assert sandbox.record.stderr == "last words\nairlock: limits.processes (7) was reached\n"


async def test_a_sandbox_that_dies_before_its_job_is_lost_and_gets_none() -> None:
    sandbox = Sandbox()
    await sandbox.run.started()
    sandbox.run.exited(None)
    outcome = await sandbox.run.outcome(sandbox.end)
    assert outcome.error_type == "worker_lost"
    assert sandbox.sent == b""


async def test_the_first_word_about_the_exit_counts() -> None:
    sandbox = Sandbox()
    running = sandbox.start()
    await sandbox.until_sent(running)
    sandbox.run.exited(-signal.SIGXFSZ)
    sandbox.run.exited(None)
    assert (await running).error == "the script was killed by SIGXFSZ"
    assert sandbox.record.stderr == "last words\nairlock: limits.file_size (1MiB) was reached\n"


# --- limits on stderr ----------------------------------------------------------------------------------------------


async def test_a_child_that_was_killed_for_memory_is_told_when_the_script_completes() -> None:
    sandbox = Sandbox()
    sandbox.counters.kills = 1
    assert (await sandbox.says(None)).error is None
    assert sandbox.record.stderr == "last words\nairlock: limits.memory (64MiB) was reached\n"


async def test_a_limit_that_is_named_already_is_not_named_again() -> None:
    sandbox = Sandbox()
    sandbox.counters.refused = 1
    sandbox.run.named.add("processes")
    await sandbox.says(None)
    assert sandbox.record.stderr == "last words\n"


# --- the true cause ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [None, 1, -signal.SIGKILL])
async def test_a_death_after_the_kernel_killed_for_memory_is_that(code: int | None) -> None:
    sandbox = Sandbox()
    sandbox.counters.kills = 1
    assert await sandbox.exits(code) == Outcome(error=MEMORY, error_type="memory_limit")
    assert sandbox.record.stderr == "last words\n"


async def test_who_else_may_know_of_memory_is_asked_only_about_a_death_without_a_better_cause() -> None:
    async def yes() -> bool:
        return True

    async def never() -> bool:
        raise AssertionError

    for code in (None, -signal.SIGKILL):
        assert (await Sandbox().exits(code, yes)).error == MEMORY
    assert (await Sandbox().exits(-signal.SIGSEGV, never)).error_type == "script_error"


@pytest.mark.parametrize(("used", "cause"), [(2.9, "script_error"), (3.0, "cpu_limit")])
@pytest.mark.parametrize("code", [-signal.SIGXCPU, -signal.SIGKILL])
async def test_a_kill_is_about_cpu_time_only_where_that_was_used_up(used: float, cause: str, code: int) -> None:
    sandbox = Sandbox(timeout=1)  # with 2 cores and the slack that is 4 s, of which the last one is not waited for
    sandbox.counters.used = used
    assert (await sandbox.exits(code)).error_type == cause


async def test_without_counters_a_refused_mapping_is_about_memory_and_time_bounds_cpu_time() -> None:
    assert (await Sandbox(counted=False).says("OSError: [Errno 12] Cannot allocate memory")).error == MEMORY
    assert (await Sandbox().says("OSError: [Errno 12] Cannot allocate memory")).error_type == "script_error"
    assert (await Sandbox(counted=False).exits(-signal.SIGXCPU)).error_type == "script_error"


# --- CPU time in pauses --------------------------------------------------------------------------------------------


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
