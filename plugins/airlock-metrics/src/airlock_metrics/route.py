"""`GET /metrics`."""

from fastapi import FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from airlock import GatewayView

from .metrics import Metrics


def add_to(app: FastAPI, gateway: GatewayView, metrics: Metrics) -> None:
    """Add the route."""

    @app.get("/metrics")
    async def show(request: Request) -> Response:
        return Response(await metrics.text(gateway.client_of(request)), media_type=CONTENT_TYPE_LATEST)
