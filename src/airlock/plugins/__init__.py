"""The plugin system: hooks, the manager that finds plugins, what their classes must be, and observers.

Config asks it what can be configured, runs and the gateway tell it what happens. It must know neither airlock.yaml nor
the gateway, which it sees only as a `GatewayView`.
"""

from .classes import CONTRACTS, Kind, PluginError, check
from .hookspecs import hookimpl
from .instances import check_made, check_store, make, open_store
from .manager import Plugins, Provided
from .plugin import EXTEND_APP, Plugin, described
from .view import STRANGER, Client, ClientGateway, Followed, GatewayView

__all__ = [
    "CONTRACTS",
    "EXTEND_APP",
    "STRANGER",
    "Client",
    "ClientGateway",
    "Followed",
    "GatewayView",
    "Kind",
    "Plugin",
    "PluginError",
    "Plugins",
    "Provided",
    "check",
    "check_made",
    "check_store",
    "described",
    "hookimpl",
    "make",
    "open_store",
]
