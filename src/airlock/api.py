"""The REST API as one app: routes, and around them who may use them. Errors become problems in problems.py."""

from __future__ import annotations

from functools import cache, partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from fastapi_offline import FastAPIOffline

from airlock.http import (
    AccessMiddleware,
    BodyRoom,
    Extensions,
    HeadMiddleware,
    RequestIdMiddleware,
    Server,
    events,
    executions,
    health,
    openapi,
    problems,
    projects,
)

if TYPE_CHECKING:
    from fastapi import FastAPI
    from fastapi.telemetry import TelemetryConfig

    from airlock.config import Config
    from airlock.plugins import Plugins

# OpenTelemetry, sent where $OTEL_EXPORTER_OTLP_ENDPOINT says, and nowhere without it: a span for each request but those
# of load balancers. FastAPI does it. Metrics are the business of airlock-metrics.
TELEMETRY: Final[TelemetryConfig] = {
    "auto_configure": True,
    "operation_spans": False,
    "metrics": False,
    "logs": False,
    "exclude": lambda scope: scope["path"] in ("/health", "/ready"),
}


def create_app(config: Config | None = None, plugins: Plugins | None = None) -> FastAPI:
    """Make an app. Without `config` it serves what airlock.yaml says ($AIRLOCK_CONFIG, ./airlock.yaml, built-in)."""
    server = Server(config, plugins)
    # FastAPI's own /docs runs a script from elsewhere: it is blank behind a firewall, and trusts that elsewhere.
    app = FastAPIOffline(
        title="Airlock",
        version=version("airlock-core"),
        lifespan=server.lifespan,
        telemetry=TELEMETRY,
        redirect_slashes=False,  # one address for each thing
        redoc_url=None,
        static_url="/docs/assets",
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.server = server
    app.state.bodies = BodyRoom()
    documents = cache(partial(openapi.document, app))
    app.openapi = lambda: documents(needs_key=server.needs_key)  # type: ignore[method-assign]  # as FastAPI's docs do
    problems.install(app)
    for noun in (health, executions, events, projects):
        app.include_router(noun.router)
    server.extensions = Extensions(app)
    app.router.routes.append(server.extensions)
    app.add_middleware(HeadMiddleware)
    app.add_middleware(AccessMiddleware, policy=server.policy, is_public=server.is_public)
    app.add_middleware(RequestIdMiddleware)  # the last one added is the first to see a request
    return app


app = create_app()
