"""What a box is told when it is made: all of its files, limits and filters."""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from airlock.sandbox import NO_TERMINALS, TERMINALS, asking_program, seccomp_program, surroundings
from airlock.worker import prefix, sizes
from airlock.worker.loopback import NO_NETWORK
from airlock.worker.syscalls import ID

from .filesystem import PREFIX
from .identities import UIDS
from .sandbox.layers import MEMINFO

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airlock import Project

    from .filesystem import View
    from .sandbox.config import BoxConfig

LIBRARY: Final = Path(__file__).parent / "sandbox" / "template.so"
# Memory that is in no address space: only a cgroup counts it.
NOT_COUNTED: Final = ("memfd_create", "shmget", "msgget", "semget")


def configuration(
    project: Project,
    view: View,
    packages: Path | None,
    *,
    cores: int,
    first_uid: int | None,
    controllers: frozenset[str],
    preload: list[str],
    layers: Sequence[str],
) -> BoxConfig:
    """Return it. `preload` is what is left of the project's; `controllers` are those of the executions' cgroups;
    `first_uid` is None where we are not root.
    """
    files, links = prefix.layout(
        PREFIX,
        view.executable,
        sys.version_info[:2],
        view.site,
        with_systems=False,
        own_pip=packages is None or not (packages / "pip").exists(),
    )
    return {
        "project": project.name,
        "uids": None if first_uid is None else (first_uid, UIDS),
        "binds": view.binds,
        "files": {
            **files,
            **surroundings([ID], view.site),
            **sizes.files(
                memory=project.limits.memory,
                processes=project.limits.processes,
                cpus=project.limits.cpus,
                cores=cores,
            ),
            MEMINFO: sizes.meminfo(project.limits.memory),
        },
        "links": {**view.links, **links},
        "prefix": PREFIX,
        "masks": view.masks,
        "site": view.site,
        "preload": preload,
        "preload_reseed": list(project.preload_reseed),
        "library": str(LIBRARY) if LIBRARY.exists() else None,
        "layers": list(layers),
        "limits": {
            "memory": project.limits.memory,
            "processes": project.limits.processes,
            "files": project.limits.files,
            "file_size": project.limits.file_size,
            "scratch": project.limits.scratch,
            "terminals": TERMINALS,
            "memory_cgroup": "memory" in controllers,
            "process_cgroup": "pids" in controllers,
            "reached": {"terminals": NO_TERMINALS, "network": NO_NETWORK}
            | {
                key: project.limits.reached(key)
                for key in ("files", "file_size", "scratch", "processes", "memory")
                if {"processes": "pids"}.get(key, key) not in controllers
            },
            "cores": cores,
        },
        "bpf": _text(seccomp_program(() if "memory" in controllers else NOT_COUNTED, internet="asked")),
        "socket_bpf": _text(asking_program()),
    }


def etc(config: BoxConfig) -> dict[str, str | None]:
    """What scripts find directly in /etc: the text of each file that is ours, and None for what else is there."""
    paths = {**dict.fromkeys([*config["links"], *(target for _, target in config["binds"])]), **config["files"]}
    below = {path.removeprefix("/etc/"): text for path, text in paths.items() if path.startswith("/etc/")}
    return {name.partition("/")[0]: None if "/" in name else text for name, text in below.items()}


def _text(program: bytes) -> str:
    return base64.b64encode(program).decode()
