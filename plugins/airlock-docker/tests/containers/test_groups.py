"""Where the kernel counts what a container uses: found from its first process, read as long as it lives."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

import docker
import pytest

from airlock_docker import groups
from airlock_docker.worker import DockerWorker

if TYPE_CHECKING:
    from containers.conftest import Up

pytestmark = pytest.mark.anyio

ID = "f" * 64


def test_a_daemon_whose_processes_are_not_ours_to_see_has_no_groups() -> None:
    assert groups.find(ID, 1 << 22) is None
    assert groups.find(ID, os.getpid()) is None  # a process of that number, which is another one


@pytest.mark.parametrize("line", ["0::/docker/{}", "0::/system.slice/docker-{}.scope"])
def test_version_2_is_read_whatever_driver_made_the_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.setattr(groups, "MOUNT", tmp_path)
    monkeypatch.setattr(groups, "PROC", tmp_path / "proc")
    (tmp_path / "proc/7").mkdir(parents=True)
    (tmp_path / "proc/7/cgroup").write_text(line.format(ID) + "\n")
    for container, used in (ID, 1_500_000), ("e" * 64, 2_500_000):
        folder = tmp_path / line.format(container).removeprefix("0::/")
        folder.mkdir(parents=True)
        (folder / "cgroup.controllers").touch()
        (folder / "cpu.stat").write_text(f"usage_usec {used}\nuser_usec 1\n")
        (folder / "memory.events").write_text("low 0\noom 1\noom_kill 1\n")
        (folder / "pids.events").write_text("max 3\n")
    found = groups.find(ID, 7)
    assert found is not None
    assert found.counters("e" * 64).cpu_time() == 2.5
    counters = found.counters(ID)
    assert (counters.cpu_time(), counters.refused_forks(), counters.oom_kills()) == (1.5, 3, 1)


async def test_what_was_read_last_is_kept_when_the_container_is_gone(client: docker.DockerClient, up: Up) -> None:
    worker = up.backend._idle[0]
    assert isinstance(worker, DockerWorker)
    counters = worker.counters
    assert counters is not None
    before = counters.cpu_time()
    assert before > 0
    assert (counters.refused_forks(), counters.oom_kills()) == (0, 0)
    client.api.remove_container(worker.name, force=True, v=True)
    await asyncio.sleep(0.2)
    assert counters.cpu_time() >= before
    assert not counters.refused_forks()
