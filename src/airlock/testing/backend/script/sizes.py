"""The part of `BackendContract` about the size of the machine: where libraries ask for it, they find the limits."""

from __future__ import annotations

import pytest

from airlock.testing.backend.base import BackendBench
from airlock.testing.backend.capabilities import needs

CORES = """
import multiprocessing, os, subprocess, sys
child = subprocess.run([sys.executable, "-c", "import os; print(os.cpu_count())"], capture_output=True, text=True)
set_result([
    os.cpu_count(), multiprocessing.cpu_count(), len(os.sched_getaffinity(0)), os.sysconf("SC_NPROCESSORS_ONLN"),
    os.sysconf("SC_NPROCESSORS_CONF"), int(child.stdout), int(os.environ["PYTEST_XDIST_AUTO_NUM_WORKERS"]),
])
"""
GROUP = """
def own(controller):
    path = "/"
    with open("/proc/self/cgroup") as file:
        for line in file:
            number, names, path = line.rstrip("\\n").split(":", 2)
            if controller in names.split(","):
                return f"/sys/fs/cgroup/{controller}{path}".rstrip("/"), 1
    return f"/sys/fs/cgroup{path}".rstrip("/"), 2
def read(controller, *names):
    folder, version = own(controller)
    with open(f"{folder}/{names[version - 1]}") as file: return file.read().split()
memory = read("memory", "memory.limit_in_bytes", "memory.max")
processes = read("pids", "pids.max", "pids.max")
quota = read("cpu", "cpu.cfs_quota_us", "cpu.max")
period = read("cpu", "cpu.cfs_period_us", "cpu.max")[-1:]
set_result([memory, processes, quota[0], period[0]])
"""


@pytest.mark.anyio
class Sizes(BackendBench):
    """A library that takes all of a machine takes all that its execution may use, and no more."""

    @needs("sizes", "subprocesses", "limits.cpus")
    async def test_cores_are_those_of_limits_cpus(self) -> None:
        async with self.up(cpus=0.5) as backend:
            assert await self.result_of(backend, CORES) == [1] * 7

    @needs("sizes", "limits.cpus", "limits.memory", "limits.processes")
    async def test_control_group_shows_the_limits(self) -> None:
        async with self.up(cpus=0.5, memory=96 << 20, processes=23) as backend:
            found = await self.result_of(backend, GROUP)
        assert found == [[str(96 << 20)], ["23"], "50000", "100000"]
