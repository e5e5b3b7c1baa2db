"""A live execution, with small backends on a real store: running, ending, and whatever a backend may do wrong."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import pytest
from pydantic import TypeAdapter

from airlock import Backend, BackendSettings, Job, LLMRequest, Mediator, Outcome, Pool, Project, Run, WorkerLost
from airlock.backends.limits import Limits
from airlock.errors import LLMError, NotAwaitingLLM
from airlock.executions import Answer, Execution
from airlock.llm.agent import AgentMediator
from airlock.llm.mediator import MediatorSettings
from airlock.models import ExecutionStatus
from airlock.plugins.manager import Plugins
from airlock.running.run import LiveExecution
from airlock.running.slots import Slots
from airlock.stores.memory import MemoryStore
from airlock.testing import RecordingRun

pytestmark = pytest.mark.anyio

Script = Callable[[Run], Awaitable[Outcome]]
Complete = Callable[[LLMRequest, Callable[[LLMRequest], Awaitable[str]]], Awaitable[str]]


class FunctionBackend(Backend[BackendSettings]):
    """Runs Python functions instead of code; a job's code is the name of one."""

    type = "function"

    def __init__(self, project: Project) -> None:
        super().__init__(project, BackendSettings())
        self.scripts: dict[str, Script] = {}

    async def scale(self, replicas: int) -> None:
        del replicas

    def pool(self) -> Pool:
        return Pool(replicas=1, idle=1)

    async def execute(self, job: Job, run: Run) -> Outcome:
        return await self.scripts[job.code](run)


class FunctionMediator(Mediator[MediatorSettings]):
    type = "function"

    def __init__(self, project: Project, function: Complete) -> None:
        super().__init__(project, MediatorSettings())
        self._function = function

    async def complete(self, request: LLMRequest, ask_agent: Callable[[LLMRequest], Awaitable[str]]) -> str:
        return await self._function(request, ask_agent)


class Bench:
    """What the gateway and a project are for an execution."""

    def __init__(self, replicas: int = 1, mediate: Complete | None = None, **limits: Any) -> None:
        project = Project(name="p", limits=Limits(**limits))
        self.backend = FunctionBackend(project)
        self.mediator = FunctionMediator(project, mediate) if mediate else AgentMediator(project, MediatorSettings())
        self.slots = Slots(replicas)
        self.store = MemoryStore()
        self.plugins = Plugins()
        self.lives: list[LiveExecution] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def launch(self, script: Script, timeout: int = 60) -> LiveExecution:
        number = str(len(self.lives))
        self.backend.scripts[number] = script
        execution = Execution(id=number, project="p", code=number, timeout=timeout)
        await self.store.create(execution)
        live = LiveExecution(
            execution,
            backend=self.backend,
            mediator=self.mediator,
            slots=self.slots,
            store=self.store,
            plugins=self.plugins,
            may_pause=lambda: sum(live.is_paused for live in self.lives) < self.backend.project.limits.max_paused,
        )
        self.lives.append(live)
        self.tasks.append(asyncio.create_task(live.drive()))
        return live

    async def run(self, script: Script, timeout: int = 60) -> Execution:
        return await self.end_of(await self.launch(script, timeout))

    async def end_of(self, live: LiveExecution) -> Execution:
        """Wait for the end; the store knows what the live object shows."""
        await asyncio.wait_for(self.tasks[self.lives.index(live)], 20)
        stored = await self.store.get(live.execution.id)
        assert stored == live.execution == live.snapshot()
        assert stored.status.is_terminal
        return stored

    async def close(self) -> None:
        for live in self.lives:
            live.end(ExecutionStatus.error, "interrupted", "the test is over")
        await asyncio.gather(*self.tasks)


Benches = Callable[..., Bench]


@pytest.fixture
async def bench() -> AsyncIterator[Benches]:
    made: list[Bench] = []

    def make(**options: Any) -> Bench:
        made.append(Bench(**options))
        return made[-1]

    yield make
    for each in made:
        await each.close()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


def status_is(live: LiveExecution, status: str) -> Callable[[], bool]:
    return lambda: live.execution.status.value == status


async def endless(run: Run) -> Outcome:
    await run.started()
    await asyncio.sleep(3600)
    return Outcome()


async def quick(run: Run) -> Outcome:
    await run.started()
    return Outcome(result="quick")


async def asks(run: Run) -> Outcome:
    await run.started()
    return Outcome(result=await run.complete(LLMRequest(prompt="?")))


