"""The REST API over HTTP: server, connections, access, requests in, problems and events out, routes.

Only `airlock.api` and the command line use it. Its routes ask the gateway on behalf of one client. It must know nothing
of backends, mediators or secrets.
"""

from .access import AccessMiddleware, AccessPolicy
from .extensions import Extensions
from .lifespan import Lifespan
from .middleware import HeadMiddleware, NoSniffMiddleware, RequestIdMiddleware
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
    "NoSniffMiddleware",
    "RequestIdMiddleware",
    "events",
    "executions",
    "health",
    "listen",
    "projects",
]
