"""The memory store: bounds, versions, and which changes are legal."""

import time
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import TypeAdapter

from airlock.errors import Conflict, ExecutionNotFound
from airlock.executions import Execution, OpenRequest
from airlock.models import ExecutionResult, ExecutionStatus, LLMRequest, OpenLLMRequest
from airlock.stores.memory import MemorySettings, MemoryStore

pytestmark = pytest.mark.anyio

Status = ExecutionStatus


def execution(number: int = 0, **more: Any) -> Execution:
    return Execution(id=str(number), project="p", code="x", timeout=1, **more)


async def finish(store: MemoryStore, number: int, **more: Any) -> None:
    await store.create(execution(number))
    await store.transition(str(number), 0, {"status": Status.error, "finished_at": time.time(), **more})


async def known(store: MemoryStore, count: int) -> list[int]:
    return [number for number in range(count) if await store.get(str(number)) is not None]


async def test_created_execution_is_found() -> None:
    store, created = MemoryStore(), execution()
    await store.create(created)
    assert await store.get("0") == created
    assert await store.get("1") is None


def test_record_is_written_and_read_with_pydantic() -> None:
    asked = (OpenRequest(id=1, request=LLMRequest(prompt="?"), created_at=1.5, expires_at=2.5),)
    record = execution(status=Status.awaiting_llm, llm_requests=asked, result={"é": [1, None]}, settings={"a": "\0"})
    adapter = TypeAdapter(Execution)
    assert adapter.validate_json(adapter.dump_json(record)) == record


async def test_transition_returns_and_stores_the_next_version() -> None:
    store = MemoryStore()
    await store.create(execution())
    running = await store.transition("0", 0, {"status": Status.running, "started_at": 1.0})
    assert (running.status, running.started_at, running.version) == (Status.running, 1.0, 1)
    assert await store.get("0") == running


@pytest.mark.parametrize("version", [0, 2])
async def test_transition_of_another_version_is_a_conflict_and_changes_nothing(version: int) -> None:
    store = MemoryStore()
    await store.create(execution())
    running = await store.transition("0", 0, {"status": Status.running})
    with pytest.raises(Conflict, match=f"is at version 1, not {version}"):
        await store.transition("0", version, {"status": Status.completed})
    assert await store.get("0") == running


async def test_transition_of_what_is_not_there_says_so() -> None:
    with pytest.raises(ExecutionNotFound):
        await MemoryStore().transition("0", 0, {"status": Status.running})


LEGAL = {
    (Status.pending, Status.running),
    (Status.pending, Status.error),
    (Status.running, Status.awaiting_llm),
    (Status.running, Status.completed),
    (Status.running, Status.error),
    (Status.running, Status.timeout),
    (Status.awaiting_llm, Status.running),
    (Status.awaiting_llm, Status.completed),
    (Status.awaiting_llm, Status.error),
    (Status.awaiting_llm, Status.timeout),
}


@pytest.mark.parametrize("before", Status)
@pytest.mark.parametrize("after", Status)
async def test_only_legal_transitions_are_made(before: Status, after: Status) -> None:
    if (before, after) in LEGAL or (before is after and not before.is_terminal):
        assert execution(status=before).changed({"status": after}).status is after
    else:
        with pytest.raises(Conflict, match=f"{before.value} cannot become {after.value}"):
            execution(status=before).changed({"status": after})


async def test_nothing_changes_after_the_end() -> None:
    store = MemoryStore()
    await finish(store, 0, error="first")
    for changes in ({"status": Status.error, "error": "second"}, {"stdout": "late"}):
        with pytest.raises(Conflict):
            await store.transition("0", 1, changes)
    stored = await store.get("0")
    assert stored is not None
    assert (stored.error, stored.stdout) == ("first", "")


async def test_change_of_open_requests_may_keep_the_status() -> None:
    asked = OpenRequest(id=1, request=LLMRequest(prompt="?"), created_at=0, expires_at=600)
    waiting = execution(status=Status.awaiting_llm).changed({"llm_requests": (asked,)})
    assert (waiting.status, waiting.version) == (Status.awaiting_llm, 1)
    expires_at = datetime(1970, 1, 1, 0, 10, tzinfo=UTC)
    assert ExecutionResult.model_validate(waiting).llm_request == OpenLLMRequest(
        id=1, prompt="?", created_at=datetime(1970, 1, 1, tzinfo=UTC), expires_at=expires_at
    )


# --- bounds ------------------------------------------------------------------------------------------------------


async def test_finished_ones_beyond_the_count_are_forgotten_oldest_first() -> None:
    store = MemoryStore(MemorySettings(max_count=2))
    for number in range(4):
        await finish(store, number)
    assert await known(store, 4) == [2, 3]


async def test_oldest_is_what_finished_first() -> None:
    store = MemoryStore(MemorySettings(max_count=1))
    await store.create(execution(0))
    await finish(store, 1)
    await store.transition("0", 0, {"status": Status.error, "finished_at": time.time()})
    assert await known(store, 2) == [0]


@pytest.mark.parametrize(
    "held",
    [
        {"stdout": "x" * 40_000},
        {"result": ["x" * 20_000, {"deep": ["y" * 20_000]}]},
        {"memory_updates": {"a.b": "x" * 40_000}},
    ],
)
async def test_finished_ones_beyond_the_bytes_are_forgotten(held: dict[str, Any]) -> None:
    store = MemoryStore(MemorySettings(max_bytes=100_000))
    for number in range(4):
        await finish(store, number, **held)
    assert await known(store, 4) == [2, 3]


async def test_one_that_is_bigger_than_all_is_forgotten_alone() -> None:
    store = MemoryStore(MemorySettings(max_bytes=100_000))
    await finish(store, 0, stdout="x" * 200_000)
    assert await known(store, 1) == []
    await finish(store, 1)
    assert await known(store, 2) == [1]


async def test_finished_ones_are_forgotten_when_they_are_old() -> None:
    store = MemoryStore(MemorySettings(max_age=60))
    await finish(store, 0, finished_at=time.time() - 61)
    await finish(store, 1, finished_at=time.time() - 59)
    assert await known(store, 2) == [1]


async def test_live_ones_are_never_forgotten() -> None:
    store = MemoryStore(MemorySettings(max_count=0, max_bytes=0, max_age=0))
    for number in range(3):
        await store.create(execution(number, created_at=0.0))
    await finish(store, 3)
    assert await known(store, 4) == [0, 1, 2]
