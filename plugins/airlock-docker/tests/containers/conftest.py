"""Fixtures: a Docker daemon and a base image that are really there, and short ways to run things."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest

from airlock import Job, Limits, LLMRequest, Outcome, Project
from airlock.testing import RecordingSession, missing
from airlock_docker.backend import DockerBackend, DockerSettings

IMAGE = os.environ.get("AIRLOCK_TEST_IMAGE", "airlock-test-base")
HANG = 60.0  # seconds after which a test that should take one has failed


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio: Airlock is written for it."""
    return "asyncio"


@pytest.fixture(scope="session")
def client() -> Iterator[docker.DockerClient]:
    """The daemon, asked directly."""
    try:
        found = docker.from_env()
        found.images.get(IMAGE)
    except docker.errors.DockerException as error:
        missing("docker", f"{error}; see plugins/airlock-docker/README.md for how to run these tests")
    yield found
    found.close()


@pytest.fixture(scope="session")
def base_image() -> str:
    """The name of the image that projects use."""
    return IMAGE


@pytest.fixture(scope="session", autouse=True)
def daemon(client: docker.DockerClient) -> None:
    """Where there is none, one clear line says so instead of a failure for each test."""


@pytest.fixture(autouse=True)
def own_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Keep tests away from the containers of a server that runs on this machine."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "airlock" / "docker"


async def echo(request: LLMRequest) -> str:
    return f"{request.model} says {request.prompt}"


@dataclass
class Ran:
    """How an execution went."""

    outcome: Outcome
    session: RecordingSession

    @property
    def result(self) -> Any:
        assert self.outcome.error is None, (self.outcome, self.session.stderr)
        return self.outcome.result


@dataclass
class Up:
    """A backend that is up, and a short way to run things on it."""

    backend: DockerBackend

    async def run(
        self,
        code: str,
        *,
        session: RecordingSession | None = None,
        timeout: int = 60,
        **job: Any,
    ) -> Ran:
        session = session or RecordingSession(echo)
        async with asyncio.timeout(HANG):
            outcome = await self.backend.execute(Job(id="test", code=code, timeout=timeout, **job), session)
        return Ran(outcome, session)

    async def result(self, code: str, **job: Any) -> Any:
        return (await self.run(code, **job)).result

    def start(self, code: str, **job: Any) -> tuple[asyncio.Task[Ran], RecordingSession]:
        """Run in the background."""
        session = RecordingSession(echo)
        return asyncio.create_task(self.run(code, session=session, **job)), session

    async def running(self, code: str) -> tuple[asyncio.Task[Ran], str]:
        """Run in the background until something is printed; returns the name of its container too."""
        worker = self.backend._idle[0]
        assert hasattr(worker, "name")
        task, session = self.start(code)
        async with asyncio.timeout(HANG):
            await session.until(lambda session: session.stdout)
        return task, worker.name

    async def settle(self) -> None:
        """Wait until the pool is as it should be."""
        pool = self.backend
        async with asyncio.timeout(HANG):
            while pool._starting or pool._stopping or pool.pool().idle < pool._replicas:
                await asyncio.sleep(0.02)


@pytest.fixture
async def make_docker(own_state: Path) -> AsyncIterator[Callable[..., Awaitable[Up]]]:
    """Bring up a backend: `await make_docker(replicas=2, preload=("json",), memory="64MiB")`."""
    made: list[DockerBackend] = []

    async def make(
        *,
        replicas: int = 1,
        name: str = "test",
        packages: tuple[str, ...] = (),
        preload: tuple[str, ...] = (),
        settings: dict[str, Any] | None = None,
        **limits: Any,
    ) -> Up:
        project = Project(name=name, packages=packages, preload=preload, limits=Limits(**limits))
        backend = DockerBackend(project, DockerSettings.model_validate({"image": IMAGE, **(settings or {})}))
        made.append(backend)
        await backend.scale(replicas)
        return Up(backend)

    yield make
    for backend in made:
        async with asyncio.timeout(HANG):
            await backend.close()


@pytest.fixture
async def up(make_docker: Callable[..., Awaitable[Up]]) -> Up:
    """A backend with default limits and one container that waits."""
    return await make_docker()
