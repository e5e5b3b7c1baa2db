"""Answers that compete with the end of their execution: one of the two wins, and both sides learn which."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.running.bench import Benches, asks, status_is, until

from airlock import LLMRequest, Outcome, Run
from airlock.errors import NotAwaitingLLM, StoreUnavailable
from airlock.executions import Answer, Execution
from airlock.models import ExecutionStatus
from airlock.running.patience import Patience
from airlock.running.run import LiveRun
from airlock.stores.memory import MemoryStore
from airlock.stores.sqlite.store import SqliteSettings, SqliteStore

pytestmark = pytest.mark.anyio

End = Callable[[LiveRun], None]


class Slow(MemoryStore):
    """Writes what `holds` says only when it may, and then fails if it should."""

    type = "slow"

    def __init__(self, holds: str) -> None:
        super().__init__()
        self.reached, self.may_write = asyncio.Event(), asyncio.Event()
        self.failure: Exception | None = None
        self._holds = holds

    async def transition(self, execution_id: str, version: int, changes: Mapping[str, Any]) -> Execution:
        if self._holds in changes:
            self.reached.set()
            with suppress(TimeoutError):  # only a guard against hanging
                await asyncio.wait_for(self.may_write.wait(), 10)
            if self.failure is not None:
                raise self.failure
        return await super().transition(execution_id, version, changes)


def ends(error_type: str) -> End:
    return lambda live: live.end(ExecutionStatus.error, error_type, "meanwhile")


ENDS = [
    pytest.param(ends("cancelled"), "cancelled", id="cancel"),
    pytest.param(ends("project_down"), "project_down", id="down"),
    pytest.param(lambda live: live.shut_down(stays_pending=True), "interrupted", id="shutdown"),
]


async def asks_twice(run: Run) -> Outcome:
    await run.started()
    return Outcome(result=await asyncio.gather(*(run.complete(LLMRequest(prompt=prompt)) for prompt in "ab")))


# --- the answer comes first ------------------------------------------------------------------------------------------


async def test_deadline_does_not_pass_while_the_answer_is_stored(bench: Benches) -> None:
    store = Slow("answered")
    one = bench(store=store, llm_timeout=0.2)
    live = await one.launch(asks)
    await until(status_is(live, "awaiting_llm"))
    answering = asyncio.create_task(live.answer(Answer("42")))
    await store.reached.wait()
    await asyncio.sleep(0.4)
    assert not answering.done()
    store.may_write.set()
    await answering
    assert (await one.end_of(live)).result == "42"


async def test_no_deadline_passes_while_several_answers_are_stored(bench: Benches) -> None:
    store = Slow("answered")
    one = bench(store=store, llm_timeout=0.2)
    live = await one.launch(asks_twice)
    await until(lambda: len(live.execution.llm_requests) == 2)
    answering = asyncio.create_task(live.answer(Answer("A", 1), Answer("B", 2)))
    await store.reached.wait()
    await asyncio.sleep(0.4)
    store.may_write.set()
    await answering
    assert (await one.end_of(live)).result == ["A", "B"]


@pytest.mark.parametrize(("end", "error_type"), ENDS)
async def test_an_end_while_the_answer_is_stored_comes_after_it(bench: Benches, end: End, error_type: str) -> None:
    store = Slow("answered")
    one = bench(store=store)
    live = await one.launch(asks)
    await until(status_is(live, "awaiting_llm"))
    answering = asyncio.create_task(live.answer(Answer("42")))
    await store.reached.wait()
    end(live)
    await asyncio.sleep(0.05)
    store.may_write.set()
    await answering
    done = await one.end_of(live)
    assert (done.error_type, done.answered) == (error_type, {"1": Answer("42").digest})
    await live.answer(Answer("42", 1))  # again: it was accepted


async def test_mediator_that_gives_up_while_the_answer_is_stored_gets_it(bench: Benches) -> None:
    async def impatient(request: LLMRequest, ask_agent: Callable[[LLMRequest], Awaitable[str]]) -> str:
        try:
            return await asyncio.wait_for(ask_agent(request), 0.2)
        except TimeoutError:
            return "a guess"

    store = Slow("answered")
    one = bench(mediate=impatient, store=store)
    live = await one.launch(asks)
    await until(status_is(live, "awaiting_llm"))
    answering = asyncio.create_task(live.answer(Answer("42")))
    await store.reached.wait()
    await asyncio.sleep(0.4)
    store.may_write.set()
    await answering
    assert (await one.end_of(live)).result == "42"


async def test_script_gets_the_stored_answer_of_a_client_that_is_gone(bench: Benches) -> None:
    store = Slow("answered")
    one = bench(store=store, llm_timeout=5)
    live = await one.launch(asks)
    await until(status_is(live, "awaiting_llm"))
    answering = asyncio.create_task(live.answer(Answer("42")))
    await store.reached.wait()
    answering.cancel()
    store.may_write.set()
    await asyncio.wait({answering}, timeout=20)
    assert answering.cancelled()
    assert (await one.end_of(live)).result == "42"


async def test_mediator_that_goes_on_after_the_answer_has_a_deadline_again(bench: Benches) -> None:
    async def never_done(request: LLMRequest, ask_agent: Callable[[LLMRequest], Awaitable[str]]) -> str:
        await ask_agent(request)
        return await asyncio.Future[str]()

    one = bench(mediate=never_done, llm_timeout=0.2)
    live = await one.launch(asks)
    await until(status_is(live, "awaiting_llm"))
    await live.answer(Answer("42"))
    assert (await one.end_of(live)).error_type == "llm_timeout"


# --- the end comes first ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("later", [0.0, 0.3])
async def test_deadline_of_an_answer_that_cannot_be_stored_counts_on(bench: Benches, later: float) -> None:
    store = Slow("answered")
    store.failure = StoreUnavailable("full")
    one = bench(store=store, llm_timeout=0.2)
    live = await one.launch(asks)
    await until(status_is(live, "awaiting_llm"))
    answering = asyncio.create_task(live.answer(Answer("42")))
    await store.reached.wait()
    await asyncio.sleep(later)
    assert not answering.done()
    store.may_write.set()
    with pytest.raises(StoreUnavailable):
        await answering
    done = await one.end_of(live)
    assert (done.error_type, done.answered) == ("llm_timeout", {})


@pytest.mark.parametrize("count", [1, 2])
async def test_answer_after_the_deadline_is_refused_before_the_end_is_stored(bench: Benches, count: int) -> None:
    store = Slow("finished_at")
    one = bench(store=store, llm_timeout=0.2, patience=Patience(change=0.05))
    live = await one.launch(asks if count == 1 else asks_twice)
    await store.reached.wait()
    assert len(live.execution.llm_requests) == count
    with pytest.raises(NotAwaitingLLM, match=r"ended as timeout \(llm_timeout: the LLM request was not"):
        await live.answer(*(Answer("late", number + 1) for number in range(count)))
    store.may_write.set()
    done = await one.end_of(live)
    assert (done.error_type, done.answered) == ("llm_timeout", {})


@pytest.mark.parametrize(("end", "error_type"), ENDS)
async def test_answer_after_an_end_is_refused_once_the_client_can_see_the_end(
    bench: Benches, end: End, error_type: str
) -> None:
    one = bench()
    live = await one.launch(asks)
    await until(status_is(live, "awaiting_llm"))
    end(live)
    with pytest.raises(NotAwaitingLLM, match=error_type):
        await live.answer(Answer("late"))
    assert live.execution.status.is_terminal
    assert (await one.end_of(live)).answered == {}


async def test_answer_after_the_script_has_ended_is_refused_before_that_is_stored(bench: Benches) -> None:
    async def ends_first(run: Run) -> Outcome:
        await run.started()
        asking.append(asyncio.create_task(run.complete(LLMRequest(prompt="?"))))
        await until(lambda: live.execution.llm_requests)
        return Outcome(result="without it")

    asking: list[asyncio.Task[str]] = []
    store = Slow("finished_at")
    one = bench(store=store, patience=Patience(change=0.05))
    live = await one.launch(ends_first)
    await store.reached.wait()
    with pytest.raises(NotAwaitingLLM, match="the execution has finished"):
        await live.answer(Answer("late"))
    store.may_write.set()
    done = await one.end_of(live)
    assert (done.result, done.answered) == ("without it", {})
    await asyncio.wait(asking, timeout=20)


async def test_answer_that_waited_for_an_earlier_change_until_the_deadline_is_refused(bench: Benches) -> None:
    one = bench(llm_timeout=0.2)
    live = await one.launch(asks)
    await until(status_is(live, "awaiting_llm"))
    async with live.record.changing:
        answering = asyncio.create_task(live.answer(Answer("42")))
        await asyncio.sleep(0.4)
    with pytest.raises(NotAwaitingLLM, match="llm_timeout"):
        await answering
    assert (await one.end_of(live)).answered == {}


async def test_answer_of_a_mediator_after_the_end_is_none_for_observers_too(
    bench: Benches, caplog: pytest.LogCaptureFixture
) -> None:
    async def at_the_end(request: LLMRequest, _: Any) -> str:
        one.lives[0].end(ExecutionStatus.timeout, "llm_timeout", "just now")
        return f"to {request.prompt}"

    one = bench(mediate=at_the_end)
    with caplog.at_level(logging.INFO):
        done = await one.run(asks)
    assert done.error_type == "llm_timeout"
    assert "execution paused" in caplog.text
    assert "execution answered" not in caplog.text


# --- on a real file --------------------------------------------------------------------------------------------------


@asynccontextmanager
async def sqlite_store(directory: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(SqliteSettings(path="s.db"), directory)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def test_deadline_does_not_pass_while_another_process_holds_the_file(bench: Benches, tmp_path: Path) -> None:
    async with sqlite_store(tmp_path) as store:
        one = bench(store=store, llm_timeout=0.5)
        live = await one.launch(asks)
        await until(status_is(live, "awaiting_llm"))
        with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            answering = asyncio.create_task(live.answer(Answer("42")))
            await asyncio.sleep(1)
            assert not answering.done()
            other.execute("COMMIT")
        await answering
        assert (await one.end_of(live)).result == "42"


async def test_answers_at_the_moment_of_expires_at(bench: Benches, tmp_path: Path) -> None:
    async def answered(live: LiveRun, offset: float) -> bool:
        shown = live.execution.llm_requests[0]
        await asyncio.sleep(shown.expires_at + offset - time.time())
        try:
            await live.answer(Answer("42"))
        except NotAwaitingLLM:
            return False
        return True

    async with sqlite_store(tmp_path) as store:
        one = bench(replicas=100, store=store, llm_timeout=1)
        lives = [await one.launch(asks) for _ in range(100)]
        await until(lambda: all(live.execution.llm_requests for live in lives))
        told = await asyncio.gather(*(answered(live, (n - 50) / 2500) for n, live in enumerate(lives)))
        ends = [await one.end_of(live) for live in lives]
    expected = ["42" if was_told else "llm_timeout" for was_told in told]
    assert [each.result or each.error_type for each in ends] == expected
