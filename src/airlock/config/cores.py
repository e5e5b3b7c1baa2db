"""The CPU cores of one execution where several projects share a machine and airlock.yaml does not say."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .projects import ProjectConfig


def share(projects: Mapping[str, ProjectConfig]) -> dict[str, ProjectConfig]:
    """Return the projects, where several can bound it with `limits.cpus` set: by default to half of the cores.

    The weights of control groups do not bound what one script takes from another project's: on several cores Linux
    hardly charges a group whose processes fork, or block and wake, thousands of times a second (seen in 6.18: each such
    event weighs the group anew, and its virtual time stood still while it used both CPUs). A quota does, even if it is
    used on all cores at once: half of each period is left, so one such script about doubles the time of the others.
    """
    sharing = [name for name, config in projects.items() if "cpus" in config.backend.enforces]
    cores = os.cpu_count() or 1
    if len(sharing) < 2 or cores < 2:
        return dict(projects)
    return {name: _bounded(config, cores / 2) if name in sharing else config for name, config in projects.items()}


def _bounded(config: ProjectConfig, cpus: float) -> ProjectConfig:
    limits = config.project.limits
    if limits.cpus is not None:
        return config
    return replace(config, project=replace(config.project, limits=limits.model_copy(update={"cpus": cpus})))
