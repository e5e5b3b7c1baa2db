"""What the kernel counts for all processes of a container together, where the daemon's control groups can be read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
MOUNT: Final = Path("/sys/fs/cgroup")
VERSION_1: Final = {"cpuacct": "cpuacct.usage", "pids": "pids.events", "memory": "memory.oom_control"}
VERSION_2: Final = {"cpuacct": "cpu.stat", "pids": "pids.events", "memory": "memory.events"}


@dataclass(frozen=True, slots=True)
class Groups:
    """Where one container's files are, which is where those of any other are, too."""

    container: str
    files: dict[str, Path]

    def of(self, container: str) -> Group:
        """Return the group of another container, by its full id."""
        files = {name: Path(str(path).replace(self.container, container)) for name, path in self.files.items()}
        return Group(files["cpuacct"], files["pids"], files["memory"])


class Group:
    """The group of one container, which goes with it: what was read last is kept."""

    def __init__(self, cpu: Path, pids: Path, memory: Path) -> None:
        self._cpu = cpu
        self._pids = pids
        self._memory = memory
        self._used = 0.0

    def cpu_time(self) -> float:
        """Return the CPU seconds that all of its processes ever used, dead ones included."""
        try:
            text = self._cpu.read_text(encoding="ascii")
        except OSError:
            return self._used
        # cpu.stat begins with usage_usec, cpuacct.usage holds nanoseconds
        self._used = int(text.split()[1]) / 1e6 if self._cpu.name == "cpu.stat" else int(text) / 1e9
        return self._used

    def has_refused_processes(self) -> bool:
        """Whether the kernel refused one more process or thread, as far as that can still be read."""
        try:
            return self._pids.read_text(encoding="ascii").split() != ["max", "0"]
        except OSError:
            return False

    def has_killed_for_memory(self) -> bool:
        """Whether the kernel killed a process for lack of memory; the daemon hears of it later, and not always."""
        try:
            lines = self._memory.read_text(encoding="ascii").splitlines()
        except OSError:
            return False
        return any(line.startswith("oom_kill ") and line != "oom_kill 0" for line in lines)


def find(container: str, pid: int) -> Groups | None:
    """Look at a running container, by its full id and its first process as the host sees it.

    None where that is not this machine's: the daemon may live in a virtual machine, and the server in a container.
    """
    try:
        lines = (PROC / str(pid) / "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    files: dict[str, Path] = {}
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if container not in path:
            continue
        below = path.strip("/")
        if not controllers:
            files |= {name: MOUNT / below / file for name, file in VERSION_2.items() if name not in files}
        for name in VERSION_1.keys() & {*controllers.split(",")}:
            files[name] = MOUNT / name / below / VERSION_1[name]
    groups = Groups(container, files)
    return groups if files and all(path.exists() for path in files.values()) else None
