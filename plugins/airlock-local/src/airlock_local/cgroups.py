"""Control groups, one per execution: what bounds all of its processes together. Version 2, else version 1, else none.

The server makes a group and opens its `cgroup.procs`; the standby joins by writing there. A group that is empty again
serves the next execution, so that most executions cost the server no call here at all.
"""

from __future__ import annotations

import logging
import os
import re
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airlock import Limits

log = logging.getLogger(__name__)

MOUNT: Final = Path("/sys/fs/cgroup")
PERIOD: Final = 100_000  # microseconds
OOM_KILLS: Final = re.compile(rb"^oom_kill (\d+)$", re.MULTILINE)


class Group:
    """One group, or with version 1 one per controller, of one execution."""

    def __init__(self, groups: Groups, directories: list[Path], events: Path | None) -> None:
        self._groups = groups
        self._directories = directories
        self._events = None if events is None else os.open(events, os.O_RDONLY | os.O_CLOEXEC)
        self.joins = [os.open(d / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC) for d in directories]

    def oom_killed(self) -> bool:
        """Whether the kernel ever killed one of its processes for lack of memory."""
        if self._events is None:
            return False
        found = OOM_KILLS.search(os.pread(self._events, 4096, 0))
        return found is not None and found[1] != b"0"

    def give_back(self, *, empty: bool) -> None:
        """Say that its execution is over, and whether all of its processes are known to be gone."""
        self._groups.give_back(self, empty=empty)

    def close(self) -> None:
        """Let go of its descriptors. Removing it may have to wait for its last process."""
        for descriptor in [*self.joins, *([] if self._events is None else [self._events])]:
            os.close(descriptor)
        self.joins, self._events = [], None

    def try_remove(self) -> bool:
        """Remove it, if its last process is gone."""
        self._directories = [directory for directory in self._directories if not _try_rmdir(directory)]
        return not self._directories


@dataclass(frozen=True)
class Base:
    """A directory below which groups can be made, and the controllers that they have there."""

    directory: Path
    controllers: frozenset[str]
    version: int


class Groups:
    """The groups of one pool."""

    def __init__(self, bases: list[Base], limits: Limits) -> None:
        self._bases = bases
        self._limits = limits
        self._made = 0
        self._free: deque[Group] = deque()
        self._retired: list[Group] = []
        self.controllers = frozenset().union(*(base.controllers for base in bases))

    def take(self) -> Group:
        """Return an empty group. Raises OSError when there can be none."""
        self._remove_retired()
        return self._free.popleft() if self._free else self._make()

    def give_back(self, group: Group, *, empty: bool) -> None:
        """Take a group back. One in which the kernel killed is not used again: its counter would accuse the next."""
        if empty and not group.oom_killed():
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
        left = [base for base in self._bases if not _try_rmdir(base.directory)]
        return not left and not self._retired

    def describe(self) -> str:
        """Say for operators what is there."""
        return f"cgroup v{self._bases[0].version} ({', '.join(sorted(self.controllers))})"

    def _make(self) -> Group:
        self._made += 1
        directories = []
        events = None
        try:
            for base in self._bases:
                directory = base.directory / str(self._made)
                directory.mkdir()
                directories.append(directory)
                for file, value, needed in _knobs(base, self._limits):
                    _write(directory / file, value, needed=needed)
                if "memory" in base.controllers:
                    events = directory / ("memory.events" if base.version == 2 else "memory.oom_control")
            return Group(self, directories, events)
        except OSError:
            for directory in directories:
                _try_rmdir(directory)
            raise

    def _remove_retired(self) -> None:
        self._retired = [group for group in self._retired if not group.try_remove()]


def find(name: str, limits: Limits) -> Groups | None:
    """Return groups below a new directory `name`, or None where we may not make any.

    The directories of `Groups` are to be remembered before they are used, so that a successor can sweep them.
    """
    wanted = ["memory", "pids", *([] if limits.cpus is None else ["cpu"])]
    own = _own_paths()
    for bases in (_version2(name, wanted, own), _version1(name, wanted, own)):
        if not bases:
            continue
        groups = Groups(bases, limits)
        try:
            groups.give_back(groups.take(), empty=True)
        except OSError as error:
            log.debug("no cgroup below %s: %s", bases[0].directory, error)
            groups.close()
            continue
        return groups
    return None


