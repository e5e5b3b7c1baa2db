"""`airlock init`, `airlock check` and `airlock schema`: create and check airlock.yaml."""

import json
import os
from functools import partial
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from airlock.config import Config, ProjectConfig, json_schema
from airlock.errors import ConfigError, MakingFailed, StoreRefused
from airlock.plugins import Plugins, check_store, make

from . import setup
from .terminal import columns, fail, out, refuse, say, warn

if TYPE_CHECKING:
    from airlock.http import AccessPolicy


def init(
    path: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("airlock.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> None:
    """Write a commented airlock.yaml to start from."""
    text = resources.files("airlock.config").joinpath("starter.yaml").read_text(encoding="utf-8")
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        fail(f"{path} already exists; use --force to overwrite it", code=1)
    except OSError as error:
        fail(f"{path}: {error.strerror}", code=1)
    say(f"wrote {path}; edit it, then: airlock check, airlock serve")


def check(config: setup.ConfigOption = None) -> None:
    """Validate the configuration and name every problem."""
    from airlock.http import AccessPolicy  # noqa: PLC0415 - the web framework would slow down every other command

    plugins = Plugins.discover()
    loaded = setup.load(config, plugins, code=1)
    if failures := _failures(loaded):
        refuse(ConfigError(failures), code=1)
    try:
        policy = AccessPolicy.of(loaded, os.environ)
    except ConfigError as error:
        refuse(error, code=1)
    warnings = [*loaded.warnings, *_refusals(loaded, policy), *_look_at_store(loaded)]
    out.print(f"{setup.source(loaded)}: ok")
    rows = [_row(project) for project in loaded.projects.values()]
    for line in columns(rows):
        out.print(f"  {line}")
    for warning in warnings:
        warn(warning)


def _failures(config: Config) -> list[str]:
    """Return which instances of plugins' classes cannot be made. Making them does no I/O, by contract."""
    parts: list[tuple[tuple[str, ...], partial[Any]]]
    parts = [(("store",), partial(make, "store", config.store, config.store_settings, config.directory))]
    for name, project in config.projects.items():
        backend = partial(make, "backend", project.backend, project.project, project.backend_settings)
        mediator = partial(make, "mediator", project.mediator, project.project, project.mediator_settings)
        parts += [(("projects", name, "backend"), backend), (("projects", name, "llm"), mediator)]
    failures = []
    for location, make_one in parts:
        try:
            make_one()
        except MakingFailed as failure:
            failures.append(config.at(location, str(failure)))
    return failures


def _refusals(config: Config, policy: "AccessPolicy") -> list[str]:
    """Return why `airlock serve` would not listen in this environment; that of a service may contain a key."""
    try:
        policy.check_bind(config.server.host or policy.default_host)
    except ConfigError as error:
        return [config.at(("server", "host"), problem) for problem in error.problems]
    return []


def _look_at_store(config: Config) -> list[str]:
    """Return the store's warnings; end the command when no server could open it."""
    try:
        warnings = check_store(config.store, config.store_settings, config.directory)
    except StoreRefused as error:
        refuse(ConfigError([config.at(("store",), str(error))]), code=1)
    return [config.at(("store",), warning) for warning in warnings]


def schema() -> None:
    """Print the JSON Schema of airlock.yaml, with the options of every installed plugin, for editors."""
    typer.echo(json.dumps(json_schema(Plugins.discover()), indent=2))


def _row(config: ProjectConfig) -> list[str]:
    kind = "runs code" if config.backend.runs_code else "runs no code"
    cpus = config.project.limits.cpus
    cores = [] if cpus is None else [f"limits.cpus {cpus:g}"]
    return [config.project.name, f"replicas {config.replicas}", f"backend {config.backend.type}", kind, *cores]
