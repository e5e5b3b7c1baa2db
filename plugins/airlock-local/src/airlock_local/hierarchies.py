"""Where this server may make control groups, of version 2 or 1, and the removal of what a killed one left there."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

log = logging.getLogger(__name__)

MOUNT: Final = Path("/sys/fs/cgroup")


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
    for version in (_version2, _version1):
        if found := version(name, wanted, own):
            yield found


def places(name: str) -> list[Path]:
    """Return every directory that `bases(name)` may make."""
    own = _own_paths()
    v1 = [_v1_root(controller, own) for controller in ("memory", "pids", "cpu", "cpuacct") if controller in own]
    return list(dict.fromkeys((parent / name).resolve() for parent in [*_v2_parents(own), *v1]))


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
            if not usable:
                continue
            enable = " ".join(f"+{controller}" for controller in usable)
            write(parent / "cgroup.subtree_control", enable)
            directory.mkdir()
            write(directory / "cgroup.subtree_control", enable)
        except OSError as error:
            log.debug("no cgroup below %s: %s", parent, error)
            try_rmdir(directory)
            continue
        return [Base(directory, frozenset(usable), 2)]
    return []


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
