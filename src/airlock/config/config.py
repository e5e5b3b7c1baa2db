"""A valid configuration: airlock.yaml, resolved against the installed plugins."""

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
    from .yaml_source import YamlSource
    from .yaml_values import Location


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A valid configuration. `unlisted` is the template for unlisted project names; without a file, `path` is None."""

    server: ServerConfig = field(default_factory=ServerConfig)
    store: type[Store[Any]] = MemoryStore
    store_settings: StoreSettings = field(default_factory=MemorySettings)
    projects: Mapping[str, ProjectConfig] = field(default_factory=dict)
    unlisted: ProjectConfig | None = None
    path: Path | None = None
    source: YamlSource | None = None
    warnings: list[str] = field(default_factory=list)

    def at(self, location: Location, message: str) -> str:
        """Return a message about a part of airlock.yaml with its place, `airlock.yaml:7:5: server.port: ...`.

        The place is left out if the file does not contain that part: a default, an environment variable, no file.
        """
        is_written = self.source is not None and self.source.has(location)
        return self.source.problem(location, message) if self.source and is_written else message

    def project(self, name: str) -> ProjectConfig | None:
        """Return the project of this name, listed or served by `default_backend`; None if there is none."""
        if name in self.projects or self.unlisted is None:
            return self.projects.get(name)
        return replace(self.unlisted, project=replace(self.unlisted.project, name=name))

    async def open_store(self) -> Store[Any]:
        """Return the store, with paths relative to the folder of airlock.yaml. Raises StoreRefused."""
        return await open_store(self.store, self.store_settings, self.directory)

    @property
    def directory(self) -> Path:
        """The folder that relative paths start from."""
        return self.path.parent if self.path else Path()

    def make_redactor(self) -> Redactor:
        """Return a redactor for the secrets of all projects, for log lines, say."""
        return Redactor(
            secret.get_secret_value() for project in self.projects.values() for secret in project.secrets.values()
        )

    @property
    def runs_code(self) -> bool:
        """Whether any project executes scripts. `default_backend` never does."""
        return any(project.backend.runs_code for project in self.projects.values())
