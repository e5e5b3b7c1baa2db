"""The plugin system: hooks, the manager that finds plugins, what they offer, and how they learn of events.

Config asks it what can be configured, runs and the gateway report events to it, routes and commands of plugins are
added by `http` and `cli`. It must know neither airlock.yaml nor the gateway, which it sees only as a `GatewayView`.
"""

from .classes import BACKEND, COMMAND, KINDS, MEDIATOR, STORE, ClassKind, Kind, PluginError
from .events import ExecutionFinished, LLMAnswered, LLMRequested, PoolChanged
from .hookspecs import hookimpl
from .instances import check_made, check_store, make, open_store
from .manager import Plugins, Provided
from .observers import notify_observers
from .plugin import EXTEND_APP, Plugin, described
from .view import STRANGER, Client, ClientGateway, Followed, GatewayView

__all__ = [
    "BACKEND",
    "COMMAND",
    "EXTEND_APP",
    "KINDS",
    "MEDIATOR",
    "STORE",
    "STRANGER",
    "ClassKind",
    "Client",
    "ClientGateway",
    "ExecutionFinished",
    "Followed",
    "GatewayView",
    "Kind",
    "LLMAnswered",
    "LLMRequested",
    "Plugin",
    "PluginError",
    "Plugins",
    "PoolChanged",
    "Provided",
    "check_made",
    "check_store",
    "described",
    "hookimpl",
    "make",
    "notify_observers",
    "open_store",
]