# --- running -----------------------------------------------------------------------------------------------------


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
    await until(lambda: live.snapshot().stdout == "partial")
    assert live.snapshot().status.value == "running"


async def test_error_of_the_script_keeps_result_and_memory(bench: Benches) -> None:
    async def script(run: Run) -> Outcome:
        await run.started()
        return Outcome(
            result=1, memory_updates={"a.b": 2}, error="ValueError: no\x1b[31m\nmore", error_type="script_error"
        )

    done = await bench().run(script)
    assert (done.status.value, done.error_type, done.error) == ("error", "script_error", "ValueError: no [31m more")
    assert (done.result, done.memory_updates) == (1, {"a.b": 2})


async def test_error_that_is_not_the_scripts_reports_no_result(bench: Benches) -> None:
    async def script(run: Run) -> Outcome:
        await run.started()
        return Outcome(result=1, memory_updates={"a.b": 2}, error="too much", error_type="memory_limit")

    done = await bench().run(script)
    assert (done.status.value, done.error_type, done.error) == ("error", "memory_limit", "too much")
    assert (done.result, done.memory_updates) == (None, {})


async def test_second_waits_as_pending_for_the_slot(bench: Benches) -> None:
    one = bench(replicas=1)
    first, second = await one.launch(endless), await one.launch(quick)
    await until(status_is(first, "running"))
    await asyncio.sleep(0.05)
    assert second.execution.status.value == "pending"
    first.end(ExecutionStatus.error, "cancelled", "enough")
    assert (await one.end_of(second)).status.value == "completed"


# --- ends that core decides --------------------------------------------------------------------------------------


async def test_deadline_ends_it_as_timeout_with_what_it_wrote(bench: Benches) -> None:
    async def script(run: Run) -> Outcome:
        await run.started()
        run.write("stdout", b"before ")
        try:
            await asyncio.sleep(3600)
        finally:
            run.write("stdout", b"drained")
        return Outcome()

    done = await bench().run(script, timeout=1)
    assert (done.status.value, done.error_type) == ("timeout", "timeout")
    assert done.error == "the script ran longer than its timeout of 1 s"
    assert done.stdout == "before drained"
    assert done.execution_time_ms is not None
    assert 1000 <= done.execution_time_ms < 2000


async def test_waiting_for_the_slot_does_not_count_as_run_time(bench: Benches) -> None:
    async def nap(run: Run) -> Outcome:
        await run.started()
        await asyncio.sleep(0.7)
        return Outcome()

    one = bench(replicas=1)
    lives = [await one.launch(nap, timeout=1) for _ in range(3)]
    assert [(await one.end_of(live)).status.value for live in lives] == ["completed"] * 3


async def test_queue_timeout_ends_what_waits_for_a_slot(bench: Benches) -> None:
    one = bench(replicas=0, queue_timeout=0.1)
    done = await one.run(quick)
    assert (done.status.value, done.error_type) == ("error", "queue_timeout")
    assert done.error == "no worker was free within limits.queue_timeout (0.1 s)"
    assert (done.started_at, done.execution_time_ms) == (None, None)


async def test_queue_timeout_ends_what_waits_for_a_worker(bench: Benches) -> None:
    async def script(run: Run) -> Outcome:
        await asyncio.sleep(3600)  # for a worker, say
        await run.started()
        return Outcome()

    done = await bench(queue_timeout=0.1).run(script)
    assert (done.status.value, done.error_type) == ("error", "queue_timeout")


async def test_queue_timeout_does_not_touch_what_has_started(bench: Benches) -> None:
    async def script(run: Run) -> Outcome:
        await run.started()
        await asyncio.sleep(0.3)
        return Outcome()

    assert (await bench(queue_timeout=0.1).run(script)).status.value == "completed"


async def test_end_while_queued_never_reaches_the_backend(bench: Benches) -> None:
    one = bench(replicas=0)
    live = await one.launch(quick)
    await asyncio.sleep(0.01)
    live.end(ExecutionStatus.error, "project_down", "put down")
    done = await one.end_of(live)
    assert (done.status.value, done.error_type, done.error) == ("error", "project_down", "put down")
    one.slots.resize(1)
    assert one.slots.free == 1


