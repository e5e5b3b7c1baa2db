"""The REST API as one ASGI app: `app` for any server, `create_app` for one with a configuration of its own."""

from __future__ import annotations

from functools import cache, partial
from importlib.metadata import version
from typing import TYPE_CHECKING

from fastapi_offline import FastAPIOffline

from airlock.http import (
    TELEMETRY,
    AccessMiddleware,
    BodyRoom,
    Extensions,
    HeadMiddleware,
    Lifespan,
    NoSniffMiddleware,
    RequestIdMiddleware,
    events,
    executions,
    health,
    openapi,
    problems,
    projects,
)

if TYPE_CHECKING:
    from fastapi import FastAPI

    from airlock.config import Config
    from airlock.plugins import Plugins


def create_app(config: Config | None = None, plugins: Plugins | None = None) -> FastAPI:
    """Make an app. Without `config` it serves what airlock.yaml says ($AIRLOCK_CONFIG, ./airlock.yaml, built-in)."""
    lifespan = Lifespan(config, plugins)
    # FastAPI's own /docs loads a script from another site: it is blank behind a firewall, and trusts that site.
    app = FastAPIOffline(
        title="Airlock",
        version=version("airlock-core"),
        lifespan=lifespan,
        telemetry=TELEMETRY,
        redirect_slashes=False,  # each thing has one address
        redoc_url=None,
        static_url="/docs/assets",
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.lifespan = lifespan
    app.state.bodies = BodyRoom()
    documents = cache(partial(openapi.document, app))
    app.openapi = lambda: documents(needs_key=lifespan.needs_key)  # type: ignore[method-assign]  # as FastAPI's docs do
    problems.install(app)
    for noun in (health, executions, events, projects):
        app.include_router(noun.router)
    lifespan.extensions = Extensions(app)
    app.router.routes.append(lifespan.extensions)
    app.add_middleware(HeadMiddleware)
    app.add_middleware(AccessMiddleware, policy=lifespan.policy, is_public=lifespan.is_public)
    app.add_middleware(NoSniffMiddleware)
    app.add_middleware(RequestIdMiddleware)  # the last one added is the first to see a request
    return app


app = create_app()
