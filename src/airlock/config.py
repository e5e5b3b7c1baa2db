"""airlock.yaml, found, checked against what is installed, and resolved: every problem at once, each with its place."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from . import secrets, yaml_source
from .advice import advise
from .backend import USED_BY_BACKEND, Project
from .errors import ConfigError
from .limits import ENFORCED_BY_BACKEND
from .making import open_store
from .memory_store import MemorySettings, MemoryStore
from .phrasing import phrase
from .plugin import described
from .redaction import Redactor
from .schema import DEFAULT_MEDIATOR, DEFAULT_STORE, File, ProjectSection, ServerConfig, check_name
from .yaml_source import YamlSource

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import SecretStr

    from .backend import Backend, BackendSettings
    from .contracts import Kind
    from .mediation import Mediator, MediatorSettings
    from .plugins import Plugins
    from .store import Store, StoreSettings
    from .yaml_source import Location

FILE: Final = Path("airlock.yaml")
MISNAMED: Final = Path("airlock.yml")
VARIABLE: Final = "AIRLOCK_CONFIG"
BUILT_IN_BACKEND: Final = "mock"  # serves every name where there is no airlock.yaml; if it is installed

ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectConfig:
    """A project with the classes that serve it. `settings` and `secrets` are read by scripts, over the request's."""

    project: Project
    replicas: int = 1
    settings: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, SecretStr] = field(default_factory=dict)
    backend: type[Backend[Any]]
    backend_settings: BackendSettings
    mediator: type[Mediator[Any]]
    mediator_settings: MediatorSettings


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
        return await open_store(self.store, self.store_settings, self.path.parent if self.path else Path())

    def make_redactor(self) -> Redactor:
        """Return what takes the secrets of all projects out of a text, a log line say."""
        return Redactor(
            secret.get_secret_value() for project in self.projects.values() for secret in project.secrets.values()
        )

    @property
    def runs_code(self) -> bool:
        """Whether any project executes scripts. `default_backend` never does."""
        return any(project.backend.runs_code for project in self.projects.values())


