"""`/projects`: the projects, and how many workers each keeps."""

from __future__ import annotations

from fastapi import APIRouter

from airlock.errors import InvalidRequest, ProjectNotFound, ScaleFailed
from airlock.http.openapi import WITH_BODY, link, refusals
from airlock.http.requests import StrictRoute
from airlock.models import PoolRequest, PoolStatus, ProjectList

from .parameters import GatewayOf, NameOf

router = APIRouter(route_class=StrictRoute, tags=["projects"])

_LINKS = {
    **link("project_up", "Keep more or fewer workers.", name="$response.body#/projects/0/name"),
    **link("project_down", "Put it down.", name="$response.body#/projects/0/name"),
}


@router.get("/projects", responses={200: {"links": _LINKS}, **refusals()})
async def list_projects(gateway: GatewayOf) -> ProjectList:
    """Return the projects that airlock.yaml lists, with their pools."""
    return ProjectList(projects=await gateway.projects())


@router.post(
    "/projects/{name}/up",
    response_model_exclude_none=True,
    responses=refusals(*WITH_BODY, ProjectNotFound, ScaleFailed),
)
async def project_up(name: NameOf, gateway: GatewayOf, pool: PoolRequest | None = None) -> PoolStatus:
    """Keep this many warm workers. Answers when they are ready, or after 30 s with the state so far, and continues."""
    return await gateway.up(name, (pool or PoolRequest()).replicas)


@router.post(
    "/projects/{name}/down",
    response_model_exclude_none=True,
    responses=refusals(InvalidRequest, ProjectNotFound),
)
async def project_down(name: NameOf, gateway: GatewayOf) -> PoolStatus:
    """Put a project down: queued executions end, running ones get `limits.shutdown_grace`."""
    return await gateway.down(name)
