"""Airlock: the gateway through which AI agents run Python safely.

This module is the front door for plugin authors: everything that a plugin needs stands here, and nothing else.

Hooks: `hookimpl` marks them, `airlock.plugins.hookspecs` documents them; observers get an `ExecutionResult`.
Backends: `Backend`, `BackendSettings`, `Project`, `Limits`, `Job`, `Run`, `Stream`, `Outcome`, `Pool`;
    with warm single-use workers: `PooledBackend`, `Worker`.
Mediators: `Mediator`, `MediatorSettings`, `LLMRequest`, `AskAgent`.
Routes (`airlock_extend_app`): `GatewayView`, `Client`.
Stores: `Store`, `StoreSettings`, `Execution`, `ExecutionStatus`, `OpenRequest`, `Summary`, `Listing`, `Position`.
Errors to raise or catch: `BackendUnavailable`, `WorkerLost`, `ProtocolViolation`, `LLMError`; in stores
    `StoreRefused`, `StoreUnavailable`, `Conflict`, `ExecutionNotFound`.

Public beside it: `airlock.testing`, what a plugin tests with; `airlock.client`, for those who talk to a server; and for
backends that boot CPython in a sandbox of their own `airlock.sandbox` and `airlock.worker` (without `sdk` and
`syscalls`), which docs/worker-protocol.md describes. The rest of the package is internal and may change in any release.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .backends import (
        Backend,
        BackendSettings,
        Job,
        Limits,
        Outcome,
        Pool,
        PooledBackend,
        Project,
        Run,
        Stream,
        Worker,
    )
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
    from .executions import Execution, Listing, OpenRequest, Position, Summary
    from .llm import AskAgent, Mediator, MediatorSettings
    from .models import ExecutionResult, ExecutionStatus, LLMRequest
    from .plugins import Client, GatewayView, hookimpl
    from .stores import Store, StoreSettings

__all__ = [
    "AskAgent",
    "Backend",
    "BackendSettings",
    "BackendUnavailable",
    "Client",
    "Conflict",
    "Execution",
    "ExecutionNotFound",
    "ExecutionResult",
    "ExecutionStatus",
    "GatewayView",
    "Job",
    "LLMError",
    "LLMRequest",
    "Limits",
    "Listing",
    "Mediator",
    "MediatorSettings",
    "OpenRequest",
    "Outcome",
    "Pool",
    "PooledBackend",
    "Position",
    "Project",
    "ProtocolViolation",
    "Run",
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
    "backends": [
        "Backend",
        "BackendSettings",
        "Job",
        "Limits",
        "Outcome",
        "Pool",
        "PooledBackend",
        "Project",
        "Run",
        "Stream",
        "Worker",
    ],
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
    "executions": ["Execution", "Listing", "OpenRequest", "Position", "Summary"],
    "llm": ["AskAgent", "Mediator", "MediatorSettings"],
    "models": ["ExecutionResult", "ExecutionStatus", "LLMRequest"],
    "plugins": ["Client", "GatewayView", "hookimpl"],
    "stores": ["Store", "StoreSettings"],
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
