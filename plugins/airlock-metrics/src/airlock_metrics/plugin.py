"""What airlock-metrics registers: the route `GET /metrics`, and observers that count.

One process serves one app. Where tests start several, the observers count for the one that was started last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import airlock

if TYPE_CHECKING:
    from fastapi import FastAPI

    from .metrics import Metrics

_metrics: Metrics | None = None  # there is nothing to count for until a server asks for routes


@airlock.hookimpl
def airlock_extend_app(app: FastAPI, gateway: airlock.GatewayView) -> None:
    """Serve `GET /metrics`, behind the server's key."""
    global _metrics  # noqa: PLW0603 - hooks are functions of a module
    from .metrics import Metrics  # noqa: PLC0415 - a plugin that is not used costs nothing
    from .route import add_to  # noqa: PLC0415

    _metrics = Metrics(gateway)
    add_to(app, gateway, _metrics)


@airlock.hookimpl
def airlock_execution_finished(project: str, result: airlock.ExecutionResult) -> None:
    """Count it."""
    if _metrics is not None:
        _metrics.finished(project, result)


@airlock.hookimpl
def airlock_pool_changed(project: str, pool: airlock.Pool, seconds: float) -> None:
    """Note how long it took to come up."""
    if _metrics is not None and pool.replicas:
        _metrics.started(project, seconds)
