"""The phases of a run: its times, its slot, and its alarms."""

import asyncio
import contextlib
from typing import Any

import pytest
from tests.running.bench import Benches, asks, endless, quick, status_is, until

from airlock import LLMRequest, Outcome, Run
from airlock.errors import LLMError
from airlock.executions import Answer
from airlock.models import ExecutionStatus
from airlock.running.clock import Phase
from airlock.running.patience import Patience

pytestmark = pytest.mark.anyio


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


async def test_end_at_the_moment_its_slot_comes_loses_no_slot(bench: Benches) -> None:
    one = bench(replicas=1)
    first, second = await one.launch(endless), await one.launch(endless)
    await until(status_is(first, "running"))
    first.end(ExecutionStatus.error, "cancelled", "both")
    second.end(ExecutionStatus.error, "cancelled", "both")
    await one.end_of(first)
    await one.end_of(second)
    assert one.slots.free == 1


async def test_second_waits_as_pending_for_the_slot(bench: Benches) -> None:
    one = bench(replicas=1)
    first, second = await one.launch(endless), await one.launch(quick)
    await until(status_is(first, "running"))
    await asyncio.sleep(0.05)
    assert second.execution.status.value == "pending"
    first.end(ExecutionStatus.error, "cancelled", "enough")
    assert (await one.end_of(second)).status.value == "completed"


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


async def test_phases_of_a_run_that_asks(bench: Benches) -> None:
    seen: list[Phase] = []
    pauses: list[bool] = []

    async def script(run: Run) -> Outcome:
        seen.append(live.phase)
        has_started = [run.has_started]
        run.on_pause(pauses.append)
        await run.started()
        assert [*has_started, run.has_started] == [False, True]
        seen.append(live.phase)
        await run.complete(LLMRequest(prompt="?"))
        seen.append(live.phase)
        return Outcome()

    one = bench(replicas=1)
    live = await one.launch(script)
    await asyncio.wait_for(live.settled(), 20)
    seen.append(live.phase)
    await one.slots.acquire()
    await live.answer(Answer("go on"))
    await until(lambda: live.phase is Phase.resuming)
    assert (pauses, live.is_paused) == ([True], True)
    one.slots.release()
    await one.end_of(live)
    assert seen == [Phase.queued, Phase.running, Phase.paused, Phase.running]
    assert (live.phase, pauses) == (Phase.over, [True, False])


async def test_a_run_that_resists_its_kill_lingers_with_its_slot_until_it_is_gone(bench: Benches) -> None:
    may_end = asyncio.Event()

    async def script(run: Run) -> Outcome:
        try:
            return await endless(run)
        finally:
            await may_end.wait()

    one = bench(patience=Patience(kill=0.01))
    live = await one.launch(script)
    await until(status_is(live, "running"))
    live.end(ExecutionStatus.error, "cancelled", "enough")
    done = await one.end_of(live)
    await asyncio.sleep(0.05)
    assert (live.phase, one.slots.free) == (Phase.lingering, 0)
    assert live.record.snapshot().run_ms == done.run_ms
    may_end.set()
    await until(lambda: live.phase is Phase.over)
    assert one.slots.free == 1


async def test_an_answer_that_comes_to_a_lingering_run_takes_a_slot_until_it_is_gone(bench: Benches) -> None:
    may_answer, may_end = asyncio.Event(), asyncio.Event()

    async def stubborn(_: LLMRequest, __: Any) -> str:
        while not may_answer.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await may_answer.wait()
        return "at last"

    async def script(run: Run) -> Outcome:
        with pytest.raises(LLMError, match="the execution has finished"):
            await asks(run)
        await may_end.wait()
        return Outcome()

    one = bench(mediate=stubborn, patience=Patience(kill=0.01))
    live = await one.launch(script)
    await until(lambda: live.phase is Phase.paused)
    live.end(ExecutionStatus.error, "cancelled", "enough")
    await one.end_of(live)
    assert (live.phase, one.slots.free) == (Phase.lingering, 1)
    may_answer.set()
    await until(lambda: one.slots.free == 0)
    await asyncio.sleep(0.01)
    assert live.phase is Phase.lingering
    may_end.set()
    await until(lambda: live.phase is Phase.over)
    assert one.slots.free == 1
