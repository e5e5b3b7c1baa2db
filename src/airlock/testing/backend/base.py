"""What the tests of `BackendContract` use: backends that are up, and jobs that cannot hang the suite."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from airlock import strict_json
from airlock.backends import CAUSES, Backend, Job, Limits, Outcome, Project, unknown_cause
from airlock.errors import LLMError
from airlock.models import LLMRequest
from airlock.testing.contract import PROMISED_KILL, Contract, no_exit
from airlock.testing.recording import RecordingRun

from .canary import Canary
from .capabilities import BACKEND_CAPABILITIES
from .loop_watch import LoopWatch
from .shared import SharedBackend

Answers = Iterable[str | LLMError] | Callable[[LLMRequest], Awaitable[str]]


class BackendBench(Contract):
    """What an author must write, `make_backend`, and what an author may set."""

    known_capabilities = BACKEND_CAPABILITIES
    capabilities: ClassVar[frozenset[str]] = frozenset()

    runs_python: ClassVar[bool] = True
    """False for a backend that runs another language: tests that use Python are skipped."""

    code: ClassVar[str] = "print('hello')"
    """A job that succeeds on this backend."""

    endless_code: ClassVar[str | None] = None
    """A job that never ends by itself. Not needed for a backend that runs Python."""

    patience: ClassVar[float] = 60.0
    """Seconds within which every job of the contract must end."""

    def make_backend(self, project: Project) -> Backend[Any]:
        """Return a new backend for this project, as core makes it."""
        raise NotImplementedError(f"write {type(self).__name__}.make_backend(self, project)")

    def make(self, directory: Path) -> Backend[Any]:
        """See `Contract.make`."""
        del directory
        return self.make_backend(Project(name="contract"))

    @pytest.fixture(scope="class")
    @classmethod
    def anyio_backend(cls) -> str:
        """Run all tests of a class in one event loop, as most share a backend."""
        return "asyncio"

    @pytest.fixture
    async def backend(self) -> AsyncIterator[Backend[Any]]:
        """Return a new backend with one worker."""
        async with self.up() as backend:
            yield backend

    @pytest.fixture(scope="class")
    @classmethod
    async def shared_backend(cls) -> AsyncIterator[SharedBackend]:
        """Return the source of `shared`."""
        shared = SharedBackend(lambda: cls().make_backend(Project(name="contract")), cls.patience)
        yield shared
        await shared.drop()

    @pytest.fixture
    async def shared(
        self, request: pytest.FixtureRequest, shared_backend: SharedBackend
    ) -> AsyncIterator[Backend[Any]]:
        """Return a backend with one worker, shared among tests. A test that fails is the last to use it."""
        before = request.session.testsfailed
        with LoopWatch(self.patience):
            yield await shared_backend.get()
            if request.session.testsfailed > before or request.node.get_closest_marker("xfail"):
                await shared_backend.drop()

    @asynccontextmanager
    async def up(
        self, replicas: int = 1, preload: tuple[str, ...] = (), preload_reseed: tuple[str, ...] = (), **limits: Any
    ) -> AsyncIterator[Backend[Any]]:
        """Start a backend, and release everything at the end of the block."""
        with LoopWatch(self.patience):
            project = Project(name="contract", preload=preload, preload_reseed=preload_reseed, limits=Limits(**limits))
            backend = self.make_backend(project)
            await backend.scale(replicas)
            try:
                yield backend
            finally:
                await backend.scale(0)
                await backend.close()

    def begin(
        self,
        backend: Backend[Any],
        code: str,
        run: RecordingRun,
        settings: Mapping[str, str] | None = None,
        memory: Mapping[str, Any] | None = None,
    ) -> asyncio.Task[Outcome]:
        """Start a job."""
        job = Job(id=str(uuid.uuid4()), code=code, timeout=600, settings=settings or {}, memory=memory or {})
        return asyncio.create_task(no_exit(backend.execute(job, run), "execute"))

    async def end(self, running: asyncio.Task[Outcome], run: RecordingRun) -> Outcome:
        """Wait for a job to end, and check what must hold for every job."""
        await asyncio.wait({running}, timeout=self.patience)
        if not running.done():
            running.cancel()
            pytest.fail(f"execute() has not returned within {self.patience:g} s (`patience` of the test class)")
        outcome = running.result()
        assert run.starts == 1, f"execute() must await run.started() once; it did so {run.starts} times"
        assert run.faults == [], "execute() misused its run"
        assert isinstance(outcome, Outcome), f"execute() must return an airlock.Outcome, not {type(outcome).__name__}"
        try:
            strict_json.dumps([outcome.result, dict(outcome.memory_updates)])
        except (TypeError, ValueError) as error:
            pytest.fail(f"result and memory_updates must be JSON values: {error}")
        if (outcome.error is None) != (outcome.error_type is None):
            pytest.fail(f"an Outcome must have both error and error_type, or neither: {outcome}")
        if outcome.error_type not in (None, *CAUSES):
            pytest.fail(unknown_cause(outcome))
        return outcome

    async def run(
        self,
        backend: Backend[Any],
        code: str,
        *,
        answers: Answers = (),
        settings: Mapping[str, str] | None = None,
        memory: Mapping[str, Any] | None = None,
    ) -> tuple[Outcome, RecordingRun]:
        """Run a job until it ends."""
        run = RecordingRun(answers)
        return await self.end(self.begin(backend, code, run, settings, memory), run), run

    async def result_of(self, backend: Backend[Any], code: str, **more: Any) -> Any:
        """Run a script that must succeed, and return its result."""
        outcome, run = await self.run(backend, code, **more)
        assert outcome.error is None, run.stderr
        return outcome.result

    async def results_at_once(self, *codes: str) -> list[Any]:
        """Run scripts that each ask once, on a backend of their own: none is answered before all have asked."""
        all_ask = asyncio.Barrier(len(codes))

        async def answer(request: LLMRequest) -> str:
            await all_ask.wait()
            return request.prompt

        async with self.up(len(codes)) as backend:
            return await asyncio.gather(*(self.result_of(backend, code, answers=answer) for code in codes))

    async def check_that_it_dies(self, backend: Backend[Any], canary: Canary, code: str) -> None:
        """Check that a process ends with the script that has started it, and given it the canary's name.

        The script asks whether the process is seen, and gives the answer as its result.
        """

        async def answer(_: LLMRequest) -> str:
            return "yes" if await canary.appears() else "no"

        if await self.result_of(backend, code, answers=answer) == "no":
            pytest.skip("processes of this sandbox are not visible from here")
        assert await canary.vanishes(self._kill_patience), "a child of the script still runs after its end"

    async def started(self, running: asyncio.Task[Outcome], run: RecordingRun) -> None:
        """Wait until a job has started."""
        await self.until(running, run, lambda run: run.starts)

    async def until(
        self,
        running: asyncio.Task[Outcome],
        run: RecordingRun,
        condition: Callable[[RecordingRun], object],
    ) -> None:
        """Wait until the condition holds for a running job."""
        happened = asyncio.create_task(run.until(condition))
        await asyncio.wait({running, happened}, timeout=self.patience, return_when=asyncio.FIRST_COMPLETED)
        if not happened.done():
            happened.cancel()
            if running.done():
                pytest.fail(f"execute() returned too early: {running.result()}")
            running.cancel()
            pytest.fail(f"the job did not do what the test waits for within {self.patience:g} s")

    async def cancelled(self, running: asyncio.Task[Outcome]) -> None:
        """Cancel a job, as core does at a timeout, and check that it ends in time."""
        running.cancel()
        await asyncio.wait({running}, timeout=self._kill_patience)
        assert running.done(), f"a cancelled execute() has not ended within {PROMISED_KILL:g} s"
        assert running.cancelled(), f"a cancelled execute() must re-raise, not {running}"

    def why_not(self, requirement: str) -> str | None:
        """Say why a requirement is not met, or None when it is."""
        backend = type(self.make_backend(Project(name="contract")))
        if not backend.runs_code:
            return f"{backend.__name__}.runs_code is False"
        if not self.runs_python:
            return f"{type(self).__name__}.runs_python is False"
        if requirement == "runs_code":
            return None
        if requirement.startswith("uses."):
            is_used = requirement.removeprefix("uses.") in backend.uses
            return None if is_used else f"{requirement.removeprefix('uses.')} is not in {backend.__name__}.uses"
        if requirement.startswith("limits."):
            is_held = requirement.removeprefix("limits.") in backend.enforces
            return None if is_held else f"{requirement} is not in {backend.__name__}.enforces"
        return super().why_not(requirement)
