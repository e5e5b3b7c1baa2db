"""Fixtures: a real backend, and short ways to run things on it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from airlock import BackendUnavailable, Limits, Project
from airlock.testing import RunningPool, missing
from airlock_local import box
from airlock_local.backend import LocalBackend, LocalSettings

Local = RunningPool[LocalBackend]
HANG = 30.0  # seconds after which a test that should take milliseconds has failed


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio: Airlock is written for it."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def sandbox() -> None:
    """Where the machine refuses sandboxes, one clear line says so instead of a failure for each test."""

    async def try_one() -> None:
        backend = LocalBackend(Project(name="probe"), LocalSettings())
        try:
            await backend.scale(1)
        finally:
            await backend.close()

    try:
        asyncio.run(try_one())
    except BackendUnavailable as error:
        missing("sandbox", str(error))


@pytest.fixture
async def make_local() -> AsyncIterator[Callable[..., Awaitable[Local]]]:
    """Bring up a backend: `await make_local(replicas=2, preload=("json",), memory="64MiB")`."""
    made: list[LocalBackend] = []

    async def make(
        *,
        replicas: int = 1,
        packages: tuple[str, ...] = (),
        preload: tuple[str, ...] = (),
        isolation: Literal["full", "reduced"] = "full",
        **limits: Any,
    ) -> Local:
        project = Project(name="test", packages=packages, preload=preload, limits=Limits(**limits))
        backend = LocalBackend(project, LocalSettings(isolation=isolation))
        made.append(backend)
        async with asyncio.timeout(HANG * 4):
            await backend.scale(replicas)
        return RunningPool(backend, HANG)

    yield make
    for backend in made:
        async with asyncio.timeout(HANG):
            await backend.close()


@pytest.fixture
async def local(make_local: Callable[..., Awaitable[Local]]) -> Local:
    """A backend with default limits and one standby."""
    return await make_local()


@pytest.fixture
def leave_out(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Leave layers out of all boxes. Nothing but a test can do this: no setting of the product does."""

    def change(*layers: str) -> None:
        left = [name for name in box.EVERY_LAYER if name not in layers]
        assert len(left) == len(box.EVERY_LAYER) - len(layers)
        real = box.Box.__init__

        def init(self: box.Box, *arguments: Any, **options: Any) -> None:
            real(self, *arguments, **options, layers=left)

        monkeypatch.setattr(box.Box, "__init__", init)

    return change


@pytest.fixture
def sandboxed() -> Callable[[], int]:
    """Count the processes that live in another pid namespace than ours, below this test's own process."""

    def count() -> int:
        parents: dict[int, int] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                try:
                    stat = (entry / "stat").read_text()
                except (FileNotFoundError, ProcessLookupError):
                    continue
                parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
        own, found = {os.getpid()}, -1
        while found != len(own):
            found = len(own)
            own |= {pid for pid, parent in parents.items() if parent in own}
        return len(own) - 1

    return count
