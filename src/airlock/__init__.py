"""Airlock: the gateway through which AI agents run Python safely.

This module is the front door for plugin authors: it has everything that a plugin needs, and nothing else.

Hooks: `hookimpl` marks them, `hookspecs` documents them.
Observers: `ExecutionFinished`, with an `ExecutionResult`; `PoolChanged`, `LLMRequested`, `LLMAnswered`.
Backends: `Backend`, `BackendSettings`, `Project`, `Limits`, `Job`, `Run`, `Stream`, `Outcome`, `Pool`;
    with warm single-use workers: `PooledBackend`, `Worker`.
Mediators: `Mediator`, `MediatorSettings`, `LLMRequest`, `AskAgent`.
Routes (`airlock_extend_app`): `GatewayView`, `Client`, and what a client can do, `ClientGateway`, with
    `ExecutionRequest`, `Answer`, `Followed`, `ProjectInfo`, `PoolStatus`.
Stores: `Store`, `StoreSettings`, `Execution`, `ExecutionStatus`, `OpenRequest`, `Summary`, `Listing`, `Position`.
Errors to raise or catch: `AirlockError`, the base of all; `BackendUnavailable`, `WorkerLost`, `ProtocolViolation`,
    `LLMError`; in stores `StoreRefused`, `StoreUnavailable`, `Conflict`, `ExecutionNotFound`.

Also public: `airlock.testing`, for testing a plugin; `airlock.client`, for talking to a server; and for backends that
boot CPython in their own sandbox, `airlock.sandbox` and what docs/worker-protocol.md
describes of `airlock.worker`. The rest of the package is internal and may change in any release.
"""

import lazy_loader

# __init__.pyi has the names. Each is imported on first use, so `airlock.client` alone does not load the server.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
