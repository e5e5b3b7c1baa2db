"""Where this server may make control groups, of version 2 or 1, and the removal of what a killed one left there."""

from __future__ import annotations

import contextlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

log = logging.getLogger(__name__)

MOUNT: Final = Path("/sys/fs/cgroup")
SERVER: Final = "airlock-server"  # the group of the server itself, in one that was delegated to it
MOVES: Final = 10  # turns in which all processes are moved; one that forks all the time may escape some


@dataclass(frozen=True)
class Base:
    """A directory below which groups can be made, and the controllers that they have there."""

    directory: Path
    controllers: frozenset[str]
    version: int


def bases(name: str, wanted: list[str]) -> Iterator[list[Base]]:
    """Make directories `name` for these controllers, as far as that is allowed: first in version 2, then in version 1.

    They are to be remembered (`places`) before they are made, so that a successor can sweep them.
    """
    own = _own_paths()
    for parent in _v2_parents(own):
        if base := _version2(parent, name, wanted):
            yield [base]
    if found := _version1(name, wanted, own):
        yield found


def places(name: str) -> list[Path]:
    """Return every directory that `bases(name)` may make."""
    own = _own_paths()
    v1 = [_v1_root(controller, own) for controller in ("memory", "pids", "cpu", "cpuacct") if controller in own]
    return list(dict.fromkeys((parent / name).resolve() for parent in [*_v2_parents(own), *v1]))


def why_none() -> str:
    """Say for operators why we may make no groups here."""
    if not (MOUNT / "cgroup.controllers").exists():
        return "of version 1, where only root may make groups" if os.geteuid() else "none that may be written here"
    if os.statvfs(MOUNT).f_flag & os.ST_RDONLY:
        return f"{MOUNT} is read-only, as in most containers"
    if os.geteuid():
        return "none is delegated to this user, as `systemd-run --user --scope -p Delegate=yes` or `Delegate=yes` does"
    return f"{MOUNT} has no controllers"


def sweep(directories: Iterable[Path]) -> bool:
    """Remove groups that a dead server left; returns whether all are gone: a process may take its time to die."""
    left = []
    for directory in directories:
        if directory.is_dir():
            left += [group for group in directory.iterdir() if group.is_dir() and not try_rmdir(group)]
            left += [] if try_rmdir(directory) else [directory]
    return not left


def write(path: Path, value: str, *, needed: bool = True) -> None:
    """Set a value. Raises OSError when that is needed and fails."""
    try:
        path.write_text(value, encoding="ascii")
    except OSError:
        if needed:
            raise


def try_rmdir(directory: Path) -> bool:
    """Remove a group, unless something in it is still dying; returns whether it is gone."""
    try:
        directory.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _own_paths() -> dict[str, str]:
    """Return the path of our own group for each version 1 controller, and for version 2 under the key ""."""
    paths = {}
    for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            paths[controller] = path
    return paths


def _v2_parents(own: dict[str, str]) -> list[Path]:
    """Return the groups in which we may make some, the best first."""
    if not (MOUNT / "cgroup.controllers").exists():
        return []  # on a version 1 machine mkdir succeeds there, and means nothing
    group = MOUNT / own.get("", "").strip("/")
    if ".." in group.parts or not group.is_dir():
        return []  # we were put into a group that this cgroup namespace does not show
    if group.name == SERVER:
        group = group.parent  # an earlier pool or server moved us
    above = [group, *(parent for parent in group.parents if parent.is_relative_to(MOUNT))]
    parents = [parent for parent in above if _is_delegated(parent)][:1]
    if os.geteuid() == 0:
        parents.append(MOUNT)  # outside of what systemd knows about our service, but nobody else may
    elif not parents:
        parents.append(group)  # systemd before 251 marks nothing, but gives it to the user
    return [parent for parent in dict.fromkeys(parents) if _is_writable(parent)]


def _is_delegated(group: Path) -> bool:
    """Whether systemd says that it leaves what is below this group to whom it runs there (Delegate=)."""
    for mark in ("user.delegate", "trusted.delegate"):
        with contextlib.suppress(OSError):
            return os.getxattr(group, mark) == b"1"
    return False


def _is_writable(group: Path) -> bool:
    """Whether groups can be made there, get controllers and be joined from another one below it."""
    return all(os.access(path, os.W_OK) for path in (group, group / "cgroup.procs", group / "cgroup.subtree_control"))


def _version2(parent: Path, name: str, wanted: list[str]) -> Base | None:
    directory = parent / name
    try:
        usable = set((parent / "cgroup.controllers").read_text(encoding="ascii").split()) & set(wanted)
        if not usable:
            return None
        if (parent / "cgroup.type").exists():  # all but the machine's root group
            _make_inner(parent)
        enable = " ".join(f"+{controller}" for controller in usable)
        write(parent / "cgroup.subtree_control", enable)
        directory.mkdir()
        write(directory / "cgroup.subtree_control", enable)
    except OSError as error:
        log.debug("no cgroup below %s: %s", parent, error)
        try_rmdir(directory)
        return None
    return Base(directory, frozenset(usable), 2)


def _make_inner(group: Path) -> None:
    """Move its processes into a leaf: one that has processes may give no controllers to groups below it.

    They are the server and what was started beside it, such as the shell of `systemd-run --scope`.
    """
    for _ in range(MOVES):
        processes = set((group / "cgroup.procs").read_text(encoding="ascii").split()) - {"0"}  # 0: from outside
        if not processes:
            return
        (group / SERVER).mkdir(exist_ok=True)
        for process in processes:
            with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
                write(group / SERVER / "cgroup.procs", process)


def _v1_root(controller: str, own: dict[str, str]) -> Path:
    parent = MOUNT / controller / own[controller].strip("/")
    return parent if parent.is_dir() else MOUNT / controller  # in a cgroup namespace of a container


def _version1(name: str, wanted: list[str], own: dict[str, str]) -> list[Base]:
    made: dict[Path, set[str]] = {}  # often one hierarchy has several controllers: `cpu` and `cpuacct` are links to it
    for controller in wanted:
        if controller in own and (parent := _v1_root(controller, own)).is_dir():
            directory = (parent / name).resolve()
            try:
                if directory not in made:
                    directory.mkdir()
            except OSError as error:
                log.debug("no cgroup below %s: %s", parent, error)
                continue
            made.setdefault(directory, set()).add(controller)
    return [Base(directory, frozenset(controllers), 1) for directory, controllers in made.items()]
