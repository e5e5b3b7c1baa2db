"""The REST API over HTTP: server, connections, who may ask, requests in, problems and events out, routes.

Only `airlock.api` and the command line call it; it asks the gateway on behalf of one client, and knows no backend, no
mediator and no secret.
"""

from .access import AccessMiddleware, AccessPolicy
from .extensions import Extensions
from .lifespan import Lifespan
from .middleware import HeadMiddleware, RequestIdMiddleware
from .requests import BodyRoom
from .routes import events, executions, health, projects
from .server import AirlockServer, listen
from .telemetry import TELEMETRY

__all__ = [
    "TELEMETRY",
    "AccessMiddleware",
    "AccessPolicy",
    "AirlockServer",
    "BodyRoom",
    "Extensions",
    "HeadMiddleware",
    "Lifespan",
    "RequestIdMiddleware",
    "events",
    "executions",
    "health",
    "listen",
    "projects",
]
