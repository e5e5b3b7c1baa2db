"""`/health` and `/ready`: health checks for load balancers."""

from __future__ import annotations

from fastapi import APIRouter

from airlock.errors import NotReady, ShuttingDown
from airlock.http.openapi import PUBLIC, refusals
from airlock.http.requests import StrictRoute
from airlock.models import HealthResponse, ReadyResponse

from .parameters import GatewayOf

router = APIRouter(route_class=StrictRoute, tags=["health"])


@router.get("/health", responses=refusals(is_public=True), openapi_extra=PUBLIC)
async def health() -> HealthResponse:
    """Answer that the process is alive."""
    return HealthResponse()


@router.get("/ready", responses=refusals(NotReady, ShuttingDown, is_public=True), openapi_extra=PUBLIC)
async def ready(gateway: GatewayOf) -> ReadyResponse:
    """Answer that every project that should be up is up; 503 while one starts or has failed, and while draining."""
    gateway.check_ready()
    return ReadyResponse()
