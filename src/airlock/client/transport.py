"""How requests become httpx requests, for both clients."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import httpx

from airlock import strict_json

from .errors import ClientError, NotAirlock, Unreachable
from .wire import Reply, Request

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_URL: Final = "http://127.0.0.1:8000"
_NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_CONNECT: Final = 10.0  # seconds


def options(url: str | None, key: str | None) -> dict[str, Any]:
    """Return the options of an httpx client. Raises ValueError when the URL or the key cannot be meant."""
    url = url or os.environ.get("AIRLOCK_URL") or DEFAULT_URL
    try:
        base = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(f"{url!r} is no URL: {error}") from None
    if base.scheme not in {"http", "https"} or not base.host:
        raise ValueError(f"{url!r} is no URL of a server; write it like {DEFAULT_URL}")
    key = key or os.environ.get("AIRLOCK_API_KEY")
    if key and not (key.isascii() and key.isprintable()):
        raise ValueError("the key contains characters that no key has, perhaps a line end")
    return {
        "base_url": base,
        "headers": {"Authorization": f"Bearer {key}"} if key else {},
        "limits": httpx.Limits(max_connections=None),  # a paused run may poll and answer on many at once
    }


def arguments(request: Request) -> dict[str, Any]:
    """Return a request as httpx's clients take it. Raises ValueError when the body has no strict JSON form."""
    headers = dict(request.headers)
    content = None
    if request.body is not None:
        headers["Content-Type"] = "application/json"
        content = strict_json.dumps(request.body)
    return {
        "method": request.method,
        "url": request.path,
        "params": dict(request.query),
        "headers": headers,
        "content": content,
        "timeout": httpx.Timeout(request.patience, connect=min(_CONNECT, request.patience)),
    }


def reply(request: Request, response: httpx.Response) -> Reply:
    """Return a response that was read."""
    headers: Mapping[str, str] = response.headers
    return Reply(request=request, status=response.status_code, headers=headers, content=response.content)


def failure(error: httpx.HTTPError, url: httpx.URL) -> ClientError:
    """Return what the client raises when httpx raised this."""
    if isinstance(error, httpx.DecodingError):
        return NotAirlock(f"{url} sent a reply that cannot be decoded ({error}); is the URL right?")
    was_sent = not isinstance(error, _NEVER_SENT)
    reason = str(error) or type(error).__name__
    what = "did not give a whole answer" if was_sent else "cannot be reached"
    return Unreachable(f"{url} {what} ({reason}); is the server running there?", was_sent=was_sent)


def is_event_stream(response: httpx.Response) -> bool:
    """Whether events follow."""
    return response.status_code == 200 and response.headers.get("content-type", "").startswith("text/event-stream")
