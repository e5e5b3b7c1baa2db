"""Where the control groups of containers are, if the daemon's can be read from here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from airlock.sandbox import Counters

PROC: Final = Path("/proc")
MOUNT: Final = Path("/sys/fs/cgroup")
VERSION_1: Final = frozenset({"cpuacct", "memory", "pids"})  # the controllers that count


@dataclass(frozen=True, slots=True)
class Groups:
    """The control groups of one container, and so where those of any other one are."""

    container: str
    directories: tuple[Path, ...]

    def counters(self, container: str) -> Counters:
        """Return the counters of another container, by its full id. They count from its start."""
        return Counters(Path(str(directory).replace(self.container, container)) for directory in self.directories)


def find(container: str, pid: int) -> Groups | None:
    """Look at a running container, by its full id and its first process as the host sees it.

    None where that is not this machine's: the daemon may live in a virtual machine, and the server in a container.
    """
    try:
        lines = (PROC / str(pid) / "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if container in path:
            names = VERSION_1 & {*controllers.split(",")} if controllers else {""}
            found += [MOUNT / name / path.strip("/") for name in names]
    directories = tuple(directory for directory in found if directory.is_dir())
    return Groups(container, directories) if directories else None
