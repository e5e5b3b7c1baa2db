"""What airlock-metrics registers: the route `GET /metrics`, observers that count, and the command `airlock metrics`.

A process serves one app. If tests start several, the observers count for the last one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import airlock

if TYPE_CHECKING:
    from collections.abc import Iterable

    import typer
    from fastapi import FastAPI

    from .metrics import Metrics

_metrics: Metrics | None = None  # nothing is counted until a server asks for routes


@airlock.hookimpl
def airlock_extend_app(app: FastAPI, gateway: airlock.GatewayView) -> None:
    """Serve `GET /metrics`, behind the server's key."""
    global _metrics  # noqa: PLW0603 - hooks are functions of a module
    from .metrics import Metrics  # noqa: PLC0415 - an unused plugin costs nothing
    from .route import add_to  # noqa: PLC0415

    _metrics = Metrics(gateway)
    add_to(app, gateway, _metrics)


@airlock.hookimpl
def airlock_execution_finished(event: airlock.ExecutionFinished) -> None:
    """Count the execution."""
    if _metrics is not None:
        _metrics.finished(event.project, event.result)


@airlock.hookimpl
def airlock_pool_changed(event: airlock.PoolChanged) -> None:
    """Record how long the project took to come up."""
    if _metrics is not None and event.pool.replicas:
        _metrics.started(event.project, event.seconds)


@airlock.hookimpl
def airlock_register_commands() -> Iterable[typer.Typer]:
    """Offer `airlock metrics`."""
    from .command import app  # noqa: PLC0415

    return [app]
