"""The events of one execution, as a stream that goes on where it broke off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airlock import strict_json

from .calls import Retries, execution_path, is_transient
from .errors import ClientError, NotAirlock, Unreachable
from .wire import Request

if TYPE_CHECKING:
    from httpx_sse import ServerSentEvent

    from .wire import Reply


@dataclass(frozen=True, slots=True)
class Event:
    """What happened: `type` is status, stdout, stderr, llm_request or result, `data` what docs/rest.md says of it."""

    type: str
    data: Any


class EventStream:
    """What both clients have to know of a stream, apart from how to read it."""

    def __init__(self, execution_id: str, retry_for: float) -> None:
        self._path = f"{execution_path(execution_id)}/events"
        self._retry_for = retry_for
        self._retries = Retries(retry_for)
        self._last_id = ""
        self.is_over = False

    def request(self) -> Request:
        """Return the request for all that is still to come."""
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if self._last_id:
            headers["Last-Event-ID"] = self._last_id
        return Request(method="GET", path=self._path, headers=headers, patience=60)

    def take(self, received: ServerSentEvent) -> Event | None:
        """Return the event, None for one that only keeps the connection alive. Raises NotAirlock for other data."""
        if not received.data:
            return None
        try:
            data = strict_json.loads(received.data.encode(errors="surrogatepass"))
        except ValueError as error:
            raise NotAirlock(f"GET {self._path} sent an event that is not JSON ({error}); is the URL right?") from None
        self._last_id = received.id
        self._retries = Retries(self._retry_for)
        self.is_over = received.event == "result"
        return Event(received.event, data)

    def refusal(self, reply: Reply) -> ClientError:
        """Return the reason why there is no stream for now. Raises it when there will be none."""
        failure = reply.error() if reply.status != 200 else reply.not_airlock("no event stream")
        if not is_transient(reply):
            raise failure
        return failure

    def broken_off(self) -> ClientError:
        """Return the reason to ask again when the stream has ended, but not the execution."""
        return Unreachable(f"the stream of {self._path} breaks off again and again", was_sent=True)

    def pause_after(self, failure: ClientError) -> float:
        """Return seconds to wait before the next attempt. Raises `failure` when there is none."""
        return self._retries.pause_after(failure)
