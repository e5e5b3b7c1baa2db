"""Many executions of every kind, one after the other and beside each other: nothing adds up, here or at the daemon.

`make test` takes a few, `make soak` takes 1,000. The daemon is the test's own: everything that it has can be counted.
"""

from __future__ import annotations

import asyncio
import os
import resource
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from airlock.testing.attacks import IS_SOAK, Mixture
from airlock_docker.engine import THREADS

if TYPE_CHECKING:
    from containers.conftest import Daemon, Up

pytestmark = [pytest.mark.anyio, pytest.mark.long]

EXECUTIONS = 1_000 if IS_SOAK else 24
AT_ONCE = 3
KEPT = 2 * THREADS  # connections to the daemon: those are kept for the next call
GROWTH = 24 << 20  # bytes that a test process may grow by whatever the count: caches, not executions


def at_the_daemon(daemon: Daemon) -> dict[str, int]:
    """Count what it has, in its own words and on its disk."""
    found = {what: len(daemon.docker(*question.split()).split()) for what, question in QUESTIONS.items()}
    for folder in ("containers", "overlay2", "volumes"):
        path = daemon.folder / "data-root" / folder
        found[f"folders in {folder}"] = len(list(path.iterdir())) if path.exists() else 0
    found["mounts"] = Path("/proc/self/mounts").read_text().count(str(daemon.folder))
    found["processes"] = len(processes(daemon))
    return found


QUESTIONS = {"containers": "ps -aq", "images": "images -aq", "volumes": "volume ls -q"}


def processes(daemon: Daemon) -> set[int]:
    """All of the daemon's own, of the shims that it started, and of the containers in these."""
    parents: dict[int, int] = {}
    found: set[int] = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if str(daemon.folder) in (entry / "cmdline").read_text():
                    found.add(int(entry.name))
            except OSError:
                continue  # it is gone
    size = 0
    while size != len(found):
        size = len(found)
        found |= {pid for pid, parent in parents.items() if parent in found}
    return found


def here(state: Path) -> dict[str, int]:
    """Count what this process has."""
    return {
        "locks": len(list(state.iterdir())),
        "temporary folders": len(list(Path(tempfile.gettempdir()).glob("airlock-docker-*"))),
    }


async def becomes(expected: dict[str, int], daemon: Daemon) -> None:
    """A shim takes a moment to go after its container."""
    for _ in range(100):
        if at_the_daemon(daemon) == expected:
            return
        await asyncio.sleep(0.1)
    assert at_the_daemon(daemon) == expected


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def test_mixed_executions_leave_nothing_over(
    own_daemon: Daemon,
    own_state: Path,
    base_image: str,
    make_docker: Callable[..., Awaitable[Up]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    own_daemon.start()
    own_daemon.copy_image(base_image)
    empty = at_the_daemon(own_daemon)
    up = await make_docker(replicas=AT_ONCE, memory="64MiB", settings={"docker_host": own_daemon.host})
    mixture = Mixture(up, AT_ONCE)
    await mixture.run(EXECUTIONS // 3, seed=1)
    await asyncio.sleep(0.5)
    warm, own = at_the_daemon(own_daemon), here(own_state)
    descriptors, size = len(os.listdir("/proc/self/fd")), resident()
    assert warm["containers"] == AT_ONCE
    await mixture.run(EXECUTIONS - EXECUTIONS // 3, seed=2)
    await becomes(warm, own_daemon)
    assert here(own_state) == own
    assert len(os.listdir("/proc/self/task")) <= THREADS + 4
    assert len(os.listdir("/proc/self/fd")) <= descriptors + KEPT
    assert resident() < size + GROWTH
    await up.backend.close()
    assert own_daemon.docker("images", "-q", "airlock/project").count("\n") == 1
    for image in own_daemon.docker("images", "-q", "airlock/project").split():
        own_daemon.docker("rmi", image)
    await becomes(empty, own_daemon)
    assert list(own_state.iterdir()) == []