def find(explicit: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Return the file to use: the one asked for, else $AIRLOCK_CONFIG, else ./airlock.yaml, else None.

    Raises ConfigError when the first or second is given and does not exist, and for what is meant as the third.
    """
    for path, origin in ((explicit, "--config"), (environ.get(VARIABLE), f"${VARIABLE}")):
        if path is not None:
            if not str(path).strip():  # a variable that was not filled in must not mean: serve something else
                raise ConfigError([f"{VARIABLE} is set and empty; set it to the path of an {FILE}, or unset it"])
            if not os.path.lexists(path):
                raise ConfigError([f"{path}: no such file ({origin} names it)"])
            return Path(path)
    if os.path.lexists(FILE):  # also a dangling link: it is wrong, not absent
        return FILE
    if MISNAMED.is_file():
        raise ConfigError([f"{MISNAMED}: Airlock reads {FILE}; rename it, or name it with --config or ${VARIABLE}"])
    return None


def load(path: Path | None, plugins: Plugins, environ: Mapping[str, str] = os.environ) -> Config:
    """Read a file and resolve it. None stands for what is built in: what plugins register, and an echo for the rest.

    Raises ConfigError with every problem.
    """
    if path is None:
        return _built_in(plugins, environ)
    source = yaml_source.read(path, environ)
    if not source.data:  # cut off by a full disk or a broken deployment, say: that must not mean the defaults
        raise ConfigError([f"{path}:1:1: the file is empty; 'airlock init --force {path}' writes one to start from"])
    resolver = _Resolver(source, plugins, path.parent, environ)
    config = resolver.config(path)
    if resolver.problems:
        raise ConfigError([source.problem(location, message) for location, message in resolver.ordered()])
    config.warnings.extend(config.at(location, message) for location, message in advise(config, environ))
    return config


def _built_in(plugins: Plugins, environ: Mapping[str, str]) -> Config:
    """Make the configuration that needs no file. A project that a plugin got wrong is left out, with a warning."""
    projects, warnings = {}, []
    for name, registered in plugins.projects().items():
        resolver = _Resolver(YamlSource("built-in", {}, None), plugins, Path(), environ)
        project = resolver.project(name, dict(registered))
        if project is None or resolver.problems:
            told = "; ".join(f"{yaml_source.dotted(location)}: {message}" for location, message in resolver.problems)
            warnings.append(f"a project that a plugin registers is left out: {told}")
        else:
            projects[name] = project
    unlisted = None
    if BUILT_IN_BACKEND in plugins.backends:
        unlisted = _Resolver(YamlSource("built-in", {}, None), plugins, Path(), environ).default(BUILT_IN_BACKEND)
    served = (
        f"every project name is served by {BUILT_IN_BACKEND}, which runs no code and only echoes it"
        if unlisted
        else "no project is served that no plugin registers"
    )
    warnings.append(
        f"there is no {FILE} in {Path.cwd()}, and {VARIABLE} is not set: {served}; "
        "'airlock init' writes a file to start from, --config FILE names another one"
    )
    return Config(projects=projects, unlisted=unlisted, warnings=warnings)


@dataclass(frozen=True, slots=True)
class _Choice:
    """What `backend:` or `llm:` names, with its options; None when something is wrong with those."""

    cls: type[Any]
    settings: Any


class _Resolver:
    """Checks what a file says piece by piece, and goes on after a problem."""

    def __init__(self, source: YamlSource, plugins: Plugins, directory: Path, environ: Mapping[str, str]) -> None:
        self.problems: list[tuple[Location, str]] = []
        self._source = source
        self._plugins = plugins
        self._directory = directory
        self._environ = environ

    def ordered(self) -> list[tuple[Location, str]]:
        """Return the problems as they stand in the file."""
        return sorted(self.problems, key=lambda problem: self._source.position(problem[0]))

    def config(self, path: Path) -> Config:
        """Resolve the whole. It is usable only if there are no problems."""
        data = self._source.data
        # Section by section, so that a problem in one hides none in another.
        server = self._validate(ServerConfig, data.get("server"), ("server",)) or ServerConfig()
        self._validate(File, {key: value for key, value in data.items() if key != "server"}, ())
        projects = data.get("projects")
        resolved = {
            name: self.project(name, project)
            for name, project in (projects if isinstance(projects, dict) else {}).items()
        }
        self._check_keys(server, projects if isinstance(projects, dict) else {})
        store = self._choose("store", data.get("store") or DEFAULT_STORE, ("store",))
        unlisted = self.default(data.get("default_backend"))
        warnings = []
        if unlisted is not None:
            warnings.append(
                f"default_backend is {unlisted.backend.type}: a mistyped project name is served by it, "
                "which runs no code, instead of being answered with 404"
            )
        return Config(
            server=server,
            store=store.cls if store else MemoryStore,
            store_settings=store.settings if store else MemorySettings(),
            projects={name: project for name, project in resolved.items() if project is not None},
            unlisted=unlisted,
            path=path,
            source=self._source,
            warnings=warnings,
        )

    def project(self, name: str, data: Any) -> ProjectConfig | None:
        """Resolve one project; None when there is a problem with it."""
        location: Location = ("projects", name)
        try:
            check_name(name)
        except ValueError as error:
            self._report(location, str(error))
        if not isinstance(data, dict):
            self._report(location, "must be a mapping with at least a backend, like {backend: local}")
            return None
        # A missing backend is told by _choose, with what is available.
        section = self._validate(ProjectSection, {**data, "backend": data.get("backend") or "?"}, location)
        backend = self._choose("backend", data.get("backend"), (*location, "backend"))
        llm = DEFAULT_MEDIATOR if data.get("llm") is None else data["llm"]
        mediator = self._choose("mediator", llm, (*location, "llm"))
        if backend is not None:
            self._check_limits(data.get("limits"), backend.cls, (*location, "limits"))
            self._check_used(data, backend.cls, location)
        found = secrets.read(
            data.get("secrets"),
            self._directory,
            self._environ,
            lambda below, message: self._report((*location, "secrets", *below), message),
        )
        for twice in found.keys() & (section.settings if section is not None else {}):
            self._report((*location, "secrets", twice), "`settings` has this name too; remove one of them")
        if section is not None and section.replicas > section.limits.max_replicas:
            self._report(
                (*location, "replicas"), f"must be at most {section.limits.max_replicas} (limits.max_replicas)"
            )
        if section is None or backend is None or mediator is None:
            return None
        return ProjectConfig(
            project=Project(
                name=name,
                description=section.description,
                packages=tuple(section.packages),
                preload=tuple(section.preload),
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
        """Resolve `default_backend` to a project without a name; None when it is not set, or not usable."""
        if data is None:
            return None
        location = ("default_backend",)
        backend = self._choose("backend", data, location)
        mediator = self._choose("mediator", DEFAULT_MEDIATOR, location)
        if backend is None or backend.settings is None or mediator is None:
            return None
        if backend.cls.runs_code:
            word = backend.cls.type
            self._report(location, f"{word} runs code: list each project that may use it, with 'backend: {word}'")
            return None
        return ProjectConfig(
            project=Project(name=""),
            backend=backend.cls,
            backend_settings=backend.settings,
            mediator=mediator.cls,
            mediator_settings=mediator.settings,
        )

    def _choose(self, kind: Kind, data: Any, location: Location) -> _Choice | None:
        """Resolve `word`, or `{type: word, ...options}`."""
        options = dict(data) if isinstance(data, dict) else {"type": data}
        word = options.pop("type", None)
        if word is None:
            need = "needs a type" if isinstance(data, dict) else "required"
            self._report(location, f"{need}; available: {self._plugins.available(kind)}")
            return None
        if not isinstance(word, str):
            self._report(
                location, f"must be a word, or a mapping with a type; available: {self._plugins.available(kind)}"
            )
            return None
        known = self._plugins.of(kind)
        if word not in known:
            place = (*location, "type") if isinstance(data, dict) else location
            self._report(place, self._plugins.unknown(kind, word))
            return None
        cls = known[word].cls
        try:
            settings = self._validate(cls.Settings, options, location)
        except Exception as error:  # noqa: BLE001 - the boundary to a plugin: its validators and default factories
            self._report(location, f"{known[word].source} failed at these options: {described(error)}")
            settings = None
        return _Choice(cls, settings)

    def _check_keys(self, server: ServerConfig, projects: Mapping[str, Any]) -> None:
        for number, key in enumerate(server.keys):
            location: Location = ("server", "keys", number)
            before = server.keys[:number]
            if any(key.name == other.name for other in before):
                self._report((*location, "name"), "another key has this name")
            if any(key.sha256 == other.sha256 for other in before):
                self._report((*location, "sha256"), "another entry has the same key")
            for place, name in enumerate(key.projects or ()):
                if name not in projects:
                    near = get_close_matches(name, projects, 1)
                    meant = f"; did you mean {near[0]!r}?" if near else f"; listed: {', '.join(projects) or 'none'}"
                    self._report((*location, "projects", place), f"no such project{meant}")

    def _check_limits(self, limits: Any, backend: type[Backend[Any]], location: Location) -> None:
        enforced = ", ".join(sorted(backend.enforces)) or "none of this kind"
        for name, value in (limits if isinstance(limits, dict) else {}).items():
            if value is not None and name in ENFORCED_BY_BACKEND - backend.enforces:
                self._report(
                    (*location, name),
                    f"backend {backend.type} cannot enforce this limit (it enforces: {enforced}); "
                    "remove the limit or choose another backend",
                )

    def _check_used(self, project: Mapping[str, Any], backend: type[Backend[Any]], location: Location) -> None:
        for key in sorted(USED_BY_BACKEND - backend.uses):
            if project.get(key):
                self._report(
                    (*location, key),
                    f"backend {backend.type} does not use this key; remove it or choose another backend",
                )

    def _validate(self, model: type[ModelT], data: Any, location: Location) -> ModelT | None:
        try:
            return model.model_validate({} if data is None else data)
        except ValidationError as error:
            for problem in error.errors(include_url=False):
                self._report((*location, *problem["loc"]), phrase(problem, model))
            return None

    def _report(self, location: Location, message: str) -> None:
        self.problems.append((location, message))
