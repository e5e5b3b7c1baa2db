"""A live run, with small backends on a real store: running, ending, and faults of backends."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.running.bench import Benches, endless, quick, status_is, until

from airlock import LLMRequest, Outcome, Run, WorkerLost
from airlock.errors import LLMError
from airlock.models import ExecutionStatus
from airlock.testing import RecordingRun

pytestmark = pytest.mark.anyio


async def test_outcome_is_stored_with_output_and_run_time(bench: Benches) -> None:
    async def script(run: Run) -> Outcome:
        await run.started()
        run.write("stdout", "h\u00e9".encode()[:2])
        run.write("stdout", "h\u00e9".encode()[2:])
        run.write("stderr", b"woe")
        await asyncio.sleep(0.1)
        return Outcome(result={"a": 1}, memory_updates={"b.c": 2})

    done = await bench().run(script)
    assert (done.status.value, done.error, done.error_type) == ("completed", None, None)
    assert (done.result, done.memory_updates, done.stdout, done.stderr) == ({"a": 1}, {"b.c": 2}, "h\u00e9", "woe")
    assert done.execution_time_ms is not None
    assert 90 <= done.execution_time_ms < 5_000
    assert done.created_at <= (done.started_at or 0) <= (done.finished_at or 0)


async def test_output_is_visible_while_it_runs(bench: Benches) -> None:
    async def script(run: Run) -> Outcome:
        await run.started()
        run.write("stdout", b"partial")
        await asyncio.sleep(3600)
        return Outcome()

    live = await bench().launch(script)
    await until(lambda: live.record.snapshot().stdout == "partial")
    assert live.record.snapshot().status.value == "running"


async def test_end_while_queued_never_reaches_the_backend(bench: Benches) -> None:
    one = bench(replicas=0)
    live = await one.launch(quick)
    await asyncio.sleep(0.01)
    live.end(ExecutionStatus.error, "project_down", "taken down")
    done = await one.end_of(live)
    assert (done.status.value, done.error_type, done.error) == ("error", "project_down", "taken down")
    one.slots.resize(1)
    assert one.slots.free == 1


async def test_output_over_the_limit_is_dropped_and_marked(bench: Benches) -> None:
    async def script(run: Run) -> Outcome:
        await run.started()
        for _ in range(10):
            run.write("stdout", b"x" * 50)
        run.write("stderr", b"whole")
        return Outcome()

    done = await bench(output=120).run(script)
    assert (done.status.value, done.truncated) == ("completed", True)
    mark = "\n[380 bytes dropped here: limits.output is 120B]\n"
    assert (done.stdout, done.stderr) == ("x" * 105 + mark + "x" * 15, "whole")


async def test_backend_that_raises_is_internal_and_the_log_has_the_traceback(
    bench: Benches, caplog: pytest.LogCaptureFixture
) -> None:
    async def script(run: Run) -> Outcome:
        await run.started()
        run.write("stdout", b"so far")
        raise TimeoutError("of the backend's own")

    one = bench()
    done = await one.run(script)
    assert (done.status.value, done.error_type, done.stdout) == ("error", "internal", "so far")
    assert "of the backend's own" not in (done.error or "")
    assert "TimeoutError: of the backend's own" in caplog.text
    assert one.slots.free == 1


async def test_backend_that_lets_worker_lost_out_is_internal(bench: Benches) -> None:
    async def script(run: Run) -> Outcome:
        await run.started()
        raise WorkerLost("a pooled backend would have made an outcome of this")

    assert (await bench().run(script)).error_type == "internal"


async def test_backend_that_never_starts_is_internal(bench: Benches, caplog: pytest.LogCaptureFixture) -> None:
    async def script(run: Run) -> Outcome:
        del run
        return Outcome(result="cheated")

    done = await bench().run(script)
    assert (done.status.value, done.error_type, done.result) == ("error", "internal", None)
    assert "without Run.started()" in caplog.text


async def test_worker_lost_before_the_start_says_so(bench: Benches) -> None:
    async def script(run: Run) -> Outcome:
        del run
        return Outcome(error="3 workers in a row were lost", error_type="worker_lost")

    assert (await bench().run(script)).error_type == "worker_lost"


async def test_backend_that_starts_twice_is_internal(bench: Benches) -> None:
    async def script(run: Run) -> Outcome:
        await run.started()
        await run.started()
        return Outcome()

    assert (await bench().run(script)).error_type == "internal"


async def test_backend_that_swallows_cancellation_changes_nothing(bench: Benches) -> None:
    async def script(run: Run) -> Outcome:
        try:
            return await endless(run)
        except asyncio.CancelledError:
            return Outcome(result="as if nothing had happened")

    done = await bench().run(script, timeout=1)
    assert (done.status.value, done.error_type, done.result) == ("timeout", "timeout", None)


async def test_backend_that_fails_in_its_kill_changes_nothing_and_is_logged(
    bench: Benches, caplog: pytest.LogCaptureFixture
) -> None:
    async def script(run: Run) -> Outcome:
        try:
            return await endless(run)
        finally:
            raise RuntimeError("the kill failed")

    one = bench()
    done = await one.run(script, timeout=1)
    assert (done.status.value, done.error_type) == ("timeout", "timeout")
    await until(lambda: "RuntimeError: the kill failed" in caplog.text)
    assert one.slots.free == 1


@pytest.mark.parametrize(("stream", "data"), [("out", b"x"), ("stdout", "x")])
async def test_write_of_something_else_is_told_as_recording_session_tells_it(
    bench: Benches, caplog: pytest.LogCaptureFixture, stream: Any, data: Any
) -> None:
    async def script(run: Run) -> Outcome:
        await run.started()
        run.write(stream, data)
        return Outcome()

    assert (await bench().run(script)).error_type == "internal"
    recording = RecordingRun()
    await recording.started()
    with pytest.raises(AssertionError) as caught:
        recording.write(stream, data)
    assert f"TypeError: {caught.value}" in caplog.text


async def test_mediator_that_hangs_when_it_is_cancelled_is_named(
    bench: Benches, caplog: pytest.LogCaptureFixture
) -> None:
    may_end = asyncio.Event()

    async def mediate(request: LLMRequest, ask_agent: Callable[[LLMRequest], Awaitable[str]]) -> str:
        try:
            return await ask_agent(request)
        finally:
            await may_end.wait()

    async def script(run: Run) -> Outcome:
        await run.started()
        return Outcome(result=await run.complete(LLMRequest(prompt="?")))

    one = bench(mediate=mediate)
    live = await one.launch(script)
    await live.settled()
    live.end(ExecutionStatus.error, "cancelled", "cancelled")
    await one.end_of(live)
    assert "of project p: the mediator 'function' has not ended it within 0.5 s" in caplog.text
    may_end.set()


async def test_backend_that_hangs_in_its_kill_keeps_only_its_slot(
    bench: Benches, caplog: pytest.LogCaptureFixture
) -> None:
    may_end = asyncio.Event()

    async def script(run: Run) -> Outcome:
        try:
            return await endless(run)
        except asyncio.CancelledError:
            run.write("stdout", b"in time")
            await may_end.wait()
            run.write("stdout", b", too late")
            raise

    one = bench(replicas=1)
    hanging = await one.launch(script, timeout=1)
    waiting = await one.launch(quick)
    began = asyncio.get_running_loop().time()
    done = await one.end_of(hanging)
    assert 1.4 < asyncio.get_running_loop().time() - began < 10
    assert (done.status.value, done.error_type, done.stdout) == ("timeout", "timeout", "in time")
    assert done.execution_time_ms is not None
    assert "of project p: the backend 'function' has not ended it within 0.5 s" in caplog.text
    await asyncio.sleep(0.05)
    assert (waiting.execution.status.value, one.slots.free) == ("pending", 0)
    may_end.set()
    assert (await one.end_of(waiting)).status.value == "completed"
    assert hanging.read("stdout", len("in time"), 99) == ""


async def test_question_during_a_hanging_kill_is_refused_and_frees_no_slot(bench: Benches) -> None:
    refused: list[str] = []
    may_end = asyncio.Event()

    async def script(run: Run) -> Outcome:
        try:
            return await endless(run)
        except asyncio.CancelledError:
            try:
                await run.complete(LLMRequest(prompt="one more thing"))
            except LLMError as error:
                refused.append(str(error))
            await may_end.wait()
            raise

    one = bench(replicas=1)
    live = await one.launch(script)
    await until(status_is(live, "running"))
    live.end(ExecutionStatus.error, "cancelled", "enough")
    await until(lambda: refused)
    assert one.slots.free == 0
    may_end.set()
    assert (await one.end_of(live)).error_type == "cancelled"
    assert refused == ["the execution has finished"]
