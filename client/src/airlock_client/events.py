"""The events of one execution, as a stream that resumes after an interruption."""

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

PATIENCE: Final = 45.0  # seconds without a byte; the server sends something every 15 s
LASTED: Final = 5.0  # seconds after which a stream that breaks off gets the whole `retry_for` again

_DATA: Final[dict[str, type[BaseModel]]] = {
    "status": StatusEvent,
    "stdout": OutputEvent,
    "stderr": OutputEvent,
    "llm_request": OpenLLMRequest,
    "result": ExecutionResult,
}


@dataclass(frozen=True, slots=True)
class Event:
    """What happened. `type` is status, stdout, stderr, llm_request or result; docs/rest.md describes its `data`."""

    type: str
    data: Any


class EventStream:
    """The state of a stream; transport.py reads it."""

    def __init__(self, path: str, retry_for: float) -> None:
        self._path = path
        self._retry_for = retry_for
        self._retries: Retries | None = None
        self._begun_at = math.inf
        self._last_id = ""
        self.is_over = False

    def request(self) -> Request:
        """Return the request for all further events."""
        headers = {"accept": "text/event-stream", "cache-control": "no-store"}
        if self._last_id:
            headers["last-event-id"] = self._last_id
        return Request(method="GET", path=self._path, headers=headers, patience=PATIENCE)

    def begin(self) -> None:
        """Note that the server has started to send events."""
        self._begun_at = time.monotonic()

    def take(self, received: ServerSentEvent) -> Event | None:
        """Return the event, or None if it only keeps the connection alive. Raises NotAirlock for anything else."""
        if not received.data:
            return None
        kind = received.event
        try:
            data = strict_json.loads(received.data.encode(errors="surrogatepass"))
            if kind in _DATA:  # a newer server may send more types
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
        """Return why there is no stream at present. Raises it if retrying is no use."""
        failure = reply.error() if reply.status != 200 else reply.not_airlock("the reply is not an event stream")
        if not is_transient(reply):
            raise failure
        return failure

    def broken_off(self) -> ClientError:
        """Return the failure for a stream that ended before its execution did."""
        return Unreachable(f"the stream of {self._path} keeps breaking off", was_sent=True)

    def pause_after(self, failure: ClientError) -> float:
        """Return seconds to wait before the next attempt. Raises `failure` if there is no time for one.

        `retry_for` counts from the first of consecutive failures: a stream may work for hours before it breaks off.
        """
        if self._retries is None or time.monotonic() - self._begun_at > LASTED:
            self._retries = Retries(self._retry_for)
        self._begun_at = math.inf
        return self._retries.pause_after(failure)
