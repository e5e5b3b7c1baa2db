"""Workers that are lost, and starts that fail: the pool replaces them."""

from __future__ import annotations

import asyncio

import pytest
from tests.backends.conftest import JOB, FakeBackend, FakeWorker, Nobody, begin, settle

from airlock import BackendUnavailable, Outcome, Worker, WorkerLost
from airlock.backends import pool as pools_module

pytestmark = pytest.mark.anyio


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
