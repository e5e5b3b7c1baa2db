"""An execution's events as server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Self

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from starlette.responses import Response, StreamingResponse

from airlock.errors import InvalidRequest, RequestError
from airlock.running import Event, EventStream

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from airlock.plugins import Followed
    from airlock.running import EventId

KEEP_ALIVE: Final = 15.0  # seconds of silence before a comment is sent, as the standard advises because of proxies
RETRY: Final = 1000  # milliseconds before browsers reconnect
HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # the second is for nginx
EXAMPLE: Final = """\
event: status
data: {"execution_id": "7f9c24e8-...", "status": "running", "version": 1, "llm_request_ids": [], ...}
id: 7f9c24e8.1.0.0.0

event: stdout
data: {"text": "hello\\n"}
id: 7f9c24e8.1.0.6.0
"""
EVENT: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["event", "data", "id"],
    "properties": {
        "event": {"type": "string", "enum": ["status", "stdout", "stderr", "llm_request", "result"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
        "id": {"type": "string"},
    },
}
RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Events as they come",
        "content": {
            "text/event-stream": {
                "schema": EVENT,  # of each event; OpenAPI 3.2 has itemSchema, but few tools read that yet
                "examples": {"output": {"value": EXAMPLE}},
            }
        },
    },
    204: {"description": "The execution has finished, and the client has every event"},
}


class EventStreamResponse(StreamingResponse):
    """Sends events as they come, one at a time: the next is made when the connection has taken the previous one.

    FastAPI's own streaming of generators would cost two more tasks and two queues for each stream.
    """

    media_type = "text/event-stream"

    def __init__(self, events: EventStream) -> None:
        super().__init__(_Wire(events), headers=HEADERS)

    @classmethod
    async def of(cls, look: Callable[[], Awaitable[Followed]], at: EventId, location: Sequence[str]) -> Response:
        """Answer a request for the events after `at`, which was sent in `location`.

        Raises what `look` raises, and InvalidRequest for the end of an execution that has not finished.

        204 tells EventSource, which would otherwise reconnect even after the end, that nothing more will come.
        """
        events = EventStream(look, at)
        followed = await events.found()
        if at.is_end and not followed.execution.status.is_terminal:
            raise InvalidRequest(tuple(location), "not the id of an event: this execution has not finished")
        return Response(status_code=204, headers=HEADERS) if at.is_end else cls(events)


class _Wire:
    """The bytes. An iterator, not a generator, which would be left suspended when the client goes away."""

    def __init__(self, events: EventStream) -> None:
        self._events = events
        self._has_begun = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self._has_begun:
            self._has_begun = True
            return format_sse_event(retry=RETRY)
        try:
            async with asyncio.timeout(KEEP_ALIVE):
                event = await self._events.next()
        except TimeoutError:
            return KEEPALIVE_COMMENT
        except RequestError:  # forgotten meanwhile; a client that reconnects is told so
            raise StopAsyncIteration from None
        if event is None:
            raise StopAsyncIteration
        return _encoded(event)


def _encoded(event: Event) -> bytes:
    return format_sse_event(event=event.type, data_str=event.data.decode(), id=event.id)
