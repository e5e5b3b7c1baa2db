"""Control groups, one per execution: what bounds all of its processes together. Version 2, else version 1, else none.

The server makes a group and opens its `cgroup.procs`; the standby joins by writing there. A group that is empty again
serves the next execution, so that most executions cost the server no call here at all.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from typing import TYPE_CHECKING, Final

from airlock.sandbox import Counters

from .diagnosis import SYSCTL
from .hierarchies import bases, try_rmdir, write

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from airlock import Limits

    from .hierarchies import Base

log = logging.getLogger(__name__)

PERIOD: Final = 100_000  # microseconds
# Of a core, for a script that keeps asking for more processes (refusals.py). The period is short, as a group may be
# stopped inside a lock that its neighbours wait for.
THROTTLED: Final = 0.1
THROTTLED_PERIOD: Final = 10_000
# With version 2 a group outside, such as the server's, counts that many times as much as all of a pool's executions.
# With version 1 these count as one process outside; less would starve them, as there each busy process has a share.
WEIGHT: Final = 4
COUNTERS: Final = ("kernel/pid_max", "kernel/threads-max", "fs/file-max")
FEW: Final = 8


class Group:
    """One group, or with version 1 one per controller, of one execution."""

    def __init__(self, groups: Groups, directories: list[Path], throttle: Sequence[tuple[Path, str]]) -> None:
        """`throttle` is what to write where to slow it down."""
        self._groups = groups
        self._directories = directories
        self._throttle = throttle
        self._processes: int | None = None
        self._is_throttled = False
        self.counters = Counters(directories)
        self.joins = [os.open(d / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC) for d in directories]

    def has_processes(self) -> bool:
        """Whether somebody joined it, with all controllers."""
        return all((directory / "cgroup.procs").read_text(encoding="ascii") for directory in self._directories)

    def allow(self, processes: int) -> None:
        """Hold it to so many processes."""
        if processes != self._processes:
            for directory in self._directories:
                if (file := directory / "pids.max").exists():
                    write(file, str(processes))
            self._processes = processes

    def throttle(self) -> bool:
        """Give its execution hardly any CPU time from now on; returns whether that was possible."""
        self._is_throttled = True
        try:
            for file, value in self._throttle:
                write(file, value)
        except OSError as error:  # such as a quota above us that is smaller still
            log.warning("%s cannot be slowed down: %s", self._directories[0], error)
            return False
        return bool(self._throttle)

    @property
    def is_usable(self) -> bool:
        """Whether another execution may have it. A counter of killed processes would accuse that one."""
        return not self._is_throttled and not self.counters.oom_kills()

    def give_back(self, *, empty: bool) -> None:
        """Say that its execution has finished, and whether all of its processes are known to be gone."""
        self._groups.give_back(self, empty=empty)

    def close(self) -> None:
        """Let go of its descriptors. Removing it may have to wait for its last process."""
        for descriptor in self.joins:
            os.close(descriptor)
        self.joins = []
        self.counters.close()

    def try_remove(self) -> bool:
        """Remove it, if its last process is gone."""
        self._directories = [directory for directory in self._directories if not try_rmdir(directory)]
        return not self._directories


class Groups:
    """The groups of one pool."""

    def __init__(self, bases: list[Base], limits: Limits) -> None:
        self._bases = bases
        self._limits = limits
        self._made = 0
        self._free: deque[Group] = deque()
        self._retired: list[Group] = []
        self.controllers = frozenset().union(*(base.controllers for base in bases))
        for base in bases:
            if "cpu" in base.controllers and base.version == 2:  # it counts among groups that are beside each other
                write(base.directory / "cpu.weight", str(100 // WEIGHT), needed=False)
            if "pids" in base.controllers:
                write(base.directory / "pids.max", str(most_processes(limits)))

    def take(self, *, templates: int = 0) -> Group:
        """Return an empty group for one execution beside so many processes of ours. Raises OSError."""
        self._remove_retired()
        group = self._free.popleft() if self._free else self._make()
        group.allow(self._limits.processes + templates)
        return group

    def give_back(self, group: Group, *, empty: bool) -> None:
        """Take a group back, to be used again if it can be."""
        if empty and group.is_usable:
            group.counters.restart()
            self._free.append(group)
        else:
            group.close()
            self._retired.append(group)

    def close(self) -> bool:
        """Remove all groups; returns whether none is left. Call it again later if one was still dying."""
        while self._free:
            group = self._free.popleft()
            group.close()
            self._retired.append(group)
        self._remove_retired()
        left = [base for base in self._bases if not try_rmdir(base.directory)]
        return not left and not self._retired

    def describe(self) -> str:
        """Say for operators what is there."""
        return f"cgroup v{self._bases[0].version} ({', '.join(sorted(self.controllers))})"

    def _make(self) -> Group:
        self._made += 1
        directories = []
        throttle: list[tuple[Path, str]] = []
        try:
            for base in self._bases:
                directory = base.directory / str(self._made)
                directory.mkdir()
                directories.append(directory)
                for file, value, needed in _knobs(base, self._limits):
                    write(directory / file, value, needed=needed)
                if self._limits.cpus is None or self._limits.cpus > THROTTLED:
                    quota = _quota(base, THROTTLED, THROTTLED_PERIOD)
                    throttle += [(directory / file, value) for file, value, _ in quota]
            return Group(self, directories, throttle)
        except OSError:
            for directory in directories:
                try_rmdir(directory)
            raise

    def _remove_retired(self) -> None:
        self._retired = [group for group in self._retired if not group.try_remove()]


def find(name: str, limits: Limits) -> Groups | None:
    """Return groups below a new directory `name`, or None where we may not make any."""
    for found in bases(name, ["memory", "pids", "cpuacct", "cpu"]):
        groups = Groups(found, limits)
        try:
            groups.give_back(groups.take(), empty=True)
        except OSError as error:
            log.debug("no cgroup below %s: %s", found[0].directory, error)
            groups.close()
            continue
        return groups
    return None


def most_processes(limits: Limits) -> int:
    """Return how many processes all executions of a pool may have together, so that they leave half of the machine's.

    And half of its open files, as far as that leaves each execution a few processes (`FEW`).
    """
    pids, threads, files = (int((SYSCTL / name).read_text(encoding="ascii")) for name in COUNTERS)
    few = FEW * (limits.max_replicas + limits.max_paused)
    return min(pids // 2, threads // 2, max(files // 2 // limits.files, few))


def _knobs(base: Base, limits: Limits) -> list[tuple[str, str, bool]]:
    """Return (file, value, whether it has to work). Swap accounting may be off: then `memory` bounds only memory."""
    memory, processes = str(limits.memory), str(limits.processes)
    quota = [] if limits.cpus is None else _quota(base, limits.cpus, PERIOD)
    all_of_them = {
        ("memory", 2): [
            ("memory.max", memory, True),
            ("memory.swap.max", "0", False),
        ],
        ("memory", 1): [("memory.limit_in_bytes", memory, True), ("memory.memsw.limit_in_bytes", memory, False)],
        ("pids", 2): [("pids.max", processes, True)],
        ("pids", 1): [("pids.max", processes, True)],
        ("cpuacct", 1): [],
        ("cpu", 2): quota,
        ("cpu", 1): quota,
    }
    return [knob for controller in sorted(base.controllers) for knob in all_of_them[controller, base.version]]


def _quota(base: Base, cores: float, period: int) -> list[tuple[str, str, bool]]:
    if "cpu" not in base.controllers:
        return []
    time = int(cores * period)
    if base.version == 2:
        return [("cpu.max", f"{time} {period}", True)]
    return [("cpu.cfs_quota_us", str(time), True), ("cpu.cfs_period_us", str(period), True)]  # never more in between