async def test_end_at_the_moment_its_slot_comes_loses_no_slot(bench: Benches) -> None:
    one = bench(replicas=1)
    first, second = await one.launch(endless), await one.launch(endless)
    await until(status_is(first, "running"))
    first.end(ExecutionStatus.error, "cancelled", "both")
    second.end(ExecutionStatus.error, "cancelled", "both")
    await one.end_of(first)
    await one.end_of(second)
    assert one.slots.free == 1


async def test_first_cause_wins(bench: Benches) -> None:
    one = bench()
    live = await one.launch(endless)
    await until(status_is(live, "running"))
    live.end(ExecutionStatus.error, "cancelled", "first")
    live.end(ExecutionStatus.timeout, "timeout", "second")
    done = await one.end_of(live)
    assert (done.status.value, done.error_type, done.error) == ("error", "cancelled", "first")
    live.end(ExecutionStatus.error, "interrupted", "third")
    assert (await one.end_of(live)).error == "first"


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


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (Outcome(result="x" * 99), "result has 101 bytes as JSON; limits.result is 100B"),
        (Outcome(memory_updates={"a.b": "x" * 99}), "memory_updates has 109 bytes as JSON; limits.result is 100B"),
        (Outcome(result="x" * 99, error="no", error_type="script_error"), "result has 101 bytes as JSON"),
    ],
)
async def test_result_over_the_limit_is_result_limit(bench: Benches, outcome: Outcome, error: str) -> None:
    async def script(run: Run) -> Outcome:
        await run.started()
        return outcome

    done = await bench(result=100).run(script)
    assert (done.status.value, done.error_type, done.result, done.memory_updates) == ("error", "result_limit", None, {})
    assert (done.error or "").startswith(error)


# --- backends that do wrong --------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(result=object()),
        Outcome(result=float("nan")),
        Outcome(result="\ud800"),
        Outcome(memory_updates={"a.b": {1, 2}}),
        None,
        Outcome(error=b"bytes", error_type="script_error"),  # type: ignore[arg-type]
    ],
)
async def test_outcome_that_is_not_json_is_internal(bench: Benches, outcome: Any) -> None:
    async def script(run: Run) -> Outcome:
        await run.started()
        return outcome  # type: ignore[no-any-return]

    done = await bench().run(script)
    assert (done.status.value, done.error_type, done.result) == ("error", "internal", None)
    assert TypeAdapter(Execution).dump_json(done), "a store can write it"


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
    assert "of project p: the mediator 'function' has not ended it within 2 s" in caplog.text
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
    assert 2.9 < asyncio.get_running_loop().time() - began < 5
    assert (done.status.value, done.error_type, done.stdout) == ("timeout", "timeout", "in time")
    assert done.execution_time_ms is not None
    assert "of project p: the backend 'function' has not ended it within 2 s" in caplog.text
    await asyncio.sleep(0.05)
    assert (waiting.execution.status.value, one.slots.free) == ("pending", 0)
    may_end.set()
    assert (await one.end_of(waiting)).status.value == "completed"
    assert hanging.snapshot().stdout == "in time"


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
    assert refused == ["the execution is over"]


# --- a script that asks ------------------------------------------------------------------------------------------


async def test_question_is_shown_and_the_answer_goes_to_the_script(bench: Benches) -> None:
    one = bench()
    live = await one.launch(asks)
    await asyncio.wait_for(live.settled(), 20)
    shown = live.execution.llm_request
    assert shown is not None
    assert (live.execution.status.value, shown.id, shown.prompt) == ("awaiting_llm", 1, "?")
    await live.answer(Answer("42"))
    assert live.execution.llm_requests == ()
    done = await one.end_of(live)
    assert (done.status.value, done.result) == ("completed", "42")


async def test_pause_stops_the_clock(bench: Benches) -> None:
    one = bench()
    live = await one.launch(asks, timeout=1)
    await asyncio.wait_for(live.settled(), 20)
    await asyncio.sleep(1.5)
    assert live.execution.status.value == "awaiting_llm"
    await live.answer(Answer("late"))
    done = await one.end_of(live)
    assert (done.status.value, done.result) == ("completed", "late")
    assert done.execution_time_ms is not None
    assert done.execution_time_ms < 1000


async def test_clock_goes_on_after_the_pause(bench: Benches) -> None:
    async def script(run: Run) -> Outcome:
        await run.started()
        await asyncio.sleep(0.6)
        await run.complete(LLMRequest(prompt="?"))
        await asyncio.sleep(3600)
        return Outcome()

    one = bench()
    live = await one.launch(script, timeout=1)
    await asyncio.wait_for(live.settled(), 20)
    await live.answer(Answer("go on"))
    done = await one.end_of(live)
    assert (done.status.value, done.error_type) == ("timeout", "timeout")
    assert done.execution_time_ms is not None
    assert 1000 <= done.execution_time_ms < 2000