def places(name: str) -> list[Path]:
    """Return every directory that `find(name)` may make, so that a successor can sweep what a killed server left."""
    own = _own_paths()
    v1 = [_v1_root(controller, own) for controller in ("memory", "pids", "cpu") if controller in own]
    return [parent / name for parent in [*_v2_parents(own), *v1]]


def sweep(directories: Iterable[Path]) -> bool:
    """Remove groups that a dead server left; returns whether all are gone: a process may take its time to die."""
    left = []
    for directory in directories:
        if directory.is_dir():
            left += [group for group in directory.iterdir() if group.is_dir() and not _try_rmdir(group)]
            left += [] if _try_rmdir(directory) else [directory]
    return not left


def _own_paths() -> dict[str, str]:
    """Return the path of our own group for each version 1 controller, and for version 2 under the key ""."""
    paths = {}
    for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            paths[controller] = path
    return paths


def _v2_parents(own: dict[str, str]) -> list[Path]:
    if not (MOUNT / "cgroup.controllers").exists():
        return []  # on a version 1 machine mkdir succeeds there, and means nothing
    parents = [MOUNT / own[""].strip("/")] if "" in own else []
    if os.geteuid() == 0:
        parents.append(MOUNT)  # our own group, as it holds us, may have no controllers for groups below it
    return list(dict.fromkeys(parents))


def _version2(name: str, wanted: list[str], own: dict[str, str]) -> list[Base]:
    for parent in _v2_parents(own):
        directory = parent / name
        try:
            usable = set((parent / "cgroup.controllers").read_text(encoding="ascii").split()) & set(wanted)
            enable = " ".join(f"+{controller}" for controller in usable)
            _write(parent / "cgroup.subtree_control", enable)
            directory.mkdir()
            _write(directory / "cgroup.subtree_control", enable)
        except OSError as error:
            log.debug("no cgroup below %s: %s", parent, error)
            _try_rmdir(directory)
            continue
        if usable:
            return [Base(directory, frozenset(usable), 2)]
    return []


def _v1_root(controller: str, own: dict[str, str]) -> Path:
    parent = MOUNT / controller / own[controller].strip("/")
    return parent if parent.is_dir() else MOUNT / controller  # in a cgroup namespace of a container


def _version1(name: str, wanted: list[str], own: dict[str, str]) -> list[Base]:
    bases = []
    for controller in wanted:
        if controller in own and (parent := _v1_root(controller, own)).is_dir():
            try:
                (parent / name).mkdir()
            except OSError as error:
                log.debug("no cgroup below %s: %s", parent, error)
                continue
            bases.append(Base(parent / name, frozenset({controller}), 1))
    return bases


def _knobs(base: Base, limits: Limits) -> list[tuple[str, str, bool]]:
    """Return (file, value, whether it has to work). Swap accounting may be off: then `memory` bounds only memory."""
    memory, processes = str(limits.memory), str(limits.processes)
    quota = int((limits.cpus or 0) * PERIOD)
    all_of_them = {
        ("memory", 2): [
            ("memory.max", memory, True),
            ("memory.swap.max", "0", False),
            ("memory.oom.group", "1", False),
        ],
        ("memory", 1): [("memory.limit_in_bytes", memory, True), ("memory.memsw.limit_in_bytes", memory, False)],
        ("pids", 2): [("pids.max", processes, True)],
        ("pids", 1): [("pids.max", processes, True)],
        ("cpu", 2): [("cpu.max", f"{quota} {PERIOD}", True)],
        ("cpu", 1): [("cpu.cfs_period_us", str(PERIOD), True), ("cpu.cfs_quota_us", str(quota), True)],
    }
    return [knob for controller in sorted(base.controllers) for knob in all_of_them[controller, base.version]]


def _write(path: Path, value: str, *, needed: bool = True) -> None:
    try:
        path.write_text(value, encoding="ascii")
    except OSError:
        if needed:
            raise


def _try_rmdir(directory: Path) -> bool:
    try:
        directory.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False  # busy: something in it is still dying
    return True
