"""What the kernel counts for all processes of one execution together, in control groups of version 1 or 2."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

ONLY_VERSION_2: Final = "cgroup.controllers"  # a file that tells its groups from those of version 1
CPU, MEMORY, PIDS = "cpu", "memory", "pids"
FULL = "full"  # how often memory was short because of the group's own limit, which version 1 does not count
# The file, what stands before the number in it, and how many of that make one.
VERSION_1: Final = {
    CPU: ("cpuacct.usage", b"", 1e9),
    MEMORY: ("memory.oom_control", b"oom_kill ", 1),
    PIDS: ("pids.events", b"max ", 1),
}
VERSION_2: Final = {
    CPU: ("cpu.stat", b"usage_usec ", 1e6),
    MEMORY: ("memory.events", b"oom_kill ", 1),
    FULL: ("memory.events", b"oom ", 1),
    PIDS: ("pids.events", b"max ", 1),
}


class Counters:
    """The counters of one execution. Reading them never raises: what cannot be read any more keeps its last value.

    They count from the groups' beginning, or from the last `restart`: a group may serve one execution after the other.
    What no controller counts stays 0.
    """

    def __init__(self, directories: Iterable[Path]) -> None:
        """`directories` are its control groups: one of version 2, or with version 1 one for each controller."""
        self._counters: dict[str, _Counter] = {}
        self._members: Path | None = None
        for directory in directories:
            self._members = self._members or directory / "cgroup.procs"
            version = VERSION_2 if (directory / ONLY_VERSION_2).exists() else VERSION_1
            for name, (file, label, unit) in version.items():
                if name not in self._counters and (directory / file).exists():
                    self._counters[name] = _Counter(directory / file, label, unit)

    @property
    def counts_cpu_time(self) -> bool:
        """Whether `cpu_time` is counted at all."""
        return CPU in self._counters

    @property
    def counts_memory(self) -> bool:
        """Whether `oom_kills` is counted at all."""
        return MEMORY in self._counters

    def cpu_time(self) -> float:
        """Return the CPU seconds of all processes, dead ones included."""
        return self._read(CPU)

    def oom_kills(self) -> int:
        """Return how often the kernel killed a process because the group had reached its limit.

        It also kills when a group around this one, or the whole machine, is out of memory. With version 2 that does not
        count here; version 1 does not tell it apart.
        """
        kills = int(self._read(MEMORY))
        return kills if FULL not in self._counters or self._read(FULL) else 0

    def refused_forks(self) -> int:
        """Return how often the kernel refused one more process or thread."""
        return int(self._read(PIDS))

    def processes(self) -> list[int]:
        """Return the processes that are alive, as this server sees them.

        Raises OSError if they cannot be read, as when the server has no descriptor left.
        """
        try:
            return [] if self._members is None else [*map(int, self._members.read_bytes().split())]
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENODEV):  # the group is gone
                return []
            raise

    def look(self) -> None:
        """Read all of them, as the groups may soon be gone."""
        for name in self._counters:
            self._read(name)

    def restart(self) -> None:
        """Count from 0 again, for the next execution in the same groups."""
        for counter in self._counters.values():
            counter.start = counter.read()

    def close(self) -> None:
        """Read no more, and let go of descriptors."""
        for counter in self._counters.values():
            counter.close()

    def _read(self, name: str) -> float:
        counter = self._counters.get(name)
        return 0 if counter is None else counter.read() - counter.start


class _Counter:
    """One number in a file that is opened once: that makes each look six times cheaper."""

    def __init__(self, path: Path, label: bytes, unit: float) -> None:
        self._path: Path | None = path
        self._label = label
        self._unit = unit
        self._descriptor = -1
        self._last = 0.0
        self.start = 0.0

    def read(self) -> float:
        if self._path is None:
            return self._last
        try:
            if self._descriptor < 0:
                self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            lines = os.pread(self._descriptor, 4096, 0).splitlines()
        except OSError:  # the group is gone
            return self._last
        for line in lines:
            if line.startswith(self._label):
                self._last = int(line[len(self._label) :]) / self._unit
                break
        return self._last

    def close(self) -> None:
        self._path = None
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
