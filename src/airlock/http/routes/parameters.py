"""What several routes take: the gateway as the client sees it, parts of the path, the query and the headers."""

from __future__ import annotations

import base64
import binascii
import math
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import Depends, Header, Path, Query
from starlette.requests import Request

from airlock.errors import InvalidRequest
from airlock.executions import Position
from airlock.gateway import ScopedGateway
from airlock.http.examples import EXECUTION_ID
from airlock.models import ProjectName

if TYPE_CHECKING:
    from airlock.http.lifespan import Lifespan

MAX_WAIT: Final = 30  # seconds; less than the idle timeouts of common proxies
MAX_PAGE: Final = 500
MAX_ID: Final = 64  # characters
MAX_KEY: Final = 255


async def _gateway_of(request: Request) -> ScopedGateway:
    lifespan: Lifespan = request.app.state.lifespan
    return ScopedGateway(await lifespan.gateway(), request.scope["state"]["client"])


GatewayOf = Annotated[ScopedGateway, Depends(_gateway_of)]
ExecutionId = Annotated[str, Path(max_length=MAX_ID, examples=[EXECUTION_ID])]
NameOf = Annotated[ProjectName, Path(examples=["mock-project"])]
Wait = Annotated[
    float, Query(ge=0, le=MAX_WAIT, description="maximum number of seconds to wait for news", examples=[10])
]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="maximum number of executions", examples=[50])]
Cursor = Annotated[
    str | None,
    Query(max_length=200, description="`next_cursor` of the page before", json_schema_extra={"format": "cursor"}),
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=MAX_KEY,
        description="a text that the client chooses, a new one for each execution",
        examples=["report-2026-11-24"],
    ),
]
Since = Annotated[
    int | None, Query(ge=0, description="with `wait`: the version that the client already has", examples=[2])
]


def cursor_of(position: Position) -> str:
    """Return the text that stands for a position in a list of executions; clients need not understand it."""
    return base64.urlsafe_b64encode(f"{position.created_at!r} {position.id}".encode()).decode().rstrip("=")


def position_of(cursor: str) -> Position:
    """Return the position that a cursor stands for. Raises InvalidRequest if it stands for none."""
    try:
        created_at, _, execution_id = (
            base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode().partition(" ")
        )
        position = Position(float(created_at), execution_id)
    except (binascii.Error, ValueError):
        position = Position(math.nan, "")
    if not math.isfinite(position.created_at) or not position.id:
        raise InvalidRequest(("query", "cursor"), "not a cursor; send `next_cursor` of the page before")
    return position
