"""airlock.yaml, found, checked against what is installed, and resolved: every problem at once, each with its place."""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import BaseModel

from airlock.errors import ConfigError
from airlock.stores import MemorySettings, MemoryStore

from . import yaml_places, yaml_source
from .advice import advise
from .config import Config
from .projects import Resolver
from .sections import DEFAULT_STORE, File, ServerConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airlock.plugins import Plugins

    from .yaml_places import Location
    from .yaml_source import YamlSource

FILE: Final = Path("airlock.yaml")
MISNAMED: Final = Path("airlock.yml")
VARIABLE: Final = "AIRLOCK_CONFIG"
BUILT_IN_BACKEND: Final = "mock"  # serves every name where there is no airlock.yaml; if it is installed

ModelT = TypeVar("ModelT", bound=BaseModel)


def find_config(explicit: Path | None, environ: Mapping[str, str]) -> Path | None:
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


def load_config(path: Path | None, plugins: Plugins, environ: Mapping[str, str] = os.environ) -> Config:
    """Read a file and resolve it. None stands for what is built in: what plugins register, and an echo for the rest.

    Raises ConfigError with every problem.
    """
    if path is None:
        return _built_in(plugins, environ)
    source = yaml_source.read(path, environ)
    if not source.data:  # cut off by a full disk or a broken deployment, say: that must not mean the defaults
        empty = f"{path}:1:1: the file is empty; 'airlock init --force {path}' writes one to start from"
        raise ConfigError(source.told([]) or [empty])
    resolver = Resolver(plugins, path.parent, environ)
    config = _resolve(resolver, source, path)
    if problems := source.told(resolver.problems):
        raise ConfigError(problems)
    config.warnings.extend(config.at(location, message) for location, message in advise(config, environ))
    return config


def _built_in(plugins: Plugins, environ: Mapping[str, str]) -> Config:
    """Make the configuration that needs no file. A project that a plugin got wrong is left out, with a warning."""
    projects, warnings = {}, []
    for name, registered in plugins.projects().items():
        resolver = Resolver(plugins, Path(), environ)
        project = resolver.project(name, dict(registered))
        if project is None or resolver.problems:
            told = "; ".join(f"{yaml_places.dotted(location)}: {message}" for location, message in resolver.problems)
            warnings.append(f"a project that a plugin registers is left out: {told}")
        else:
            projects[name] = project
    unlisted = None
    if BUILT_IN_BACKEND in plugins.backends:
        unlisted = Resolver(plugins, Path(), environ).default(BUILT_IN_BACKEND)
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


def _resolve(resolver: Resolver, source: YamlSource, path: Path) -> Config:
    """Resolve the whole. It is usable only if there are no problems."""
    data = source.data
    # Section by section, so that a problem in one hides none in another.
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
    store = resolver.choose("store", data.get("store") or DEFAULT_STORE, ("store",))
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
        projects={name: project for name, project in resolved.items() if project is not None},
        unlisted=unlisted,
        path=path,
        source=source,
        warnings=warnings,
    )


def _check_keys(resolver: Resolver, keys: Any, projects: Mapping[str, Any]) -> None:
    """Compare the keys with each other and with the projects, as they are written: one may be wrong otherwise."""
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
