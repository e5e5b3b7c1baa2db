"""Sends requests through httpx, which no other module here knows."""

from __future__ import annotations

import os
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

import anyio
import httpx
from httpx_sse import EventSource

from . import strict_json
from .errors import ClientError, NotAirlock, Unreachable
from .replies import Reply, Request

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from .events import Event, EventStream

DEFAULT_URL: Final = "http://127.0.0.1:8000"
_NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_CONNECT: Final = 10.0  # seconds
LAST_WILL: Final = 3.0  # seconds that `exchange_as_last_will` may take


class Transport:
    """Sends requests to one server over persistent connections."""

    def __init__(self, url: str | None, key: str | None) -> None:
        """Connect lazily. Raises ValueError if the URL or the key is invalid."""
        self._url = str(_server(url or os.environ.get("AIRLOCK_URL") or DEFAULT_URL)).rstrip("/")
        key = key or os.environ.get("AIRLOCK_API_KEY")
        if key and not (key.isascii() and key.isprintable()):
            raise ValueError("the key contains characters that are not allowed, perhaps a line break")
        # a paused run may poll and answer on many at once
        self._http = httpx.AsyncClient(limits=httpx.Limits(max_connections=None))
        self._headers = dict(self._http.headers) | ({"authorization": f"Bearer {key}"} if key else {})

    async def exchange(self, request: Request) -> Reply:
        """Send a request. Raises Unreachable without a complete reply."""
        try:
            return _reply(request, await self._http.send(self._prepared(request)))
        except httpx.HTTPError as error:
            raise self._failure(error) from error

    async def exchange_as_last_will(self, request: Request) -> Reply:
        """Send a request even if the task is cancelled, but wait only briefly for the reply."""
        try:
            with anyio.fail_after(LAST_WILL, shield=True):
                return await self.exchange(request)
        except TimeoutError:
            raise Unreachable(f"{self._url} does not answer", was_sent=True) from None

    async def events(self, stream: EventStream) -> AsyncGenerator[Event]:
        """Yield the events of a stream until its execution has finished, over as many connections as that takes."""
        while True:
            request = stream.request()
            failure: ClientError = stream.broken_off()
            try:
                response = await self._http.send(self._prepared(request), stream=True)
                async with aclosing(response):
                    if _is_event_stream(response):
                        stream.begin()
                        async for received in EventSource(response).aiter_sse():
                            if event := stream.take(received):
                                yield event
                            if stream.is_over:
                                return
                    else:
                        await response.aread()
                        failure = stream.refusal(_reply(request, response))
            except httpx.HTTPError as error:
                failure = self._failure(error)
            await anyio.sleep(stream.pause_after(failure))

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def _prepared(self, request: Request) -> httpx.Request:
        """Return a request for httpx. Raises ValueError if the body has no strict JSON form."""
        timeout = httpx.Timeout(request.patience, connect=min(_CONNECT, request.patience))
        headers = {**self._headers, **request.headers}
        content = None
        if request.body is not None:
            headers["content-type"] = "application/json"
            content = strict_json.dumps(request.body)
        return httpx.Request(
            request.method,
            self._url + request.path,
            params=request.query or None,
            headers=headers,
            content=content,
            extensions={"timeout": timeout.as_dict()},
        )

    def _failure(self, error: httpx.HTTPError) -> ClientError:
        if isinstance(error, httpx.DecodingError):
            return NotAirlock(f"{self._url} sent a reply that cannot be decoded ({error}); is the URL right?")
        was_sent = not isinstance(error, _NEVER_SENT)
        reason = str(error) or type(error).__name__
        what = "sent no complete reply" if was_sent else "cannot be reached"
        return Unreachable(f"{self._url} {what} ({reason}); is the server running there?", was_sent=was_sent)


def _server(url: str) -> httpx.URL:
    try:
        base = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(f"{url!r} is not a URL: {error}") from None
    if base.scheme not in {"http", "https"} or not base.host:
        raise ValueError(f"{url!r} is not the URL of a server; write it like {DEFAULT_URL}")
    return base


def _reply(request: Request, response: httpx.Response) -> Reply:
    return Reply(request=request, status=response.status_code, headers=response.headers, content=response.content)


def _is_event_stream(response: httpx.Response) -> bool:
    return response.status_code == 200 and response.headers.get("content-type", "").startswith("text/event-stream")
