"""What `SandboxRun` concludes from a sandbox's frames and counters. Both attack suites test it on real sandboxes."""

import asyncio
import signal

import pytest
from tests.sandbox.conftest import Sandbox

from airlock import Outcome
from airlock.worker import codec

pytestmark = pytest.mark.anyio

KILLED = "the kernel killed a process of the script for lack of memory (limits.memory is 64MiB)"
MEMORY = "the script used more than its memory (limits.memory is 64MiB)"


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


async def test_cancellation_keeps_what_the_script_has_reported() -> None:
    sandbox = Sandbox()
    running = sandbox.start()
    await sandbox.until_sent(running)
    sandbox.run.feed(codec.encode(codec.RESULT, 1) + codec.encode(codec.MEMORY, ["a.b", 2]))
    sandbox.run.feed(codec.frame(codec.MEMORY, b'["a.c", NaN]') + codec.encode(codec.RESULT, [1, 2])[:-1])
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert sandbox.record.kept == (1, {"a.b": 2})


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


async def no_daemon() -> bool:
    raise AssertionError


# --- the true cause ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [None, -signal.SIGKILL])
async def test_a_death_by_sigkill_after_the_kernel_killed_for_memory_is_that(code: int | None) -> None:
    sandbox = Sandbox()
    sandbox.counters.kills = 1
    assert await sandbox.exits(code) == Outcome(error=MEMORY, error_type="memory_limit", exit_code=code)
    assert (sandbox.record.stderr, sandbox.record.notes) == ("last words\n", [])


@pytest.mark.parametrize("code", [1, 9, 137, -signal.SIGSEGV, -signal.SIGABRT])
async def test_any_other_death_after_a_child_was_killed_for_memory_is_its_own(code: int) -> None:
    sandbox = Sandbox()
    sandbox.counters.kills = 1
    outcome = await sandbox.exits(code, no_daemon)
    assert outcome.error_type == "script_error"
    assert "memory" not in (outcome.error or "")
    assert sandbox.record.stderr == "last words\nairlock: limits.memory (64MiB) was reached\n"
    assert sandbox.record.notes == [KILLED]


async def test_an_exception_after_a_child_was_killed_for_memory_is_the_cause() -> None:
    sandbox = Sandbox()
    sandbox.counters.kills = 1
    assert await sandbox.says("ValueError: no") == Outcome(error="ValueError: no", error_type="script_error")
    assert sandbox.record.stderr == "last words\nairlock: limits.memory (64MiB) was reached\n"
    assert sandbox.record.notes == [KILLED]


async def test_memory_is_told_whatever_core_ends_the_script_for() -> None:
    sandbox = Sandbox()
    running = sandbox.start()
    await sandbox.until_sent(running)
    sandbox.counters.kills = 1
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert sandbox.record.stderr == "last words\nairlock: limits.memory (64MiB) was reached\n"
    assert sandbox.record.notes == [KILLED]


async def test_how_a_script_dies_that_we_kill_is_not_its_cause() -> None:
    sandbox = Sandbox()

    async def end() -> None:
        sandbox.run.exited(-signal.SIGKILL)

    sandbox.end = end  # type: ignore[method-assign]
    running = sandbox.start()
    await sandbox.until_sent(running)
    sandbox.counters.kills, sandbox.counters.used = 1, 100.0
    sandbox.run.feed(codec.encode(codec.READY, {}))
    assert (await running).error_type == "protocol"
    assert sandbox.record.notes == [KILLED]


async def test_who_else_may_know_of_memory_is_asked_only_about_a_death_without_a_better_cause() -> None:
    async def yes() -> bool:
        return True

    for code in (None, -signal.SIGKILL):
        assert (await Sandbox().exits(code, yes)).error == MEMORY
    assert (await Sandbox().exits(-signal.SIGSEGV, no_daemon)).error_type == "script_error"


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
