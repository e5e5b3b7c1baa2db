"""How an execution ends: what follows from a backend's outcome, and that the first cause wins."""

from typing import Any

import pytest
from pydantic import TypeAdapter
from tests.running.bench import Benches, endless, status_is, until

from airlock import Outcome, Run
from airlock.executions import Execution
from airlock.models import ExecutionStatus

pytestmark = pytest.mark.anyio


async def test_error_of_the_script_keeps_result_and_memory(bench: Benches) -> None:
    async def script(run: Run) -> Outcome:
        await run.started()
        return Outcome(
            result=1,
            memory_updates={"a.b": 2},
            error="ValueError: no\x1b[31m\nmore",
            error_type="script_error",
            exit_code=1,
        )

    done = await bench().run(script)
    assert (done.status.value, done.error_type, done.error) == ("error", "script_error", "ValueError: no [31m more")
    assert (done.result, done.memory_updates, done.exit_code) == (1, {"a.b": 2}, 1)


async def test_limit_keeps_result_and_memory(bench: Benches) -> None:
    async def script(run: Run) -> Outcome:
        await run.started()
        return Outcome(result=1, memory_updates={"a.b": 2}, error="too much", error_type="memory_limit")

    done = await bench().run(script)
    assert (done.status.value, done.error_type, done.error) == ("error", "memory_limit", "too much")
    assert (done.result, done.memory_updates) == (1, {"a.b": 2})


async def test_result_over_the_limit_changes_no_cause_but_the_scripts_own(bench: Benches) -> None:
    async def script(run: Run) -> Outcome:
        await run.started()
        return Outcome(result="x" * 99, memory_updates={"a.b": 2}, error="too much", error_type="memory_limit")

    done = await bench(result=100).run(script)
    assert (done.error_type, done.error) == ("memory_limit", "too much")
    assert (done.result, done.memory_updates) == (None, {"a.b": 2})


async def test_a_note_of_the_backend_is_in_every_error_once(bench: Benches) -> None:
    async def script(run: Run) -> Outcome:
        await run.started()
        run.note("memory\nwas short")
        run.note("memory\nwas short")
        return Outcome(error="x" * 3000, error_type="script_error")

    async def says_it_in_a_sentence(run: Run) -> Outcome:
        await run.started()
        run.note("memory was short")
        return Outcome(error="It failed.", error_type="script_error")

    async def hangs(run: Run) -> Outcome:
        try:
            return await endless(run)
        finally:
            run.note("memory was short")

    async def completes(run: Run) -> Outcome:
        await run.started()
        run.note("memory was short")
        return Outcome()

    done = await bench().run(script)
    assert done.error == "x" * (2000 - len("; memory was short")) + "; memory was short"
    assert (await bench().run(says_it_in_a_sentence)).error == "It failed; memory was short"
    done = await bench().run(hangs, timeout=1)
    assert done.error == "the script ran longer than its timeout of 1 s; memory was short"
    assert (await bench().run(completes)).error is None


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


async def test_first_cause_wins(bench: Benches) -> None:
    one = bench()
    live = await one.launch(endless)
    await until(status_is(live, "running"))
    live.end(ExecutionStatus.error, "cancelled", "first")
    live.end(ExecutionStatus.timeout, "timeout", "second")
    done = await one.end_of(live)
    assert (done.status.value, done.error_type, done.error) == ("error", "cancelled", "first")
    assert done.exit_code is None
    live.end(ExecutionStatus.error, "interrupted", "third")
    assert (await one.end_of(live)).error == "first"


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(result=object()),
        Outcome(result=float("nan")),
        Outcome(result="\ud800"),
        Outcome(memory_updates={"a.b": {1, 2}}),
        None,
        Outcome(exit_code=256),
        Outcome(exit_code=-65),
        Outcome(exit_code=True),
        Outcome(exit_code=1.0),  # type: ignore[arg-type]
        Outcome(error=b"bytes", error_type="script_error"),  # type: ignore[arg-type]
    ],
)
async def test_outcome_of_another_form_is_internal(bench: Benches, outcome: Any) -> None:
    async def script(run: Run) -> Outcome:
        await run.started()
        return outcome  # type: ignore[no-any-return]

    done = await bench().run(script)
    assert (done.status.value, done.error_type, done.result) == ("error", "internal", None)
    assert TypeAdapter(Execution).dump_json(done), "a store can write it"
