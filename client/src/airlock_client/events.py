"""The events of one execution, as a stream that goes on where it broke off."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import BaseModel, ValidationError

from . import strict_json
from .errors import ClientError, NotAirlock, Unreachable
from .models import ExecutionResult, OpenLLMRequest, OutputEvent, StatusEvent
from .replies import Request
from .retries import Retries, is_transient

if TYPE_CHECKING:
    from httpx_sse import ServerSentEvent

    from .replies import Reply

Stream = Literal["stdout", "stderr"]

PATIENCE: Final = 45.0  # seconds without a byte; the server breaks silence every 15 s
LASTED: Final = 5.0  # seconds after which a stream that breaks off is not one that always does

_DATA: Final[dict[str, type[BaseModel]]] = {
    "status": StatusEvent,
    "stdout": OutputEvent,
    "stderr": OutputEvent,
    "llm_request": OpenLLMRequest,
    "result": ExecutionResult,
}


@dataclass(frozen=True, slots=True)
class Event:
    """What happened: `type` is status, stdout, stderr, llm_request or result, `data` what docs/rest.md says of it."""

    type: str
    data: Any


class EventStream:
    """What has to be known of a stream, apart from how to read it."""

    def __init__(self, path: str, retry_for: float) -> None:
        self._path = path
        self._retry_for = retry_for
        self._retries: Retries | None = None
        self._begun_at = math.inf
        self._last_id = ""
        self.is_over = False

    def request(self) -> Request:
        """Return the request for all that is still to come."""
        headers = {"accept": "text/event-stream", "cache-control": "no-store"}
        if self._last_id:
            headers["last-event-id"] = self._last_id
        return Request(method="GET", path=self._path, headers=headers, patience=PATIENCE)

    def begin(self) -> None:
        """Say that the server answers with events."""
        self._begun_at = time.monotonic()

    def take(self, received: ServerSentEvent) -> Event | None:
        """Return the event, None for one that only keeps the connection alive. Raises NotAirlock for other data."""
        if not received.data:
            return None
        kind = received.event
        try:
            data = strict_json.loads(received.data.encode(errors="surrogatepass"))
            if kind in _DATA:  # a newer server may send others
                _DATA[kind].model_validate(data)
        except ValidationError as error:
            raise self._not_airlock(f"a {kind} event without {error.errors()[0]['loc'] or 'fields'}") from None
        except ValueError as error:
            raise self._not_airlock(f"an event that is not JSON ({error})") from None
        self._last_id = received.id
        self._retries = None
        self.is_over = kind == "result"
        return Event(kind, data)

    def _not_airlock(self, what: str) -> NotAirlock:
        return NotAirlock(f"GET {self._path} sent {what}; is the URL right?")

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
        """Return seconds to wait before the next attempt. Raises `failure` when there is none.

        `retry_for` counts from the first of several failures: a stream may be quiet for hours before it breaks off.
        """
        if self._retries is None or time.monotonic() - self._begun_at > LASTED:
            self._retries = Retries(self._retry_for)
        self._begun_at = math.inf
        return self._retries.pause_after(failure)
