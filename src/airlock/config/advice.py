"""What is valid in airlock.yaml but hardly ever intended: warnings at startup and of `airlock check`."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from airlock.units import format_size

from .machine import over_budget

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .config import Config
    from .projects import ProjectConfig
    from .yaml_values import Location

SHORT_KEY: Final = 16  # characters; a shorter key can be guessed
_SECRET: Final = re.compile(r"(?i)(^|_)(key|token|secret|password|passwd)$")


def advise(config: Config, environ: Mapping[str, str]) -> Iterator[tuple[Location, str]]:
    """Yield what is likely a mistake, with its place."""
    if not config.projects and config.unlisted is None:
        yield ("projects",), "no project is listed, and there is no default_backend: every request is answered with 404"
    key = environ.get("AIRLOCK_API_KEY")
    if key and len(key) < SHORT_KEY:
        yield (), f"AIRLOCK_API_KEY has fewer than {SHORT_KEY} characters and can be guessed: 'openssl rand -hex 32'"
    if config.server.insecure and config.runs_code and not config.server.keys and key is None:
        yield ("server", "insecure"), "anyone who can reach this server can run code on it without a key"
    memory = sum(
        project.replicas * project.project.limits.memory
        for project in config.projects.values()
        if "memory" in project.backend.enforces
    )
    if memory > (there := os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")):
        asked = f"executions of all replicas at once may use {_gib(memory)} of memory (replicas times limits.memory)"
        yield ("projects",), f"{asked}, and this machine has {_gib(there)}"
    runs_processes = [
        project.project.limits for project in config.projects.values() if "processes" in project.backend.enforces
    ]
    yield from ((("projects",), message) for message in over_budget(runs_processes))
    for name, project in config.projects.items():
        for location, message in _of_project(project):
            yield ("projects", name, *location), message


def _of_project(project: ProjectConfig) -> Iterator[tuple[Location, str]]:
    limits, enforced = project.project.limits, project.backend.enforces
    cores = os.cpu_count() or 1
    if limits.cpus is not None and limits.cpus > cores:
        yield ("limits", "cpus"), f"this machine has {cores} CPU cores"
    if {"memory", "scratch"} <= enforced and limits.scratch > limits.memory:
        size = format_size(limits.memory)
        yield (
            ("limits", "scratch"),
            f"files in /tmp count as memory, and limits.memory is {size}: that limit is reached first",
        )
    for setting in project.settings:
        if _SECRET.search(setting):
            yield (
                ("settings", setting),
                "looks like a secret; below `secrets:` it would be redacted in everything that comes out",
            )


def _gib(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB"
