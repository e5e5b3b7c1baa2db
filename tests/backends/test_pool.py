"""Warm pools, with workers inside this process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from tests.backends.conftest import FakeBackend, FakeWorker, begin, settle

from airlock import BackendUnavailable, Job, Outcome, PooledBackend, Worker

if TYPE_CHECKING:
    from airlock import Run

pytestmark = pytest.mark.anyio


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