async def test_paused_one_gives_its_slot_to_the_next(bench: Benches) -> None:
    one = bench(replicas=1)
    paused = await one.launch(asks)
    await asyncio.wait_for(paused.settled(), 20)
    assert (await one.run(quick)).status.value == "completed"
    assert paused.execution.status.value == "awaiting_llm"


async def test_max_paused_0_keeps_the_slot(bench: Benches) -> None:
    one = bench(replicas=1, max_paused=0)
    paused = await one.launch(asks)
    await asyncio.wait_for(paused.settled(), 20)
    waiting = await one.launch(quick)
    await asyncio.sleep(0.05)
    assert waiting.execution.status.value == "pending"
    await paused.answer(Answer("go on"))
    assert (await one.end_of(waiting)).status.value == "completed"


async def test_pause_beyond_max_paused_keeps_its_slot(bench: Benches) -> None:
    one = bench(replicas=2, max_paused=1)
    first, second = await one.launch(asks), await one.launch(asks)
    await asyncio.wait_for(first.settled(), 20)
    await asyncio.wait_for(second.settled(), 20)
    assert (one.slots.free, [first.is_paused, second.is_paused]) == (1, [True, False])


async def test_resumed_one_goes_ahead_of_the_queue_and_counts_no_time_meanwhile(bench: Benches) -> None:
    order: list[str] = []
    may_end = asyncio.Event()

    async def resumed(run: Run) -> Outcome:
        outcome = await asks(run)
        order.append("resumed")
        return outcome

    async def running(run: Run) -> Outcome:
        await run.started()
        await may_end.wait()
        return Outcome()

    async def queued(run: Run) -> Outcome:
        await run.started()
        order.append("queued")
        return Outcome()

    one = bench(replicas=1)
    paused = await one.launch(resumed, timeout=1)
    await asyncio.wait_for(paused.settled(), 20)
    holder = await one.launch(running)
    await until(status_is(holder, "running"))
    last = await one.launch(queued)
    await paused.answer(Answer("go on"))
    assert paused.execution.status.value == "running"
    await asyncio.sleep(1.2)  # longer than its timeout
    assert order == []
    may_end.set()
    assert (await one.end_of(paused)).status.value == "completed"
    await one.end_of(last)
    assert order == ["resumed", "queued"]


async def test_open_questions_are_answered_in_the_order_of_asking(bench: Benches) -> None:
    async def script(run: Run) -> Outcome:
        await run.started()
        answers = await asyncio.gather(*(run.complete(LLMRequest(prompt=p)) for p in ("a", "b", "c")))
        return Outcome(result=answers)

    one = bench()
    live = await one.launch(script)
    await until(lambda: len(live.execution.llm_requests) == 3)
    seen = []
    for number in range(3):
        shown = live.execution.llm_request
        assert shown is not None
        seen.append((live.execution.status.value, shown.prompt))
        await live.answer(Answer(str(number)))
    done = await one.end_of(live)
    assert seen == [("awaiting_llm", "a"), ("awaiting_llm", "b"), ("awaiting_llm", "c")]
    assert done.result == ["0", "1", "2"]


async def test_answer_reaches_its_thread_while_others_are_open(bench: Benches) -> None:
    got: list[str] = []

    async def script(run: Run) -> Outcome:
        await run.started()

        async def ask(prompt: str) -> None:
            got.append(await run.complete(LLMRequest(prompt=prompt)))

        await asyncio.gather(ask("a"), ask("b"))
        return Outcome()

    one = bench(replicas=1)
    live = await one.launch(script)
    await until(lambda: len(live.execution.llm_requests) == 2)
    await live.answer(Answer("to a"))
    await until(lambda: got == ["to a"])
    assert live.execution.status.value == "awaiting_llm"


async def test_questions_one_after_the_other_are_numbered(bench: Benches) -> None:
    async def script(run: Run) -> Outcome:
        await run.started()
        return Outcome(result=[await run.complete(LLMRequest(prompt=str(n))) for n in range(3)])

    one = bench()
    live = await one.launch(script)
    for number in range(3):
        await asyncio.wait_for(live.settled(), 20)
        assert [request.id for request in live.execution.llm_requests] == [number + 1]
        await live.answer(Answer("ok"))
    assert (await one.end_of(live)).result == ["ok"] * 3


