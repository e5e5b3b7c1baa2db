"""Fixtures: a real backend, and short ways to run things on it."""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from airlock import BackendUnavailable, Limits, Project
from airlock.testing import RunningPool, missing
from airlock_local import box, selftest
from airlock_local.backend import LocalBackend, LocalSettings
from airlock_local.standby import LocalWorker

Local = RunningPool[LocalBackend]
UID = 65_533  # owns nothing
NEWNS, BIND, REC, PRIVATE = 0x20000, 4096, 16384, 1 << 18
HANG = 30.0  # seconds after which a test that should take milliseconds has failed


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio: Airlock is written for it."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def without_landlock() -> Iterator[None]:
    """With AIRLOCK_TEST_WITHOUT=landlock the self-test puts up with a kernel that has none, but with nothing else.

    `isolation: reduced`, the operator's way round that, would put up with any layer that is missing.
    """
    real = selftest.failures

    async def failures(*arguments: Any) -> list[str]:
        return [what for what in await real(*arguments) if not what.startswith("Landlock")]

    with pytest.MonkeyPatch.context() as patch:
        if os.environ.get("AIRLOCK_TEST_WITHOUT") == "landlock":
            patch.setattr(selftest, "failures", failures)
        yield


@pytest.fixture(scope="session", autouse=True)
def sandbox(without_landlock: None) -> None:
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
        preload_strict: bool = False,
        preload_reseed: tuple[str, ...] = (),
        isolation: Literal["full", "reduced"] = "full",
        reuse: Literal["pristine", "never"] = "pristine",
        **limits: Any,
    ) -> Local:
        project = Project(
            name="test",
            packages=packages,
            preload=preload,
            preload_strict=preload_strict,
            preload_reseed=preload_reseed,
            limits=Limits(**limits),
        )
        backend = LocalBackend(project, LocalSettings(isolation=isolation, reuse=reuse))
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
def after() -> Callable[[Local, str, str], Awaitable[Any]]:
    """Run a script, and then another one in the same slot: its result, or None if nobody else gets the slot."""

    async def next_slot(local: Local) -> Any:
        await local.settle()
        async with asyncio.timeout(HANG):
            while local.backend._slots is None or local.backend._slots._lingering:
                await asyncio.sleep(0.001)
        local.backend._slots.keep(8)
        worker = local.backend._idle[0]
        assert isinstance(worker, LocalWorker)
        return worker._slot

    async def run(local: Local, code: str, then: str) -> Any:
        slot = await next_slot(local)
        await local.run(f"import os\n{code}")
        for _ in range(3):  # others stood ready meanwhile
            is_the_same = await next_slot(local) is slot
            result = await local.result(then)
            if is_the_same:
                return result
        return None

    return run


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
def descendants() -> Callable[[int], list[int]]:
    """List all processes below one, children before theirs; of its first thread."""

    def below(pid: int) -> list[int]:
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return [*children, *(found for child in children for found in below(child))]

    return below


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


@pytest.fixture
def become() -> Callable[[Path], None]:
    """As root, in a new process: become a user without any rights, who owns this directory and can run Airlock."""

    def change(home: Path) -> None:
        os.chown(home, UID, UID)
        repository = Path(__file__).parents[3]
        executable = Path(os.path.realpath(sys.executable))
        become_ordinary([repository, Path(sys.prefix), Path(sys.base_prefix), executable, home])

    return change


def become_ordinary(needed: list[Path]) -> None:
    """Become the user without rights, in a mount namespace where `needed` is reached even below a 0700 directory."""
    libc = ctypes.CDLL(None, use_errno=True)

    def mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
        texts = [None if text is None else text.encode() for text in (source, target, kind, data)]
        if libc.mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3]) != 0:
            raise OSError(ctypes.get_errno(), f"mount {source} on {target}")

    if libc.unshare(NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    mount("none", "/", None, REC | PRIVATE)
    mount("tmpfs", "/mnt", "tmpfs", 0, "mode=755")
    staged: dict[Path, Path] = {}
    for path in dict.fromkeys(needed):
        if any(not parent.stat().st_mode & 0o001 for parent in path.parents):
            place = Path(f"/mnt/{len(staged)}")
            make_place(path, place)
            mount(str(path), str(place), None, BIND | REC)
            staged[path] = place
    blocked = {next(p for p in reversed(path.parents) if not p.stat().st_mode & 0o001) for path in staged}
    for parent in blocked:
        mount("tmpfs", str(parent), "tmpfs", 0, "mode=755")
    for path, place in staged.items():
        make_place(place, path)
        mount(str(place), str(path), None, BIND | REC)
    os.setgroups([])
    os.setresgid(UID, UID, UID)
    os.setresuid(UID, UID, UID)


def make_place(like: Path, path: Path) -> None:
    """Make an empty directory or file to mount on."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if like.is_dir():
        path.mkdir()
    else:
        path.touch()
