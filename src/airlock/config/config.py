"""A valid configuration: what airlock.yaml says, resolved against the plugins that are installed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airlock.plugins import open_store
from airlock.secrets import Redactor
from airlock.stores import MemorySettings, MemoryStore

from .sections import ServerConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airlock.stores import Store, StoreSettings

    from .projects import ProjectConfig
    from .yaml_places import Location
    from .yaml_source import YamlSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A valid configuration. `unlisted` is the pattern for names that are not listed; `path` None: built in."""

    server: ServerConfig = field(default_factory=ServerConfig)
    store: type[Store[Any]] = MemoryStore
    store_settings: StoreSettings = field(default_factory=MemorySettings)
    projects: Mapping[str, ProjectConfig] = field(default_factory=dict)
    unlisted: ProjectConfig | None = None
    path: Path | None = None
    source: YamlSource | None = None
    warnings: list[str] = field(default_factory=list)

    def at(self, location: Location, message: str) -> str:
        """Write what is to be said about a part of airlock.yaml with its place, `airlock.yaml:7:5: server.port: ...`.

        Without the place where that part is not written: a default, an environment variable, no file at all.
        """
        is_written = self.source is not None and self.source.has(location)
        return self.source.problem(location, message) if self.source and is_written else message

    def project(self, name: str) -> ProjectConfig | None:
        """Return the project of this name, listed or by `default_backend`; None when there is none."""
        if name in self.projects or self.unlisted is None:
            return self.projects.get(name)
        return replace(self.unlisted, project=replace(self.unlisted.project, name=name))

    async def open_store(self) -> Store[Any]:
        """Return the store. Its relative paths start where airlock.yaml is. Raises StoreRefused."""
        return await open_store(self.store, self.store_settings, self.directory)

    @property
    def directory(self) -> Path:
        """Where relative paths start."""
        return self.path.parent if self.path else Path()

    def make_redactor(self) -> Redactor:
        """Return what takes the secrets of all projects out of a text, a log line say."""
        return Redactor(
            secret.get_secret_value() for project in self.projects.values() for secret in project.secrets.values()
        )

    @property
    def runs_code(self) -> bool:
        """Whether any project executes scripts. `default_backend` never does."""
        return any(project.backend.runs_code for project in self.projects.values())
