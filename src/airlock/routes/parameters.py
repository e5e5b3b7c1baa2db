"""What several routes take: the gateway as the client sees it, parts of the path, the query and the header."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from fastapi import Depends, Header, Path, Query
from starlette.requests import Request

from airlock.examples import EXECUTION_ID
from airlock.models import ProjectName
from airlock.scoping import ScopedGateway

if TYPE_CHECKING:
    from airlock.lifespan import Server

MAX_WAIT: Final = 30  # seconds; less than the idle timeouts of common proxies
MAX_PAGE: Final = 500


async def _gateway(request: Request) -> ScopedGateway:
    server: Server = request.app.state.server
    return ScopedGateway(await server.gateway(), request.state.client)


GatewayOf = Annotated[ScopedGateway, Depends(_gateway)]
ExecutionId = Annotated[str, Path(max_length=64, examples=[EXECUTION_ID])]
NameOf = Annotated[ProjectName, Path(examples=["mock-project"])]
Wait = Annotated[float, Query(ge=0, le=MAX_WAIT, description="seconds to wait for news at most", examples=[10])]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="executions at most", examples=[50])]
Cursor = Annotated[
    str | None,
    Query(max_length=200, description="`next_cursor` of the page before", json_schema_extra={"format": "cursor"}),
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        description="a text of the client's own, new for each execution that it wants",
        examples=["report-2026-11-24"],
    ),
]
Since = Annotated[int | None, Query(ge=0, description="with `wait`: the version that is known already", examples=[2])]
