"""HTTP as it arrives from a socket, within bounds: what no client needs is refused before it becomes a request.

uvicorn has no bounds of its own: without a key, anybody could fill the memory with a header that never ends.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from airlock.logs import log_event

from . import hosts
from .errors import BodyTooLarge, HeadTooLarge, NotHttp, PathTooLong, TooSlow
from .problems import ProblemResponse
from .requests import MAX_BODY

if TYPE_CHECKING:
    import asyncio

    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from airlock.errors import RequestError

MAX_PATH: Final = 8 << 10  # bytes of a path with its query
MAX_HEAD: Final = 64 << 10  # bytes of a path and all headers
MAX_UNANSWERED: Final = 100  # requests of one connection, which a client may send ahead (pipelining)
MAX_REQUEST: Final = (
    2 * MAX_BODY
)  # bytes on the wire, including what is no longer read because the request was answered

_UPGRADE: Final = re.compile(rb"(?i)(?<=\r\n)(?=upgrade *:)")


class BoundedHttp(HttpToolsProtocol):
    """One connection. A request must be complete within `patience` and within bounds; otherwise it gets a problem."""

    patience: float = 120  # seconds: 16 MiB at 1.2 Mbit/s
    _in_head = True
    _received = 0  # bytes of the request that is not complete yet
    _refused: RequestError | None = None
    _alarm: asyncio.TimerHandle | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._cycles: deque[RequestResponseCycle] = deque()  # in the order of their answers

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Start waiting for a request."""
        super().connection_made(transport)
        self._alarm = self.loop.call_later(self.patience, self._on_alarm)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._set_alarm(is_on=False)
        for cycle in self._unanswered():  # uvicorn tells only the last one
            cycle.disconnected = True
            cycle.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what has arrived."""
        if not self._received and b"pgrade" in data:
            # Nothing is upgraded here, but the parser would drop the body, as in every first POST of Java's HttpClient.
            head, blank, body = data.partition(b"\r\n\r\n")
            data = _UPGRADE.sub(b"x-", head) + blank + body
        self._received += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        self._set_alarm(is_on=self._received > 0)
        if self._in_head and self._received > MAX_HEAD:
            self._refuse(_head_too_large())
        elif self._received > MAX_REQUEST:
            self._refuse(BodyTooLarge(f"a request may have at most {MAX_REQUEST} bytes"))

    def on_headers_complete(self) -> None:
        """Hand the request over, unless its head is too large or names no host."""
        if len(self.url) > MAX_PATH:
            self._refused = PathTooLong(f"a path with its query may have at most {MAX_PATH} bytes")
            raise self._refused
        if sum(len(name) + len(value) + 4 for name, value in self.headers) > MAX_HEAD:
            self._refused = _head_too_large()
            raise self._refused
        # Blanks after a value are not part of it (RFC 9110, section 5.5), but the parser keeps them.
        headers = [(name, value.rstrip(b" \t")) for name, value in self.headers]
        try:
            self.url, self.headers[:] = hosts.settled(self.parser.get_http_version(), self.url, headers)
        except NotHttp as refused:
            self._refused = refused
            raise
        if len(self._unanswered()) >= MAX_UNANSWERED:
            self._refused = NotHttp(f"a connection may have at most {MAX_UNANSWERED} unanswered requests")
            raise self._refused
        super().on_headers_complete()
        self._in_head = False
        self._cycles.append(self.cycle)
        self.headers = []  # trailers may follow the body; the request keeps its own list

    def on_message_complete(self) -> None:
        """Wait for the next request."""
        super().on_message_complete()
        self._in_head, self._received = True, 0

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser could not read, or what was refused while it parsed."""
        self._refuse(self._refused or NotHttp("it could not be parsed as HTTP/1.1"))

    def _unanswered(self) -> deque[RequestResponseCycle]:
        while self._cycles and self._cycles[0].response_complete:
            self._cycles.popleft()
        return self._cycles

    def _set_alarm(self, *, is_on: bool) -> None:
        if self._alarm is not None and not is_on:
            self._alarm.cancel()
            self._alarm = None
        elif self._alarm is None and is_on:
            self._alarm = self.loop.call_later(self.patience, self._on_alarm)

    def _on_alarm(self) -> None:
        if not self._received:  # a connection that was opened in advance
            self.transport.close()
        elif not self.transport.is_closing():
            self._refuse(TooSlow(f"a request must be complete within {self.patience:g} s"))

    def _refuse(self, error: RequestError) -> None:
        """Answer with the problem, unless that could be taken for the answer to another request; then hang up."""
        unanswered = self._unanswered()
        is_begun = not self._in_head
        may_answer = len(unanswered) == 1 and not self.cycle.response_started if is_begun else not unanswered
        if may_answer:
            log_event(
                "request refused",
                level=logging.WARNING,
                code=error.code,
                peer=self.client[0] if self.client else None,
            )
            response = ProblemResponse.of(error)
            head = f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\n".encode()
            headers = [*self.server_state.default_headers, *response.raw_headers, (b"connection", b"close")]
            lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
            self.transport.write(head + lines + b"\r\n" + bytes(response.body))
        self.transport.close()


def _head_too_large() -> HeadTooLarge:
    return HeadTooLarge(f"a path and all headers together may have at most {MAX_HEAD} bytes")
