"""`/health` and `/ready`: what load balancers ask."""

from __future__ import annotations

from fastapi import APIRouter

from airlock.models import HealthResponse, ReadyResponse
from airlock.strict_requests import StrictRoute

from .parameters import GatewayOf

router = APIRouter(route_class=StrictRoute)


@router.get("/health")
async def health() -> HealthResponse:
    """Answer that the process is alive."""
    return HealthResponse()


@router.get("/ready")
async def ready(gateway: GatewayOf) -> ReadyResponse:
    """Answer that every project is up that shall be; 503 while one starts or has failed, and while draining."""
    gateway.check_ready()
    return ReadyResponse()
