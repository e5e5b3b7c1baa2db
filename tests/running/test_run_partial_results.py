"""What a script has reported that is ended: it is shown, checked and redacted, and never changes the cause."""

from typing import Any

import pytest
from tests.running.bench import Bench, Benches, Script, endless, status_is, until

from airlock import LLMRequest, Outcome, Run, WorkerLost
from airlock.executions import Execution
from airlock.models import ExecutionStatus
from airlock.running.run import LiveRun
from airlock.secrets import Redactor

pytestmark = pytest.mark.anyio


def reports(result: Any, updates: Any, then: Script = endless) -> Script:
    async def script(run: Run) -> Outcome:
        try:
            return await then(run)
        finally:
            run.keep("earlier", {})
            run.keep(result, updates)

    return script


async def cancelled(one: Bench, script: Script) -> Execution:
    live = await one.launch(script)
    await until(status_is(live, "running"))
    live.end(ExecutionStatus.error, "cancelled", "a client cancelled it")
    done = await one.end_of(live)
    assert (done.error_type, done.error, done.exit_code) == ("cancelled", "a client cancelled it", None)
    return done


async def test_timeout_shows_what_was_reported(bench: Benches) -> None:
    done = await bench().run(reports({"done": 1}, {"a.b": 2}), timeout=1)
    assert (done.status.value, done.error_type) == ("timeout", "timeout")
    assert (done.result, done.memory_updates, done.exit_code) == ({"done": 1}, {"a.b": 2}, None)


async def test_question_that_is_not_answered_in_time_shows_what_was_reported(bench: Benches) -> None:
    async def asks(run: Run) -> Outcome:
        await run.started()
        return Outcome(result=await run.complete(LLMRequest(prompt="?")))

    done = await bench(llm_timeout=1).run(reports(1, {}, asks))
    assert (done.error_type, done.result) == ("llm_timeout", 1)


async def test_cancelled_and_shut_down_show_what_was_reported(bench: Benches) -> None:
    one = bench()
    assert (await cancelled(one, reports(1, {"a.b": 2}))).result == 1
    live = await one.launch(reports(1, {"a.b": 2}))
    await until(status_is(live, "running"))
    live.shut_down(stays_pending=True)
    done = await one.end_of(live)
    assert (done.error_type, done.result, done.memory_updates) == ("interrupted", 1, {"a.b": 2})


@pytest.mark.parametrize(
    ("result", "updates"), [(object(), {}), (float("nan"), {}), (1, {"a.b": object()}), (1, {2: 3}), (1, 5)]
)
async def test_what_is_not_json_is_dropped_and_logged(
    bench: Benches, caplog: pytest.LogCaptureFixture, result: Any, updates: Any
) -> None:
    done = await cancelled(bench(), reports(result, updates))
    assert (done.result, done.memory_updates) == (None, {})
    assert "Run.keep()" in caplog.text


async def test_what_is_over_the_limit_is_dropped(bench: Benches) -> None:
    done = await cancelled(bench(result=100), reports("x" * 99, {"a.b": 2}))
    assert (done.result, done.memory_updates) == (None, {"a.b": 2})


async def test_secrets_in_it_are_redacted(bench: Benches) -> None:
    one = bench()
    redactor = Redactor(["hunter2hunter2"])
    object.__setattr__(one.surroundings, "redactor", redactor)
    done = await cancelled(one, reports({"hunter2hunter2": "hunter2hunter2"}, {"a.b": "hunter2hunter2"}))
    assert "hunter2" not in f"{done.result} {done.memory_updates}"
    assert "redacted" in f"{done.result}"


async def test_outcome_that_has_values_of_its_own_counts(bench: Benches) -> None:
    async def own(run: Run) -> Outcome:
        await run.started()
        return Outcome(result="own", error="no", error_type="cpu_limit")

    async def completes(run: Run) -> Outcome:
        await run.started()
        return Outcome()

    assert (await bench().run(reports(1, {}, own))).result == "own"
    assert (await bench().run(reports(1, {}, completes))).result is None


async def test_backend_that_fails_leaves_what_was_reported(bench: Benches) -> None:
    async def fails(run: Run) -> Outcome:
        await run.started()
        raise WorkerLost("gone")

    done = await bench().run(reports(1, {}, fails))
    assert (done.error_type, done.result) == ("internal", 1)


async def test_what_comes_after_the_end_is_ignored(bench: Benches) -> None:
    kept: list[LiveRun] = []

    async def script(run: Run) -> Outcome:
        assert isinstance(run, LiveRun)
        kept.append(run)
        return await endless(run)

    one = bench()
    done = await cancelled(one, script)
    kept[0].keep(1, {})
    assert done.result is kept[0].execution.result is None
