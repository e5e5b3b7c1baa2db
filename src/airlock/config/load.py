"""Finds airlock.yaml, checks it against what is installed, and resolves it. All problems are reported at once."""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import BaseModel

from airlock.errors import ConfigError
from airlock.plugins import BACKEND, STORE
from airlock.stores import MemorySettings, MemoryStore

from . import cores, yaml_source
from .advice import advise
from .config import Config
from .projects import Resolver
from .sections import DEFAULT_STORE, File, ServerConfig
from .yaml_values import dotted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airlock.plugins import Plugins

    from .yaml_source import YamlSource
    from .yaml_values import Location

FILE: Final = Path("airlock.yaml")
MISNAMED: Final = Path("airlock.yml")
VARIABLE: Final = "AIRLOCK_CONFIG"
BUILT_IN_BACKEND: Final = "mock"  # serves every name if there is no airlock.yaml, and if it is installed

ModelT = TypeVar("ModelT", bound=BaseModel)


def find_config(explicit: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Return the file to use: `explicit`, else $AIRLOCK_CONFIG, else ./airlock.yaml, else None.

    Raises ConfigError if the first or second is given but does not exist, and if the third has a wrong name.
    """
    for path, origin in ((explicit, "--config"), (environ.get(VARIABLE), f"${VARIABLE}")):
        if path is not None:
            if not str(path).strip():  # a variable that was not filled in must not select another file
                raise ConfigError([f"{VARIABLE} is set and empty; set it to the path of an {FILE}, or unset it"])
            if not os.path.lexists(path):
                raise ConfigError([f"{path}: no such file ({origin} names it)"])
            return Path(path)
    if os.path.lexists(FILE):  # a dangling link counts: it is an error, not an absent file
        return FILE
    if MISNAMED.is_file():
        raise ConfigError([f"{MISNAMED}: Airlock reads {FILE}; rename it, or name it with --config or ${VARIABLE}"])
    return None


def load_config(path: Path | None, plugins: Plugins, environ: Mapping[str, str] = os.environ) -> Config:
    """Read a file and resolve it. Without one (None), plugins' projects are served, and `mock` echoes all others.

    Raises ConfigError with every problem.
    """
    if path is None:
        return _built_in(plugins, environ)
    source = yaml_source.read(path, environ)
    if not source.data:  # perhaps cut off by a full disk or a broken deployment: it must not mean the defaults
        empty = f"{path}:1:1: the file is empty; 'airlock init --force {path}' writes one to start from"
        raise ConfigError(source.told([]) or [empty])
    resolver = Resolver(plugins, path.parent, environ)
    config = _resolve(resolver, source, path)
    if problems := source.told(resolver.problems):
        raise ConfigError(problems)
    config.warnings.extend(config.at(location, message) for location, message in advise(config, environ))
    return config


def _built_in(plugins: Plugins, environ: Mapping[str, str]) -> Config:
    """Return the configuration without a file. A plugin's invalid project is ignored, with a warning."""
    projects, warnings = {}, []
    for name, registered in plugins.projects().items():
        resolver = Resolver(plugins, Path(), environ)
        project = resolver.project(name, dict(registered))
        if project is None or resolver.problems:
            told = "; ".join(f"{dotted(location)}: {message}" for location, message in resolver.problems)
            warnings.append(f"ignoring a project that a plugin registers: {told}")
        else:
            projects[name] = project
    unlisted = None
    if BUILT_IN_BACKEND in plugins.of(BACKEND):
        unlisted = Resolver(plugins, Path(), environ).default(BUILT_IN_BACKEND)
    served = (
        f"every project name is served by {BUILT_IN_BACKEND}, which runs no code and only echoes it"
        if unlisted
        else "only projects that a plugin registers are served"
    )
    warnings.append(
        f"there is no {FILE} in {Path.cwd()}, and {VARIABLE} is not set: {served}; "
        "'airlock init' writes a file to start from, --config FILE names another one"
    )
    return Config(projects=cores.share(projects), unlisted=unlisted, warnings=warnings)


def _resolve(resolver: Resolver, source: YamlSource, path: Path) -> Config:
    """Resolve the whole file. The result may be used only if the resolver has no problems."""
    data = source.data
    # Section by section, so that a problem in one does not hide those in another.
    server = resolver.validate(ServerConfig, data.get("server"), ("server",)) or ServerConfig()
    resolver.validate(File, {key: value for key, value in data.items() if key != "server"}, ())
    projects = data.get("projects")
    resolved = {
        name: resolver.project(name, project)
        for name, project in (projects if isinstance(projects, dict) else {}).items()
    }
    section = data.get("server")
    keys = section.get("keys") if isinstance(section, dict) else None
    _check_keys(resolver, keys, projects if isinstance(projects, dict) else {})
    store = resolver.choose(STORE, data.get("store") or DEFAULT_STORE, ("store",))
    unlisted = resolver.default(data.get("default_backend"))
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
        projects=cores.share({name: project for name, project in resolved.items() if project is not None}),
        unlisted=unlisted,
        path=path,
        source=source,
        warnings=warnings,
    )


def _check_keys(resolver: Resolver, keys: Any, projects: Mapping[str, Any]) -> None:
    """Compare the keys with each other and with the projects, as written: other parts of a key may be invalid."""
    seen: dict[str, set[Any]] = {"name": set(), "sha256": set()}
    for number, key in enumerate(keys if isinstance(keys, list) else []):
        if not isinstance(key, dict):
            continue
        location: Location = ("server", "keys", number)
        for field_name, twice in (("name", "another key has this name"), ("sha256", "another entry has the same key")):
            value = key.get(field_name)
            if isinstance(value, str):
                value = value.lower() if field_name == "sha256" else value
                if value in seen[field_name]:
                    resolver.report((*location, field_name), twice)
                seen[field_name].add(value)
        allowed = key.get("projects")
        for place, name in enumerate(allowed if isinstance(allowed, list) else []):
            if isinstance(name, str) and name not in projects:
                near = get_close_matches(name, projects, 1)
                meant = f"; did you mean {near[0]!r}?" if near else f"; listed: {', '.join(projects) or 'none'}"
                resolver.report((*location, "projects", place), f"no such project{meant}")
