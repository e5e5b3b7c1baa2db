"""Airlock: the gateway through which AI agents run Python safely.

This module is the front door for plugin authors: everything that a plugin needs stands here, and nothing else.
The rest of the package is internal and may change in any release; `airlock.testing` has what a plugin tests with.

Hooks: `hookimpl` marks them, `airlock.hookspecs` documents them.
Backends: `Backend`, `BackendSettings`, `Project`, `Limits`, `Job`, `Session`, `Outcome`, `Pool`;
    with warm single-use workers: `PooledBackend`, `Worker`.
Mediators: `Mediator`, `MediatorSettings`, `LLMRequest`.
Routes (`airlock_extend_app`): `GatewayView`, `Client`.
Stores: `Store`, `StoreSettings`, `Execution`, `Summary`, `Position`.
Errors to raise or catch: `BackendUnavailable`, `WorkerLost`, `ProtocolViolation`, `LLMError`; in stores
    `StoreRefused`, `StoreUnavailable`, `Conflict`, `ExecutionNotFound`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .backend import Backend, BackendSettings, Job, Outcome, Pool, Project, Session, Stream
    from .errors import (
        BackendUnavailable,
        Conflict,
        ExecutionNotFound,
        LLMError,
        ProtocolViolation,
        StoreRefused,
        StoreUnavailable,
        WorkerLost,
    )
    from .executions import Execution, Position, Summary
    from .gateway_view import GatewayView
    from .hookspecs import hookimpl
    from .keys import Client
    from .limits import Limits
    from .mediation import Mediator, MediatorSettings
    from .models import ExecutionResult, LLMRequest
    from .pools import PooledBackend, Worker
    from .store import Store, StoreSettings

__all__ = [
    "Backend",
    "BackendSettings",
    "BackendUnavailable",
    "Client",
    "Conflict",
    "Execution",
    "ExecutionNotFound",
    "ExecutionResult",
    "GatewayView",
    "Job",
    "LLMError",
    "LLMRequest",
    "Limits",
    "Mediator",
    "MediatorSettings",
    "Outcome",
    "Pool",
    "PooledBackend",
    "Position",
    "Project",
    "ProtocolViolation",
    "Session",
    "Store",
    "StoreRefused",
    "StoreSettings",
    "StoreUnavailable",
    "Stream",
    "Summary",
    "Worker",
    "WorkerLost",
    "hookimpl",
]

_HOMES = {
    "backend": ["Backend", "BackendSettings", "Job", "Outcome", "Pool", "Project", "Session", "Stream"],
    "errors": [
        "BackendUnavailable",
        "Conflict",
        "ExecutionNotFound",
        "LLMError",
        "ProtocolViolation",
        "StoreRefused",
        "StoreUnavailable",
        "WorkerLost",
    ],
    "executions": ["Execution", "Position", "Summary"],
    "gateway_view": ["GatewayView"],
    "hookspecs": ["hookimpl"],
    "keys": ["Client"],
    "limits": ["Limits"],
    "mediation": ["Mediator", "MediatorSettings"],
    "models": ["ExecutionResult", "LLMRequest"],
    "pools": ["PooledBackend", "Worker"],
    "store": ["Store", "StoreSettings"],
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    """Import a name when it is first used: who needs only `airlock.client` pays for no server."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