@pytest.mark.parametrize("script", [endless, quick])
async def test_answer_when_nothing_is_asked_is_refused(bench: Benches, script: Script) -> None:
    one = bench()
    live = await one.launch(script)
    await until(lambda: live.execution.status.value in ("running", "completed"))
    with pytest.raises(NotAwaitingLLM, match=live.execution.status.value):
        await live.answer(Answer("unasked"))


async def test_second_answer_is_refused(bench: Benches) -> None:
    one = bench()
    live = await one.launch(asks)
    await asyncio.wait_for(live.settled(), 20)
    await live.answer(Answer("first"))
    with pytest.raises(NotAwaitingLLM):
        await live.answer(Answer("second"))
    assert (await one.end_of(live)).result == "first"


async def test_question_that_nobody_answers_ends_it_as_llm_timeout(bench: Benches) -> None:
    one = bench(llm_timeout=0.1)
    done = await one.run(asks)
    assert (done.status.value, done.error_type, done.llm_requests) == ("timeout", "llm_timeout", ())
    assert done.error == "nobody answered within limits.llm_timeout (0.1 s)"
    assert one.slots.free == 1


async def test_end_while_paused_closes_the_question(bench: Benches) -> None:
    one = bench()
    live = await one.launch(asks)
    await asyncio.wait_for(live.settled(), 20)
    live.end(ExecutionStatus.error, "cancelled", "enough")
    done = await one.end_of(live)
    assert (done.error_type, done.llm_requests, one.slots.free) == ("cancelled", (), 1)
    with pytest.raises(NotAwaitingLLM):
        await live.answer(Answer("too late"))


async def test_question_that_is_open_when_the_script_ends_is_closed(bench: Benches) -> None:
    asking: list[asyncio.Task[str]] = []

    async def script(run: Run) -> Outcome:
        await run.started()
        asking.append(asyncio.create_task(run.complete(LLMRequest(prompt="?"))))
        await asyncio.sleep(0.05)
        return Outcome(result="done without it")

    one = bench()
    done = await one.run(script)
    assert (done.status.value, done.result, done.llm_requests) == ("completed", "done without it", ())
    await asyncio.wait(asking, timeout=20)
    assert asking[0].cancelled()
    assert one.slots.free == 1


async def test_question_that_the_backend_gives_up_does_not_stop_the_clock_for_good(bench: Benches) -> None:
    async def script(run: Run) -> Outcome:
        await run.started()
        asking = asyncio.create_task(run.complete(LLMRequest(prompt="?")))
        await asyncio.sleep(0.05)
        asking.cancel()
        await asyncio.sleep(3600)
        return Outcome()

    one = bench()
    done = await one.run(script, timeout=1)
    assert (done.status.value, done.error_type) == ("timeout", "timeout")
    assert one.slots.free == 1


# --- limits on questions -----------------------------------------------------------------------------------------


async def test_one_question_too_many_is_llm_limit(bench: Benches) -> None:
    async def answer(request: LLMRequest, _: Any) -> str:
        return request.prompt

    async def script(run: Run) -> Outcome:
        await run.started()
        while True:
            await run.complete(LLMRequest(prompt="again"))

    done = await bench(mediate=answer, llm_calls=3).run(script)
    assert (done.status.value, done.error_type) == ("error", "llm_limit")
    assert done.error == "the script made more LLM requests than limits.llm_calls allows (3)"


async def test_prompt_over_the_limit_is_llm_limit_even_if_the_script_catches_it(bench: Benches) -> None:
    async def script(run: Run) -> Outcome:
        await run.started()
        try:
            await run.complete(LLMRequest(prompt="é" * 6))
        except LLMError:
            return Outcome(result="caught")
        return Outcome()

    done = await bench(prompt=10).run(script)
    assert (done.status.value, done.error_type, done.result) == ("error", "llm_limit", None)
    assert done.error == "a prompt of 12 bytes is over limits.prompt (10B)"


# --- mediators ---------------------------------------------------------------------------------------------------


async def test_mediator_that_answers_itself_never_shows_awaiting_llm(bench: Benches) -> None:
    shown: list[str] = []

    async def answer(request: LLMRequest, _: Any) -> str:
        shown.append(one.lives[0].execution.status.value)
        await asyncio.sleep(1.2)  # longer than the timeout: whoever answers, the clock stands still
        return f"to {request.prompt}"

    one = bench(mediate=answer)
    done = await one.run(asks, timeout=1)
    assert (done.status.value, done.result, shown) == ("completed", "to ?", ["running"])


