"""Shows a script the limits of one execution where programs look for the size of the machine.

So libraries take as many threads and as much memory as they may use, instead of what the whole machine has. The files
do not change while a script runs: they say what it may use, not what it uses. Those of a real control group would say
both, but to read them (`memory.stat`) can hold up the whole machine.
"""

from __future__ import annotations

import os

CPUS = "/sys/devices/system/cpu"
GROUP = "/sys/fs/cgroup"
PERIOD = 100_000  # microseconds, for a quota of CPU time


def environment(cores: int) -> dict[str, str]:
    """Return variables for those that ask the kernel for their cores, see `show_cores`, in other processes."""
    return dict.fromkeys(("PYTHON_CPU_COUNT", "PYTEST_XDIST_AUTO_NUM_WORKERS"), str(cores))


def show_cores(cores: int) -> None:
    """Make `os.sched_getaffinity` return at most this many, in this process and its forks.

    What bounds an execution is a quota of CPU time on all cores, as scripts that are held on some would crowd there
    while others idle. The kernel's answer is all of them: too many for who starts a process on each (pytest-xdist).
    `os.cpu_count` reads a file of those below.
    """
    real = os.sched_getaffinity
    if len(real(0)) > cores:
        os.sched_getaffinity = lambda pid: set(sorted(real(pid))[:cores])


def files(*, memory: int, processes: int, cpus: float | None, cores: int) -> dict[str, str]:
    """Return files below /sys, by their paths: `cores`, and a control group with these limits (bytes; CPUs, if any).

    It is there in both versions, each of which is looked for where /proc/self/cgroup names it.
    """
    quota = None if cpus is None else max(1, round(cpus * PERIOD))
    every = "0" if cores == 1 else f"0-{cores - 1}"
    found = {
        **{f"{CPUS}/{name}": every for name in ("online", "possible", "present")},
        f"{GROUP}/cgroup.controllers": "cpu memory pids",
        f"{GROUP}/cpu.max": f"{'max' if quota is None else quota} {PERIOD}",
        f"{GROUP}/memory.max": memory,
        f"{GROUP}/pids.max": processes,
        f"{GROUP}/cpu/cpu.cfs_quota_us": -1 if quota is None else quota,
        f"{GROUP}/cpu/cpu.cfs_period_us": PERIOD,
        f"{GROUP}/memory/memory.limit_in_bytes": memory,
        f"{GROUP}/pids/pids.max": processes,
    }
    for number in range(cores):  # what lscpu, psutil and joblib count physical cores by
        core = f"{CPUS}/cpu{number}/topology"
        found[f"{core}/core_id"] = found[f"{core}/core_cpus_list"] = number
        found[f"{core}/physical_package_id"] = 0
        found[f"{core}/thread_siblings"] = _mask(1 << number, cores)
        found[f"{core}/core_siblings"] = _mask((1 << cores) - 1, cores)
    return {path: f"{text}\n" for path, text in found.items()}


def meminfo(memory: int) -> str:
    """Return the text of /proc/meminfo for a machine with this much memory, in bytes, all of it free, and no swap."""
    free = ("MemTotal", "MemFree", "MemAvailable")
    none = ("Buffers", "Cached", "SwapCached", "Active", "Inactive", "SwapTotal", "SwapFree", "Shmem", "Slab")
    lines = {**dict.fromkeys(free, memory >> 10), **dict.fromkeys(none, 0)}
    return "".join(f"{name + ':':<16}{size:>8} kB\n" for name, size in lines.items())


def _mask(bits: int, cores: int) -> str:
    """Write a set of cores as the kernel does: in groups of 32."""
    groups = [f"{bits >> shift & 0xFFFF_FFFF:08x}" for shift in range(0, cores, 32)]
    return ",".join(reversed(groups))
