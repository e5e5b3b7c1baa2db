"""All projects of a server: those listed in airlock.yaml, and those of `default_backend` that clients have named."""

from __future__ import annotations

import asyncio
import logging
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from airlock.errors import ProjectNotFound

from .project import LiveProject

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airlock.config import Config, ProjectConfig
    from airlock.models import ProjectInfo
    from airlock.plugins import Plugins
    from airlock.running import LiveRun, Patience
    from airlock.stores import Store

log = logging.getLogger(__name__)

MAX_UNLISTED: Final = 256  # projects of `default_backend` to remember: clients choose their names


class ProjectRegistry:
    """Finds projects by name. Iterating yields every one that is remembered."""

    def __init__(self, config: Config, plugins: Plugins, store: Store[Any], patience: Patience) -> None:
        self._config = config
        self._plugins = plugins
        self._store = store
        self._patience = patience
        self._listed = {name: self._made(project) for name, project in config.projects.items()}
        self._unlisted: dict[str, LiveProject] = {}

    def __iter__(self) -> Iterator[LiveProject]:
        return iter([*self._listed.values(), *self._unlisted.values()])

    def start(self) -> None:
        """Start to bring up every listed project that has replicas."""
        for live in self._listed.values():
            live.start(live.config.replicas)

    async def get(self, name: str) -> LiveProject:
        """Return a project. Raises ProjectNotFound."""
        live = self._listed.get(name) or self._unlisted.get(name)
        if live is None:
            config = self._config.project(name)
            if config is None:
                known = ", ".join(sorted(self._listed)) or "none"
                raise ProjectNotFound(f"no project {name!r}; listed in airlock.yaml: {known}")
            live = self._unlisted[name] = self._made(config)
        live.held += 1  # or it could be forgotten before its first execution: nobody would find its run then
        try:
            self._forget_unlisted()
            return await self._ready(live)
        finally:
            live.held -= 1

    def run(self, execution_id: str) -> LiveRun | None:
        """Return the run of an execution, or None if it has finished."""
        for live in chain(self._listed.values(), self._unlisted.values()):
            if (run := live.runs.get(execution_id)) is not None:
                return run
        return None

    async def infos(self) -> list[ProjectInfo]:
        """Return the projects listed in airlock.yaml."""
        return [(await self._ready(live)).info() for live in self._listed.values()]

    def unready(self) -> dict[str, str]:
        """Return the listed projects that should be up but are not, with the reasons."""
        return {name: reason for name, live in self._listed.items() if (reason := live.unready) is not None}

    async def close(self) -> None:
        """End every pool, after all executions have ended."""
        if closing := {asyncio.ensure_future(live.close()): live.project.name for live in self}:
            _, late = await asyncio.wait(closing, timeout=self._patience.closing)
            for task in late:
                log.error("project %s could not be closed within %g s", closing[task], self._patience.closing)

    def _made(self, config: ProjectConfig) -> LiveProject:
        return LiveProject(config, self._store, self._plugins, self._patience)

    async def _ready(self, live: LiveProject) -> LiveProject:
        """Bring up a project that runs no code on first use: it needs only an event loop, no server."""
        if not live.backend.runs_code and live.is_untouched:
            await live.up(live.config.replicas)
        return live

    def _forget_unlisted(self) -> None:
        idle = [name for name, live in self._unlisted.items() if live.is_idle]
        for name in idle[: max(0, len(self._unlisted) - MAX_UNLISTED)]:
            del self._unlisted[name]
