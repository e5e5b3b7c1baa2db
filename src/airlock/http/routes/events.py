"""`/executions/{id}/events`: the events of an execution, as they happen."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response

from airlock.errors import ExecutionNotFound, InvalidRequest, StoreUnavailable
from airlock.http.openapi import refusals
from airlock.http.requests import StrictRoute
from airlock.http.sse import RESPONSES, EventStreamResponse
from airlock.running import EventId

from .parameters import ExecutionId, GatewayOf

router = APIRouter(route_class=StrictRoute, tags=["executions"])

LastEventId = Annotated[
    str,
    Header(
        max_length=100,
        description="the `id` of the last event that was received",
        json_schema_extra={"format": "event-id"},
    ),
]
LastEventIdInQuery = Annotated[
    str,
    Query(
        alias="last_event_id",
        max_length=100,
        description="the same, for clients that cannot set a header; if both are sent, the header counts",
        json_schema_extra={"format": "event-id"},
    ),
]


@router.get(
    "/executions/{execution_id}/events",
    status_code=200,
    response_class=EventStreamResponse,
    responses={**RESPONSES, **refusals(ExecutionNotFound, InvalidRequest, StoreUnavailable)},
)
async def get_events(
    execution_id: ExecutionId, gateway: GatewayOf, last_event_id: LastEventId = "", after: LastEventIdInQuery = ""
) -> Response:
    """Stream past and new events as server-sent events; the stream ends after `result`.

    The `id` of an event is the place after it: if it is sent back as `Last-Event-ID`, nothing is repeated or lost.
    """
    location = ("header", "Last-Event-ID") if last_event_id else ("query", "last_event_id")
    at = EventId.parse(last_event_id or after, execution_id, location)
    return await EventStreamResponse.of(partial(gateway.follow, execution_id), at, location)
