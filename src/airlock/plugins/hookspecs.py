"""Every hook of Airlock. Hooks register things or observe; they are plain functions, return at once and do no I/O.

A plugin is a distribution with an entry point in the group `airlock` that names a module (or object) with hooks:

    # pyproject.toml                          # airlock_echo/plugin.py
    [project.entry-points.airlock]            import airlock
    echo = "airlock_echo.plugin"
                                              @airlock.hookimpl
                                              def airlock_register_backends():
                                                  from .backend import EchoBackend
                                                  return [EchoBackend]

Import heavy modules inside the hook, as here: a plugin that is installed but unused should cost nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fastapi import FastAPI
    from typer import Typer

    from airlock.backends import Backend
    from airlock.llm import Mediator
    from airlock.stores import Store

    from .events import ExecutionFinished, LLMAnswered, LLMRequested, PoolChanged
    from .view import GatewayView

hookspec = pluggy.HookspecMarker("airlock")
hookimpl = pluggy.HookimplMarker("airlock")


# --- execution ---------------------------------------------------------------------------------------------------


@hookspec
def airlock_register_backends() -> Iterable[type[Backend[Any]]]:
    """Offer backend classes; each becomes a word for `backend:` in airlock.yaml. Called once at startup.

    @airlock.hookimpl
    def airlock_register_backends():
        return [EchoBackend]
    """
    raise NotImplementedError


@hookspec
def airlock_execution_finished(event: ExecutionFinished) -> None:
    """Observe that an execution has finished, some milliseconds after its client could know.

    Return at once; exceptions are logged.

    @airlock.hookimpl
    def airlock_execution_finished(event):
        counter.labels(event.project, event.result.status.value).inc()
    """


@hookspec
def airlock_register_stores() -> Iterable[type[Store[Any]]]:
    """Offer store classes; each becomes a word for `store:` in airlock.yaml. Called once at startup.

    @airlock.hookimpl
    def airlock_register_stores():
        return [PostgresStore]
    """
    raise NotImplementedError


# --- project pools -----------------------------------------------------------------------------------------------


@hookspec
def airlock_register_projects() -> Mapping[str, Mapping[str, Any]]:
    """Offer projects, shaped as under `projects:` in airlock.yaml. Used only when there is no airlock.yaml.

    @airlock.hookimpl
    def airlock_register_projects():
        return {"demo": {"description": "Try me", "replicas": 1, "backend": "echo"}}
    """
    raise NotImplementedError


@hookspec
def airlock_pool_changed(event: PoolChanged) -> None:
    """Observe that a project came up, went down or was scaled, or failed to. Return at once; exceptions are logged.

    @airlock.hookimpl
    def airlock_pool_changed(event):
        gauge.labels(event.project).set(event.pool.replicas)
    """


# --- LLM mediation -----------------------------------------------------------------------------------------------


@hookspec
def airlock_register_mediators() -> Iterable[type[Mediator[Any]]]:
    """Offer mediator classes; each becomes a word for `llm:` in airlock.yaml. Called once at startup.

    @airlock.hookimpl
    def airlock_register_mediators():
        return [CannedMediator]
    """
    raise NotImplementedError


@hookspec
def airlock_llm_requested(event: LLMRequested) -> None:
    """Observe that a script sent an LLM request. Return at once; exceptions are logged.

    @airlock.hookimpl
    def airlock_llm_requested(event):
        log.info("%s asks %s", event.execution_id, event.request.model)
    """


@hookspec
def airlock_llm_answered(event: LLMAnswered) -> None:
    """Observe that an LLM request was answered. Return at once; exceptions are logged.

    @airlock.hookimpl
    def airlock_llm_answered(event):
        log.info("%s got %d characters", event.execution_id, len(event.response))
    """


# --- HTTP --------------------------------------------------------------------------------------------------------


@hookspec
def airlock_extend_app(app: FastAPI, gateway: GatewayView) -> Iterable[str] | None:
    """Add routes to the plugin's own app. Called once at startup; return the paths that need no key, if any.

    @airlock.hookimpl
    def airlock_extend_app(app, gateway):
        @app.get("/queue")
        async def queue(request: Request) -> int:
            projects = await gateway.for_client(gateway.client_of(request)).projects()
            return sum(project.queued for project in projects)

    Every path starts with a segment that neither core nor another plugin uses. A path needs the same key as core's,
    unless the hook returns it: `["/queue"]`, or with a trailing slash everything below it; without a key, no project
    can be used there. Errors become problem+json, and a lifespan given to `app.router` is entered.
    An exception here, or a path that is taken, costs the plugin all of its routes and affects nothing else.
    """


# --- command line ------------------------------------------------------------------------------------------------


@hookspec
def airlock_register_commands() -> Iterable[Typer]:
    """Offer commands as typer apps; the name of each becomes a word after `airlock`. Called once at startup.

    An app with one command is that command (`airlock queue`), one with several has them below its name.

    @airlock.hookimpl
    def airlock_register_commands():
        from .commands import app  # app = typer.Typer(name="queue")
        return [app]

    Servers call it too, so import what a command needs inside its function.
    """
    raise NotImplementedError
