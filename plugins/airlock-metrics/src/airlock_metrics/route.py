"""`GET /metrics`."""

from fastapi import FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from .metrics import Metrics


def add_to(app: FastAPI, metrics: Metrics) -> None:
    """Add the route."""

    @app.get("/metrics")
    async def show(request: Request) -> Response:
        return Response(metrics.text(request.state.client), media_type=CONTENT_TYPE_LATEST)
