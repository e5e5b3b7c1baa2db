"""`airlock serve`: listen, print what is served, serve."""

from __future__ import annotations

import errno
import logging
import os
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from airlock import logs
from airlock.errors import ConfigError, StoreRefused
from airlock.plugins import Plugins

from . import setup
from .terminal import columns, fail, refuse, say, warn

if TYPE_CHECKING:
    from collections.abc import Callable

    from airlock.config import Config
    from airlock.gateway import Gateway
    from airlock.http import AccessPolicy
    from airlock.models import ProjectInfo

log = logging.getLogger(__name__)


def serve(
    config: setup.ConfigOption = None,
    host: Annotated[
        str | None,
        typer.Option(help="Address to listen on; default: server.host, or 127.0.0.1 if no key protects the server."),
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="Port to listen on, 0 for any free one; default: server.port.")
    ] = None,
    log_format: Annotated[
        Literal["auto", "plain", "json"] | None,
        typer.Option(
            help="Format of log lines; auto: plain at a terminal, JSON otherwise; default: server.log.format."
        ),
    ] = None,
) -> None:
    """Serve the REST API until Ctrl-C or SIGTERM.

    The first signal lets running executions finish within limits.shutdown_grace, the second ends them at once.
    """
    from airlock.api import create_app  # noqa: PLC0415 - the web framework takes longer to load than `airlock run` takes
    from airlock.http import AccessPolicy, AirlockServer, listen  # noqa: PLC0415

    logs.configure(log_format or "auto")
    plugins = Plugins.discover()
    loaded = setup.load(config, plugins, code=1)
    style = log_format or loaded.server.log.format
    level = logging.getLevelNamesMapping()[loaded.server.log.level.upper()]
    redact = loaded.make_redactor().text
    logs.configure(style, level, redact=redact)
    try:
        policy = AccessPolicy.of(loaded, os.environ)
        chosen = host if host is not None else loaded.server.host or policy.default_host
        policy.check_bind(chosen)
    except ConfigError as error:
        refuse(ConfigError([_at(loaded, "host", host, problem) for problem in error.problems]), code=1)
    wanted = loaded.server.port if port is None else port
    try:
        listening = listen(chosen, wanted)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror  # a bad name has none
        problem = f"cannot listen on {_authority(chosen, wanted)}: {why}; choose with --host and --port"
        is_port = error.errno in (errno.EADDRINUSE, errno.EACCES)
        fail(_at(loaded, "port" if is_port else "host", port if is_port else host, problem), code=1)

    is_json = logs.is_json(style)

    async def welcome(gateway: Gateway) -> None:
        _announce(f"Airlock serves {setup.source(loaded)}", is_json=is_json)
        for line in columns([_row(project, loaded, redact) for project in await gateway.projects.infos()]):
            _announce(f"  {line}", is_json=is_json)
        for warning in _warnings(loaded, plugins):
            (log.warning if is_json else warn)(warning)
        _announce(_how_long(loaded), is_json=is_json)
        address = _authority(chosen, listening.getsockname()[1])
        _announce(_who_may(policy, address), is_json=is_json)
        _announce(f"Listening on http://{address}", "bold", is_json=is_json)

    try:
        AirlockServer(create_app(loaded, plugins), welcome).run(sockets=[listening])
    except StoreRefused as error:
        place = loaded.at(("store",), "")
        fail(f"{place or 'store: '}{error}", code=1)


def _at(config: Config, key: str, option: object, problem: str) -> str:
    """Add the place in airlock.yaml to a problem, unless the value came from an option."""
    return problem if option is not None else config.at(("server", key), problem)


def _announce(text: str, style: str = "", *, is_json: bool) -> None:
    """Print a line for people, or log it where programs read every line."""
    if is_json:
        log.info("%s", text)
    else:
        say(text, style)


def _how_long(config: Config) -> str:
    if config.store.is_durable:
        return f"Executions are kept in the store {config.store.type}: they survive a restart."
    return "Executions are kept in memory: a restart loses them. 'store: sqlite' in airlock.yaml keeps them."


def _row(project: ProjectInfo, config: Config, redact: Callable[[str], str]) -> list[str]:
    """Return the line of a project. A plugin wrote its detail, which must stay on one line and show no secret."""
    state = project.status if project.status == "up" or project.detail is None else project.detail
    state = redact(" ".join(redact(state).split()))  # joining the lines may complete a secret that was split
    return [
        project.name,
        state,
        f"replicas {config.projects[project.name].replicas}",
        f"backend {project.backend}",
        f"isolation: {project.isolation}",
    ]


def _warnings(config: Config, plugins: Plugins) -> list[str]:
    return [*config.warnings, *(f"plugin {broken}" for broken in plugins.broken)]


def _who_may(policy: AccessPolicy, address: str) -> str:
    if policy.keys:
        return "Requests need a key: one of server.keys, or AIRLOCK_API_KEY."
    served = (
        "only programs on this machine are served" if policy.local_only else f"anyone who can reach {address} is served"
    )
    return f"No key is set (AIRLOCK_API_KEY, server.keys): {served}."


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
