"""The record of a run, on a store that fails."""

import asyncio
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest
from tests.running.bench import Benches, endless, status_is, until

from airlock import Outcome, Run
from airlock.errors import StoreUnavailable
from airlock.executions import Execution
from airlock.models import ExecutionStatus
from airlock.running.patience import Patience

pytestmark = pytest.mark.anyio


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


async def test_a_store_that_fails_is_asked_again_later_each_time(bench: Benches) -> None:
    b = bench(patience=Patience(store_first_retry=0.05, store_last_retry=0.1))
    asked: list[float] = []
    transition = b.store.transition

    async def fails_at_first(execution_id: str, version: int, changes: Mapping[str, Any]) -> Execution:
        asked.append(asyncio.get_running_loop().time())
        if len(asked) < 5:
            raise StoreUnavailable("full")
        return await transition(execution_id, version, changes)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(b.store, "transition", fails_at_first)
        live = await b.launch(returns_at_once)
        await until(lambda: live.record.trouble == "full")
        with pytest.raises(
            StoreUnavailable, match="full; an earlier change of this execution is still waiting to be stored"
        ):
            live.record.check_stored()
        await b.end_of(live)
    pauses = [after - before for before, after in pairwise(asked[:5])]
    assert all(0.9 * least <= pause for least, pause in zip((0.05, 0.1, 0.1, 0.1), pauses, strict=True))
    assert live.record.trouble is None


async def test_who_asks_for_a_change_waits_for_the_one_before_it_no_longer_than_the_patience(bench: Benches) -> None:
    live = await bench(patience=Patience(change=0.01)).launch(endless)
    await until(status_is(live, "running"))
    async with live.record.changing:
        with pytest.raises(StoreUnavailable, match=r"within 0\.01 s"):
            async with live.record.changing_soon():
                pass
    async with live.record.changing_soon():
        pass


async def test_what_never_started_may_be_left_to_the_next_server(bench: Benches) -> None:
    one = bench(replicas=0)
    live = await one.launch(returns_at_once)
    live.shut_down(stays_pending=True)
    live.end(ExecutionStatus.error, "cancelled", "too late")
    await asyncio.wait_for(one.tasks[0], 20)
    assert (live.is_final, live.execution.status, live.execution.version) == (True, ExecutionStatus.pending, 0)
    await asyncio.wait_for(live.settled(), 20)


async def test_what_never_started_is_interrupted_when_no_server_could_go_on_with_it(bench: Benches) -> None:
    one = bench(replicas=0)
    live = await one.launch(returns_at_once)
    live.shut_down(stays_pending=False)
    assert (await one.end_of(live)).error_type == "interrupted"


async def test_what_was_cancelled_before_the_server_ends_is_not_left(bench: Benches) -> None:
    one = bench(replicas=0)
    live = await one.launch(returns_at_once)
    live.end(ExecutionStatus.error, "cancelled", "in time")
    live.shut_down(stays_pending=True)
    assert (await one.end_of(live)).error_type == "cancelled"


async def test_what_started_is_interrupted_when_the_server_ends(bench: Benches) -> None:
    one = bench()
    live = await one.launch(endless)
    await until(status_is(live, "running"))
    live.shut_down(stays_pending=True)
    done = await one.end_of(live)
    assert (done.error_type, done.error) == ("interrupted", "the server was shut down")
