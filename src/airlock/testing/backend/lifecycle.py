"""The part of `BackendContract` for every backend: what it declares, its pool, and how jobs start and end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import ValidationError

from airlock.backends import Backend, Pool, Project
from airlock.testing.recording import RecordingRun, never_answers

from .audit import io_seen
from .base import BackendBench
from .canary import children, gone
from .loop_watch import check_never_blocks


class Declaration(BackendBench):
    """What core reads from the class."""

    def test_settings_refuse_an_unknown_key(self) -> None:
        with pytest.raises(ValidationError) as caught:
            self.make_backend(Project(name="contract")).Settings.model_validate({"surely unknown": 1})
        assert "extra_forbidden" in {error["type"] for error in caught.value.errors()}

    def test_construction_does_no_io_and_needs_no_event_loop(self) -> None:
        self.make_backend(Project(name="contract"))  # imports what it needs
        with io_seen() as seen:
            self.make_backend(Project(name="contract"))
        assert seen == []


@pytest.mark.anyio
class Lifecycle(BackendBench):
    """What core does with a project's pool."""

    async def test_pool_is_empty_before_scale(self) -> None:
        backend = self.make_backend(Project(name="contract"))
        assert (backend.pool().replicas, backend.pool().idle) == (0, 0)

    async def test_scale_returns_when_all_workers_stand_ready(self) -> None:
        async with self.up(2) as backend:
            assert (backend.pool().replicas, backend.pool().idle) == (2, 2)

    async def test_scale_to_what_it_is_changes_nothing(self, backend: Backend[Any]) -> None:
        await backend.scale(1)
        assert (backend.pool().replicas, backend.pool().idle) == (1, 1)

    async def test_scale_up_and_down_again(self, backend: Backend[Any]) -> None:
        await backend.scale(3)
        assert (backend.pool().replicas, backend.pool().idle) == (3, 3)
        await backend.scale(1)
        assert (backend.pool().replicas, backend.pool().idle) == (1, 1)

    async def test_scale_to_0_leaves_no_worker(self, backend: Backend[Any]) -> None:
        await backend.scale(0)
        assert (backend.pool().replicas, backend.pool().idle) == (0, 0)

    async def test_scale_brings_it_up_again_after_0(self, backend: Backend[Any]) -> None:
        await backend.scale(0)
        await backend.scale(1)
        assert (backend.pool().replicas, backend.pool().idle) == (1, 1)
        await self.run(backend, self.code)

    async def test_close_without_scale(self) -> None:
        await self.make_backend(Project(name="contract")).close()

    async def test_scale_to_0_and_close_without_workers(self) -> None:
        backend = self.make_backend(Project(name="contract"))
        await backend.scale(0)
        await backend.close()

    async def test_nothing_is_left_after_close(self) -> None:
        async with self.up():
            pass  # starts what is kept for good
        before = set(children())
        async with self.up(2):
            started = set(children()) - before
        left = await gone(started, self._kill_patience)
        assert not left, f"processes of workers still run after scale(0) and close(): {left}"

    async def test_pool_is_a_pool_while_a_job_runs(self, backend: Backend[Any]) -> None:
        run = RecordingRun()
        running = self.begin(backend, self.code, run)
        await self.started(running, run)
        assert isinstance(backend.pool(), Pool)
        await self.end(running, run)


@pytest.mark.anyio
class Jobs(BackendBench):
    """What core does with one execution."""

    async def test_job_starts_once_and_before_anything_else(self, backend: Backend[Any]) -> None:
        outcome, run = await self.run(backend, self.code)  # `end` checks the rest
        assert outcome.error is None, run.stderr
        assert run.starts == 1

    async def test_jobs_one_after_the_other(self, backend: Backend[Any]) -> None:
        for _ in range(5):
            outcome, run = await self.run(backend, self.code)
            assert outcome.error is None, run.stderr

    async def test_jobs_at_once_as_many_as_replicas(self) -> None:
        async with self.up(3) as backend:
            runs = await asyncio.gather(*(self.run(backend, self.code) for _ in range(3)))
        assert [outcome.error for outcome, _ in runs] == [None] * 3

    async def test_cancelled_job_ends_as_promised(self, backend: Backend[Any]) -> None:
        run = RecordingRun(never_answers)
        running = self.begin(backend, self._endless_code(backend), run)
        await self.started(running, run)
        await self.cancelled(running)
        assert run.faults == []

    async def test_job_cancelled_before_it_starts_ends_as_promised(self, backend: Backend[Any]) -> None:
        running = self.begin(backend, self._endless_code(backend), RecordingRun(never_answers))
        await asyncio.sleep(0)
        await self.cancelled(running)

    async def test_event_loop_is_not_blocked(self) -> None:
        async def use() -> None:
            async with self.up() as backend:
                for code in filter(None, (self.code, self._endless(backend))):  # other tests check how they end
                    running = self.begin(backend, code, RecordingRun(never_answers))
                    await asyncio.wait({running}, timeout=0.5)
                    running.cancel()
                    await asyncio.wait({running}, timeout=self._kill_patience)

        await check_never_blocks(use, self.patience)

    async def test_job_after_a_cancelled_one_works(self, backend: Backend[Any]) -> None:
        run = RecordingRun(never_answers)
        running = self.begin(backend, self._endless_code(backend), run)
        await self.started(running, run)
        await self.cancelled(running)
        outcome, run = await self.run(backend, self.code)
        assert outcome.error is None, run.stderr

    def _endless_code(self, backend: Backend[Any]) -> str:
        code = self._endless(backend)
        if code is None:
            pytest.skip(f"{type(self).__name__} has no endless_code, and the backend does not run Python")
        return code

    def _endless(self, backend: Backend[Any]) -> str | None:
        runs_python = backend.runs_code and self.runs_python
        return "while True: pass" if self.endless_code is None and runs_python else self.endless_code