async def test_error_of_a_mediator_is_raised_in_the_script(bench: Benches) -> None:
    async def refuse(request: LLMRequest, _: Any) -> str:
        raise LLMError(f"no answer to {request.prompt}")

    async def script(run: Run) -> Outcome:
        await run.started()
        try:
            await run.complete(LLMRequest(prompt="?"))
        except LLMError as error:
            return Outcome(result=str(error))
        return Outcome()

    assert (await bench(mediate=refuse).run(script)).result == "no answer to ?"


async def test_mediator_that_fails_is_an_error_in_the_script_and_logged(
    bench: Benches, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_: LLMRequest, __: Any) -> str:
        raise RuntimeError("secret of the mediator")

    async def script(run: Run) -> Outcome:
        await run.started()
        try:
            await run.complete(LLMRequest(prompt="?"))
        except LLMError as error:
            return Outcome(result=str(error))
        return Outcome()

    assert (await bench(mediate=fail).run(script)).result == "the mediator failed"
    assert "RuntimeError: secret of the mediator" in caplog.text


async def test_mediator_that_gives_up_on_the_agent_withdraws_the_question(bench: Benches) -> None:
    async def impatient(request: LLMRequest, ask_agent: Callable[[LLMRequest], Awaitable[str]]) -> str:
        try:
            return await asyncio.wait_for(ask_agent(request), 0.1)
        except TimeoutError:
            await asyncio.sleep(0.1)
            return "a guess"

    one = bench(mediate=impatient)
    live = await one.launch(asks)
    await until(status_is(live, "awaiting_llm"))
    await until(status_is(live, "running"))
    with pytest.raises(NotAwaitingLLM):
        await live.answer(Answer("too late"))
    assert (await one.end_of(live)).result == "a guess"


async def test_mediator_may_ask_the_agent_something_else(bench: Benches) -> None:
    async def rephrase(request: LLMRequest, ask_agent: Callable[[LLMRequest], Awaitable[str]]) -> str:
        return "said: " + await ask_agent(LLMRequest(prompt=f"politely, {request.prompt}"))

    one = bench(mediate=rephrase)
    live = await one.launch(asks)
    await asyncio.wait_for(live.settled(), 20)
    assert live.execution.llm_requests[0].request.prompt == "politely, ?"
    await live.answer(Answer("yes"))
    assert (await one.end_of(live)).result == "said: yes"


async def test_mediator_that_asks_the_agent_when_all_is_over_is_refused_quietly(
    bench: Benches, caplog: pytest.LogCaptureFixture
) -> None:
    may_ask = asyncio.Event()
    asking: list[asyncio.Task[str]] = []

    async def slow(request: LLMRequest, ask_agent: Callable[[LLMRequest], Awaitable[str]]) -> str:
        await may_ask.wait()
        return await ask_agent(request)

    async def script(run: Run) -> Outcome:
        await run.started()
        asking.append(asyncio.create_task(run.complete(LLMRequest(prompt="?"))))
        await asyncio.sleep(0.01)
        return Outcome(result="over")

    with caplog.at_level(logging.WARNING):
        done = await bench(mediate=slow).run(script)
        may_ask.set()
        await asyncio.wait(asking, timeout=20)
    assert done.result == "over"
    assert str(asking[0].exception()) == "the execution is over"
    assert caplog.text == ""


# --- a store with a mistake ------------------------------------------------------------------------------------------


async def test_a_store_that_raises_what_it_should_not_delays_the_end_and_loses_nothing(
    bench: Benches, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    b = bench()
    failures = [KeyError("of the store's own"), RuntimeError("once more")]
    transition = b.store.transition

    async def fails_at_first(execution_id: str, version: int, changes: Mapping[str, Any]) -> Execution:
        if changes["status"] is ExecutionStatus.completed and failures:
            raise failures.pop(0)
        return await transition(execution_id, version, changes)

    monkeypatch.setattr(b.store, "transition", fails_at_first)
    assert (await b.run(returns_at_once)).status is ExecutionStatus.completed
    assert failures == []
    assert "of the store's own" in caplog.text
    assert any(record.exc_info for record in caplog.records), "the log has the traceback"


async def returns_at_once(run: Run) -> Outcome:
    await run.started()
    return Outcome()
