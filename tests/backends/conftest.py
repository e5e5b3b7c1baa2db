"""A pool of workers that run nothing, inside this process."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from airlock import BackendSettings, Job, Outcome, PooledBackend, Project, Worker, WorkerLost
from airlock.backends import pool as pools_module

if TYPE_CHECKING:
    from airlock import LLMRequest, Run, Stream

JOB = Job(id="x", code="code", timeout=60)


class FakeWorker(Worker):
    """Runs nothing: tests set the outcome in advance, or call `finish`."""

    def __init__(self) -> None:
        self.finish: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.lost_before_start = False
        self.runs = 0
        self.stops = 0
        self.killed = False

    async def run(self, job: Job, run: Run) -> Outcome:
        self.runs += 1
        if self.lost_before_start:
            raise WorkerLost("died while idle")
        await run.started()
        try:
            return await self.finish
        except asyncio.CancelledError:
            self.killed = True
            raise

    async def stop(self) -> None:
        self.stops += 1


class FakeBackend(PooledBackend[BackendSettings]):
    """Keeps fake workers. The next starts raise `failures`; `gate` delays starts."""

    type = "fake"

    def __init__(self) -> None:
        super().__init__(Project(name="fake"), BackendSettings())
        self.made: list[FakeWorker] = []
        self.failures: deque[Exception] = deque()
        self.gate = asyncio.Event()
        self.gate.set()
        self.starts = 0
        self.all_are_lost = False
        self.one_by_one = asyncio.Lock()
        self.hold = 0.0  # seconds that each start takes, one after the other

    async def start_worker(self) -> FakeWorker:
        self.starts += 1
        await self.gate.wait()
        async with self.one_by_one:
            await asyncio.sleep(self.hold)
        if self.failures:
            raise self.failures.popleft()
        worker = FakeWorker()
        worker.lost_before_start = self.all_are_lost
        self.made.append(worker)
        return worker


class Nobody:
    """A run that only counts its starts."""

    def __init__(self) -> None:
        self.starts = 0

    async def started(self) -> None:
        self.starts += 1

    def write(self, stream: Stream, data: bytes) -> None:
        raise AssertionError(stream, data)

    @property
    def has_started(self) -> bool:
        return self.starts > 0

    def on_pause(self, changed: Callable[[bool], None]) -> None:
        """Do nothing: this run never pauses."""

    def note(self, text: str) -> None:
        raise AssertionError(text)

    def keep(self, result: Any, memory_updates: Mapping[str, Any]) -> None:
        raise AssertionError(result, memory_updates)

    async def complete(self, request: LLMRequest) -> str:
        raise AssertionError(request)


@pytest.fixture
async def backend(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeBackend]:
    monkeypatch.setattr(pools_module, "FIRST_BACKOFF", 0.01)
    monkeypatch.setattr(PooledBackend, "refill_delay", 0)
    made = FakeBackend()
    yield made
    await made.close()
    assert all(worker.stops == 1 for worker in made.made)


async def settle() -> None:
    """Let every task continue that can."""
    for _ in range(20):
        await asyncio.sleep(0)


def begin(backend: FakeBackend) -> tuple[asyncio.Task[Outcome], Nobody]:
    run = Nobody()
    return asyncio.create_task(backend.execute(JOB, run)), run
