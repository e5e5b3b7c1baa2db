"""The projects of airlock.yaml, checked against what is installed, and resolved."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from airlock.backends import ENFORCED_BY_BACKEND, USED_BY_BACKEND, Project
from airlock.plugins import BACKEND, MEDIATOR, described

from . import secrets
from .phrasing import phrase
from .sections import DEFAULT_MEDIATOR, ProjectSection, check_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pydantic import SecretStr

    from airlock.backends import Backend, BackendSettings
    from airlock.llm import Mediator, MediatorSettings
    from airlock.plugins import ClassKind, Plugins

    from .yaml_values import Location

ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectConfig:
    """A project with the classes that serve it. Its `settings` and `secrets` override the settings of a request."""

    project: Project
    replicas: int = 1
    settings: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, SecretStr] = field(default_factory=dict)
    backend: type[Backend[Any]]
    backend_settings: BackendSettings
    mediator: type[Mediator[Any]]
    mediator_settings: MediatorSettings


@dataclass(frozen=True, slots=True)
class Choice:
    """What `backend:` or `llm:` names, with its options, which are None if they are invalid."""

    cls: type[Any]
    settings: Any


class Resolver:
    """Checks airlock.yaml piece by piece, and goes on after a problem."""

    def __init__(self, plugins: Plugins, directory: Path, environ: Mapping[str, str]) -> None:
        self.problems: list[tuple[Location, str]] = []
        self._plugins = plugins
        self._directory = directory
        self._environ = environ

    def project(self, name: str, data: Any) -> ProjectConfig | None:
        """Resolve one project. Return None if there is a problem with it."""
        location: Location = ("projects", name)
        try:
            check_name(name)
        except ValueError as error:
            self.report(location, str(error))
        if not isinstance(data, dict):
            self.report(location, "must be a mapping with at least a backend, like {backend: local}")
            return None
        # `choose` reports a missing backend, with those that are available.
        section = self.validate(ProjectSection, {**data, "backend": data.get("backend") or "?"}, location)
        backend = self.choose(BACKEND, data.get("backend"), (*location, "backend"))
        llm = DEFAULT_MEDIATOR if data.get("llm") is None else data["llm"]
        mediator = self.choose(MEDIATOR, llm, (*location, "llm"))
        if backend is not None:
            self._check_limits(data.get("limits"), backend.cls, (*location, "limits"))
            self._check_used(data, backend.cls, location)
        found = secrets.read(
            data.get("secrets"),
            self._directory,
            self._environ,
            lambda below, message: self.report((*location, "secrets", *below), message),
        )
        for twice in found.keys() & (section.settings if section is not None else {}):
            self.report((*location, "secrets", twice), "`settings` has this name too; remove one of them")
        if section is not None and section.replicas > section.limits.max_replicas:
            self.report((*location, "replicas"), f"must be at most {section.limits.max_replicas} (limits.max_replicas)")
        if section is None or backend is None or mediator is None:
            return None
        return ProjectConfig(
            project=Project(
                name=name,
                description=section.description,
                packages=tuple(section.packages),
                preload=tuple(section.preload),
                preload_strict=section.preload_strict,
                preload_reseed=tuple(section.preload_reseed),
                limits=section.limits,
            ),
            replicas=section.replicas,
            settings=section.settings,
            secrets=found,
            backend=backend.cls,
            backend_settings=backend.settings,
            mediator=mediator.cls,
            mediator_settings=mediator.settings,
        )

    def default(self, data: Any) -> ProjectConfig | None:
        """Resolve `default_backend` to a project without a name. Return None if it is not set, or not usable."""
        if data is None:
            return None
        location = ("default_backend",)
        backend = self.choose(BACKEND, data, location)
        mediator = self.choose(MEDIATOR, DEFAULT_MEDIATOR, location)
        if backend is None or backend.settings is None or mediator is None:
            return None
        if backend.cls.runs_code:
            word = backend.cls.type
            self.report(location, f"{word} runs code: list each project that may use it, with 'backend: {word}'")
            return None
        return ProjectConfig(
            project=Project(name=""),
            backend=backend.cls,
            backend_settings=backend.settings,
            mediator=mediator.cls,
            mediator_settings=mediator.settings,
        )

    def choose(self, kind: ClassKind[Any], data: Any, location: Location) -> Choice | None:
        """Resolve `word`, or `{type: word, ...options}`."""
        options = dict(data) if isinstance(data, dict) else {"type": data}
        word = options.pop("type", None)
        if word is None:
            need = "needs a type" if isinstance(data, dict) else "required"
            self.report(location, f"{need}; available: {self._plugins.available(kind)}")
            return None
        if not isinstance(word, str):
            self.report(
                location, f"must be a word, or a mapping with a type; available: {self._plugins.available(kind)}"
            )
            return None
        known = self._plugins.of(kind)
        if word not in known:
            place = (*location, "type") if isinstance(data, dict) else location
            self.report(place, self._plugins.unknown(kind, word))
            return None
        cls = known[word].value
        try:
            settings = self.validate(cls.Settings, options, location)
        except Exception as error:  # noqa: BLE001 - the boundary to a plugin: its validators and default factories
            self.report(location, f"{known[word].source} failed to validate these options: {described(error)}")
            settings = None
        return Choice(cls, settings)

    def _check_limits(self, limits: Any, backend: type[Backend[Any]], location: Location) -> None:
        enforced = ", ".join(sorted(backend.enforces)) or "none of this kind"
        for name, value in (limits if isinstance(limits, dict) else {}).items():
            if value is not None and name in ENFORCED_BY_BACKEND - backend.enforces:
                self.report(
                    (*location, name),
                    f"backend {backend.type} cannot enforce this limit (it enforces: {enforced}); "
                    "remove the limit or choose another backend",
                )

    def _check_used(self, project: Mapping[str, Any], backend: type[Backend[Any]], location: Location) -> None:
        for key in sorted(USED_BY_BACKEND - backend.uses):
            if project.get(key):
                self.report(
                    (*location, key),
                    f"backend {backend.type} does not use this key; remove it or choose another backend",
                )

    def validate(self, model: type[ModelT], data: Any, location: Location) -> ModelT | None:
        """Return the model of a section, or None if there is a problem with it."""
        try:
            return model.model_validate({} if data is None else data)
        except ValidationError as error:
            for problem in error.errors(include_url=False):
                self.report((*location, *problem["loc"]), phrase(problem, model))
            return None

    def report(self, location: Location, message: str) -> None:
        """Record a problem."""
        self.problems.append((location, message))
