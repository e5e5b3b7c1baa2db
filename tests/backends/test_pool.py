"""Warm pools, with workers inside this process."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import pytest

from airlock import BackendSettings, BackendUnavailable, Job, Outcome, PooledBackend, Project, Worker, WorkerLost
from airlock.backends import pool as pools_module

if TYPE_CHECKING:
    from airlock import LLMRequest, Run, Stream

pytestmark = pytest.mark.anyio

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


async def test_scale_returns_when_that_many_workers_are_idle(backend: FakeBackend) -> None:
    await backend.scale(3)
    assert (backend.pool().replicas, backend.pool().idle, len(backend.made)) == (3, 3, 3)


async def test_scaling_down_stops_what_is_too_much(backend: FakeBackend) -> None:
    await backend.scale(3)
    await backend.scale(1)
    await settle()
    assert (backend.pool().idle, sum(worker.stops for worker in backend.made)) == (1, 2)


async def test_scaling_to_zero_stops_all_and_starts_none(backend: FakeBackend) -> None:
    await backend.scale(2)
    await backend.scale(0)
    await settle()
    assert (backend.pool().idle, backend.starts) == (0, 2)
    assert [worker.stops for worker in backend.made] == [1, 1]


async def test_a_scale_that_fails_raises_and_leaves_the_pool_down(backend: FakeBackend) -> None:
    backend.failures.append(BackendUnavailable("No room.", "Make some."))
    with pytest.raises(BackendUnavailable, match=r"No room\. Make some\."):
        await backend.scale(2)
    await settle()
    assert (backend.pool().replicas, backend.pool().idle) == (0, 0)


async def test_a_scale_up_that_fails_leaves_a_running_pool_as_it_was(backend: FakeBackend) -> None:
    await backend.scale(2)
    backend.failures.append(BackendUnavailable("No room.", "Make some."))
    with pytest.raises(BackendUnavailable, match="No room"):
        await backend.scale(3)
    await settle()
    assert backend.pool().replicas == 2
    assert backend.pool().idle == 2


async def test_jobs_that_wait_while_the_pool_grows_start_no_workers_beyond_it(backend: FakeBackend) -> None:
    backend.gate.clear()
    growing = asyncio.create_task(backend.scale(2))
    await settle()
    job, _ = begin(backend)
    await settle()
    backend.gate.set()
    await growing
    await settle()
    assert backend.starts == 3  # two idle, one for the job
    backend.made[0].finish.set_result(Outcome())
    await job


async def test_a_worker_serves_one_job_and_is_replaced(backend: FakeBackend) -> None:
    await backend.scale(1)
    for number in range(3):
        task, _ = begin(backend)
        await settle()
        backend.made[number].finish.set_result(Outcome(result=number))
        assert (await task).result == number
        await settle()
    assert [worker.runs for worker in backend.made] == [1, 1, 1, 0]
    assert [worker.stops for worker in backend.made] == [1, 1, 1, 0]
    assert backend.pool().idle == 1


async def test_the_answer_goes_before_a_refill_while_half_of_the_pool_is_idle(
    backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PooledBackend, "refill_delay", 0.05)
    await backend.scale(2)
    first, _ = begin(backend)
    await settle()
    backend.made[0].finish.set_result(Outcome())
    await first
    await settle()
    assert (backend.starts, backend.made[0].stops) == (2, 0)
    second, _ = begin(backend)  # takes the last one: a replacement cannot wait
    await settle()
    assert backend.starts == 4
    backend.made[1].finish.set_result(Outcome())
    await second
    while not (backend.made[0].stops and backend.made[1].stops):
        await asyncio.sleep(0.01)
    assert (backend.starts, backend.pool().idle) == (4, 2)


async def test_a_worker_lost_before_the_start_is_replaced_silently(backend: FakeBackend) -> None:
    await backend.scale(1)
    backend.made[0].lost_before_start = True
    task, run = begin(backend)
    await settle()
    backend.made[1].finish.set_result(Outcome(result="second"))
    assert ((await task).result, run.starts) == ("second", 1)


async def test_a_worker_lost_after_the_start_is_the_outcome(backend: FakeBackend) -> None:
    await backend.scale(1)
    task, run = begin(backend)
    await settle()
    backend.made[0].finish.set_exception(WorkerLost("its machine burns"))
    assert await task == Outcome(error="its machine burns", error_type="worker_lost")
    assert (run.starts, [worker.runs for worker in backend.made if worker.runs]) == (1, [1])


async def test_workers_lost_again_and_again_end_the_job(backend: FakeBackend) -> None:
    backend.all_are_lost = True
    await backend.scale(5)
    outcome = await backend.execute(JOB, Nobody())
    assert outcome.error_type == "worker_lost"
    assert sum(worker.runs for worker in backend.made) == 5 + pools_module.TRIES


async def test_a_job_outlives_all_that_stood_idle_when_it_came(backend: FakeBackend) -> None:
    await backend.scale(5)
    for worker in backend.made:
        worker.lost_before_start = True
    task, _ = begin(backend)
    await settle()
    backend.made[5].finish.set_result(Outcome(result="the next"))
    assert (await task).result == "the next"


async def test_a_job_waits_for_a_worker_when_none_is_idle(backend: FakeBackend) -> None:
    await backend.scale(1)
    backend.gate.clear()
    first, _ = begin(backend)
    second, run = begin(backend)
    await settle()
    assert run.starts == 0
    backend.gate.set()
    await settle()
    assert run.starts == 1
    for worker in backend.made[:2]:
        worker.finish.set_result(Outcome())
    await asyncio.gather(first, second)


async def test_jobs_that_wait_are_served_in_turn(backend: FakeBackend) -> None:
    await backend.scale(1)
    backend.gate.clear()
    running, _ = begin(backend)
    waiting = [begin(backend) for _ in range(3)]
    await settle()
    backend.gate.set()
    await settle()
    assert [run.starts for _, run in waiting] == [1, 1, 1]
    assert [worker.runs for worker in backend.made] == [1, 1, 1, 1, 0]
    for worker in backend.made:
        worker.finish.set_result(Outcome())
    await asyncio.gather(running, *(task for task, _ in waiting))


async def test_a_job_cancelled_while_it_waits_takes_no_worker(backend: FakeBackend) -> None:
    await backend.scale(1)
    backend.gate.clear()
    running, _ = begin(backend)
    waiting, run = begin(backend)
    await settle()
    waiting.cancel()
    backend.gate.set()
    await settle()
    assert (waiting.cancelled(), run.starts, backend.pool().idle) == (True, 0, 1)
    backend.made[0].finish.set_result(Outcome())
    await running


async def test_a_worker_given_to_a_job_that_was_just_cancelled_goes_back(backend: FakeBackend) -> None:
    await backend.scale(1)
    backend.gate.clear()
    running, _ = begin(backend)
    waiting, _ = begin(backend)
    await settle()
    given = FakeWorker()
    backend.made.append(given)
    backend._stand_by(given)  # the job has it, but did not run since
    waiting.cancel()
    await settle()
    assert backend.pool().idle == 1
    assert given.stops == 0
    backend.made[0].finish.set_result(Outcome())
    await running
    backend.gate.set()


async def test_cancelling_a_running_job_kills_its_worker_and_raises(backend: FakeBackend) -> None:
    await backend.scale(1)
    task, _ = begin(backend)
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await settle()
    assert (backend.made[0].killed, backend.made[0].stops, backend.pool().idle) == (True, 1, 1)


async def test_a_dead_idle_worker_is_replaced(backend: FakeBackend) -> None:
    await backend.scale(1)
    backend.lost(backend.made[0])
    await settle()
    assert (backend.made[0].stops, backend.pool().idle, len(backend.made)) == (1, 1, 2)


async def test_a_busy_worker_that_says_it_died_is_not_replaced_twice(backend: FakeBackend) -> None:
    await backend.scale(1)
    task, _ = begin(backend)
    await settle()
    backend.lost(backend.made[0])
    backend.made[0].finish.set_result(Outcome())
    await task
    await settle()
    assert (backend.made[0].stops, backend.pool().idle) == (1, 1)


async def test_failing_starts_are_tried_again_with_growing_pauses_and_say_why(
    backend: FakeBackend, caplog: pytest.LogCaptureFixture
) -> None:
    await backend.scale(1)
    backend.failures.extend([BackendUnavailable("No room."), WorkerLost("gone"), OSError(24, "Too many open files")])
    backend.lost(backend.made[0])
    await settle()
    assert backend.pool().idle == 0
    assert "No room." in (backend.pool().detail or "")
    async with asyncio.timeout(5):
        while backend.pool().idle == 0:
            await asyncio.sleep(0.005)
    assert backend.pool().detail is None
    assert [text in caplog.text for text in ("(in 0.01 s)", "(in 0.02 s)", "(in 0.04 s)")] == [True, True, True]


async def test_starts_that_fail_together_count_once_for_the_pause(
    backend: FakeBackend, caplog: pytest.LogCaptureFixture
) -> None:
    await backend.scale(4)
    backend.failures.extend([BackendUnavailable("No room.")] * 4)
    for worker in backend.made[:]:
        backend.lost(worker)
    async with asyncio.timeout(5):
        while backend.pool().idle < 4:
            await asyncio.sleep(0.005)
    assert [text in caplog.text for text in ("(in 0.01 s)", "(in 0.02 s)")] == [True, False]


async def test_a_worker_that_is_lost_while_it_is_handed_over_is_replaced(backend: FakeBackend) -> None:
    await backend.scale(1)
    make, first = backend.start_worker, True

    async def dies_at_once() -> FakeWorker:
        nonlocal first
        worker = await make()
        if first:
            backend.lost(worker)
        first = False
        return worker

    backend.start_worker = dies_at_once  # type: ignore[method-assign]
    backend.lost(backend.made[0])
    async with asyncio.timeout(5):
        while backend.pool().idle < 1:
            await asyncio.sleep(0.005)
    assert backend.starts == 3
    assert [worker.stops for worker in backend.made] == [1, 1, 0]


async def test_starts_that_fail_one_after_the_other_in_one_outage_count_once_too(
    backend: FakeBackend, caplog: pytest.LogCaptureFixture
) -> None:
    await backend.scale(3)
    backend.failures.extend([BackendUnavailable("No room.")] * 3)
    backend.gate.clear()
    for worker in backend.made[:]:
        backend.lost(worker)
    await settle()
    assert backend.starts == 6
    backend.hold = 0.02  # seconds: each fails after the pause of the one before is over
    backend.gate.set()
    async with asyncio.timeout(5):
        while backend.pool().idle < 3:
            await asyncio.sleep(0.005)
    assert caplog.text.count("(in 0.01 s)") == 3
    assert "(in 0.02 s)" not in caplog.text


async def test_jobs_that_wait_while_starts_fail_are_served_after_the_recovery(backend: FakeBackend) -> None:
    await backend.scale(1)
    running, _ = begin(backend)
    backend.failures.extend([BackendUnavailable("No room.")] * 2)
    await settle()
    waiting, run = begin(backend)
    async with asyncio.timeout(5):
        while run.starts == 0:
            await asyncio.sleep(0.005)
    for worker in backend.made:
        worker.finish.set_result(Outcome(result="served"))
    assert (await waiting).result == (await running).result == "served"


async def test_a_pool_that_is_put_down_does_not_try_again(backend: FakeBackend) -> None:
    await backend.scale(1)
    backend.failures.append(BackendUnavailable("No room."))
    backend.lost(backend.made[0])
    await settle()
    await backend.scale(0)
    starts = backend.starts
    await asyncio.sleep(0.05)
    assert backend.starts == starts


async def test_scaling_to_zero_ends_starts_that_hang(backend: FakeBackend) -> None:
    await backend.scale(1)
    backend.gate.clear()
    backend.lost(backend.made[0])
    await settle()
    async with asyncio.timeout(1):
        await backend.scale(0)
    backend.gate.set()
    await settle()
    assert (backend.pool().idle, len(backend.made)) == (0, 1)


async def test_a_running_job_survives_scaling_to_zero(backend: FakeBackend) -> None:
    await backend.scale(1)
    task, _ = begin(backend)
    await settle()
    await backend.scale(0)
    backend.made[0].finish.set_result(Outcome(result="finished"))
    assert (await task).result == "finished"
    await settle()
    assert backend.pool().idle == 0


async def test_a_start_that_fails_unforeseen_is_logged_and_tried_again(
    backend: FakeBackend, caplog: pytest.LogCaptureFixture
) -> None:
    await backend.scale(1)
    backend.failures.append(KeyError("a bug of the plugin"))
    backend.lost(backend.made[0])
    async with asyncio.timeout(5):
        while backend.pool().idle == 0:
            await asyncio.sleep(0.005)
    assert "KeyError: 'a bug of the plugin'" in caplog.text


# --- workers that the pool could not use ---------------------------------------------------------------------------


def test_worker_class_with_wrong_methods_is_refused_where_it_is_defined() -> None:
    with pytest.raises(
        TypeError, match=r"Wrong\.run is not async.*Wrong\.stop\(self, how\) cannot be called"
    ) as caught:

        class Wrong(Worker):
            def run(self, job: Job, run: Run) -> Outcome:  # type: ignore[override]
                return Outcome()

            async def stop(self, how: str) -> None:  # type: ignore[override]
                pass

    assert "see docs/plugins.md, Warm workers" in str(caught.value)


async def test_what_start_worker_returns_has_to_be_a_worker() -> None:
    class Forgetful(FakeBackend):
        async def start_worker(self) -> Any:
            await super().start_worker()

    with pytest.raises(TypeError, match=r"start_worker returned NoneType, which is not an airlock\.Worker"):
        await Forgetful().scale(1)


async def test_worker_that_dies_in_the_moment_it_stands_by_is_replaced(
    backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    await backend.scale(1)
    stand_by = backend._stand_by

    def die_at_once(worker: Worker) -> None:
        monkeypatch.setattr(backend, "_stand_by", stand_by)
        stand_by(worker)
        asyncio.get_running_loop().call_soon(backend.lost, worker)  # before the loop hears that the start has ended

    monkeypatch.setattr(backend, "_stand_by", die_at_once)
    running = asyncio.create_task(backend.execute(JOB, Nobody()))
    async with asyncio.timeout(10):
        while len(backend.made) < 3 or backend.pool().idle < 1:
            await asyncio.sleep(0.01)
    backend.made[0].finish.set_result(Outcome())
    await running
