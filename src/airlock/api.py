"""The REST API as one app: routes, and around them who may use them. Errors become problems in problems.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastapi import FastAPI

from . import problems
from .access import AccessMiddleware
from .extensions import Extensions
from .lifespan import Server
from .request_ids import RequestIdMiddleware
from .routes import executions, health, projects

if TYPE_CHECKING:
    from fastapi.telemetry import TelemetryConfig

    from .config import Config
    from .plugins import Plugins

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
    app = FastAPI(title="Airlock", version="0.1.0", lifespan=server.lifespan, telemetry=TELEMETRY)
    app.state.server = server
    problems.install(app)
    for noun in (health, executions, projects):
        app.include_router(noun.router)
    server.extensions = Extensions(app)
    app.router.routes.append(server.extensions)
    app.add_middleware(AccessMiddleware, policy=server.policy, is_public=server.is_public)
    app.add_middleware(RequestIdMiddleware)  # the last one added is the first to see a request
    return app


app = create_app()
